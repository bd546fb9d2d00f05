//! Secrets at rest: AES-256-GCM, bound to the item that holds them, under a named key of a ring.
//!
//! Copying a sealed secret to another item makes it unreadable, because the item's key is part of what
//! is authenticated. Two keys are valid at a time, so that a ring can be rotated.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::Secret;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use serde::{Deserialize, Serialize};

use crate::keys::Key;

const MIN_SECRET: usize = 32;
const MAX_KEYS: usize = 2;
const INFO: &[u8] = b"picket secrets 1";

/// Named keys; the first one seals, all of them open.
pub struct KeyRing(Vec<(String, LessSafeKey)>);

/// A secret as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// The id of the key.
    key: String,
    /// Nonce and ciphertext, in base64.
    text: String,
}

/// What is wrong with a key ring, or why a secret does not open. Names ids, never contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// The text is not `<id>:<secret>[,<id>:<secret>]`.
    #[error(
        "a key ring is <id>:<secret>, or two of them separated by a comma, the active one first"
    )]
    Malformed,
    /// A secret that could be guessed.
    #[error("the secret of key \"{0}\" has less than {MIN_SECRET} characters")]
    TooShort(String),
    /// Sealed under a key that the ring no longer has.
    #[error("there is no key \"{0}\" in the ring")]
    UnknownKey(String),
    /// Altered, or moved from another item.
    #[error("a secret at {0} does not open")]
    Broken(String),
}

impl KeyRing {
    /// Reads `<id>:<secret>[,<id>:<secret>]`; the keys are derived from the secrets.
    pub fn parse(text: &Secret) -> Result<Self, KeyRingError> {
        let keys = text
            .reveal()
            .split(',')
            .map(parse_key)
            .collect::<Result<Vec<_>, _>>()?;
        if keys.len() > MAX_KEYS || keys.len() == 2 && keys[0].0 == keys[1].0 {
            return Err(KeyRingError::Malformed);
        }
        Ok(Self(keys))
    }

    pub(crate) fn seal(&self, place: &Key, secret: &Secret) -> Sealed {
        let (id, key) = &self.0[0];
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = secret.reveal().as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(place), &mut bytes)
            .expect("a secret is far below the cipher's limit");
        let text = STANDARD.encode([nonce.as_slice(), &bytes].concat());
        Sealed {
            key: id.clone(),
            text,
        }
    }

    pub(crate) fn open(&self, place: &Key, sealed: &Sealed) -> Result<Secret, KeyRingError> {
        let known = self.0.iter().find(|(id, _)| *id == sealed.key);
        let (_, key) = known.ok_or_else(|| KeyRingError::UnknownKey(sealed.key.clone()))?;
        let broken = || KeyRingError::Broken(format!("{} {}", place.pk, place.sk));
        let bytes = STANDARD.decode(&sealed.text).map_err(|_| broken())?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key
            .open_in_place(nonce, aad(place), &mut text)
            .map_err(|_| broken())?;
        String::from_utf8(plain.to_vec())
            .map(Secret::new)
            .map_err(|_| broken())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(id, _)| id))
            .finish()
    }
}

fn parse_key(text: &str) -> Result<(String, LessSafeKey), KeyRingError> {
    let (id, secret) = text.trim().split_once(':').ok_or(KeyRingError::Malformed)?;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if id.is_empty() || !id.bytes().all(legal) {
        return Err(KeyRingError::Malformed);
    }
    if secret.len() < MIN_SECRET {
        return Err(KeyRingError::TooShort(id.to_owned()));
    }
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(secret.as_bytes());
    let key = derived
        .expand(&[INFO], &AES_256_GCM)
        .expect("a key is shorter than HKDF's limit");
    Ok((id.to_owned(), LessSafeKey::new(UnboundKey::from(key))))
}

fn aad(place: &Key) -> Aad<Vec<u8>> {
    Aad::from(format!("{}\n{}", place.pk, place.sk).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> Result<KeyRing, KeyRingError> {
        KeyRing::parse(&Secret::new(text))
    }

    fn place(pk: &str) -> Key {
        Key {
            pk: pk.into(),
            sk: "META".into(),
        }
    }

    const OLD: &str = "old:0123456789abcdef0123456789abcdef";
    const NEW: &str = "new:fedcba9876543210fedcba9876543210";

    #[test]
    fn a_secret_opens_where_it_was_sealed_and_nowhere_else() {
        let ring = ring(OLD).unwrap();
        let sealed = ring.seal(&place("A"), &Secret::new("s3cr3t"));
        assert_eq!(ring.open(&place("A"), &sealed).unwrap().reveal(), "s3cr3t");
        assert_eq!(
            ring.open(&place("B"), &sealed),
            Err(KeyRingError::Broken("B META".into()))
        );
    }

    #[test]
    fn a_rotated_ring_opens_what_the_old_key_sealed_and_seals_with_the_new_one() {
        let sealed = ring(OLD).unwrap().seal(&place("A"), &Secret::new("s3cr3t"));
        let rotated = ring(&format!("{NEW},{OLD}")).unwrap();
        assert_eq!(
            rotated.open(&place("A"), &sealed).unwrap().reveal(),
            "s3cr3t"
        );
        assert_eq!(rotated.seal(&place("A"), &Secret::new("x")).key, "new");
        let done = ring(NEW).unwrap();
        assert_eq!(
            done.open(&place("A"), &sealed),
            Err(KeyRingError::UnknownKey("old".into()))
        );
    }

    #[test]
    fn a_ring_that_cannot_protect_is_refused() {
        assert_eq!(ring("").unwrap_err(), KeyRingError::Malformed);
        assert_eq!(
            ring("k1:short").unwrap_err(),
            KeyRingError::TooShort("k1".into())
        );
        assert_eq!(
            ring(&format!("{OLD},{OLD}")).unwrap_err(),
            KeyRingError::Malformed
        );
    }

    #[test]
    fn a_ring_shows_its_ids_and_no_key() {
        assert_eq!(format!("{:?}", ring(OLD).unwrap()), r#"["old"]"#);
    }
}
