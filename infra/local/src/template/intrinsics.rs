//! What a value comes to: `Ref`, `Fn::Sub`, `Fn::If` and the others, conditions and secrets.
//!
//! It exists because environments name what only a running stack knows, which is asked for by a
//! [`Lookup`]. It must not know who answers it, nor which resource a value belongs to.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Lookup;
use super::references::{Segment, segments, sub_parts};
use super::source::{entries_of_list, intrinsic, split_attribute};

#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) conditions: BTreeMap<String, Value>,
}

impl Scope {
    /// `None` is no value: null or `AWS::NoValue`.
    pub(super) fn evaluate(&self, value: &Value, lookup: Lookup<'_>) -> Result<Option<String>> {
        Ok(match value {
            Value::Null => None,
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            Value::String(text) => Some(self.substitute(text, None, lookup)?),
            Value::Array(_) => bail!("{value} is a list and not a text"),
            Value::Object(_) => {
                let (name, argument) = intrinsic(value)
                    .with_context(|| format!("{value} is neither a text nor a function"))?;
                self.call(name, argument, lookup)?
            }
        })
    }

    fn call(&self, name: &str, argument: &Value, lookup: Lookup<'_>) -> Result<Option<String>> {
        match name {
            "Ref" => self.reference(argument.as_str().context("a Ref has no name")?, lookup),
            "Fn::GetAtt" => attribute(argument, lookup).map(Some),
            "Fn::Sub" => {
                let (text, variables) = sub_parts(argument);
                self.substitute(text, Some(variables), lookup).map(Some)
            }
            "Fn::Join" => self.join(argument, lookup).map(Some),
            "Fn::If" => {
                let branch = match self.holds(&json!({ "Condition": argument[0] }), lookup)? {
                    true => &argument[1],
                    false => &argument[2],
                };
                self.evaluate(branch, lookup)
            }
            _ => bail!("{name} is an unknown function"),
        }
    }

    fn reference(&self, id: &str, lookup: Lookup<'_>) -> Result<Option<String>> {
        if id == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(found) = lookup(id, None) {
            return Ok(Some(found));
        }
        let default = self.parameters.get(id).map(|it| &it["Default"]);
        match default.filter(|default| !default.is_null()) {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Ok(Some(other.to_string())),
            None => bail!("nothing is known of {id}"),
        }
    }

    fn join(&self, argument: &Value, lookup: Lookup<'_>) -> Result<String> {
        let separator = argument[0].as_str().context("a Join has no separator")?;
        let mut parts = Vec::new();
        for item in argument[1].as_array().context("a Join has no list")? {
            parts.extend(self.evaluate(item, lookup)?);
        }
        Ok(parts.join(separator))
    }

    /// Replaces dynamic references and, given variables (which may be null), `${...}`.
    fn substitute(
        &self,
        text: &str,
        variables: Option<&Value>,
        lookup: Lookup<'_>,
    ) -> Result<String> {
        let mut result = String::new();
        for segment in segments(text) {
            match segment {
                Segment::Dynamic(reference) => result.push_str(&secret(reference, lookup)?),
                Segment::Text(text) => result.push_str(text),
                Segment::Variable(name) => match variables {
                    Some(variables) => {
                        result.push_str(&self.variable(name, variables, lookup)?);
                    }
                    None => result.extend(["${", name, "}"]),
                },
            }
        }
        Ok(result)
    }

    fn variable(&self, name: &str, variables: &Value, lookup: Lookup<'_>) -> Result<String> {
        if let Some(literal) = name.strip_prefix('!') {
            return Ok(format!("${{{literal}}}"));
        }
        let value = match (variables.get(name), name.contains('.')) {
            (Some(value), _) => self.evaluate(value, lookup)?,
            (None, true) => Some(attribute(&split_attribute(name), lookup)?),
            (None, false) => self.reference(name, lookup)?,
        };
        value.with_context(|| format!("{name} has no value"))
    }

    pub(super) fn holds(&self, condition: &Value, lookup: Lookup<'_>) -> Result<bool> {
        let (name, argument) =
            intrinsic(condition).with_context(|| format!("{condition} is not a condition"))?;
        let mut all = entries_of_list(argument).map(|one| self.holds(one, lookup));
        match name {
            "Condition" => {
                let name = argument.as_str().context("a condition has no name")?;
                let found = self.conditions.get(name);
                self.holds(
                    found.with_context(|| format!("no condition {name}"))?,
                    lookup,
                )
            }
            "Fn::Equals" => {
                let side = |index: usize| self.evaluate(&argument[index], lookup);
                Ok(side(0)? == side(1)?)
            }
            "Fn::Not" => Ok(!self.holds(&argument[0], lookup)?),
            "Fn::And" => all.try_fold(true, |so_far, one| Ok(so_far & one?)),
            "Fn::Or" => all.try_fold(false, |so_far, one| Ok(so_far | one?)),
            _ => bail!("{name} is an unknown condition"),
        }
    }
}

fn attribute(argument: &Value, lookup: Lookup<'_>) -> Result<String> {
    let split = argument.as_str().map(split_attribute);
    let argument = split.as_ref().unwrap_or(argument);
    let (Some(id), Some(name)) = (argument[0].as_str(), argument[1].as_str()) else {
        bail!("{argument} is not an attribute");
    };
    lookup(id, Some(name)).with_context(|| format!("nothing is known of {id}.{name}"))
}

/// The inside of `{{resolve:...}}`.
fn secret(reference: &str, lookup: Lookup<'_>) -> Result<String> {
    let id = || {
        let rest = reference.strip_prefix("secretsmanager:")?;
        let (id, rest) = match rest.strip_prefix("${") {
            Some(rest) => rest.split_once('}')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        matches!(rest, "" | ":SecretString").then_some(id)
    };
    let id = id().with_context(|| format!("resolve:{reference} is not understood"))?;
    lookup(id, Some("SecretString")).with_context(|| format!("nothing is known of secret {id}"))
}
