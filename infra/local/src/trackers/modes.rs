//! How a simulated tracker behaves, call by call. It must not know what a call asks for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::faults::Draws;

/// How a simulated tracker behaves. Whatever refuses does so before the call is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// As it should.
    #[default]
    Ok,
    /// 429.
    RateLimited {
        /// The seconds that it asks to wait.
        retry_after: u64,
    },
    /// 500.
    Failing,
    /// Repositories are there, and none of their commits.
    UnknownCommit,
    /// Nothing is ever answered, and nothing carried out.
    Hang,
    /// A right answer, a byte each 100 ms.
    SlowDrip,
    /// A right answer, and white space after it until it is longer than 5 MiB.
    HugeBody,
    /// 401.
    RefusedToken,
    /// 403, with a reason.
    Forbidden,
    /// A right answer, for which it takes so long by the stack's clock.
    Slow {
        /// By how many seconds each call moves the clock.
        seconds: u32,
    },
    /// The call is carried out, and the connection broken instead of an answer.
    LostAnswer,
    /// The same for calls that change something; all others are answered, and do not count.
    LostWrite,
    /// Each call fails with a probability, in one of the ways that need no patience.
    Faults {
        /// The probability, from 0 to 1.
        rate: f64,
        /// Which of the calls fail, counted since the mode was set, and in which way.
        seed: u64,
    },
}

/// One call that waits at its tracker, for a test that lets something happen meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Bells>);

#[derive(Debug, Default)]
struct Bells {
    came: Notify,
    go: Notify,
}

impl Held {
    /// Waits until the call is there.
    pub async fn came(&self) {
        self.0.came.notified().await;
    }

    /// Lets the call go on: now, or as soon as it comes.
    pub fn let_go(self) {
        self.0.go.notify_one();
    }

    /// The call's side: waits to be let go.
    pub(super) async fn wait(&self) {
        self.0.came.notify_one();
        self.0.go.notified().await;
    }
}

/// The ways in which calls fail by chance.
const BY_CHANCE: [Mode; 5] = [
    Mode::RateLimited { retry_after: 1 },
    Mode::Failing,
    Mode::HugeBody,
    Mode::RefusedToken,
    Mode::LostAnswer,
];

/// A mode, and for how many calls, as it is ordered over HTTP.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    #[serde(flatten)]
    pub(crate) mode: Mode,
    pub(crate) calls: Option<u32>,
}

impl Order {
    /// Reads an order; the error says what is wrong with it.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let order: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if let Mode::Faults { rate, seed: _ } = order.mode
            && !(0.0..=1.0).contains(&rate)
        {
            return Err("rate is from 0 to 1".to_owned());
        }
        Ok(order)
    }
}

/// The present mode of one tracker.
#[derive(Debug)]
pub(super) struct Present {
    mode: Mode,
    /// For how many more calls; `None`: until it is changed.
    left: Option<u32>,
    draws: Draws,
}

impl Present {
    pub(super) fn new(mode: Mode, calls: Option<u32>) -> Self {
        let seed = if let Mode::Faults { rate: _, seed } = mode {
            seed
        } else {
            0
        };
        Self {
            mode,
            left: calls,
            draws: Draws::new(seed),
        }
    }

    /// What the next call meets, which changes something or asks.
    pub(super) fn next(&mut self, changes: bool) -> Mode {
        if self.mode == Mode::LostWrite && !changes {
            return Mode::Ok;
        }
        match &mut self.left {
            Some(0) => return Mode::Ok,
            Some(left) => *left -= 1,
            None => {}
        }
        let Mode::Faults { rate, seed: _ } = self.mode else {
            return self.mode;
        };
        // All calls count as tries of one request: only their number matters.
        match self.draws.draw(rate, "call", "") {
            Some(drawn) => BY_CHANCE[drawn as usize % BY_CHANCE.len()],
            None => Mode::Ok,
        }
    }
}

impl Default for Present {
    fn default() -> Self {
        Self::new(Mode::Ok, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Mode> {
        let mut present = Present::new(Mode::Faults { rate: 0.5, seed }, None);
        (0..200).map(|_| present.next(true)).collect()
    }

    #[test]
    fn which_calls_fail_and_how_depends_on_the_seed_alone() {
        let first = drawn(7);
        assert_eq!(drawn(7), first);
        assert_ne!(drawn(8), first);
        let failed = first.iter().filter(|mode| **mode != Mode::Ok).count();
        assert!((60..140).contains(&failed), "{failed}");
        for way in BY_CHANCE {
            assert!(first.contains(&way), "{way:?}");
        }
    }

    #[test]
    fn a_mode_ends_after_its_calls() {
        let mut present = Present::new(Mode::Failing, Some(2));
        let met: Vec<_> = (0..4).map(|_| present.next(true)).collect();
        assert_eq!(met, [Mode::Failing, Mode::Failing, Mode::Ok, Mode::Ok]);
    }

    #[test]
    fn an_order_names_the_mode_and_for_how_many_calls() {
        let read =
            |text: &str| Order::parse(text.as_bytes()).map(|order| (order.mode, order.calls));
        let limited = Mode::RateLimited { retry_after: 9 };
        let text = r#"{"mode":"rate_limited","retry_after":9,"calls":2}"#;
        assert_eq!(read(text), Ok((limited, Some(2))));
        assert_eq!(read(r#"{"mode":"hang"}"#), Ok((Mode::Hang, None)));
        let faults = Mode::Faults { rate: 1.0, seed: 3 };
        assert_eq!(
            read(r#"{"mode":"faults","rate":1,"seed":3}"#),
            Ok((faults, None))
        );
        for wrong in [
            "",
            "{}",
            r#"{"mode":"lazy"}"#,
            r#"{"mode":"rate_limited"}"#,
            r#"{"mode":"faults","rate":1.5,"seed":3}"#,
            r#"{"mode":"ok","calls":-1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
