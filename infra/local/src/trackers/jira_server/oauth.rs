//! Whether a call is signed as OAuth 1.0a asks for it: RSA-SHA1, by the holder of the private key, now, and
//! for the first time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rsa::{
    RsaPublicKey,
    pkcs1v15::{Signature, VerifyingKey},
    pkcs8::DecodePublicKey,
    signature::Verifier,
};
use runtime::Clock;
use sha1::Sha1;

use super::JiraIdentity;
use crate::trackers::wire::Asked;

/// Known to everybody who has the repository: good for nothing but the simulated Jira.
const PRIVATE_KEY: &str = include_str!("local-only-private-key.pem");
const PUBLIC_KEY: &str = include_str!("local-only-public-key.pem");
const CONSUMER_KEY: &str = "picket-local";
const ACCESS_TOKEN: &str = "local-jira-access";

/// By how many seconds a signature may be off.
const TOLERANCE: i64 = 300;

/// All but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) fn identity() -> JiraIdentity {
    JiraIdentity {
        consumer_key: CONSUMER_KEY.to_owned(),
        private_key: PRIVATE_KEY.to_owned(),
        access_token: ACCESS_TOKEN.to_owned(),
    }
}

/// Lets signed calls in.
#[derive(Debug)]
pub(super) struct Door {
    key: VerifyingKey<Sha1>,
    /// Of the calls whose time is not too long ago.
    nonces: BTreeSet<(i64, String)>,
}

impl Door {
    pub(super) fn new() -> anyhow::Result<Self> {
        let key = RsaPublicKey::from_public_key_pem(PUBLIC_KEY).context("the key of Jira")?;
        Ok(Self {
            key: VerifyingKey::new(key),
            nonces: BTreeSet::new(),
        })
    }

    /// The error is OAuth's name for the problem.
    pub(super) fn admit(&mut self, asked: &Asked, clock: &Clock) -> Result<(), &'static str> {
        let signed = asked.header("authorization").and_then(parameters);
        let signed = signed.ok_or("parameter_absent")?;
        let value = |name: &str| {
            let found = signed.get(name).filter(|value| !value.is_empty());
            found.map(String::as_str).ok_or("parameter_absent")
        };
        let expect = |name: &str, expected: &str, problem: &'static str| match value(name)? {
            found if found == expected => Ok(()),
            _ => Err(problem),
        };
        expect("oauth_version", "1.0", "version_rejected")?;
        let method = "oauth_signature_method";
        expect(method, "RSA-SHA1", "signature_method_rejected")?;
        expect("oauth_consumer_key", CONSUMER_KEY, "consumer_key_unknown")?;
        expect("oauth_token", ACCESS_TOKEN, "token_rejected")?;
        let time: i64 = value("oauth_timestamp")?
            .parse()
            .map_err(|_| "timestamp_refused")?;
        let oldest = clock.now().seconds() - TOLERANCE;
        if !(oldest..=oldest + 2 * TOLERANCE).contains(&time) {
            return Err("timestamp_refused");
        }
        let nonce = value("oauth_nonce")?.to_owned();
        self.verify(&base_string(asked, &signed), value("oauth_signature")?)?;
        self.nonces = self.nonces.split_off(&(oldest, String::new()));
        match self.nonces.insert((time, nonce)) {
            true => Ok(()),
            false => Err("nonce_used"),
        }
    }

    fn verify(&self, text: &str, signature: &str) -> Result<(), &'static str> {
        let invalid = "signature_invalid";
        let bytes = BASE64_STANDARD.decode(signature).map_err(|_| invalid)?;
        let signature = Signature::try_from(bytes.as_slice()).map_err(|_| invalid)?;
        let verified = self.key.verify(text.as_bytes(), &signature);
        verified.map_err(|_| invalid)
    }
}

/// The parameters of the header, decoded.
fn parameters(header: &str) -> Option<BTreeMap<String, String>> {
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let pairs = header.strip_prefix("OAuth ")?.split(',').map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

/// What the signature is of: everything in the header but itself and the realm, and the query.
fn base_string(asked: &Asked, signed: &BTreeMap<String, String>) -> String {
    let own = signed
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "oauth_signature" | "realm"))
        .map(|(name, value)| (name.clone(), value.clone()));
    let all = own.chain(asked.query());
    let mut all: Vec<_> = all
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    all.sort();
    let all: Vec<_> = all
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let parts = [
        asked.method().to_owned(),
        encoded(&asked.url()),
        encoded(&all.join("&")),
    ];
    parts.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}
