//! The log of calls.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

/// A call that came in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Call {
    /// Number of the call, from 0, in the order in which the server acted or refused.
    pub serial: u64,
    /// When, on the simulator's clock.
    pub at: Timestamp,
    /// Account id of the caller: a user's id, or that of the service user behind a team's or an organization's token.
    pub caller: Option<String>,
    /// Id of the token that authenticated it.
    pub token_id: Option<String>,
    /// The method.
    pub method: String,
    /// The route below `/api/v2`, with `:name` for what varies; `none` for an unknown path.
    pub route: &'static str,
    /// The path below `/api/v2` with its query.
    pub path: String,
    /// The status of the reply; none where the connection closed instead.
    pub status: Option<u16>,
    /// Whether the request reached the server's state.
    pub acted: bool,
    /// Of a call that was refused by the limit: after how many seconds the reply asked to come again.
    pub reset: Option<f64>,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// The client's `User-Agent`.
    pub agent: Option<String>,
    /// What a create asked for.
    pub sent: Option<Sent>,
    /// Ids of the tokens that it made.
    pub made: Vec<String>,
    /// Ids of the tokens that it revoked.
    pub killed: Vec<String>,
    /// The last stamp that had been given when it had acted; see [`Ledger::stamp_with`](super::Ledger::stamp_with).
    pub stamp: Option<u64>,
}

/// What a create asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sent {
    /// The description.
    pub description: Option<String>,
    /// The expiry.
    pub expired_at: Option<Timestamp>,
}

/// The last calls, as many as `capacity`.
#[derive(Debug)]
pub(crate) struct Log {
    next: u64,
    capacity: usize,
    calls: VecDeque<Call>,
}

impl Log {
    pub fn new(capacity: usize) -> Self {
        Self { next: 0, capacity: capacity.max(1), calls: VecDeque::new() }
    }

    pub fn push(&mut self, mut call: Call) -> u64 {
        call.serial = self.next;
        self.next += 1;
        if self.calls.len() == self.capacity {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
        self.next
    }

    /// Notes when a call was, by a clock of the test's.
    pub fn stamp(&mut self, serial: u64, stamp: u64) {
        let first = self.next - self.calls.len() as u64;
        let index = serial.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
            call.stamp = Some(stamp);
        }
    }

    pub fn count(&self) -> u64 {
        self.next
    }

    pub fn since(&self, serial: u64) -> impl Iterator<Item = &Call> {
        let first = self.next - self.calls.len() as u64;
        let skip = usize::try_from(serial.saturating_sub(first)).unwrap_or(usize::MAX);
        self.calls.iter().skip(skip)
    }
}
