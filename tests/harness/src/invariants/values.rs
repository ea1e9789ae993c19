//! 6: no value of a token where none may be.

use super::history::History;
use super::{Invariant, Violation};

/// No part of a value stands in a log, an event, a status or an annotation.
pub fn check(history: &History) -> Vec<Violation> {
    let invariant = Invariant::Value;
    let violation = |spill: &super::Spill| {
        let words = format!("part of its value stands in {}", spill.place);
        Violation { invariant, token: Some(spill.token.clone()), at: spill.at, words }
    };
    history.spills.iter().map(violation).collect()
}
