//! Instants on CLOCK_BOOTTIME: a clock that never goes back and counts the time the machine or VM was suspended.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An instant on CLOCK_BOOTTIME of this machine; means nothing on another one, or after a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The present.
    pub fn now() -> BootInstant {
        let now = clock_gettime(ClockId::Boottime);
        // Neither part is ever negative: the clock starts at zero when the machine boots.
        BootInstant(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32))
    }

    /// Time since this instant, suspended time included; zero for one in the future.
    pub fn elapsed(self) -> Duration {
        BootInstant::now().saturating_since(self)
    }

    /// Time from `earlier` to this instant; zero where `earlier` is the later one.
    pub fn saturating_since(self, earlier: BootInstant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since the machine's start.
    pub fn since_boot(self) -> Duration {
        self.0
    }

    /// The instant `by` later, or the last one that can be named.
    pub fn saturating_add(self, by: Duration) -> BootInstant {
        BootInstant(self.0.saturating_add(by))
    }

    /// The instant `by` earlier, or the machine's start.
    pub fn saturating_sub(self, by: Duration) -> BootInstant {
        BootInstant(self.0.saturating_sub(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_and_saturates() {
        let first = BootInstant::now();
        let second = BootInstant::now();
        assert!(second >= first);
        assert_eq!(first.saturating_since(first.saturating_add(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(first.saturating_add(Duration::from_secs(7)).saturating_since(first), Duration::from_secs(7));
        assert_eq!(
            first.saturating_sub(Duration::MAX).saturating_add(Duration::MAX),
            first.saturating_add(Duration::MAX)
        );
    }
}
