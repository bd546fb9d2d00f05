//! Tokens of Azure DevOps: short-lived, exchanged for new ones with a refresh token that is spent by it.

use domain::{Secret, Timestamp};
use form_urlencoded::Serializer;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::{CallError, Outside, Remedy, http::Call};

const FORM: &str = "application/x-www-form-urlencoded";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who gives tokens out. An identity stays with the one that it was authorized at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// Azure DevOps itself.
    AzureDevOps,
    /// Microsoft Entra, version 2.
    Entra {
        /// The application's id there.
        client_id: String,
    },
}

impl TokenEndpoint {
    fn url(&self) -> &'static str {
        match self {
            Self::AzureDevOps => "https://app.vssps.visualstudio.com/oauth2/token",
            Self::Entra { .. } => "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        }
    }
}

/// What new tokens are given for.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    /// Who gave the present ones.
    pub endpoint: TokenEndpoint,
    /// The application's secret.
    pub client_secret: Secret,
    /// The refresh token.
    pub refresh_token: Secret,
    /// The absolute URL that the identity was authorized with.
    pub redirect_uri: String,
}

/// What calls are made with, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Goes with every call.
    pub access_token: Secret,
    /// Goes with the next refresh.
    pub refresh_token: Secret,
    /// When the access token ends, in seconds since 1970 UTC.
    pub expires: i64,
}

impl Tokens {
    /// Whether they must be refreshed before the next call.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires <= now.seconds()
    }
}

/// Why there are no new tokens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// The refresh token is spent, revoked or unknown: somebody has to authorize Picket again.
    #[error("the identity is not valid any more")]
    InvalidIdentity,
    /// Anything else.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl RefreshError {
    /// What to do about it. A refusal that is not the identity's is the application's registration, which
    /// an operator mends: it may pass.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::InvalidIdentity => Remedy::InvalidIdentity,
            Self::Call(error) => match error.remedy() {
                Remedy::Never => Remedy::Later(None),
                remedy @ (Remedy::Later(_) | Remedy::InvalidIdentity) => remedy,
            },
        }
    }
}

/// Exchanges a refresh token. Both tokens are new afterwards: keep them before they are used.
pub async fn refresh(
    outside: &Outside,
    request: &RefreshRequest,
    now: Timestamp,
) -> Result<Tokens, RefreshError> {
    let call = Call::new(Method::POST, request.endpoint.url())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, FORM)
        .hiding(request.client_secret.reveal())
        .hiding(request.refresh_token.reveal())
        .body(form(request));
    let answer = outside.send(call).await?;
    let spent = answer.status() == StatusCode::BAD_REQUEST && is_invalid_grant(answer.body());
    if spent || answer.status() == StatusCode::UNAUTHORIZED {
        return Err(RefreshError::InvalidIdentity);
    }
    let grant: Grant = answer.json()?;
    let seconds = grant.expires_in.seconds().ok_or(CallError::Unsupported)?;
    Ok(Tokens {
        access_token: grant.access_token,
        // An endpoint that gives no new one lets the old one live.
        refresh_token: grant
            .refresh_token
            .unwrap_or_else(|| request.refresh_token.clone()),
        expires: now.seconds().saturating_add(seconds),
    })
}

fn form(request: &RefreshRequest) -> String {
    let (secret, token) = (&request.client_secret, &request.refresh_token);
    let mut form = Serializer::new(String::new());
    match &request.endpoint {
        TokenEndpoint::AzureDevOps => form
            .append_pair("client_assertion_type", JWT_BEARER)
            .append_pair("client_assertion", secret.reveal())
            .append_pair("grant_type", "refresh_token")
            .append_pair("assertion", token.reveal())
            .append_pair("redirect_uri", &request.redirect_uri),
        TokenEndpoint::Entra { client_id } => form
            .append_pair("client_id", client_id)
            .append_pair("client_secret", secret.reveal())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token.reveal())
            .append_pair("redirect_uri", &request.redirect_uri),
    };
    form.finish()
}

/// Azure DevOps spells the key with a capital, Entra without.
fn is_invalid_grant(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let names = ["error", "Error"];
    let mut errors = names.iter().filter_map(|name| body.get(*name)?.as_str());
    errors.any(|error| error == "invalid_grant")
}

#[derive(Deserialize)]
struct Grant {
    access_token: Secret,
    #[serde(default)]
    refresh_token: Option<Secret>,
    expires_in: ExpiresIn,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExpiresIn {
    Number(i64),
    Text(String),
}

impl ExpiresIn {
    fn seconds(&self) -> Option<i64> {
        match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_end_with_the_second_that_they_expire_in() {
        let tokens = Tokens {
            access_token: Secret::new("a"),
            refresh_token: Secret::new("r"),
            expires: 100,
        };
        assert!(!tokens.expired(Timestamp::from_millis(99_999)));
        assert!(tokens.expired(Timestamp::from_millis(100_000)));
        assert!(tokens.expired(Timestamp::from_millis(100_001)));
    }

    #[test]
    fn a_refused_refresh_is_tried_again_unless_the_identity_is_to_blame() {
        let refused = CallError::Api {
            status: 400,
            message: "invalid_client".into(),
            retry_after: None,
        };
        assert_eq!(RefreshError::Call(refused).remedy(), Remedy::Later(None));
        let wait = Some(Duration::from_secs(3));
        let limited = CallError::RateLimited { retry_after: wait };
        assert_eq!(RefreshError::Call(limited).remedy(), Remedy::Later(wait));
        let invalid = RefreshError::InvalidIdentity.remedy();
        assert_eq!(invalid, Remedy::InvalidIdentity);
    }
}
