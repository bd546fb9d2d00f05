//! The tokens of Azure DevOps. An access token is good for a time, a refresh token for one exchange.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use runtime::Clock;
use serde::Serialize;
use serde_json::json;

use crate::trackers::wire::{Answer, Asked};

const FORM: &str = "application/x-www-form-urlencoded";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const LIFETIME: i64 = 3600;

/// What calls to Azure DevOps are made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AzureIdentity {
    /// Goes with every call.
    pub access_token: String,
    /// Goes with the next exchange, and with no other.
    pub refresh_token: String,
    /// When the access token ends, in seconds since 1970 UTC.
    pub expires: i64,
}

/// What was given out.
#[derive(Debug)]
pub(in crate::trackers) struct Tokens {
    /// The newest.
    identity: AzureIdentity,
    /// When each access token ends, in seconds since 1970 UTC.
    access: BTreeMap<String, i64>,
    lifetime: i64,
}

impl Tokens {
    pub(super) fn new(clock: &Clock) -> Self {
        let identity = fresh(LIFETIME, clock);
        Self {
            access: BTreeMap::from([(identity.access_token.clone(), identity.expires)]),
            identity,
            lifetime: LIFETIME,
        }
    }

    pub(in crate::trackers) fn identity(&self) -> AzureIdentity {
        self.identity.clone()
    }

    /// Of the tokens to come.
    pub(in crate::trackers) fn set_lifetime(&mut self, seconds: i64) {
        self.lifetime = seconds;
    }

    /// Whether a call carries an access token that is good.
    pub(super) fn check(&self, asked: &Asked, clock: &Clock) -> Result<(), Answer> {
        let bearer = asked
            .header("authorization")
            .and_then(|text| text.strip_prefix("Bearer "));
        let expires = bearer.and_then(|token| self.access.get(token));
        match expires {
            Some(expires) if clock.now().seconds() < *expires => Ok(()),
            Some(_) => Err(unauthorized("TF400813: The access token has expired.")),
            None => Err(unauthorized("TF400813: The user '' is not authorized.")),
        }
    }

    /// The exchange of the newest refresh token. The access tokens from before live on until they end.
    pub(super) fn refresh(&mut self, asked: &Asked, clock: &Clock) -> Result<Answer, Answer> {
        let form: BTreeMap<String, String> =
            form_urlencoded::parse(asked.body()).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if asked.content_type() != Some(FORM) || field("redirect_uri").is_empty() {
            return Err(refused("invalid_request"));
        }
        if field("grant_type") != "refresh_token" {
            return Err(refused("unsupported_grant_type"));
        }
        if field("client_assertion_type") != JWT_BEARER || field("client_assertion").is_empty() {
            return Err(refused("invalid_client"));
        }
        if field("assertion") != self.identity.refresh_token {
            return Err(refused("invalid_grant"));
        }
        self.identity = fresh(self.lifetime, clock);
        let identity = &self.identity;
        self.access
            .insert(identity.access_token.clone(), identity.expires);
        let body = json!({
            "access_token": identity.access_token,
            "token_type": "jwt-bearer",
            // As text, which Azure DevOps writes as well.
            "expires_in": self.lifetime.to_string(),
            "refresh_token": identity.refresh_token,
        });
        Ok(Answer::json(StatusCode::OK, &body))
    }
}

fn fresh(lifetime: i64, clock: &Clock) -> AzureIdentity {
    let random = || rand::random::<u64>();
    AzureIdentity {
        access_token: format!("local-access-{:016x}", random()),
        refresh_token: format!("local-refresh-{:016x}", random()),
        expires: clock.now().seconds().saturating_add(lifetime),
    }
}

fn unauthorized(message: &str) -> Answer {
    super::refusal(StatusCode::UNAUTHORIZED, message).with("www-authenticate", "Bearer")
}

fn refused(error: &str) -> Answer {
    let body = json!({ "Error": error, "ErrorDescription": "the exchange is refused" });
    Answer::json(StatusCode::BAD_REQUEST, &body)
}
