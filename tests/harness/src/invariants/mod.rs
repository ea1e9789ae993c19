//! Whether the invariants of a token's life held, decided after the fact from all that happened.
//!
//! A [`History`] is plain data: what TFC was asked and what became of each token, every write to the API server, and what of a
//! token's value was found where none may be. [`Recorder`] gathers one from a running test; tests of the checker write theirs by
//! hand. Each invariant is a pure function over it. A rule speaks up only where there is no order of events in which it held, so a
//! violation is never a matter of speed.

mod etcd;
mod expiry;
mod foreign;
mod gone;
mod history;
mod in_use;
mod leaks;
mod merge;
mod objects;
mod order;
mod recorder;
mod rest;
mod standing;
mod values;
mod watches;

use std::fmt;

use jiff::Timestamp;

pub use history::{
    Attempt, Dead, Delete, Event, History, Maker, Mint, Person, Record, Role, Secret, Spill, Status, Token, What,
};
pub use recorder::{Recorder, Rest};

/// What always has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// 1: nothing in use is revoked.
    InUse,
    /// 2: nothing leaks.
    Leak,
    /// 3: nothing foreign is touched.
    Foreign,
    /// 4: a token dies on time even if the operator does not run.
    Expiry,
    /// 5: a role that is gone leaves nothing alive.
    Gone,
    /// 6: no value of a token where none may be.
    Value,
    /// 7: quiet when there is nothing to do.
    Rest,
    /// The order of the protocol, which makes the others hold.
    Order,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// TFC's id of the token, where it is about one.
    pub token: Option<String>,
    /// When, on TFC's clock.
    pub at: Timestamp,
    /// Why not.
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { invariant, token, at, words } = self;
        write!(f, "{invariant:?}, {}, {at}: {words}", token.as_deref().unwrap_or("no token"))
    }
}

/// Every violation of every invariant, by time.
pub fn check(history: &History) -> Vec<Violation> {
    let rules = [
        in_use::check,
        leaks::check,
        foreign::check,
        expiry::check,
        gone::check,
        values::check,
        rest::check,
        order::check,
    ];
    let mut found: Vec<Violation> = rules.iter().flat_map(|rule| rule(history)).collect();
    found.sort_by_key(|violation| violation.at);
    found
}

/// All violations, each with what happened to its token, as a failed test prints them.
pub fn told(history: &History, violations: &[Violation]) -> String {
    let tell = |violation: &Violation| {
        let token = violation.token.as_deref().unwrap_or("no token");
        let about = |event: &&Event| format!("{:?}", event.what).contains(token);
        let story: String =
            history.events.iter().filter(about).map(|e| format!("    {} {:?}\n", e.at, e.what)).collect();
        format!("{violation}\n{story}")
    };
    violations.iter().map(tell).collect()
}
