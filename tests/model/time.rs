//! The model's time and places.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The namespace of role, config and Secret.
pub const NAMESPACE: &str = "apps";

/// What the servers' clocks show at an instant of the model's.
pub fn at(instant: Duration) -> Timestamp {
    let since = i64::try_from(instant.as_secs()).expect("no more than ages");
    Timestamp::from_second(1_800_000_000 + since).expect("in range")
}

/// The same as an HTTP date, set wrong by so much.
pub fn date(instant: Duration, wrong_by: SignedDuration) -> String {
    let shown = at(instant) + wrong_by;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&shown).expect("a date")
}
