//! TFC's time, which alone decides what is due.
//!
//! A reply's `Date` and a clock that counts suspended time give it; the machine's wall clock is never asked. A `Date` was made between
//! the request and the reply and cut to the second, so each reply bounds the difference between the two clocks from both sides, and the
//! estimate is moved only as far as it has left those bounds. That keeps the seconds' granularity and slow replies out of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::boottime::BootInstant;

/// How far ahead of a reply's bounds the estimate may be before it is set back: several servers behind one name differ a little.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// A difference larger than this is believed only when a second reply says the same: one server or proxy with a wrong clock must not
/// make every token due.
const JUMP: SignedDuration = SignedDuration::from_secs(60);

/// TFC's time: the last `Date` seen plus the time since, on a clock that counts suspended time.
#[derive(Debug, Default)]
pub struct ServerClock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// TFC's time at the machine's boot.
    offset: Option<Timestamp>,
    /// Such an offset that differs greatly, until another reply agrees.
    doubtful: Option<Timestamp>,
}

impl ServerClock {
    /// A clock that knows no time yet.
    #[must_use]
    pub fn new() -> ServerClock {
        ServerClock::default()
    }

    /// TFC's present time; `None` until a `Date` was seen. It does not go backwards, but where the server's clock was set back.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        self.at(BootInstant::now())
    }

    /// Takes a reply's `Date` that was just received.
    pub fn observe(&self, date: Timestamp) {
        let now = BootInstant::now();
        self.observe_between(date, now, now);
    }

    /// Takes the `Date` of a reply that came at `received` to a request sent at `sent`.
    ///
    /// A difference of more than a minute to what is known so far is followed once a second reply confirms it.
    pub fn observe_between(&self, date: Timestamp, sent: BootInstant, received: BootInstant) {
        let (Some(earliest), Some(latest)) = (before(date, received), before(date, sent)) else { return };
        let Ok(latest) = latest.checked_add(SignedDuration::from_secs(1)) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = state.offset else {
            state.offset = Some(earliest);
            return;
        };
        let better = if known < earliest {
            earliest
        } else if known.duration_since(latest) > SLACK {
            latest
        } else {
            known
        };
        let near = |instant: Timestamp| instant.duration_since(better).abs() <= JUMP;
        if near(known) || state.doubtful.is_some_and(near) {
            state.offset = Some(better);
            state.doubtful = None;
        } else {
            state.doubtful = Some(better);
        }
    }

    fn at(&self, instant: BootInstant) -> Option<Timestamp> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.offset?.checked_add(signed(instant.since_boot())).ok()
    }
}

fn before(date: Timestamp, instant: BootInstant) -> Option<Timestamp> {
    date.checked_sub(signed(instant.since_boot())).ok()
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// An HTTP `Date` (RFC 9110, 5.6.7). The two obsolete forms are not taken: no server of this API sends them.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    /// A clock, and an instant from which the tests count.
    fn clock() -> (ServerClock, BootInstant) {
        (ServerClock::new(), BootInstant::now())
    }

    #[test]
    fn it_knows_nothing_until_a_date_was_seen() {
        let (clock, start) = clock();
        assert_eq!(clock.now(), None);
        clock.observe_between(at(0), start, start);
        assert_eq!(clock.at(start + Duration::from_secs(90)), Some(at(90)));
        assert!(clock.now() >= Some(at(0)));
    }

    #[test]
    fn the_seconds_that_dates_are_cut_to_never_set_it_back() {
        let (clock, start) = clock();
        let mut last = None;
        for tick in 0..200u32 {
            let true_time = Duration::from_millis(u64::from(tick) * 170);
            let instant = start + true_time;
            clock.observe_between(at(i64::try_from(true_time.as_secs()).expect("small")), instant, instant);
            let now = clock.at(instant);
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }

    #[test]
    fn a_slow_reply_does_not_set_it_back() {
        let (clock, start) = clock();
        clock.observe_between(at(100), start, start);
        clock.observe_between(at(100), start, start + Duration::from_secs(25));
        assert_eq!(clock.at(start + Duration::from_secs(25)), Some(at(125)));
    }

    #[test]
    fn a_small_correction_is_followed_at_once() {
        let (clock, start) = clock();
        clock.observe_between(at(0), start, start);
        clock.observe_between(at(20), start, start);
        assert_eq!(clock.at(start), Some(at(20)));
        clock.observe_between(at(0), start, start);
        assert_eq!(clock.at(start), Some(at(1)));
    }

    #[test]
    fn a_jump_is_followed_when_a_second_reply_confirms_it() {
        for jump in [3600, -3600] {
            let (clock, start) = clock();
            clock.observe_between(at(0), start, start);
            clock.observe_between(at(jump), start, start);
            assert_eq!(clock.at(start), Some(at(0)), "one reply alone is not believed");
            clock.observe_between(at(jump + 3600), start + HOUR, start + HOUR);
            let now = clock.at(start + HOUR).expect("known");
            assert!(now.duration_since(at(jump + 3600)).abs() <= SignedDuration::from_secs(1), "{now}");
        }
    }

    #[test]
    fn one_wrong_server_among_right_ones_is_never_believed() {
        let (clock, start) = clock();
        clock.observe_between(at(0), start, start);
        for _ in 0..5 {
            clock.observe_between(at(86_400), start, start);
            clock.observe_between(at(0), start, start);
        }
        assert_eq!(clock.at(start), Some(at(0)));
    }

    #[test]
    fn absurd_dates_do_no_harm() {
        let (clock, start) = clock();
        clock.observe_between(Timestamp::MIN, start, start);
        clock.observe_between(Timestamp::MAX, start, start);
        clock.observe_between(at(0), start, start);
        clock.observe_between(at(0), start, start);
        let now = clock.at(start);
        assert!(now.is_none_or(|now| now.duration_since(at(0)).abs() <= SignedDuration::from_secs(2)), "{now:?}");
    }

    #[test]
    fn http_dates() {
        let date = parse_http_date("Tue, 24 Nov 2026 08:49:37 GMT").expect("a date");
        assert_eq!(date.to_string(), "2026-11-24T08:49:37Z");
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
