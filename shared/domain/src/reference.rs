//! The issues that a text says it resolves: "Fixes WEB-1, WEB-2".
//!
//! A word like "fixes", an optional colon and white space begin a run of letters, digits, underscores,
//! hyphens, commas and white space; every short id in it is meant. Reading takes time in proportion to the
//! text, whatever it is: texts of commits come from anywhere.

use std::collections::BTreeSet;

use crate::ShortId;

/// How many issues one text can refer to; of more the first are taken.
pub const MOST_REFERENCES: usize = 50;

const KEYWORDS: [&str; 9] = [
    "fix", "fixes", "fixed", "close", "closes", "closed", "resolve", "resolves", "resolved",
];

/// The issues that a text says it resolves. Whether they exist is not its business.
pub fn references(text: &str) -> BTreeSet<ShortId> {
    let text = without_links(text);
    let mut found = BTreeSet::new();
    // Where the last run ended: a keyword inside it begins the same one.
    let mut end = 0;
    for (start, word) in words(&text) {
        let keyword = KEYWORDS.iter().any(|it| it.eq_ignore_ascii_case(word));
        let after = &text[start + word.len()..];
        let after = after.strip_prefix(':').unwrap_or(after);
        let from = text.len() - after.len();
        if !keyword || from < end || !after.starts_with(char::is_whitespace) {
            continue;
        }
        let run = run(after);
        end = from + run.len();
        for id in run.split(|c: char| c == ',' || c.is_whitespace()) {
            if found.len() < MOST_REFERENCES {
                found.extend(short_id(id));
            }
        }
    }
    found
}

/// The words of a text, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    text.split_inclusive(|c| !is_word(c)).map(move |piece| {
        let start = next;
        next += piece.len();
        (start, piece.trim_end_matches(|c| !is_word(c)))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The longest run at the beginning of a text that ends with a word.
fn run(text: &str) -> &str {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-,".contains(c) || c.is_whitespace();
    let length = text.find(|c| !legal(c)).unwrap_or(text.len());
    let (run, rest) = text.split_at(length);
    // A word that goes on with other letters is not one of the run.
    let run = match rest.starts_with(is_word) {
        true => run.trim_end_matches(is_word),
        false => run,
    };
    run.trim_end_matches(|c| !is_word(c))
}

fn short_id(text: &str) -> Option<ShortId> {
    let text = text.trim_matches('-');
    let (_, number) = text.rsplit_once('-')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| text.parse().ok()).flatten()
}

/// Puts the label in the place of each `[label](target)`.
fn without_links(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = 0;
    // Both only ever move on: nothing is searched twice.
    let (mut label_end, mut target_end) = (0, 0);
    let next = |from: usize, known: usize, wanted: char| match known >= from {
        true => Some(known),
        false => text[from..].find(wanted).map(|found| from + found),
    };
    for (start, _) in text.match_indices('[') {
        if start < rest {
            continue;
        }
        let Some(end) = next(start + 1, label_end, ']') else {
            break;
        };
        label_end = end;
        let label = &text[start + 1..end];
        if label.is_empty() || !text[end + 1..].starts_with('(') {
            continue;
        }
        let Some(closed) = next(end + 2, target_end, ')') else {
            break;
        };
        target_end = closed;
        if closed == end + 2 {
            continue;
        }
        kept.push_str(&text[rest..start]);
        kept.push_str(label);
        rest = closed + 1;
    }
    kept.push_str(&text[rest..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let found = references(text);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_short_id_after_a_keyword_is_meant() {
        for (text, ids) in [
            (
                "Fixes ABC-1, DEF-2 and GHI-3",
                &["ABC-1", "DEF-2", "GHI-3"][..],
            ),
            ("fixes abc-1", &["ABC-1"]),
            ("Fixes:\nABC-1", &["ABC-1"]),
            ("RESOLVED:\t abc-1,abc-2", &["ABC-1", "ABC-2"]),
            ("closes ABC-1.", &["ABC-1"]),
            // Lines do not end a run, so this is meant as well, wherever it leads.
            (
                "closes ABC-1\n\nCo-authored-by: x",
                &["ABC-1", "CO-AUTHORED-BY"],
            ),
            ("Close ABC-1 (see DEF-2)", &["ABC-1"]),
            ("It is fixed ABC-1; closed: DEF-2", &["ABC-1", "DEF-2"]),
            ("Fix ABC-1, closes: DEF-2", &["ABC-1", "DEF-2"]),
            ("pre-fix ABC-1", &["ABC-1"]),
            ("fix my-app_x-1Z", &["MY-APP_X-1Z"]),
            ("fix ABC-1-", &["ABC-1"]),
            (
                "resolve [ABC-1](https://acme.example/issues/7/)",
                &["ABC-1"],
            ),
            (
                "fixes [ABC-1, ABC-2](x) and [DEF-1](y)",
                &["ABC-1", "ABC-2", "DEF-1"],
            ),
            ("resolves ABC-1.\n\nCo-authored-by: x", &["ABC-1"]),
        ] {
            assert_eq!(found(text), ids, "{text:?}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "See ABC-1",
            "Fixes #ABC-1",
            "fixing ABC-1",
            "prefixes ABC-1",
            "fixes_ ABC-1",
            "Fixes foo. ABC-1",
            "FixesABC-1",
            "Fixes:ABC-1",
            "Fixes :ABC-1",
            "Fixes ABC",
            "Fixes ABC-",
            "Fixes -1",
            "Fixes ABC-1\u{fc}",
            "Fixes ABC-1_2",
            "Fixes [](ABC-1)",
            "\u{fc}fix ABC-1",
        ] {
            assert_eq!(found(text), [""; 0], "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_in_base_32() {
        assert_eq!(found("fixes web-oil"), ["WEB-11"]);
        assert_eq!(found("fixes WEB-00A, WEB-a"), ["WEB-A"], "each once");
        assert_eq!(found("fixes WEB-U"), [""; 0], "U is no digit");
        assert_eq!(
            found("fixes WEB-ZZZZZZZZZZZZZZ"),
            [""; 0],
            "more than any counter reaches"
        );
        assert_eq!(found("fixes 12-1"), [""; 0], "no slug is a number");
    }

    #[test]
    fn links_give_way_to_their_labels_and_nothing_else_does() {
        for (text, kept) in [
            ("a [b](c) d", "a b d"),
            ("[a](b)[c](d)", "ac"),
            ("[[a](b)", "[a"),
            ("[a] (b)", "[a] (b)"),
            ("[a]()", "[a]()"),
            ("[](b)", "[](b)"),
            ("[a](b", "[a](b"),
            ("[a", "[a"),
            ("[a](b [c](d)", "a"),
        ] {
            assert_eq!(without_links(text), kept, "{text:?}");
        }
    }

    #[test]
    fn a_text_refers_to_no_more_than_so_many_and_a_long_one_is_read_once() {
        let many: String = (1..100).map(|n| format!("WEB-{n} ")).collect();
        let many = references(&format!("fixes {many}"));
        assert_eq!(many.len(), MOST_REFERENCES);
        // Some seconds if anything were searched again from each place.
        for text in ["[", "[a](", "fixes ", "fix A-", "[](", "fixes:", "-"] {
            references(&text.repeat(200_000));
        }
    }

    #[test]
    fn any_text_is_read_and_what_is_written_as_a_reference_in_it_is_found() {
        const PARTS: [&str; 14] = [
            "[", "]", "(", ")", "fix", "Fixes", ":", " ", "\n", "-", ",", "A-1", "\u{fc}", "_",
        ];
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        for number in 1..2_000 {
            let text: String = (0..next(30)).map(|_| PARTS[next(PARTS.len())]).collect();
            let id = ShortId::new(&"web".parse().unwrap(), number);
            let keyword = KEYWORDS[next(KEYWORDS.len())];
            // A sign that is neither a part of a run nor of a link.
            let found = references(&format!("{text}) ; {keyword} {id}"));
            assert!(found.contains(&id), "{text:?}");
        }
    }
}
