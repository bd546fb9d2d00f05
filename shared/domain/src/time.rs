//! A moment, to the millisecond. The domain never asks for the time, it is told.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{
    Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset,
    format_description::well_known::Rfc3339,
};

/// Milliseconds since 1970 UTC. In JSON for clients it is RFC 3339; in the table it is the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 UTC, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads a date and time of ISO 8601: seconds, their fractions and the offset from UTC may be left out.
    /// `None`: it is none, or in UTC in no year of four digits, which could not be written again.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.trim().split_once(['T', 't', ' '])?;
        let (time, offset) = split_offset(rest)?;
        let mut parts = date.splitn(3, '-');
        let year = digits(parts.next()?, 4)?;
        let month = Month::try_from(u8::try_from(digits(parts.next()?, 2)?).ok()?).ok()?;
        let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
        let moment = PrimitiveDateTime::new(date, read_time(time)?).assume_offset(offset);
        let moment = moment.checked_to_offset(UtcOffset::UTC)?;
        if !(0..=9999).contains(&moment.year()) {
            return None;
        }
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).ok().map(Self)
    }

    /// So many milliseconds later.
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    let valid = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, UtcOffset::UTC));
    }
    let Some(sign) = text.find(['+', '-']) else {
        return Some((text, UtcOffset::UTC));
    };
    let (time, offset) = text.split_at(sign);
    let number = offset[1..].replacen(':', "", 1);
    let (hours, minutes) = match number.len() {
        2 => (digits(&number, 2)?, 0),
        4 => (digits(number.get(..2)?, 2)?, digits(number.get(2..)?, 2)?),
        _ => return None,
    };
    let minutes = i32::try_from(hours * 60 + minutes).ok()?;
    let seconds = if offset.starts_with('-') { -60 } else { 60 } * minutes;
    Some((time, UtcOffset::from_whole_seconds(seconds).ok()?))
}

fn read_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.splitn(3, ':');
    let mut part = || parts.next().map(|part| digits(part, 2));
    let (hour, minute, second) = (part()??, part()??, part().unwrap_or(Some(0))?);
    let byte = |number| u8::try_from(number).ok();
    let nanos = format!("{fraction:0<9}");
    let nanos = digits(nanos.get(..9)?, 9)?;
    Time::from_hms_nano(byte(hour)?, byte(minute)?, byte(second)?, nanos).ok()
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with three digits of milliseconds where there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = OffsetDateTime::from_unix_timestamp(self.seconds()).map_err(|_| fmt::Error)?;
        let text = second.format(&Rfc3339).map_err(|_| fmt::Error)?;
        match self.0.rem_euclid(1000) {
            0 => f.write_str(&text),
            millis => write!(f, "{}.{millis:03}Z", text.trim_end_matches('Z')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_the_forms_that_clients_write() {
        let read = |text| Timestamp::parse(text).map(|moment| moment.to_string());
        for (text, moment) in [
            ("2026-11-21T07:48:43.120Z", "2026-11-21T07:48:43.120Z"),
            ("2026-11-21T07:48:42.297207834Z", "2026-11-21T07:48:42.297Z"),
            ("2026-01-03T10:00:00+02:00", "2026-01-03T08:00:00Z"),
            ("2026-01-03 10:00:00-0130", "2026-01-03T11:30:00Z"),
            ("1000-10-10T06:06", "1000-10-10T06:06:00Z"),
            ("2026-01-03T10:00:00+02", "2026-01-03T08:00:00Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(moment), "{text}");
        }
        for bad in [
            "",
            "null",
            "2026-01-03",
            "2026-13-03T10:00",
            "2026-01-03T25:00",
            "2026-01-03T10",
            "2026-01-03T10:00:",
            "2026-01-03T10:00+2",
            "2026-01-03T10:00+é1",
            "26-01-03T10:00",
            "tomorrow T10:00",
            "9999-12-31T23:30:00-01:00",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_shown_as_clients_read_it() {
        assert_eq!(
            Timestamp::from_millis(1_795_247_323_120).to_string(),
            "2026-11-21T07:48:43.120Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_795_247_323_000).to_string(),
            "2026-11-21T07:48:43Z"
        );
    }
}
