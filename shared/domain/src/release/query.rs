//! The `query` of a list of releases: terms that all have to hold.

use std::str::FromStr;

use crate::Version;

/// What the releases of a list have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseQuery {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// The version contains it, whatever the case. In lower case here.
    Text(String),
    /// A part of the version is one of these, or with `not` none of them.
    Part {
        part: Part,
        not: bool,
        any: Vec<Pattern>,
    },
    /// It has a release date, or has none.
    Finalized(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Version,
    Package,
    Build,
    Number,
}

/// A text in which `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<String>);

/// A term that no release can be asked about; the text names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid query. \"{0}\" is not something that releases can be searched by.")]
pub struct InvalidQuery(String);

impl ReleaseQuery {
    /// Versions that contain this text, whatever the case.
    pub fn containing(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        let terms = (!text.is_empty()).then_some(Term::Text(text));
        Self {
            terms: terms.into_iter().collect(),
        }
    }

    /// Whether every release matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a release with this version matches.
    pub fn matches(&self, version: &Version, finalized: bool) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Text(text) => contains(version, text),
            Term::Finalized(wanted) => *wanted == finalized,
            Term::Part { part, not, any } => {
                let found = part.of(version);
                let hit = |text: &str| any.iter().any(|pattern| pattern.matches(text));
                found.as_deref().is_some_and(hit) != *not
            }
        })
    }
}

/// "1.0 (123)" is how "1.0+123" is shown, so it is found by it as well.
fn contains(version: &Version, text: &str) -> bool {
    let version = version.as_str().to_lowercase();
    let shown = text
        .split_once(" (")
        .and_then(|(number, build)| Some(format!("{number}+{}", build.strip_suffix(')')?)));
    version.contains(text) || shown.is_some_and(|text| version.contains(&text))
}

impl Part {
    fn of(self, version: &Version) -> Option<String> {
        match self {
            Self::Version => Some(version.as_str().to_owned()),
            Self::Package => version.package().map(str::to_owned),
            Self::Build => version.semver()?.build_code.map(|code| number(&code)),
            Self::Number => version.semver().map(|_| {
                let raw = version.raw();
                raw.split_once('+').map_or(raw, |(raw, _)| raw).to_owned()
            }),
        }
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let [first, rest @ ..] = self.0.as_slice() else {
            return false;
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        for part in middle {
            match left.split_once(part.as_str()) {
                Some((_, after)) => left = after,
                None => return false,
            }
        }
        left.ends_with(last.as_str())
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_lowercase().split('*').map(str::to_owned).collect())
    }
}

impl FromStr for ReleaseQuery {
    type Err = InvalidQuery;

    fn from_str(text: &str) -> Result<Self, InvalidQuery> {
        let (mut terms, mut free) = (Vec::new(), Vec::new());
        for word in words(text) {
            match term(&word)? {
                Some(term) => terms.push(term),
                None => free.push(word.replace('"', "")),
            }
        }
        let free = free.join(" ").to_lowercase();
        if !free.is_empty() {
            terms.push(Term::Text(free));
        }
        Ok(Self { terms })
    }
}

/// `None`: a word to look for. A colon makes a term only after a name that could be one: versions have
/// colons as well.
fn term(word: &str) -> Result<Option<Term>, InvalidQuery> {
    let Some((name, value)) = word.split_once(':') else {
        return Ok(None);
    };
    let (not, name) = match name.strip_prefix('!') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let part = match name {
        "release" => Part::Version,
        "release.package" => Part::Package,
        "release.build" => Part::Build,
        "release.version" => Part::Number,
        "finalized" => {
            let wanted = match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(InvalidQuery(word.to_owned())),
            };
            return Ok(Some(Term::Finalized(wanted != not)));
        }
        name if name.starts_with("release.") || name == "release" => {
            return Err(InvalidQuery(name.to_owned()));
        }
        _ => return Ok(None),
    };
    let list = value
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'));
    let clean = |text: &str| {
        let text = text.trim().trim_matches('"');
        match part {
            Part::Build => Pattern::from(number(text).as_str()),
            Part::Version | Part::Package | Part::Number => Pattern::from(text),
        }
    };
    let mut any: Vec<_> = match list {
        Some(list) => list.split(',').map(clean).collect(),
        None => vec![clean(value)],
    };
    // An empty build is any build.
    if part == Part::Build && value.is_empty() {
        any = vec![Pattern::from("*")];
    }
    Ok(Some(Term::Part { part, not, any }))
}

/// Build codes that are numbers are compared as such.
fn number(text: &str) -> String {
    match text.parse::<i64>() {
        Ok(number) if number >= 0 => number.to_string(),
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// Words between white space; what stands in quotation marks or brackets is one.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quoted, mut listed) = (false, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' if word.ends_with(':') => listed = true,
            ']' => listed = false,
            _ => {}
        }
        if c.is_whitespace() && !quoted && !listed {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(c);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [&str; 5] = [
        "web@1.0+123",
        "web@1.1",
        "api@2.0+7",
        "Web@1.0-rc1",
        "hello world",
    ];

    fn found(query: &str) -> Vec<&'static str> {
        let query: ReleaseQuery = query.parse().unwrap();
        let matches = |text: &&str| query.matches(&text.parse().unwrap(), text.contains('+'));
        VERSIONS.into_iter().filter(matches).collect()
    }

    #[test]
    fn a_text_is_looked_for_inside_the_version_whatever_the_case() {
        assert_eq!(found(""), VERSIONS);
        assert_eq!(found("WEB@1.0"), ["web@1.0+123", "Web@1.0-rc1"]);
        assert_eq!(found("hello world"), ["hello world"]);
        assert_eq!(found("1.0 (123)"), ["web@1.0+123"]);
        assert_eq!(found("nothing"), [""; 0]);
    }

    #[test]
    fn a_release_is_named_exactly_by_a_pattern_or_by_a_list() {
        assert_eq!(found("release:web@1.1"), ["web@1.1"]);
        assert_eq!(found("release:web@1"), [""; 0]);
        assert_eq!(found("release:*1.0*"), ["web@1.0+123", "Web@1.0-rc1"]);
        assert_eq!(found("release:api*"), ["api@2.0+7"]);
        assert_eq!(found("release:*rc1"), ["Web@1.0-rc1"]);
        assert_eq!(
            found("release:[web@1.1, \"hello world\"]"),
            ["web@1.1", "hello world"]
        );
        assert_eq!(found("!release:*@*"), ["hello world"]);
    }

    #[test]
    fn parts_of_the_version_and_the_date_are_asked_for_by_name() {
        assert_eq!(found("release.package:api"), ["api@2.0+7"]);
        assert_eq!(found("release.build:123"), ["web@1.0+123"]);
        assert_eq!(found("release.build:0123"), ["web@1.0+123"]);
        assert_eq!(found("release.build:"), ["web@1.0+123", "api@2.0+7"]);
        assert_eq!(
            found("release.version:1.*"),
            ["web@1.0+123", "web@1.1", "Web@1.0-rc1"]
        );
        assert_eq!(found("finalized:true web"), ["web@1.0+123"]);
        assert_eq!(found("!finalized:true rc"), ["Web@1.0-rc1"]);
        for bad in [
            "release.stage:adopted",
            "release.created:>1",
            "finalized:maybe",
        ] {
            assert!(bad.parse::<ReleaseQuery>().is_err(), "{bad}");
        }
        assert_eq!(found("a:b"), [""; 0]);
    }
}
