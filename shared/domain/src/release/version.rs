//! The version of a release: which texts are one, and what can be read out of it.
//!
//! What is read is looser than Semantic Versioning: one to four numbers, a pre-release with or without a
//! dash, a build code of any kind. A text of which nothing can be read is a version all the same.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A valid version, as it was given: nothing is trimmed or folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(String);

/// Why a text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersion {
    /// Nothing but white space.
    #[error("A version may not be blank.")]
    Blank,
    /// A character that no version may have.
    #[error("A version may not contain slashes, backslashes, tabs, form feeds or line breaks.")]
    Character,
    /// A word with a meaning of its own in paths and queries.
    #[error("A version may not be \".\", \"..\" or \"latest\".")]
    Reserved,
    /// More characters than a version may have.
    #[error("Ensure this field has no more than {} characters.", Version::MAX)]
    Long,
}

/// What a version says, where it says it in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    /// What stands before the `@`.
    pub package: Option<String>,
    /// Major, minor, patch and revision; those that are not there are 0. Each fits 63 bits.
    pub numbers: [u64; 4],
    /// How many of the numbers are there.
    pub components: usize,
    /// Empty where there is none.
    pub prerelease: String,
    /// What follows the `+`.
    pub build_code: Option<String>,
    /// The build code where it is a number of at most 63 bits.
    pub build_number: Option<u64>,
}

impl Version {
    /// Longest version, in characters.
    pub const MAX: usize = 200;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The package, if one is named: what stands before the first `@` that is not the first character.
    pub fn package(&self) -> Option<&str> {
        self.parts().0
    }

    /// The version without its package.
    pub fn raw(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (Option<&str>, &str) {
        let text = self.0.as_str();
        let scoped = usize::from(text.starts_with('@'));
        match text[scoped..].split_once('@') {
            Some((package, rest)) if !package.is_empty() && !rest.is_empty() => {
                (Some(&text[..scoped + package.len()]), rest)
            }
            Some(_) | None => (None, text),
        }
    }

    /// What the version says in numbers; `None` where it is of another form, or where a number is too large.
    pub fn semver(&self) -> Option<Semver> {
        let (package, raw) = self.parts();
        let (rest, build_code) = match raw.split_once('+') {
            Some((rest, build)) if is_identifier(build) => (rest, Some(build)),
            Some(_) => return None,
            None => (raw, None),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (numbers, prerelease) = rest.split_at(end.unwrap_or(rest.len()));
        let prerelease = match prerelease.strip_prefix('-') {
            Some(text) if is_identifier(text) => text,
            Some(_) => return None,
            None if prerelease.is_empty() || is_identifier(prerelease) => prerelease,
            None => return None,
        };
        let mut found = [0; 4];
        let mut components = 0;
        for number in numbers.split('.') {
            *found.get_mut(components)? = small_number(number)?;
            components += 1;
        }
        Some(Semver {
            package: package.map(str::to_owned),
            numbers: found,
            components,
            prerelease: prerelease.to_owned(),
            build_number: build_code.and_then(small_number),
            build_code: build_code.map(str::to_owned),
        })
    }

    /// The hash of a build: the version itself or its build code, where it has the length of a hash.
    pub fn build_hash(&self) -> Option<&str> {
        let hash = |text: &&str| {
            matches!(text.len(), 32 | 40) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let raw = self.raw();
        let build = raw.split_once('+').map(|(_, build)| build);
        Some(raw).filter(hash).or(build.filter(hash))
    }

    /// The version as people like to read it, without its package.
    pub fn description(&self) -> String {
        let Some(semver) = self.semver() else {
            let short = self.build_hash().map(|hash| hash[..12].to_owned());
            return short.unwrap_or_else(|| self.raw().to_owned());
        };
        // A hash of nothing but digits reads as one number.
        if self.build_hash() == Some(self.raw()) {
            return self.raw()[..12].to_owned();
        }
        let numbers = semver.numbers[..semver.components]
            .iter()
            .map(u64::to_string);
        let mut text = numbers.collect::<Vec<_>>().join(".");
        if !semver.prerelease.is_empty() {
            text.push_str(&format!("-{}", semver.prerelease));
        }
        match (self.build_hash(), &semver.build_code) {
            (Some(hash), _) => text.push_str(&format!(" ({})", &hash[..12])),
            (None, Some(code)) => text.push_str(&format!(" ({code})")),
            (None, None) => {}
        }
        text
    }

    /// Sorts the newer version first. A version without package or without numbers comes after all others;
    /// one without pre-release before those with one.
    pub fn newer_first(&self, other: &Self) -> Ordering {
        let key = |version: &Self| {
            let semver = version.semver().filter(|semver| semver.package.is_some())?;
            let finished = semver.prerelease.is_empty();
            Some((semver.numbers, finished, semver.prerelease))
        };
        // `None` sorts below everything, so last.
        key(other).cmp(&key(self))
    }
}

impl Version {
    /// Sorts the higher number of a build first. A version without one comes after all others.
    pub fn later_build_first(&self, other: &Self) -> Ordering {
        other.build_number().cmp(&self.build_number())
    }

    /// The build code where it is a number.
    pub fn build_number(&self) -> Option<u64> {
        self.semver()?.build_number
    }
}

/// A number of at most 63 bits.
fn small_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.then(|| text.parse().ok()).flatten()?;
    i64::try_from(number).is_ok().then_some(number)
}

fn is_identifier(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !text.is_empty() && text.bytes().all(legal)
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let forbidden = ['\r', '\n', '\u{c}', '\t', '/', '\\'];
        if text.contains(forbidden) {
            return Err(InvalidVersion::Character);
        }
        let word = text.trim();
        if word.is_empty() {
            return Err(InvalidVersion::Blank);
        }
        if word == "." || word == ".." || word.eq_ignore_ascii_case("latest") {
            return Err(InvalidVersion::Reserved);
        }
        if text.chars().count() > Self::MAX {
            return Err(InvalidVersion::Long);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn semver(text: &str) -> Option<Semver> {
        version(text).semver()
    }

    #[test]
    fn a_version_is_almost_any_text_and_stays_as_it_was_given() {
        for text in [
            "1.2.1 (123)",
            "1.2.3+dev",
            "1–0",
            " a ",
            "web@1.0",
            "#%?ü",
            "...",
            "latest1",
        ] {
            assert_eq!(version(text).as_str(), text);
        }
        assert!("é".repeat(200).parse::<Version>().is_ok());
    }

    #[test]
    fn what_is_no_version_is_refused_with_its_reason() {
        use InvalidVersion::*;
        for (text, reason) in [
            ("", Blank),
            ("  ", Blank),
            (".", Reserved),
            ("..", Reserved),
            (" .. ", Reserved),
            ("latest", Reserved),
            ("LaTest", Reserved),
            ("1.2.3\n", Character),
            ("\n1.2.3", Character),
            ("1.\n2.3", Character),
            ("1.2.3\u{c}", Character),
            ("1.2.3\t", Character),
            ("1\r", Character),
            ("a/b", Character),
            ("a\\b", Character),
        ] {
            assert_eq!(text.parse::<Version>(), Err(reason), "{text:?}");
        }
        assert_eq!("é".repeat(201).parse::<Version>(), Err(Long));
    }

    #[test]
    fn numbers_package_prerelease_and_build_are_read() {
        let found = semver("org.example.FooApp@1.0rc1+20200101100").unwrap();
        assert_eq!(found.package.as_deref(), Some("org.example.FooApp"));
        assert_eq!((found.numbers, found.components), ([1, 0, 0, 0], 2));
        assert_eq!(found.prerelease, "rc1");
        assert_eq!(found.build_code.as_deref(), Some("20200101100"));
        assert_eq!(found.build_number, Some(20_200_101_100));
        let found = semver("1.2.3.4-beta.2").unwrap();
        assert_eq!(
            (found.numbers, found.prerelease.as_str()),
            ([1, 2, 3, 4], "beta.2")
        );
        assert_eq!((found.package, found.build_code), (None, None));
    }

    #[test]
    fn a_build_code_is_a_number_only_within_63_bits() {
        for (build, number) in [
            ("whatever", None),
            ("9223372036854775808", None),
            ("9223372036854775807", Some(9_223_372_036_854_775_807)),
            ("-2020", None),
        ] {
            let found = semver(&format!("a@1.0+{build}")).unwrap();
            assert_eq!(found.build_code.as_deref(), Some(build));
            assert_eq!(found.build_number, number);
        }
    }

    #[test]
    fn a_missing_prerelease_is_empty_and_a_number_too_large_spoils_all() {
        assert_eq!(semver("a@1.0").unwrap().prerelease, "");
        for text in [
            "a@9223372036854775808.0",
            "hello world",
            "a@1.2.3.4.5",
            "1..2",
            "1.",
            "a@1.0+",
            "a@1.0-",
            "v1.0",
        ] {
            assert_eq!(semver(text), None, "{text}");
        }
    }

    #[test]
    fn a_package_ends_at_the_first_at_sign_that_follows_something() {
        for (text, package, raw) in [
            ("web@1.0", Some("web"), "1.0"),
            ("@scope@1.0", Some("@scope"), "1.0"),
            ("a@b@1.0", Some("a"), "b@1.0"),
            ("@1.0", None, "@1.0"),
            ("web@", None, "web@"),
            ("1.0", None, "1.0"),
            ("@", None, "@"),
        ] {
            assert_eq!(
                (version(text).package(), version(text).raw()),
                (package, raw)
            );
        }
    }

    #[test]
    fn a_description_is_short() {
        let hash = "06a0c44da6a9b8d0cf24a5c9b7c1e2f3a4b5c6d7";
        for (text, description) in [
            ("foo.bar.BazApp@1.0a+20200101100", "1.0-a (20200101100)"),
            ("web@1.2.3", "1.2.3"),
            ("1.2.3.4+x", "1.2.3.4 (x)"),
            ("hello world", "hello world"),
            (hash, "06a0c44da6a9"),
            (&format!("web@{hash}"), "06a0c44da6a9"),
            (&format!("web@1.0+{hash}"), "1.0 (06a0c44da6a9)"),
            (&"1".repeat(32), "111111111111"),
        ] {
            assert_eq!(version(text).description(), description);
        }
        assert_eq!(version(hash).build_hash(), Some(hash));
        assert_eq!(version("web@1.0").build_hash(), None);
    }

    #[test]
    fn versions_sort_newest_first_and_those_that_say_nothing_last() {
        let expected = [
            "a@2.0",
            "a@1.10",
            "a@1.9.0.1",
            "a@1.9",
            "a@1.9-rc2",
            "a@1.9-rc1",
            "1.99",
            "b",
        ];
        let mut sorted: Vec<_> = expected.iter().rev().map(|text| version(text)).collect();
        sorted.sort_by(Version::newer_first);
        // Two that say nothing are equal, and keep their order.
        let sorted: Vec<_> = sorted.iter().map(Version::as_str).collect();
        assert_eq!(sorted[..6], expected[..6]);
        assert_eq!(sorted[6..], ["b", "1.99"]);
    }
}
