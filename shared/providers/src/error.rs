//! How a call to a tracker fails, and what to do about it.
//!
//! The classes are those that people are shown different things for; [`CallError::remedy`] is the one
//! place that says which of them pass with time.

use std::time::Duration;

use domain::Secret;
use serde_json::Value;
use thiserror::Error;

/// How much of a tracker's own words is kept.
const MAX_MESSAGE: usize = 1024;

/// Why a call did not give what it was made for. Its texts name hosts and what the tracker said, and
/// never what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// 401: the tracker does not know the credentials, or no longer.
    #[error("the tracker refuses the credentials")]
    Unauthorized,
    /// 429: too many calls.
    #[error("the tracker asks for fewer calls")]
    RateLimited {
        /// How long it asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// 409: somebody else was changing the same.
    #[error("the tracker reports a conflict")]
    Conflict,
    /// Any other status that is not a success, redirects among them: none is followed.
    #[error("the tracker answered {status}: {message}")]
    Api {
        /// The status.
        status: u16,
        /// The tracker's words, at most 1024 characters of them.
        message: String,
        /// How long it asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// No connection. A host that must not be called looks the same, so that nobody can map a network
    /// by asking for it.
    #[error("{host} cannot be reached")]
    Host {
        /// Which host.
        host: String,
    },
    /// No connection, or no whole answer, in time.
    #[error("{host} did not answer in time")]
    Timeout {
        /// Which host.
        host: String,
    },
    /// The connection broke before the answer was whole.
    #[error("the tracker broke the connection")]
    Reset,
    /// An answer, but not in the form that was needed: not JSON, without a needed field, too large.
    #[error("the tracker's answer cannot be read")]
    Unsupported,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again: at the earliest after this time, where the tracker named one.
    Later(Option<Duration>),
    /// Somebody has to authorize Picket again; until then no call succeeds.
    InvalidIdentity,
    /// The same call will always fail.
    Never,
}

impl CallError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unauthorized => Remedy::InvalidIdentity,
            Self::RateLimited { retry_after } => Remedy::Later(*retry_after),
            Self::Conflict
            | Self::Host { .. }
            | Self::Timeout { .. }
            | Self::Reset
            | Self::Unsupported => Remedy::Later(None),
            Self::Api {
                status,
                message: _,
                retry_after,
            } => match status {
                408 | 425 | 500.. => Remedy::Later(*retry_after),
                _ => Remedy::Never,
            },
        }
    }
}

/// The tracker's words from the body of an error, without `hidden`: a server that repeats what it was
/// sent does not bring a secret into a log.
pub(crate) fn message(body: &[u8], hidden: &[Secret]) -> String {
    let words = serde_json::from_slice(body)
        .ok()
        .and_then(|body: Value| words(&body));
    let mut text = words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    for secret in hidden.iter().map(Secret::reveal) {
        if !secret.is_empty() {
            text = text.replace(secret, "[redacted]");
        }
    }
    text.chars().take(MAX_MESSAGE).collect()
}

/// Jira lists `errorMessages` and `errors` by field, Azure DevOps has one `message`, and endpoints for
/// tokens an `error_description`. `None`: none of these.
fn words(body: &Value) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    let general = body.get("errorMessages").and_then(Value::as_array);
    let general = general.into_iter().flatten().map(text);
    let fields = body.get("errors").and_then(Value::as_object);
    let fields = fields
        .into_iter()
        .flatten()
        .map(|(field, message)| format!("{field}: {}", text(message)));
    let listed: Vec<_> = general.chain(fields).collect();
    if !listed.is_empty() {
        return Some(listed.join(" "));
    }
    let names = ["message", "error_description"];
    let mut single = names.iter().filter_map(|name| body.get(*name)?.as_str());
    single.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        message(body.as_bytes(), &[])
    }

    #[test]
    fn the_message_is_what_the_tracker_says_in_its_own_form() {
        let jira =
            r#"{"errorMessages":["Not yours.","Go away."],"errors":{"assignee":"Unknown user"}}"#;
        assert_eq!(said(jira), "Not yours. Go away. assignee: Unknown user");
        let fields = r#"{"errors":{"a":"one","b":["two"]}}"#;
        assert_eq!(said(fields), r#"a: one b: ["two"]"#);
        let azure = r#"{"$id":"1","message":"TF401232: no such work item","typeKey":"x"}"#;
        assert_eq!(said(azure), "TF401232: no such work item");
        let tokens = r#"{"error":"x","error_description":"AADSTS7: no"}"#;
        assert_eq!(said(tokens), "AADSTS7: no");
        for as_it_is in [
            "<html>502</html>",
            "{}",
            r#"{"errorMessages":[],"errors":{}}"#,
        ] {
            assert_eq!(said(as_it_is), as_it_is);
        }
    }

    #[test]
    fn the_message_is_cut_between_characters() {
        assert_eq!(said(&"ü".repeat(3000)), "ü".repeat(1024));
    }

    #[test]
    fn what_was_sent_does_not_come_back_in_a_message() {
        let hidden = [Secret::new("tok-1"), Secret::new("")];
        let body = format!("{}tok-1 is wrong, tok-1!", "x".repeat(1010));
        let message = message(body.as_bytes(), &hidden);
        // Hidden before it is cut: the cut must not leave half of it.
        assert!(!message.contains("tok"), "{message}");
        assert!(message.ends_with("[redacted] is "), "{message}");
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        let api = |status| {
            let error = CallError::Api {
                status,
                message: String::new(),
                retry_after: None,
            };
            error.remedy()
        };
        for later in [408, 425, 500, 502, 503, 504, 599] {
            assert_eq!(api(later), Remedy::Later(None), "{later}");
        }
        for never in [301, 302, 304, 400, 403, 404, 405, 410, 422] {
            assert_eq!(api(never), Remedy::Never, "{never}");
        }
        let host = String::from("h");
        for later in [
            CallError::Conflict,
            CallError::Host { host: host.clone() },
            CallError::Timeout { host },
            CallError::Reset,
            CallError::Unsupported,
        ] {
            assert_eq!(later.remedy(), Remedy::Later(None), "{later}");
        }
        let wait = Some(Duration::from_secs(7));
        let limited = CallError::RateLimited { retry_after: wait };
        assert_eq!(limited.remedy(), Remedy::Later(wait));
        assert_eq!(CallError::Unauthorized.remedy(), Remedy::InvalidIdentity);
    }
}
