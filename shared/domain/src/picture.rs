//! Pictures that stand for an organization: which one is shown, and what is known of it. Their bytes are the
//! table's business.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What is shown for an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AvatarType {
    /// The first letters of its name, which clients draw.
    #[default]
    LetterAvatar,
    /// The picture that was uploaded last.
    Upload,
}

impl AvatarType {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LetterAvatar => "letter_avatar",
            Self::Upload => "upload",
        }
    }
}

impl FromStr for AvatarType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::LetterAvatar, Self::Upload];
        all.into_iter().find(|it| it.as_str() == text).ok_or(())
    }
}

/// Names one upload of a picture: 128 random bits as 32 hexadecimal digits, which is all that who looks at it
/// has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId(u128);

impl PictureId {
    /// An id of random bits.
    pub fn new(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for PictureId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let number = u128::from_str_radix(text, 16).ok();
        let valid = text.len() == 32 && text.bytes().all(digit);
        let id = number.filter(|_| valid).map(Self);
        id.ok_or("the id of a picture has 32 hexadecimal digits")
    }
}

impl Serialize for PictureId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PictureId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum PictureKind {
    Gif,
    Jpeg,
    Png,
}

impl PictureKind {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// An uploaded picture, as its organization knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Where it is found.
    pub id: PictureId,
    /// The SHA-256 of its bytes, in hexadecimal: the same picture is not stored again.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hexadecimal_digits_in_lower_case() {
        let id = PictureId::new(0xAB);
        assert_eq!(id.to_string(), format!("{:0>32}", "ab"));
        assert_eq!(id.to_string().parse(), Ok(id));
        let long = "a".repeat(33);
        let signed = format!("+{}", "a".repeat(31));
        for bad in ["", "ab", &long, &long[..31], &"A".repeat(32), &signed] {
            assert!(bad.parse::<PictureId>().is_err(), "{bad}");
        }
    }
}
