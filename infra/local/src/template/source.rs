//! The text of a template as JSON in the long form: `!Ref X` is `{"Ref": "X"}`, and so on.
//!
//! It exists so that everything else meets one way to write an intrinsic function, as `Value`s, and
//! has short words to look into them. It must not know what a function or a resource type means.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

pub(super) fn read_yaml(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text).context("the template is not YAML")?;
    long_form(documents.first().context("the template is empty")?)
}

fn long_form(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(scalar) => scalar_value(scalar),
        Yaml::Sequence(items) => Value::Array(items.iter().map(long_form).collect::<Result<_>>()?),
        Yaml::Mapping(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| Ok((key_text(key)?, long_form(value)?)));
            Value::Object(fields.collect::<Result<_>>()?)
        }
        Yaml::Tagged(tag, inner) => tagged(&tag.suffix, long_form(inner)?),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            bail!("a value cannot be read: {node:?}")
        }
    })
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => (*value).into(),
        Scalar::Integer(value) => (*value).into(),
        Scalar::FloatingPoint(value) => (**value).into(),
        Scalar::String(value) => value.as_ref().into(),
    }
}

fn key_text(key: &Yaml<'_>) -> Result<String> {
    let key = long_form(key)?;
    let text = key.as_str().map(str::to_owned);
    Ok(text.unwrap_or_else(|| key.to_string()))
}

/// `!GetAtt A.B` is `{"Fn::GetAtt": ["A", "B"]}`, and so on.
fn tagged(tag: &str, value: Value) -> Value {
    match (tag, value) {
        ("Ref" | "Condition", value) => json!({ tag: value }),
        ("GetAtt", Value::String(dotted)) => json!({ "Fn::GetAtt": split_attribute(&dotted) }),
        (_, value) => {
            let name = format!("Fn::{tag}");
            json!({ name: value })
        }
    }
}

pub(super) fn split_attribute(dotted: &str) -> Value {
    let (id, attribute) = dotted.split_once('.').unwrap_or((dotted, ""));
    json!([id, attribute])
}

/// The name and argument of an intrinsic function.
pub(super) fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let (name, argument) = only_entry(value, None)?;
    let known = name == "Ref" || name == "Condition" || name.starts_with("Fn::");
    known.then_some((name, argument))
}

pub(super) fn present(value: &Value) -> Option<&Value> {
    (!value.is_null()).then_some(value)
}

pub(super) fn first_present<'v>(own: &'v Value, global: &'v Value) -> &'v Value {
    present(own).unwrap_or(global)
}

pub(super) fn entries(value: &Value) -> BTreeMap<String, Value> {
    let object = value.as_object().into_iter().flatten();
    object
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

pub(super) fn entries_of_list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn keys(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key)
}

pub(super) fn only_entry<'v>(value: &'v Value, name: Option<&str>) -> Option<(&'v str, &'v Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (key, value) = object.iter().next()?;
    name.is_none_or(|name| name == key).then_some((key, value))
}
