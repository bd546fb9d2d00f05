//! A request with everything that both kinds of event tell of it.
//!
//! It exists because the gateways hand on the same request, and differ in how they write it down. It
//! must not know what an event looks like, nor which function gets it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::request::Parts;

use super::Kind;

/// About one connection, not about the request: a gateway passes none of them on.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) struct Call {
    pub(super) kind: Kind,
    parts: Parts,
    /// As this kind of gateway hands it on.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) source: SocketAddr,
    port: u16,
    pub(super) request_id: String,
    pub(super) at: Duration,
}

impl Call {
    pub(super) fn new(kind: Kind, parts: Parts, port: u16) -> Call {
        let source = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let raw = parts.uri.path();
        Call {
            kind,
            path: match kind {
                Kind::Rest => raw.to_owned(),
                Kind::Http => decoded_path(raw),
            },
            query: query_pairs(parts.uri.query().unwrap_or_default()),
            source: source.map_or(SocketAddr::from(([127, 0, 0, 1], 0)), |info| info.0),
            port,
            request_id: request_id(),
            at: now(),
            parts,
        }
    }

    pub(super) fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    pub(super) fn raw_query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    pub(super) fn protocol(&self) -> String {
        format!("{:?}", self.parts.version)
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.parts.headers.get(name).map(text_of)
    }

    pub(super) fn domain(&self) -> String {
        let host = self.header("host");
        host.unwrap_or_else(|| format!("localhost:{}", self.port))
    }

    /// What AWS counts: all names and values.
    pub(super) fn header_bytes(&self) -> usize {
        let headers = self.parts.headers.iter();
        headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    }

    /// The headers in their order, with those that every gateway sets, by lower-case names.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let added = ["x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"];
        let came = self.parts.headers.iter();
        let came = came.filter(|(name, _)| {
            !HOP_BY_HOP.contains(&name.as_str()) && !added.contains(&name.as_str())
        });
        let mut headers: Vec<_> = came
            .map(|(name, value)| (name.as_str().to_owned(), text_of(value)))
            .collect();
        let ip = self.source.ip().to_string();
        let forwarded = self.header("x-forwarded-for");
        let forwarded = forwarded.map_or(ip.clone(), |before| format!("{before}, {ip}"));
        let [forwarded_for, forwarded_port, forwarded_proto] = added.map(str::to_owned);
        headers.push((forwarded_for, forwarded));
        headers.push((forwarded_port, self.port.to_string()));
        headers.push((forwarded_proto, "http".to_owned()));
        if !self.parts.headers.contains_key("x-amzn-trace-id") {
            headers.push(("x-amzn-trace-id".to_owned(), self.trace_id()));
        }
        headers
    }

    fn trace_id(&self) -> String {
        let random = self.request_id.replace('-', "");
        format!("Root=1-{:08x}-{}", self.at.as_secs(), &random[..24])
    }
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn request_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a gateway stamps its events with the real time, whatever the functions' clock says"
)]
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Like `21/Nov/2026:10:26:22 +0000`.
pub(super) fn request_time(at: Duration) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = at.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month];
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month from 0 and day of a day since 1970, by counting years from March, so that a leap day comes last.
fn civil_date(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(from_march >= 10);
    (year, (from_march as usize + 2) % 12, day)
}

/// Replaces each %XX that `decodes` admits.
fn percent_decode(text: &str, decodes: impl Fn(u8) -> bool) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        match encoded_byte(&bytes[at..]).filter(|byte| decodes(*byte)) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn encoded_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |hex: &u8| char::from(*hex).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The path as an HTTP API hands it on: decoded, but for `%25`, and cut at a question mark that was encoded.
pub(super) fn decoded_path(raw: &str) -> String {
    let decoded = percent_decode(raw, |byte| byte != b'%');
    let path = decoded.split('?').next();
    path.unwrap_or_default().to_owned()
}

fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode(&text.replace('+', " "), |_| true);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
