//! When what is remembered of a group's owners has to be forgotten. The caches are hints, which end by
//! themselves within a day: clearing them never holds anything up, and is tried for as long as it matters.

use serde::{Deserialize, Serialize};

use crate::{GroupId, OrganizationId, Outcome, Reason, Timestamp};

/// "Forget what is remembered of these groups' owners."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearOwnerCaches {
    /// The organization that owns the groups, or did.
    pub organization: OrganizationId,
    /// Which groups; as many as a message has room for.
    pub groups: Vec<GroupId>,
}

/// How long an entry can live, in milliseconds.
const LONGEST_LIFE: i64 = 24 * 60 * 60 * 1000;
/// The first wait, in milliseconds.
const FIRST_WAIT: i64 = 15_000;
/// How often the wait doubles: from a quarter of a minute to about an hour.
const DOUBLINGS: u32 = 8;

impl ClearOwnerCaches {
    /// When it is tried again if it failed now, having been sent at `sent`. The moment depends on how
    /// often the wait has doubled since and on little else, so that copies of a message are put off until
    /// the same one. `None`: what was remembered then has ended by itself.
    pub fn again(sent: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let elapsed = (now.millis() - sent.millis()).max(0);
        let waits = (0..DOUBLINGS).map(|doubled| FIRST_WAIT << doubled);
        let longest = FIRST_WAIT << DOUBLINGS;
        let wait = waits
            .take_while(|wait| *wait <= elapsed)
            .last()
            .unwrap_or(FIRST_WAIT);
        let wait = if elapsed >= longest { longest } else { wait };
        let due = (elapsed / wait + 1) * wait;
        (due <= LONGEST_LIFE).then(|| sent.plus(due))
    }
}

/// Whether caches may be wrong after a removal that ended so.
pub fn leaves_caches_stale(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Applied => true,
        // Nobody was assigned when it was sent, so it cannot have removed anybody. Any other removal that
        // comes too late may be one that was applied before its function died.
        Outcome::Superseded(reason) => reason != Reason::AlreadySo,
        Outcome::HandedOver
        | Outcome::Suppressed(_)
        | Outcome::Deferred(_)
        | Outcome::Refused(_)
        | Outcome::Dead(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_an_hour_and_ends_with_the_caches() {
        let sent = Timestamp::from_millis(1_795_247_323_120);
        let mut now = sent;
        let mut waits = Vec::new();
        while let Some(due) = ClearOwnerCaches::again(sent, now) {
            // Who fails a moment later is put off until the same moment.
            assert_eq!(ClearOwnerCaches::again(sent, now.plus(14_999)), Some(due));
            waits.push((due.millis() - now.millis()) / 1000);
            now = due;
        }
        assert_eq!(
            waits[..10],
            [15, 15, 30, 60, 120, 240, 480, 960, 1920, 3840]
        );
        assert!(waits[9..].iter().all(|wait| *wait == 3840), "{waits:?}");
        assert_eq!(waits.iter().sum::<i64>(), 22 * 3840);
        assert_eq!(ClearOwnerCaches::again(sent, sent.plus(LONGEST_LIFE)), None);
    }

    #[test]
    fn a_removal_that_may_have_been_applied_before_leaves_the_caches_stale() {
        use Outcome::{Applied, Superseded, Suppressed};
        for outcome in [
            Applied,
            Superseded(Reason::NewerDecision),
            Superseded(Reason::OlderRevision),
        ] {
            assert!(leaves_caches_stale(outcome), "{outcome:?}");
        }
        for outcome in [Superseded(Reason::AlreadySo), Suppressed(Reason::NoGroup)] {
            assert!(!leaves_caches_stale(outcome), "{outcome:?}");
        }
    }
}
