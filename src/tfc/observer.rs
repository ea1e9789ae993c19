//! Who is told of each request, for metrics.

use std::time::Duration;

/// How a request ended, as far as HTTP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// A reply with this status.
    Status(u16),
    /// No connection.
    NotSent,
    /// No reply in time.
    TimedOut,
    /// The connection broke.
    Lost,
}

impl CallOutcome {
    /// A metric's label: the status, or a word.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            CallOutcome::Status(status) => status.to_string(),
            CallOutcome::NotSent => "not_sent".to_owned(),
            CallOutcome::TimedOut => "timed_out".to_owned(),
            CallOutcome::Lost => "lost".to_owned(),
        }
    }
}

/// Is told of each request that was made.
pub trait Observer: Send + Sync {
    /// `route` is the path's template, the same for all ids; `took` does not count the wait for the budget.
    fn call(&self, route: &'static str, method: &'static str, outcome: CallOutcome, took: Duration);
}

/// Ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn call(&self, _: &'static str, _: &'static str, _: CallOutcome, _: Duration) {}
}
