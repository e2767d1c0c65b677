//! How often the whole mirror may be written.

use std::time::{Duration, Instant};

/// Between two rebuilds: doubled each time, up to the longest, while keys keep getting lost.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);

/// The pause between rebuilds. A mirror that stayed whole for a while is rebuilt at once. One that is lost
/// repeatedly (its keys are evicted, or Redis is full) is rebuilt less and less often, because each rebuild
/// writes every job.
pub(super) struct Pause {
    length: Duration,
    /// No rebuild starts before this time.
    until: Instant,
}

impl Default for Pause {
    fn default() -> Self {
        Self { length: SHORTEST, until: Instant::now() }
    }
}

impl Pause {
    /// Whether a rebuild may start now; if so, the next pause begins.
    pub fn may_start(&mut self) -> bool {
        self.may_start_at(Instant::now())
    }

    fn may_start_at(&mut self, now: Instant) -> bool {
        if now < self.until {
            return false;
        }
        if now > self.until + self.length * 4 {
            self.length = SHORTEST;
        }
        self.until = now + self.length;
        self.length = (self.length * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_keeps_getting_lost_is_rebuilt_less_and_less_often() {
        let mut pause = Pause::default();
        let start = pause.until;
        let mut rebuilds = Vec::new();
        for second in 0..600 {
            if pause.may_start_at(start + Duration::from_secs(second)) {
                rebuilds.push(second);
            }
        }
        assert_eq!(rebuilds, [0, 1, 3, 7, 15, 31, 63, 127, 247, 367, 487]);
        // Whole for a long time, then wiped: at once.
        assert!(pause.may_start_at(start + Duration::from_secs(6_000)));
        assert!(pause.may_start_at(start + Duration::from_secs(6_001)));
    }
}
