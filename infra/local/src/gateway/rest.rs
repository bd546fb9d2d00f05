//! REST APIs: version 1 of the event, and what such a gateway makes of an answer.
//!
//! It exists because the API's clients meet this kind, with paths and headers as they were encoded.
//! It must not know how a route is chosen, nor that there is another kind.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderName, Response};
use serde_json::{Map, Value, json};

use super::answer::{multi_value_headers, response, single_headers, status_code, text_body};
use super::request::{Call, request_time};
use super::routes::Matched;

/// Headers of an answer that a REST API sends under `x-amzn-remapped-...` only.
const REMAPPED: [&str; 5] = [
    "connection",
    "content-length",
    "date",
    "server",
    "www-authenticate",
];

pub(super) fn event(call: &Call, matched: &Matched<'_>, stage: &str, body: &[u8]) -> Value {
    let headers = call
        .headers()
        .into_iter()
        .map(|(name, value)| (as_rest_writes(name), value));
    let (headers, multi_headers) = single_and_multi(headers);
    let (query, multi_query) = single_and_multi(call.query.iter().cloned());
    json!({
        "resource": matched.route.path,
        "path": call.path,
        "httpMethod": call.method(),
        "headers": headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": null_if_empty(query),
        "multiValueQueryStringParameters": null_if_empty(multi_query),
        "pathParameters": null_if_empty(matched.parameters.clone()),
        "stageVariables": null,
        "requestContext": context(call, matched, stage),
        // Without binary media types a REST API takes every body for text, and ruins what is not.
        "body": (!body.is_empty()).then(|| String::from_utf8_lossy(body)),
        "isBase64Encoded": false,
    })
}

fn context(call: &Call, matched: &Matched<'_>, stage: &str) -> Value {
    json!({
        "resourceId": "local",
        "resourcePath": matched.route.path,
        "httpMethod": call.method(),
        "extendedRequestId": call.request_id,
        "requestTime": request_time(call.at),
        "path": format!("/{stage}{}", call.path),
        "accountId": "000000000000",
        "protocol": call.protocol(),
        "stage": stage,
        "domainPrefix": "local",
        "requestTimeEpoch": call.at.as_millis() as u64,
        "requestId": call.request_id,
        "identity": {
            "cognitoIdentityPoolId": null,
            "accountId": null,
            "cognitoIdentityId": null,
            "caller": null,
            "sourceIp": call.source.ip().to_string(),
            "principalOrgId": null,
            "accessKey": null,
            "cognitoAuthenticationType": null,
            "cognitoAuthenticationProvider": null,
            "userArn": null,
            "userAgent": call.header("user-agent"),
            "user": null,
        },
        "domainName": call.domain(),
        "deploymentId": "local",
        "apiId": "local",
    })
}

/// A REST API passes names on as they came, in lower case over HTTP/2, and writes its own with capitals.
fn as_rest_writes(name: String) -> String {
    let own = match name.as_str() {
        "host" => "Host",
        "user-agent" => "User-Agent",
        "x-amzn-trace-id" => "X-Amzn-Trace-Id",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        _ => return name,
    };
    own.to_owned()
}

/// Each name with its last value, and with all its values.
fn single_and_multi(
    pairs: impl Iterator<Item = (String, String)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut multi: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        multi.entry(name).or_default().push(value);
    }
    let single = multi
        .iter()
        .map(|(name, values)| (name.clone(), json!(values.last())));
    let single = single.collect();
    let multi = multi
        .into_iter()
        .map(|(name, values)| (name, json!(values)));
    (single, multi.collect())
}

fn null_if_empty(map: Map<String, Value>) -> Value {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Object(map)
    }
}

/// `None` where a REST API would find the answer malformed: it admits these five fields and no others.
pub(super) fn answer(payload: &str) -> Option<Response<Body>> {
    let answer: Map<String, Value> = serde_json::from_str(payload).ok()?;
    let fields = [
        "statusCode",
        "headers",
        "multiValueHeaders",
        "body",
        "isBase64Encoded",
    ];
    if !answer.keys().all(|key| fields.contains(&key.as_str())) {
        return None;
    }
    let mut pairs = multi_value_headers(answer.get("multiValueHeaders"))?;
    for pair in single_headers(answer.get("headers"))? {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    for (name, _) in &mut pairs {
        if REMAPPED.contains(&name.as_str()) {
            *name = HeaderName::try_from(format!("x-amzn-remapped-{name}")).ok()?;
        }
    }
    // Without binary media types a REST API does not decode base64: the client gets it as it is.
    let body = text_body(answer.get("body"))?;
    let status = status_code(answer.get("statusCode")?)?;
    Some(response(status, pairs, body.into(), "application/json"))
}
