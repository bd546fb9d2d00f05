//! What both gateways read in a function's answer, and the response that they make of it.
//!
//! It exists because they agree on the form of headers, status and body. It must not know which
//! fields an answer may have, nor what a refused one becomes: that is `None` here.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// In their order, because a name may come more than once.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

pub(super) fn response(
    status: StatusCode,
    pairs: Headers,
    body: Vec<u8>,
    default_type: &'static str,
) -> Response<Body> {
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(default_type));
    let has_body = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    let mut response = Response::new(if has_body { body.into() } else { Body::empty() });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

pub(super) fn status_code(value: &Value) -> Option<StatusCode> {
    let number = match value.as_str() {
        Some(text) => text.parse().ok()?,
        None => u16::try_from(value.as_u64()?).ok()?,
    };
    // Anything below would be an interim answer.
    let status = StatusCode::from_u16(number).ok()?;
    (200..600).contains(&number).then_some(status)
}

pub(super) fn text_body(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    }
}

pub(super) fn single_headers(value: Option<&Value>) -> Option<Headers> {
    header_entries(value)?
        .map(|(name, value)| Some((header_name(name)?, header_value(value)?)))
        .collect()
}

pub(super) fn multi_value_headers(value: Option<&Value>) -> Option<Headers> {
    let mut pairs = Vec::new();
    for (name, values) in header_entries(value)? {
        for value in values.as_array()? {
            pairs.push((header_name(name)?, header_value(value)?));
        }
    }
    Some(pairs)
}

fn header_entries(value: Option<&Value>) -> Option<impl Iterator<Item = (&String, &Value)>> {
    let object = match value {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_object()?),
    };
    Some(object.into_iter().flatten())
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok()
}

pub(super) fn header_value(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    HeaderValue::try_from(text).ok()
}
