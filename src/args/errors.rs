//! What flags can't be together.

use std::time::Duration;

use crate::duration::format_go_duration;

/// Flags that don't go together; each message names the flags and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A Lease holds whole seconds.
    #[error("--leader-elect-lease-duration is {}, but a Lease counts whole seconds; give at least 1s and no fraction", format_go_duration(*.0))]
    LeaseDuration(Duration),
    /// The leader must give up before the others take over.
    #[error(
        "--leader-elect-renew-deadline ({}) must be shorter than --leader-elect-lease-duration ({}); lower the first or raise the second",
        format_go_duration(*.renew_deadline), format_go_duration(*.lease_duration)
    )]
    RenewDeadline {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        lease_duration: Duration,
    },
    /// At least one retry must fit.
    #[error(
        "--leader-elect-retry-period ({}) must be longer than 0s and shorter than --leader-elect-renew-deadline ({}); lower the first or raise the second",
        format_go_duration(*.retry_period), format_go_duration(*.renew_deadline)
    )]
    RetryPeriod {
        /// As given.
        retry_period: Duration,
        /// As given.
        renew_deadline: Duration,
    },
    /// Without it a token could be revoked that a late write still brings into use.
    #[error("--settling-time must be longer than 0s; leave it away for 2m")]
    SettlingTime,
    /// The sweep would take the whole budget of an account.
    #[error("--sweep-interval is {}: give at least 1s, or leave it away for 1h", format_go_duration(*.0))]
    SweepInterval(Duration),
    /// Nothing can be done in no time.
    #[error("--timeout is {}: give at least 1s, or leave it away for 4m30s", format_go_duration(*.0))]
    UninstallTimeout(Duration),
}
