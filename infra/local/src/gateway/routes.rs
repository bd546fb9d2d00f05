//! Which route a request takes.
//!
//! It exists because the two gateways choose differently where several routes fit. It must not know
//! what becomes of the request.

use serde_json::{Map, Value};

use super::Kind;
use crate::template::Route;

pub(super) struct Matched<'r> {
    pub(super) route: &'r Route,
    /// What stood in the place of `{parameter}` and `{proxy+}`.
    pub(super) parameters: Map<String, Value>,
}

/// The most specific path first. A REST API settles on the path and then wants the method there; an HTTP API goes on
/// to wider paths.
pub(super) fn choose<'r>(
    routes: &'r [Route],
    kind: Kind,
    path: &str,
    method: &str,
) -> Option<Matched<'r>> {
    let fitting = routes
        .iter()
        .filter(|route| kind.has(route))
        .filter_map(|route| {
            let (rank, parameters) = fit(&route.path, path, kind)?;
            Some((rank, Matched { route, parameters }))
        });
    let fitting: Vec<_> = fitting.collect();
    let best = fitting.iter().map(|(rank, _)| rank.clone()).min();
    let admitted = fitting.into_iter().filter(|(rank, matched)| {
        let wanted = matched.route.method.as_deref();
        let path = kind == Kind::Http || Some(rank) == best.as_ref();
        path && wanted.is_none_or(|wanted| wanted == method)
    });
    let chosen = admitted.min_by_key(|(rank, it)| (rank.clone(), it.route.method.is_none()));
    chosen.map(|(_, matched)| matched)
}

/// How well a path fits (one number a segment: literal before `{parameter}` before `{proxy+}`), and its parameters.
fn fit(pattern: &str, path: &str, kind: Kind) -> Option<(Vec<u8>, Map<String, Value>)> {
    if pattern == "$default" {
        return Some((vec![3], Map::new()));
    }
    // A REST API ignores a slash at the end when it looks for the resource.
    let path = match kind {
        Kind::Rest => path.strip_suffix('/').unwrap_or(path),
        Kind::Http => path,
    };
    let (mut rank, mut parameters) = (Vec::new(), Map::new());
    let mut rest = Some(path);
    for part in pattern.split('/') {
        let (segment, tail) = match rest? {
            text if part.ends_with("+}") => (text, None),
            text => text
                .split_once('/')
                .map_or((text, None), |(one, tail)| (one, Some(tail))),
        };
        rest = tail;
        rank.push(fit_segment(part, segment, &mut parameters)?);
    }
    rest.is_none().then_some((rank, parameters))
}

fn fit_segment(part: &str, segment: &str, parameters: &mut Map<String, Value>) -> Option<u8> {
    let Some(name) = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
    else {
        return (part == segment).then_some(0);
    };
    if segment.is_empty() {
        return None;
    }
    let (name, rank) = match name.strip_suffix('+') {
        Some(name) => (name, 2),
        None => (name, 1),
    };
    parameters.insert(name.to_owned(), segment.into());
    Some(rank)
}
