//! Pages of lists: the `cursor` and `per_page` parameters and the `Link` header.
//!
//! A cursor is `value:offset:is_prev`, where the value is the page's size and the offset its number;
//! the rows before it are `value * offset`. Clients only copy cursors from the header.

use axum::{
    extract::Query,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use domain::Fault;

use crate::Context;

const MOST: usize = 100;
/// Nobody reads this far; it keeps the rows to skip a small number.
const FARTHEST: usize = 100_000;

/// The page that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    pub(crate) skip: usize,
    pub(crate) limit: usize,
    page: usize,
    /// The path and the other parameters, to build the links from.
    path: String,
    others: String,
}

impl Paging {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Fault> {
        Self::parse(uri.path(), uri.query().unwrap_or_default(), "per_page")
    }

    /// The same where the page's size is called `limit`, as in lists of issues.
    pub(crate) fn with_limit(uri: &Uri) -> Result<Self, Fault> {
        Self::parse(uri.path(), uri.query().unwrap_or_default(), "limit")
    }

    fn parse(path: &str, query: &str, size_name: &str) -> Result<Self, Fault> {
        let (mut cursor, mut size, mut others) = ("", "", String::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name == "cursor" {
                cursor = value;
                continue;
            }
            if name == size_name {
                size = value;
            }
            others.push_str(&format!("{pair}&"));
        }
        let limit = limit(size_name, size)?;
        let (value, page) = place(cursor).ok_or_else(|| {
            Fault::detail("Invalid cursor parameter: expected three integers, value:offset:is_prev")
        })?;
        let skip = value.checked_mul(page);
        let skip = skip.filter(|skip| *skip <= FARTHEST && page <= FARTHEST);
        let skip = skip.ok_or_else(|| Fault::detail("Invalid cursor parameter: too far"))?;
        Ok(Self {
            skip,
            limit,
            page,
            path: path.to_owned(),
            others,
        })
    }

    /// Adds the `Link` header: both neighbors, each saying whether it has rows.
    pub(crate) fn link(&self, context: &Context, more: bool, mut answer: Response) -> Response {
        let previous = i64::try_from(self.page).unwrap_or(0) - 1;
        let next = self.page + 1;
        let url = |cursor: &str| {
            format!(
                "<{}{}?{}cursor={cursor}>",
                context.public_url, self.path, self.others
            )
        };
        let entry = |rel: &str, results: bool, cursor: String| {
            format!(
                "{}; rel=\"{rel}\"; results=\"{results}\"; cursor=\"{cursor}\"",
                url(&cursor)
            )
        };
        let link = [
            entry(
                "previous",
                self.page > 0,
                format!("{}:{previous}:1", self.limit),
            ),
            entry("next", more, format!("{}:{next}:0", self.limit)),
        ];
        // A query may hold bytes that no header may; then there is no link to follow.
        if let Ok(value) = HeaderValue::from_str(&link.join(", ")) {
            answer.headers_mut().insert(header::LINK, value);
        }
        answer
    }
}

/// A parameter of the query, decoded; the first of that name.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    parameters(uri, name).into_iter().next()
}

/// All parameters of that name, decoded.
pub(crate) fn parameters(uri: &Uri, name: &str) -> Vec<String> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Vec::new();
    };
    let named = pairs.into_iter().filter(|(found, _)| found == name);
    named.map(|(_, value)| value).collect()
}

fn limit(name: &str, size: &str) -> Result<usize, Fault> {
    if size.is_empty() {
        return Ok(MOST);
    }
    let limit = size.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| {
        Fault::detail(format!(
            "Invalid {name} value. Must be between 1 and {MOST}."
        ))
    })
}

/// The value and the page number; an absent or empty cursor is the first page.
fn place(cursor: &str) -> Option<(usize, usize)> {
    let cursor = cursor.replace("%3A", ":").replace("%3a", ":");
    if cursor.is_empty() {
        return Some((0, 0));
    }
    let mut parts = cursor.split(':');
    let (value, page, is_prev) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || is_prev.parse::<u8>().is_err() {
        return None;
    }
    Some((value.parse().ok()?, page.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Option<(usize, usize)> {
        Paging::parse("/x/", query, "per_page")
            .ok()
            .map(|paging| (paging.skip, paging.limit))
    }

    #[test]
    fn the_first_page_needs_no_cursor() {
        for query in ["", "cursor=", "cursor=0:0:0", "query=is:unresolved&cursor="] {
            assert_eq!(page(query), Some((0, 100)), "{query}");
        }
    }

    #[test]
    fn a_cursor_skips_value_times_offset_rows() {
        assert_eq!(page("cursor=25:2:0&per_page=25"), Some((50, 25)));
        assert_eq!(page("cursor=25%3A2%3A0"), Some((50, 100)));
    }

    #[test]
    fn what_is_no_cursor_and_no_page_size_is_refused() {
        for query in [
            "cursor=1",
            "cursor=a:b:c",
            "cursor=1:2",
            "cursor=1:2:3:4",
            "cursor=100:-1:1",
            "cursor=100:99999999999:0",
            "cursor=0:18446744073709551615:0",
            "per_page=0",
            "per_page=101",
            "per_page=x",
        ] {
            assert_eq!(page(query), None, "{query}");
        }
    }
}
