//! Slugs that nobody chose: made from a name, with random letters where others have the same name.
//!
//! Nothing here knows which slugs are taken. The caller tries one candidate after the other, and the
//! guard item of the table decides.

use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::Slug;

/// What a project cannot be called, because URLs have a meaning for it.
pub const RESERVED_PROJECT_SLUGS: [&str; 18] = [
    "$all",
    "api-keys",
    "audit-log",
    "auth",
    "members",
    "projects",
    "rate-limits",
    "repos",
    "settings",
    "teams",
    "billing",
    "payments",
    "legal",
    "subscription",
    "support",
    "integrations",
    "developer-settings",
    "usage",
];

/// The longest slug.
const LONGEST: usize = 50;
/// How long a slug is that nothing could be made of a name for.
const INVENTED: usize = 12;
/// How many suffixes of which length are tried.
const SUFFIXES: [(usize, usize); 4] = [(1, 2), (5, 3), (20, 5), (1, 12)];
/// How many random letters all of that takes.
const LETTERS: usize = INVENTED + 2 + 5 * 3 + 20 * 5 + 12;

/// The random bytes that letters are made of.
pub type SlugRandom = [u8; LETTERS];

/// The slugs to try for something of this name, in their order: the name itself, unless it is empty,
/// `reserved` or a number, then with suffixes.
pub fn slug_candidates(name: &str, reserved: &[&str], random: &SlugRandom) -> Vec<Slug> {
    let (invented, mut letters) = random.split_at(INVENTED);
    let mut base = slugify(name);
    if base.is_empty() || reserved.contains(&base.as_str()) {
        base = spell(invented, b"0123456789abcdef");
    }
    let mut candidates = vec![base.clone()];
    for (times, size) in SUFFIXES {
        for _ in 0..times {
            let (suffix, rest) = letters.split_at(size);
            letters = rest;
            let suffix = spell(suffix, b"abcdefghijklmnopqrstuvwxyz0123456789");
            let most = base.len().min(LONGEST - size - 1);
            candidates.push(format!("{}-{suffix}", &base[..most]));
        }
    }
    // Of the candidates only a number is no slug.
    candidates
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// A letter for each random byte.
fn spell(random: &[u8], alphabet: &[u8]) -> String {
    let letter = |byte: &u8| char::from(alphabet[usize::from(*byte) % alphabet.len()]);
    random.iter().map(letter).collect()
}

/// Letters without their marks, in lower case; one hyphen for spaces and hyphens; at most 50.
fn slugify(name: &str) -> String {
    let folded = DecomposingNormalizerBorrowed::new_nfkd().normalize(name);
    let mut slug = String::new();
    for c in folded.chars().filter(char::is_ascii) {
        let c = c.to_ascii_lowercase();
        let separates = c == '-' || c.is_ascii_whitespace();
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c);
        } else if separates && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches(['-', '_']);
    let cut = &slug[..slug.len().min(LONGEST)];
    cut.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: SlugRandom = [1; LETTERS];

    fn candidates(name: &str) -> Vec<String> {
        let found = slug_candidates(name, &RESERVED_PROJECT_SLUGS, &RANDOM);
        found.iter().map(Slug::to_string).collect()
    }

    #[test]
    fn a_name_becomes_a_slug_without_marks_signs_and_capitals() {
        for (name, slug) in [
            ("foo", "foo"),
            ("Ünïcode Näme", "unicode-name"),
            ("  My   App -- 2 ", "my-app-2"),
            ("_-a_b-_", "a_b"),
            ("ﬁne ①", "fine-1"),
            ("it's (new)!", "its-new"),
            ("Settings!", "111111111111"),
            ("日本語 🎉", "111111111111"),
        ] {
            assert_eq!(candidates(name)[0], slug_or_suffixed(slug), "{name}");
        }
        let long = format!("{} {}", "a".repeat(49), "b".repeat(10));
        assert_eq!(candidates(&long)[0], "a".repeat(49));
    }

    /// A number is never a slug, so its first candidate has a suffix.
    fn slug_or_suffixed(slug: &str) -> String {
        match slug.bytes().all(|b| b.is_ascii_digit()) {
            true => format!("{slug}-bb"),
            false => slug.to_owned(),
        }
    }

    #[test]
    fn twenty_seven_suffixes_are_tried_and_every_candidate_fits() {
        let all = candidates(&"n".repeat(50));
        let lengths: Vec<_> = all
            .iter()
            .map(|slug| slug.rsplit_once('-').map_or(0, |(_, suffix)| suffix.len()))
            .collect();
        let mut expected = vec![0, 2];
        expected.extend([3; 5]);
        expected.extend([5; 20]);
        expected.push(12);
        assert_eq!(lengths, expected);
        assert!(all.iter().all(|slug| slug.len() == 50));
    }

    #[test]
    fn a_number_always_gets_a_suffix() {
        let all = candidates("1234");
        assert_eq!((all.len(), all[0].as_str()), (27, "1234-bb"));
    }

    #[test]
    fn every_random_byte_is_used_once() {
        let mut random = [0; LETTERS];
        for (n, byte) in random.iter_mut().enumerate() {
            *byte = u8::try_from(n % 36).unwrap();
        }
        let all = slug_candidates("x", &[], &random);
        let suffixes: String = all[1..]
            .iter()
            .map(|slug| slug.as_str().strip_prefix("x-").unwrap())
            .collect();
        assert_eq!(
            suffixes,
            spell(&random[INVENTED..], b"abcdefghijklmnopqrstuvwxyz0123456789")
        );
    }
}
