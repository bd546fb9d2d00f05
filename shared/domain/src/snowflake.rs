//! Sentry's 53-bit ids of organizations, teams and projects: layout only, no allocation.
//!
//! From the top: 5 bits of version (bit-reversed), 32 of seconds since the epoch, 12 of region, 4 of
//! sequence.

use std::{fmt, str::FromStr};

use crate::{InvalidId, OrganizationId, ProjectId, TeamId, Timestamp};

/// 2022-08-08T00:00:00Z, in seconds since 1970.
const EPOCH: i64 = 1_659_916_800;
const VERSION: u64 = 1;

/// How many ids one second of one model holds.
const PER_SECOND: u64 = 16;

/// The kinds of entity that have snowflakes. Each has its own sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnowflakeModel {
    /// Organizations.
    Organization,
    /// Teams.
    Team,
    /// Projects.
    Project,
}

impl SnowflakeModel {
    /// The name in the sequence's key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Project => "project",
        }
    }
}

/// An id that is a snowflake. Those of other entities are none, so saving anything else under one does not
/// compile.
pub trait SnowflakeId: Copy + fmt::Display {
    /// Whose sequence it is from.
    const MODEL: SnowflakeModel;

    /// The id as a type.
    fn of(number: u64) -> Result<Self, InvalidId>;
}

impl SnowflakeId for OrganizationId {
    const MODEL: SnowflakeModel = SnowflakeModel::Organization;

    fn of(number: u64) -> Result<Self, InvalidId> {
        Self::new(number)
    }
}

impl SnowflakeId for TeamId {
    const MODEL: SnowflakeModel = SnowflakeModel::Team;

    fn of(number: u64) -> Result<Self, InvalidId> {
        Self::new(number)
    }
}

impl SnowflakeId for ProjectId {
    const MODEL: SnowflakeModel = SnowflakeModel::Project;

    fn of(number: u64) -> Result<Self, InvalidId> {
        Self::new(number)
    }
}

/// The region of an installation, 0 without regions: 12 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Region(u16);

impl Region {
    /// The number in the ids.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for Region {
    type Err = SnowflakeError;

    fn from_str(text: &str) -> Result<Self, SnowflakeError> {
        let number = text.parse().ok().filter(|number: &u16| *number < 1 << 12);
        number.map(Self).ok_or(REGION_TOO_LARGE)
    }
}

const REGION_TOO_LARGE: SnowflakeError = SnowflakeError {
    segment: "Region ID",
    bits: 12,
};

/// The parts of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snowflake {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// The region's number, 0 without regions.
    pub region: u16,
    /// 0 to 15 within the second.
    pub sequence: u64,
}

/// A part that does not fit its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnowflakeError {
    segment: &'static str,
    bits: u32,
}

impl fmt::Display for SnowflakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exceed max bit value of {}", self.segment, self.bits)
    }
}

impl std::error::Error for SnowflakeError {}

impl Snowflake {
    /// How far back, in seconds, an allocation looks for a second with room; also how long a second's
    /// counter lives.
    pub const LOOK_BACK: u64 = 300;
    /// How many ids one second of one model holds.
    pub const PER_SECOND: u64 = PER_SECOND;

    /// Seconds since the epoch, rounded down; 0 at the epoch and before.
    pub fn seconds_at(now: Timestamp) -> u64 {
        u64::try_from(now.seconds() - EPOCH).unwrap_or(0)
    }

    /// The id, or the segment that a part does not fit.
    pub fn encode(self) -> Result<u64, SnowflakeError> {
        let fits = |value: u64, segment, bits: u32| {
            (value >> bits == 0)
                .then_some(value)
                .ok_or(SnowflakeError { segment, bits })
        };
        let seconds = fits(self.seconds, "Time difference", 32)?;
        let region = fits(self.region.into(), "Region ID", 12)?;
        let sequence = fits(self.sequence, "Region sequence", 4)?;
        Ok(reverse_5(VERSION) << 48 | seconds << 16 | region << 4 | sequence)
    }

    /// The parts of an id.
    pub fn decode(id: u64) -> Self {
        Self {
            seconds: id >> 16 & 0xFFFF_FFFF,
            region: u16::try_from(id >> 4 & 0xFFF).expect("12 bits"),
            sequence: id & 0xF,
        }
    }
}

/// Only the version is written with its lowest bit first.
fn reverse_5(version: u64) -> u64 {
    version.reverse_bits() >> 59
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seconds: u64, region: u16, sequence: u64) -> u64 {
        Snowflake {
            seconds,
            region,
            sequence,
        }
        .encode()
        .unwrap()
    }

    #[test]
    fn the_worked_examples_hold() {
        assert_eq!(id(59_918_400, 0, 0), 4_507_526_439_632_896);
        assert_eq!(id(59_918_400, 1, 15), 4_507_526_439_632_927);
        assert_eq!(id(59_918_399, 1, 0), 4_507_526_439_567_376);
        assert_eq!(id(135_330_294, 2, 3), 4_512_468_633_518_115);
        assert_eq!(id(0xFFFF_FFFF, 0xFFF, 15), 4_785_074_604_081_151);
        let moment = Timestamp::from_millis(1_795_247_094_900);
        assert_eq!(Snowflake::seconds_at(moment), 135_330_294);
    }

    #[test]
    fn versions_are_written_lowest_bit_first() {
        let written: Vec<_> = [1, 2, 3, 4, 31].map(reverse_5).into();
        assert_eq!(written, [16, 8, 24, 4, 31]);
    }

    #[test]
    fn writing_a_version_backwards_twice_gives_it_back() {
        for version in 0..32 {
            assert_eq!(reverse_5(reverse_5(version)), version);
        }
    }

    #[test]
    fn every_id_survives_being_read_as_a_double() {
        for id in [
            id(0, 0, 0),
            id(59_918_400, 1, 15),
            id(0xFFFF_FFFF, 4095, 15),
        ] {
            assert!(id < 1 << 53);
            let text = serde_json::to_string(&id).unwrap();
            let double: f64 = serde_json::from_str(&text).unwrap();
            assert_eq!(format!("{double:.0}"), text);
        }
    }

    #[test]
    fn a_region_has_twelve_bits() {
        for region in [0, 1, 2, 4095] {
            let read: Region = region.to_string().parse().unwrap();
            assert_eq!(Snowflake::decode(id(7, read.number(), 3)).region, region);
        }
        for bad in ["4096", "70000", "-1", "x", ""] {
            let error = bad.parse::<Region>().unwrap_err().to_string();
            assert_eq!(error, "Region ID exceed max bit value of 12", "{bad}");
        }
    }

    #[test]
    fn decoding_gives_the_parts_back() {
        let parts = Snowflake {
            seconds: 135_330_294,
            region: 4095,
            sequence: 15,
        };
        assert_eq!(Snowflake::decode(parts.encode().unwrap()), parts);
    }

    #[test]
    fn a_part_that_does_not_fit_names_its_segment() {
        let error = Snowflake {
            seconds: 1 << 32,
            region: 0,
            sequence: 0,
        }
        .encode()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Time difference exceed max bit value of 32"
        );
        let error = Snowflake {
            seconds: 0,
            region: 0,
            sequence: 16,
        }
        .encode()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Region sequence exceed max bit value of 4"
        );
    }

    #[test]
    fn before_the_epoch_there_are_no_seconds() {
        assert_eq!(Snowflake::seconds_at(Timestamp::from_millis(0)), 0);
    }
}
