//! What the bundle sent to the simulated trackers, for whoever asks afterwards. Credentials in headers are
//! left out.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use super::{Provider, wire::Asked};

/// One request of the bundle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// To whom; `None`: to a host that is not simulated.
    pub provider: Option<Provider>,
    /// The method.
    pub method: String,
    /// Host, path and query.
    pub path: String,
    /// The headers by their names in lower case; of `authorization` the scheme only.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON if it is that, else text; null without one.
    pub body: Value,
    /// What was answered; `None`: nothing, or not yet.
    pub status: Option<u16>,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    requests: Vec<(u64, Request)>,
    received: u64,
}

impl Log {
    /// Notes a request down, and gives the number that [`Log::answered`] knows it by.
    pub(super) fn received(&mut self, provider: Option<Provider>, asked: &Asked) -> u64 {
        self.received += 1;
        let request = Request {
            provider,
            method: asked.method().to_owned(),
            path: asked.target(),
            headers: shown(asked.headers()),
            body: body(asked.body()),
            status: None,
        };
        self.requests.push((self.received, request));
        self.received
    }

    pub(super) fn answered(&mut self, number: u64, status: StatusCode) {
        // It may be forgotten already.
        if let Some((_, request)) = self.requests.iter_mut().rfind(|(n, _)| *n == number) {
            request.status = Some(status.as_u16());
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().map(|(_, request)| request)
    }

    pub(super) fn forget(&mut self) {
        self.requests.clear();
    }
}

fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let shown = headers.iter().map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = match *name == header::AUTHORIZATION {
            true => text.split(' ').next().unwrap_or_default().to_owned(),
            false => text.into_owned(),
        };
        (name.to_string(), text)
    });
    shown.collect()
}

fn body(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(json) => json,
        Err(_) if bytes.is_empty() => Value::Null,
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}
