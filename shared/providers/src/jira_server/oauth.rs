//! OAuth 1.0a with RSA-SHA1, the one way into Jira Server for an application link.
//!
//! SHA-1 is Jira's choice; ring does not sign with it, so the key is RustCrypto's `rsa`, which blinds what
//! it computes. The token's secret plays no part in this method and is not asked for.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{Secret, Timestamp};
use http::Method;
use rsa::{
    RsaPrivateKey,
    pkcs1::DecodeRsaPrivateKey,
    pkcs1v15,
    pkcs8::{self, DecodePrivateKey, spki},
    rand_core::OsRng,
    signature::{RandomizedSigner, SignatureEncoding},
    traits::PublicKeyParts,
};
use sha1::Sha1;
use thiserror::Error;
use url::Url;

use crate::http::encode;

const SHORTEST: usize = 2048;

/// A key of 8192 bits needs less.
const LONGEST_PEM: usize = 8 * 1024;

/// What an application link was set up with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The link's name for Picket.
    pub consumer_key: String,
    /// The half that Jira does not have.
    pub private_key: SigningKey,
    /// On whose behalf calls are made.
    pub access_token: Secret,
}

impl Credentials {
    /// The header of one call, which no other call may carry: Jira refuses a nonce that it has seen.
    pub(super) fn authorization(
        &self,
        method: &Method,
        url: &Url,
        nonce: &str,
        now: Timestamp,
    ) -> String {
        let timestamp = now.seconds().to_string();
        let own = [
            ("oauth_consumer_key", self.consumer_key.as_str()),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "RSA-SHA1"),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_token", self.access_token.reveal()),
            ("oauth_version", "1.0"),
        ];
        let base = base_string(method, url, &own);
        let signature = self.private_key.sign(base.as_bytes());
        let signed = own.iter().copied();
        let signed = signed.chain([("oauth_signature", signature.as_str())]);
        let pairs: Vec<_> = signed
            .map(|(name, value)| format!("{name}=\"{}\"", encode(value)))
            .collect();
        format!("OAuth {}", pairs.join(", "))
    }
}

/// What is signed: the method, the URL without its query, and every parameter in the order of its
/// encoded form. The parser has already put host and port into theirs. A body of JSON is no parameter.
fn base_string(method: &Method, url: &Url, own: &[(&str, &str)]) -> String {
    let encoded = |name: &str, value: &str| (encode(name).to_string(), encode(value).to_string());
    let query = url.query_pairs();
    let query = query.map(|(name, value)| encoded(&name, &value));
    let own = own.iter().map(|(name, value)| encoded(name, value));
    let mut parameters: Vec<_> = query.chain(own).collect();
    parameters.sort_unstable();
    let pairs: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let target = &url[..url::Position::AfterPath];
    format!("{method}&{}&{}", encode(target), encode(&pairs.join("&")))
}

/// A private key that signs. It shows nothing of itself.
#[derive(Clone)]
pub struct SigningKey(pkcs1v15::SigningKey<Sha1>);

/// Why a text is not a key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No private key in PEM.
    #[error("not a private key in PEM")]
    NotPem,
    /// A key that needs a passphrase.
    #[error("the private key is encrypted")]
    Encrypted,
    /// A key of another kind.
    #[error("not an RSA private key")]
    NotRsa,
    /// PEM of an RSA key whose content is not one.
    #[error("the RSA private key is damaged")]
    Damaged,
    /// Fewer than 2048 bits.
    #[error("the RSA private key has fewer than 2048 bits")]
    TooShort,
    /// More than anybody needs, and too slow to sign with.
    #[error("the RSA private key has more than 8192 bits")]
    TooLong,
}

impl SigningKey {
    /// Reads a private key in PEM, PKCS#1 or PKCS#8, however a form has indented it.
    pub fn parse(pem: &Secret) -> Result<Self, KeyError> {
        let lines = pem.reveal().lines().map(str::trim);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        let pem = lines.join("\n");
        let label = lines
            .first()
            .and_then(|line| line.strip_prefix("-----BEGIN "))
            .and_then(|line| line.strip_suffix("PRIVATE KEY-----"))
            .ok_or(KeyError::NotPem)?;
        if pem.len() > LONGEST_PEM {
            return Err(KeyError::TooLong);
        }
        if label == "ENCRYPTED " || lines.iter().any(|line| line.starts_with("Proc-Type:")) {
            return Err(KeyError::Encrypted);
        }
        let key = match label {
            "RSA " => RsaPrivateKey::from_pkcs1_pem(&pem).map_err(|_| KeyError::Damaged),
            "" => RsaPrivateKey::from_pkcs8_pem(&pem).map_err(|error| {
                let other = matches!(
                    error,
                    pkcs8::Error::PublicKey(spki::Error::OidUnknown { .. })
                );
                if other {
                    KeyError::NotRsa
                } else {
                    KeyError::Damaged
                }
            }),
            _ => Err(KeyError::NotRsa),
        }?;
        match key.n().bits() {
            0..SHORTEST => Err(KeyError::TooShort),
            _ => Ok(Self(pkcs1v15::SigningKey::new(key))),
        }
    }

    fn sign(&self, message: &[u8]) -> String {
        let signature = self.0.sign_with_rng(&mut OsRng, message);
        BASE64_STANDARD.encode(signature.to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS1: &str = include_str!("../../tests/keys/rsa-pkcs1.pem");
    const PKCS8: &str = include_str!("../../tests/keys/rsa-pkcs8.pem");

    fn parse(pem: &str) -> Result<SigningKey, KeyError> {
        SigningKey::parse(&Secret::new(pem))
    }

    fn signature(token: &str, method: Method, url: &str) -> String {
        let credentials = Credentials {
            consumer_key: "picket & co".into(),
            private_key: parse(PKCS1).unwrap(),
            access_token: Secret::new(token),
        };
        let now = Timestamp::from_millis(1_795_247_323_999);
        let url = Url::parse(url).unwrap();
        let header = credentials.authorization(&method, &url, "n0nce-77", now);
        let expected = format!(
            "OAuth oauth_consumer_key=\"picket%20%26%20co\", oauth_nonce=\"n0nce-77\", \
             oauth_signature_method=\"RSA-SHA1\", oauth_timestamp=\"1795247323\", \
             oauth_token=\"{}\", oauth_version=\"1.0\", oauth_signature=\"",
            encode(token)
        );
        let signature = header
            .strip_prefix(&expected)
            .expect("the other parameters");
        signature.strip_suffix('"').expect("a quote").to_owned()
    }

    #[test]
    fn calls_are_signed_as_another_implementation_signs_them() {
        assert_eq!(
            signature(
                "tok/+=1",
                Method::GET,
                "https://Jira.Acme.Test:8443/ctx/rest/api/2/user/assignable/search?issueKey=OPS-12\
                 &username=bo%2Bx%20%7E%C3%BC%40acme.test&a=%21%2A%27%28%29&b="
            ),
            "FOQQ%2F87Is21%2FVo8wLFFyyofJsb3f0m53MZ9mPgfpP1vDEzsKRbY%2BYFreBJzNppRlPJhkHjEH6lIj8HMABg\
             j04vs%2F%2BaNZ2Dj488pVoMNoq6RMbtMXkJfzi4wbwzeID1vCyzCpTCrtYhC4GilPCbYjslFSciXKywKtRwfo23\
             wBTK%2FdRKJ0poQenQo2K4Wi1jBTWnG17MImuONnWijPyTky8V%2Bm%2Bf%2BepTRkChSIJKkv2r86tWJ0h7Zz3j\
             %2FLymtbplQRJHNfDe4oGzNeyHuKgbIjU4i30fjh%2FzpaZ7BguOkdabToPRfDnHvW8wZHtPvK3oNgWYYLVBK8Yg\
             C%2B39vpmTZYuw%3D%3D"
        );
        assert_eq!(
            signature(
                "tok-1",
                Method::PUT,
                "https://jira.acme.test:443/rest/api/2/issue/OPS-12/assignee"
            ),
            "a3tGY1ifp2mHJuHP%2B%2B9rPbIgKLH2yHUsQYX8bmezLeKL2KeIrdzn%2B2JZ5jpfE2oceKMSkOBaeGbj4lXxBF\
             0cBB0ofSybeNSWQbz2EuBCItDcjVmRgN6AoqlA4S%2BC0ZA8YCDp4sumhbeZs%2FmqS1Ohhoe60xI7pXZcMUFOO8\
             jEjG4Up8Cr0DspyLI9z56X6ma0MDUr6MPY3%2FvmbaQqjeUByCfChrI4dVbibPQnrapFUoxnhZVEkfD7f7B0wtdT\
             gwjYO4enebDcCoSuSDoRnoqzNY0hR0diGZZQRgzXQwXNrH36LApNLEBzXMMTd6Rxc4SmRemX4HshvotKAKn3gNF0\
             %2Bw%3D%3D"
        );
        assert_eq!(
            signature(
                "t",
                Method::DELETE,
                "http://jira.acme.test/rest/api/2/issue/A%20B/assignee"
            ),
            "TKyF%2BNcT0XFqwOifvyArSCT6BKjsXynuvOFp7OrKJBKBpkdJFHhvKd1YGN2f2drgnpUgaOeTiV2cQHesepZ3u9\
             9VabzCtACXkpZXK3ThCJy1NWzxKMcz9Va3kimzpr48WYqQ78Ohfb%2FQNwaLBE%2ByFC9ftsDyJ6ITQ2Cy4iRQ6I\
             84WeZ4mCWgqKx2XrcGStpDLUtHW%2FeDi6QHIDC4WyafoF%2Bhz0zTbfOSXKACmsjdllD%2FBJubyTrwIfPL7yOY\
             YyhWqNfNzbysiiu%2ByLxrrm3%2BFZDCWGv6oc4f%2BjWMe9B4geq1TMSiD%2Fzj0D6SFMJkub9XR6XH2yJtIvDC\
             LOLNLdzWBw%3D%3D"
        );
    }

    #[test]
    fn both_forms_of_a_key_sign_alike_and_no_form_of_layout_matters() {
        let signed = |pem: &str| parse(pem).unwrap().sign(b"text");
        let expected = signed(PKCS1);
        assert_eq!(signed(PKCS8), expected);
        assert_eq!(signed(&PKCS8.replace('\n', "\r\n")), expected);
        let indented = PKCS8.replace('\n', "\n   ");
        assert_eq!(signed(&format!("\n\n  {indented}\n")), expected);
        assert_eq!(signed(PKCS1.trim_end()), expected);
    }

    #[test]
    fn only_an_open_rsa_key_of_2048_bits_or_more_is_taken() {
        let refused = |pem: &str| parse(pem).unwrap_err();
        for (pem, expected) in [
            ("", KeyError::NotPem),
            ("garbage", KeyError::NotPem),
            (
                include_str!("../../tests/keys/rsa-public.pem"),
                KeyError::NotPem,
            ),
            (
                include_str!("../../tests/keys/rsa-pkcs1-encrypted.pem"),
                KeyError::Encrypted,
            ),
            (
                include_str!("../../tests/keys/rsa-pkcs8-encrypted.pem"),
                KeyError::Encrypted,
            ),
            (
                include_str!("../../tests/keys/ec-sec1.pem"),
                KeyError::NotRsa,
            ),
            (
                include_str!("../../tests/keys/ec-pkcs8.pem"),
                KeyError::NotRsa,
            ),
            (
                include_str!("../../tests/keys/rsa-1024.pem"),
                KeyError::TooShort,
            ),
            (&PKCS1.replace("MII", "MIJ"), KeyError::Damaged),
            (&PKCS8.replace("MII", "MIJ"), KeyError::Damaged),
            (&PKCS1[..400], KeyError::Damaged),
            (
                &PKCS1.replace("-----END", &"A".repeat(8192)),
                KeyError::TooLong,
            ),
        ] {
            assert_eq!(refused(pem), expected, "{:.80}", pem);
        }
    }

    #[test]
    fn credentials_show_no_secret() {
        let credentials = Credentials {
            consumer_key: "picket".into(),
            private_key: parse(PKCS1).unwrap(),
            access_token: Secret::new("tok-1"),
        };
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials { consumer_key: \"picket\", private_key: [redacted], access_token: [redacted] }"
        );
    }
}
