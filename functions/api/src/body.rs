//! Bodies of requests: JSON of a bounded size, and the fields of an object with all that is wrong with
//! them at once.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use domain::{ClientFault, Fault, FieldErrors, RESERVED_PROJECT_SLUGS, Slug};
use serde_json::{Map, Value};

/// The largest body, in bytes: it holds a handful of short fields.
const MAX_BODY: usize = 64 * 1024;
/// The longest slug, in characters.
const MAX_SLUG: usize = 50;

/// Reads a body as JSON, whatever it is.
pub(crate) async fn json(headers: &HeaderMap, body: Body) -> Result<Value, Fault> {
    // Who does not say what the body is means JSON.
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default();
        let (bare, _) = kind.split_once(';').unwrap_or((kind, ""));
        if !bare.trim().eq_ignore_ascii_case("application/json") {
            let kind = bare.trim().to_owned();
            return Err(Fault::Client(ClientFault::UnsupportedMediaType(kind)));
        }
    }
    let bytes = axum::body::to_bytes(body, MAX_BODY).await;
    let bytes = bytes.map_err(|_| Fault::detail("The request is too large."))?;
    let parsed = serde_json::from_slice(&bytes);
    parsed.map_err(|error| Fault::detail(format!("JSON parse error - {error}")))
}

/// The fields of an object, and what is wrong with those that were read.
#[derive(Debug)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    errors: FieldErrors,
}

impl Fields {
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Fault> {
        // Clients know the kinds by these names.
        let kind = match json(headers, body).await? {
            Value::Object(values) => {
                let errors = FieldErrors::new();
                return Ok(Self { values, errors });
            }
            Value::Array(_) => "list",
            Value::String(_) => "str",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::Bool(_) => "bool",
            Value::Null => "NoneType",
        };
        let text = format!("Invalid data. Expected a dictionary, but got {kind}.");
        Err(Fault::field("non_field_errors", text))
    }

    /// Whether the field is there, and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes what is wrong with a field.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        let messages = self.errors.entry(name.to_owned()).or_default();
        messages.push(message.into());
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Fault> {
        match self.errors.is_empty() {
            true => Ok(read),
            false => Err(Fault::Client(ClientFault::Fields(self.errors))),
        }
    }

    /// A text without spaces around it, blank or not. `Some(None)`: null.
    pub(crate) fn text(&mut self, name: &str) -> Option<Option<String>> {
        match self.values.get(name)? {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.trim().to_owned())),
            Value::Number(number) => Some(Some(number.to_string())),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.refuse(name, "Not a valid string.");
                None
            }
        }
    }

    /// A text that may be left out, and is neither null, blank nor longer than `most` characters.
    pub(crate) fn name(&mut self, name: &str, most: usize) -> Option<String> {
        let Some(text) = self.text(name)? else {
            self.refuse(name, "This field may not be null.");
            return None;
        };
        self.bounded(name, &text, most).then_some(text)
    }

    /// The same for a text that must be there.
    pub(crate) fn required_name(&mut self, name: &str, most: usize) -> Option<String> {
        if !self.values.contains_key(name) {
            self.refuse(name, "This field is required.");
        }
        self.name(name, most)
    }

    fn bounded(&mut self, name: &str, text: &str, most: usize) -> bool {
        if text.is_empty() {
            self.refuse(name, "This field may not be blank.");
        } else if text.chars().count() > most {
            let message = format!("Ensure this field has no more than {most} characters.");
            self.refuse(name, message);
        } else {
            return true;
        }
        false
    }

    /// A slug; null as well as nothing leaves it to us.
    pub(crate) fn slug(&mut self) -> Option<Slug> {
        let text = self.text("slug")??;
        if !self.bounded("slug", &text, MAX_SLUG) {
            return None;
        }
        let slug = text.parse();
        slug.map_err(|message: &str| self.refuse("slug", message))
            .ok()
    }

    /// The slug of a project, which may not be one of ours.
    pub(crate) fn project_slug(&mut self) -> Option<Slug> {
        let slug = self.slug()?;
        if RESERVED_PROJECT_SLUGS.contains(&slug.as_str()) {
            let message = format!("The slug \"{slug}\" is reserved and not allowed.");
            self.refuse("slug", message);
            return None;
        }
        Some(slug)
    }

    /// Yes or no, in the words that clients use for it.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let word = match self.values.get(name)? {
            Value::Bool(value) => return Some(*value),
            Value::Null => {
                self.refuse(name, "This field may not be null.");
                return None;
            }
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => String::new(),
        };
        match word.as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => {
                self.refuse(name, "Must be a valid boolean.");
                None
            }
        }
    }

    /// The field as it is.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
}
