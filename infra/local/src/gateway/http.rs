//! HTTP APIs: version 2 of the event, and what such a gateway makes of an answer.
//!
//! It exists because the webhooks come in over this kind, with a decoded path and a body that may be
//! base64. It must not know how a route is chosen, nor that there is another kind.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderName, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::answer::{header_value, response, single_headers, status_code, text_body};
use super::request::{Call, request_time};
use super::routes::Matched;
use crate::template::Route;

/// Headers of an answer that an HTTP API does not send.
const DROPPED: [HeaderName; 3] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Unlike version 1, version 2 leaves out what is empty.
pub(super) fn event(call: &Call, matched: &Matched<'_>, body: &[u8]) -> Value {
    let (cookies, headers): (Vec<_>, Vec<_>) = call
        .headers()
        .into_iter()
        .partition(|(name, _)| name == "cookie");
    let route_key = route_key(matched.route);
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": call.path,
        "rawQueryString": call.raw_query(),
        "headers": joined(headers),
        "requestContext": context(call, &route_key),
        "isBase64Encoded": false,
    });
    let cookies = cookies.iter().flat_map(|(_, value)| value.split("; "));
    let cookies: Vec<_> = cookies.filter(|cookie| !cookie.is_empty()).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !call.query.is_empty() {
        event["queryStringParameters"] = joined(call.query.clone()).into();
    }
    if !matched.parameters.is_empty() {
        event["pathParameters"] = matched.parameters.clone().into();
    }
    match std::str::from_utf8(body) {
        _ if body.is_empty() => {}
        Ok(text) if is_text(call.header("content-type").as_deref()) => event["body"] = text.into(),
        Ok(_) | Err(_) => {
            event["body"] = STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

fn context(call: &Call, route_key: &str) -> Value {
    json!({
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": call.domain(),
        "domainPrefix": "local",
        "http": {
            "method": call.method(),
            "path": call.path,
            "protocol": call.protocol(),
            "sourceIp": call.source.ip().to_string(),
            "userAgent": call.header("user-agent").unwrap_or_default(),
        },
        "requestId": call.request_id,
        "routeKey": route_key,
        "stage": "$default",
        "time": request_time(call.at),
        "timeEpoch": call.at.as_millis() as u64,
    })
}

fn route_key(route: &Route) -> String {
    match route.path.as_str() {
        "$default" => "$default".to_owned(),
        path => format!("{} {path}", route.method.as_deref().unwrap_or("ANY")),
    }
}

/// Version 2 has one value a name: several are joined by commas.
fn joined(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        joined
            .entry(name)
            .and_modify(|before| {
                before.push(',');
                before.push_str(&value);
            })
            .or_insert(value);
    }
    joined
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// What an HTTP API does not encode. A form or a body without a type is not in the list.
fn is_text(content_type: Option<&str>) -> bool {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/")
        || [
            "application/json",
            "application/javascript",
            "application/xml",
        ]
        .contains(&essence)
}

/// `None` where an HTTP API would answer 500.
pub(super) fn answer(payload: &str) -> Option<Response<Body>> {
    let answer: Value = serde_json::from_str(payload).ok()?;
    // An answer without a status is taken for the body itself.
    let Some(status) = answer.get("statusCode") else {
        let body = answer.as_str().unwrap_or(payload).to_owned();
        let (status, body) = (StatusCode::OK, body.into());
        return Some(response(status, Vec::new(), body, "application/json"));
    };
    let mut pairs = single_headers(answer.get("headers"))?;
    pairs.retain(|(name, _)| !DROPPED.contains(name));
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        pairs.push((header::SET_COOKIE, header_value(cookie)?));
    }
    let body = text_body(answer.get("body"))?;
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).ok()?,
        Some(false) | None => body.into_bytes(),
    };
    let default = "text/plain;charset=UTF-8";
    Some(response(status_code(status)?, pairs, body, default))
}
