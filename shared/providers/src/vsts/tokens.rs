//! Tokens of Azure DevOps: short-lived, exchanged for new ones with a refresh token that is spent by it.

use domain::{Secret, Timestamp, VstsIdentity};
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

/// What Azure DevOps knows an installation by.
#[derive(Debug, Clone)]
pub struct Application {
    endpoint: TokenEndpoint,
    client_secret: Option<Secret>,
    redirect_uri: String,
}

impl Application {
    /// Without a client id it is one of Azure DevOps itself; without a secret it renews no tokens.
    pub fn new(client_id: Option<&str>, client_secret: Option<&str>, public_url: &str) -> Self {
        let redirect_uri = format!(
            "{}/extensions/vsts/setup/",
            public_url.trim_end_matches('/')
        );
        let entra = |id: &str| TokenEndpoint::Entra {
            client_id: id.to_owned(),
        };
        Self {
            endpoint: client_id.map_or(TokenEndpoint::AzureDevOps, entra),
            client_secret: client_secret.map(Secret::new),
            redirect_uri,
        }
    }

    /// New tokens in the place of those that have ended; `None` while they have not. Keep them before they
    /// are used: a refresh token is spent by its exchange.
    pub async fn renew(
        &self,
        outside: &Outside,
        identity: &VstsIdentity,
        now: Timestamp,
    ) -> Result<Option<VstsIdentity>, RefreshError> {
        if now.seconds() < identity.expires {
            return Ok(None);
        }
        let (Some(refresh_token), Some(client_secret)) =
            (&identity.refresh_token, &self.client_secret)
        else {
            return Err(RefreshError::InvalidIdentity);
        };
        let request = RefreshRequest {
            endpoint: self.endpoint.clone(),
            client_secret: client_secret.clone(),
            refresh_token: refresh_token.clone(),
            redirect_uri: self.redirect_uri.clone(),
        };
        let tokens = refresh(outside, &request, now).await?;
        Ok(Some(VstsIdentity {
            access_token: tokens.access_token,
            refresh_token: Some(tokens.refresh_token),
            expires: tokens.expires,
        }))
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

    fn outside() -> Outside {
        Outside::new(crate::OutsideConfig::default()).unwrap()
    }

    #[tokio::test]
    async fn tokens_end_with_the_second_that_they_expire_in() {
        let application = Application::new(None, None, "https://picket.test/");
        let identity = VstsIdentity {
            access_token: Secret::new("a"),
            refresh_token: None,
            expires: 100,
        };
        let at = async |millis| {
            let now = Timestamp::from_millis(millis);
            application.renew(&outside(), &identity, now).await
        };
        assert_eq!(at(99_999).await, Ok(None));
        assert_eq!(at(100_000).await, Err(RefreshError::InvalidIdentity));
        assert_eq!(at(100_001).await, Err(RefreshError::InvalidIdentity));
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
