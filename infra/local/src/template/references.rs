//! What a value refers to: by an intrinsic function, or in the text of a `Fn::Sub`.
//!
//! It exists so that a reference that leads nowhere, or a function that nothing triggers, is found
//! before anything runs. It must not know what a reference stands for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::source::{entries_of_list, intrinsic, keys};

/// Every logical id, parameter and pseudo parameter that a value refers to.
pub(super) fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_references(value, &mut found);
    found
}

pub(super) fn depends_on(value: &Value) -> Vec<String> {
    let one = value.as_str().map(str::to_owned);
    let many = entries_of_list(value).filter_map(|id| Some(id.as_str()?.to_owned()));
    one.into_iter().chain(many).collect()
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        Value::Object(fields) => match intrinsic(value) {
            Some(("Ref", Value::String(id))) => {
                found.insert(id.clone());
            }
            Some(("Fn::GetAtt", argument)) => {
                let id = argument[0].as_str().or(argument.as_str());
                found.extend(id.map(|id| before_dot(id).to_owned()));
            }
            Some(("Fn::Sub", argument)) => collect_substitutions(argument, found),
            _ => fields
                .values()
                .for_each(|field| collect_references(field, found)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn collect_substitutions(argument: &Value, found: &mut BTreeSet<String>) {
    let (text, variables) = sub_parts(argument);
    let names = substitutions(text).into_iter().map(before_dot);
    found.extend(
        names
            .filter(|name| variables.get(name).is_none())
            .map(str::to_owned),
    );
    keys(variables).for_each(|key| collect_references(&variables[key], found));
}

fn substitutions(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for segment in segments(text) {
        match segment {
            Segment::Variable(name) if !name.starts_with('!') => names.push(name),
            Segment::Dynamic(inside) => names.extend(substitutions(inside)),
            Segment::Variable(_) | Segment::Text(_) => {}
        }
    }
    names
}

fn before_dot(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The text and the variables of a `Fn::Sub`.
pub(super) fn sub_parts(argument: &Value) -> (&str, &Value) {
    match argument.as_array() {
        Some(parts) => (
            parts.first().and_then(Value::as_str).unwrap_or_default(),
            parts.get(1).unwrap_or(&Value::Null),
        ),
        None => (argument.as_str().unwrap_or_default(), &Value::Null),
    }
}

pub(super) enum Segment<'t> {
    Text(&'t str),
    /// The inside of `${...}`.
    Variable(&'t str),
    /// The inside of `{{resolve:...}}`.
    Dynamic(&'t str),
}

pub(super) fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some((start, segment, end)) = next_segment(rest) {
        segments.push(Segment::Text(&rest[..start]));
        segments.push(segment);
        rest = &rest[end..];
    }
    segments.push(Segment::Text(rest));
    segments
}

fn next_segment(text: &str) -> Option<(usize, Segment<'_>, usize)> {
    const RESOLVE: &str = "{{resolve:";
    let variable = text.find("${").filter(|at| text[*at..].contains('}'));
    let dynamic = text.find(RESOLVE).and_then(|at| {
        let inside = at + RESOLVE.len();
        Some((at, inside, inside + end_of_dynamic(&text[inside..])?))
    });
    match (variable, dynamic) {
        (variable, Some((at, inside, end))) if variable.is_none_or(|other| at < other) => {
            Some((at, Segment::Dynamic(&text[inside..end]), end + 2))
        }
        (Some(at), _) => {
            let end = at + text[at..].find('}')?;
            Some((at, Segment::Variable(&text[at + 2..end]), end + 1))
        }
        (None, _) => None,
    }
}

/// Where the `}}` stands that closes a dynamic reference: not the brace of a variable within.
fn end_of_dynamic(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let close = from + text[from..].find("}}")?;
        match text[from..close].find("${") {
            Some(open) => from += open + text[from + open..].find('}')? + 1,
            None => return Some(close),
        }
    }
}
