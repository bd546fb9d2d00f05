//! Bodies of requests: JSON of a bounded size, and the fields of an object. All that is wrong is said at
//! once, field by field; of the objects in a list, whichever of them it is about.

use std::ops::RangeInclusive;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use domain::{
    ClientFault, Fault, FieldError, FieldErrors, RESERVED_PROJECT_SLUGS, Slug, Timestamp,
};
use serde_json::{Map, Value};

/// The largest body that holds a handful of short fields, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// The longest slug, in characters.
const MAX_SLUG: usize = 50;
const MAX_URL: usize = 2048;

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
pub(crate) const NO_TEXT: &str = "Not a valid string.";

/// Reads a body of at most so many bytes that is to be JSON.
pub(crate) async fn bytes(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Fault> {
    // Who does not say what the body is means JSON.
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default();
        let (bare, _) = kind.split_once(';').unwrap_or((kind, ""));
        if !bare.trim().eq_ignore_ascii_case("application/json") {
            let kind = bare.trim().to_owned();
            return Err(Fault::Client(ClientFault::UnsupportedMediaType(kind)));
        }
    }
    let bytes = axum::body::to_bytes(body, most).await;
    bytes.map_err(|_| Fault::Client(ClientFault::TooLarge))
}

/// Reads JSON, whatever it is.
pub(crate) fn json(bytes: &Bytes) -> Result<Value, Fault> {
    let parsed = serde_json::from_slice(bytes);
    parsed.map_err(|error| Fault::detail(format!("JSON parse error - {error}")))
}

/// The fields of an object that were not read yet, and what is wrong with those that were.
#[derive(Debug)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    errors: FieldErrors,
}

/// A text as a field gives it, trimmed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Absent,
    Null,
    Blank,
    Given(String),
    /// It was said what is wrong.
    Wrong,
}

impl Fields {
    /// Reads a body of a handful of short fields.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Fault> {
        Self::parse(&bytes(headers, body, MAX_BODY).await?)
    }

    /// Reads a body of which one field is a long text; all others are as short as ever.
    pub(crate) async fn read_with_long(
        headers: &HeaderMap,
        body: Body,
        long: &str,
        most: usize,
    ) -> Result<Self, Fault> {
        let bytes = bytes(headers, body, most).await?;
        let fields = Self::parse(&bytes)?;
        let length = fields
            .peek(long)
            .and_then(Value::as_str)
            .map_or(0, str::len);
        match bytes.len() - length.min(bytes.len()) {
            others if others > MAX_BODY => Err(Fault::Client(ClientFault::TooLarge)),
            _ => Ok(fields),
        }
    }

    /// The fields of a body that was read.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, Fault> {
        // Clients know the kinds by these names.
        let kind = match json(bytes)? {
            Value::Object(values) => return Ok(Self::of(values)),
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

    fn of(values: Map<String, Value>) -> Self {
        let errors = FieldErrors::new();
        Self { values, errors }
    }

    /// Whether the field is there and was not read yet, even if it is null.
    pub(crate) fn given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether the field is there, was not read yet, and is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes what is wrong with a field; the first that is wrong with it is what is said.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        let error = FieldError::message(message);
        self.errors.entry(name.to_owned()).or_insert(error);
    }

    /// Whether it was noted that something is wrong with a field.
    pub(crate) fn is_refused(&self, name: &str) -> bool {
        self.errors.contains_key(name)
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Fault> {
        self.finish_with(Some(read))
    }

    /// The same for what is there if nothing was wrong with it.
    pub(crate) fn finish_with<T>(self, read: Option<T>) -> Result<T, Fault> {
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            Some(_) | None => Err(Fault::Client(ClientFault::Fields(self.errors))),
        }
    }

    /// The field as it is, which is still to be read.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The field as it is.
    pub(crate) fn raw(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name)
    }

    /// A text of at most so many characters.
    pub(crate) fn text(&mut self, name: &str, most: usize) -> Text {
        let text = match self.raw(name) {
            None => return Text::Absent,
            Some(Value::Null) => return Text::Null,
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                self.refuse(name, NO_TEXT);
                return Text::Wrong;
            }
        };
        if text.is_empty() {
            return Text::Blank;
        }
        if text.chars().count() > most {
            let message = format!("Ensure this field has no more than {most} characters.");
            self.refuse(name, message);
            return Text::Wrong;
        }
        Text::Given(text)
    }

    /// A text as it is: untrimmed, blank or not, and of any length. `Some(None)`: null.
    pub(crate) fn verbatim(&mut self, name: &str) -> Option<Option<String>> {
        match self.raw(name)? {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text)),
            Value::Number(number) => Some(Some(number.to_string())),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.refuse(name, NO_TEXT);
                None
            }
        }
    }

    /// A text that may be left out, null or blank.
    pub(crate) fn optional(&mut self, name: &str, most: usize) -> Option<String> {
        match self.text(name, most) {
            Text::Given(text) => Some(text),
            Text::Absent | Text::Null | Text::Blank | Text::Wrong => None,
        }
    }

    /// A text that may be left out, but neither null nor blank.
    pub(crate) fn name(&mut self, name: &str, most: usize) -> Option<String> {
        match self.given(name) {
            true => self.required(name, most),
            false => None,
        }
    }

    /// A text that has to be there.
    pub(crate) fn required(&mut self, name: &str, most: usize) -> Option<String> {
        let message = match self.text(name, most) {
            Text::Given(text) => return Some(text),
            Text::Wrong => return None,
            Text::Absent => REQUIRED,
            Text::Null => NULL,
            Text::Blank => BLANK,
        };
        self.refuse(name, message);
        None
    }

    /// A slug; null as well as nothing leaves it to us.
    pub(crate) fn slug(&mut self) -> Option<Slug> {
        if !self.has("slug") {
            return None;
        }
        let slug = self.required("slug", MAX_SLUG)?.parse();
        slug.map_err(|message: &str| self.refuse("slug", message))
            .ok()
    }

    /// The slug of a project, which may not be one of ours.
    pub(crate) fn project_slug(&mut self) -> Option<Slug> {
        let slug = self.slug()?;
        if RESERVED_PROJECT_SLUGS.contains(&slug.as_str()) {
            self.refuse("slug", reserved_slug(slug.as_str()));
            return None;
        }
        Some(slug)
    }

    /// One of some words, of which `None` is none.
    pub(crate) fn choice<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.raw(name)?;
        let choice = value.as_str().map(str::trim).and_then(parse);
        if choice.is_none() {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.refuse(name, format!("\"{shown}\" is not a valid choice."));
        }
        choice
    }

    /// The same for a word that has to be there.
    pub(crate) fn required_choice<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match self.has(name) {
            true => self.choice(name, parse),
            false => self.required(name, 0).and(None),
        }
    }

    /// Yes or no, in the words that clients use for it.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.raw(name)?;
        let meant = truth(&value);
        if meant.is_none() {
            let invalid = "Must be a valid boolean.";
            self.refuse(name, if value.is_null() { NULL } else { invalid });
        }
        meant
    }

    /// A whole number of these. `Some(None)`: null or blank, for which the caller has a meaning or not.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<i64>> {
        let number = match self.raw(name)? {
            Value::Null => return Some(None),
            Value::String(text) if text.trim().is_empty() => return Some(None),
            Value::String(text) => text.trim().parse().ok(),
            Value::Number(number) => number.as_i64(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let (least, most) = (range.start(), range.end());
        let message = match number {
            Some(number) if range.contains(&number) => return Some(Some(number)),
            Some(number) if number < *least => {
                format!("Ensure this value is greater than or equal to {least}.")
            }
            Some(_) => format!("Ensure this value is less than or equal to {most}."),
            None => "A valid integer is required.".to_owned(),
        };
        self.refuse(name, message);
        None
    }

    /// A list of texts, none of them empty.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(NO_TEXT),
        };
        let texts = self.list(name)?.into_iter().map(text);
        let filled = |text: Result<String, _>| match text {
            Ok(text) if text.is_empty() => Err(BLANK),
            text => text,
        };
        let texts = texts.map(filled).collect::<Result<_, _>>();
        texts.map_err(|message| self.refuse(name, message)).ok()
    }

    pub(crate) fn url(&mut self, name: &str) -> Option<String> {
        let url = self.optional(name, MAX_URL)?;
        // A scheme is the same in any case.
        let lower = url.to_ascii_lowercase();
        let host = ["http://", "https://", "ftp://", "ftps://"]
            .iter()
            .find_map(|scheme| lower.strip_prefix(scheme));
        let valid = host.is_some_and(|host| !host.starts_with('/') && !host.is_empty())
            && !url.contains(char::is_whitespace);
        if !valid {
            self.refuse(name, "Enter a valid URL.");
            return None;
        }
        Some(url)
    }

    pub(crate) fn date(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.optional(name, usize::MAX)?;
        let date = Timestamp::parse(&text);
        if date.is_none() {
            self.refuse(
                name,
                "Datetime has wrong format. Use one of these formats instead: \
                 YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
            );
        }
        date
    }

    /// A list that may be left out, but not null.
    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.raw(name)? {
            Value::Array(list) => Some(list),
            Value::Null => {
                self.refuse(name, NULL);
                None
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.refuse(name, "Expected a list of items.");
                None
            }
        }
    }

    /// A list that has to be there.
    pub(crate) fn required_list(&mut self, name: &str) -> Option<Vec<Value>> {
        if !self.given(name) {
            self.refuse(name, REQUIRED);
        }
        self.list(name)
    }

    /// A list of objects. `read` gives `None` for one that it found something wrong with.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (mut found, mut errors) = (Vec::new(), FieldErrors::new());
        for value in self.list(name)? {
            let Value::Object(values) = value else {
                let error = FieldError::message("Invalid data. Expected a dictionary.");
                errors.entry("non_field_errors".to_owned()).or_insert(error);
                continue;
            };
            let mut fields = Self::of(values);
            found.extend(read(&mut fields));
            for (name, error) in fields.errors {
                errors.entry(name).or_insert(error);
            }
        }
        if errors.is_empty() {
            return Some(found);
        }
        let error = FieldError::Fields(errors);
        self.errors.entry(name.to_owned()).or_insert(error);
        None
    }
}

/// What is said of a slug that is one of ours.
pub(crate) fn reserved_slug(slug: &str) -> String {
    format!("The slug \"{slug}\" is reserved and not allowed.")
}
/// Yes or no, if it is a word for one of them.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    let word = match value {
        Value::Bool(value) => return Some(*value),
        Value::String(text) => text.to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    match word.as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}
