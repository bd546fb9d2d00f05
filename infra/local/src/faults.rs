//! Which requests of a local world go wrong on purpose.
//!
//! It exists so that a server fails the same requests in every run with the same seed, however its
//! clients interleave. It must not know what going wrong means, nor what a request is.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Decides try by try. A draw is a pure function of the seed, the operation, the request and how
/// often the same request was tried before: other requests do not change it, and a retry is a new one.
#[derive(Debug)]
pub(crate) struct Draws {
    seed: u64,
    tried: HashMap<u64, u64>,
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws {
            seed,
            tried: HashMap::new(),
        }
    }

    /// Counts one more try, and gives a number if it is one of those that go wrong. `request` has to
    /// be the same text for the same request.
    pub(crate) fn draw(&mut self, rate: f64, operation: &str, request: &str) -> Option<u64> {
        let request = hash((self.seed, operation, request));
        let times = self.tried.entry(request).or_default();
        *times += 1;
        let number = |salt: u8| hash((request, *times, salt));
        // The upper 53 bits fit a float exactly and make it a number from 0 to 1.
        let hit = ((number(0) >> 11) as f64) < rate * (1_u64 << 53) as f64;
        hit.then(|| number(1))
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
