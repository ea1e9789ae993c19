//! Instants on a clock that goes on counting while the machine is suspended.
//!
//! `std::time::Instant` is `CLOCK_MONOTONIC` on Linux, which stands still during suspension: a lease or a token measured with it
//! looks younger than it is after a laptop's lid or a VM's pause. `CLOCK_BOOTTIME` (clock_gettime(2)) is monotonic and counts it.

use std::ops::Add;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point in time since boot, suspended time included. Meaningless in another boot or on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

/// The clock in the place of `CLOCK_BOOTTIME`: time since boot.
static CLOCK: OnceLock<fn() -> Duration> = OnceLock::new();

impl BootInstant {
    /// The present.
    #[must_use]
    pub fn now() -> BootInstant {
        BootInstant(CLOCK.get().map_or_else(boottime, |clock| clock()))
    }

    /// Has this process take another clock, once and for all, before anything asked for the time: for a model in which hours pass at once.
    pub fn use_clock(clock: fn() -> Duration) {
        CLOCK.get_or_init(|| clock);
    }

    /// Time that went by since this instant; zero if it lies ahead.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        BootInstant::now().saturating_duration_since(self)
    }

    /// Time from `earlier` to this instant; zero if `earlier` is the later one.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: BootInstant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since boot.
    #[must_use]
    pub fn since_boot(self) -> Duration {
        self.0
    }
}

fn boottime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Neither part is ever negative on this clock; the fallback is only there for the types.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Add<Duration> for BootInstant {
    type Output = BootInstant;

    /// The instant `after` later; the end of time where that overflows.
    fn add(self, after: Duration) -> BootInstant {
        BootInstant(self.0.saturating_add(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_forward_and_never_underflows() {
        let first = BootInstant::now();
        let later = first + Duration::from_secs(5);
        assert!(BootInstant::now() >= first);
        assert_eq!(later.saturating_duration_since(first), Duration::from_secs(5));
        assert_eq!(first.saturating_duration_since(later), Duration::ZERO);
        assert_eq!((first + Duration::from_secs(1 << 40)).elapsed(), Duration::ZERO);
        assert!(first + Duration::MAX > later);
    }
}
