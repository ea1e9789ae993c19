//! 4: a token dies on time even if the operator does not run.

use super::history::{History, What};
use super::{Invariant, Violation};

/// Each mint sends an expiry.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for event in &history.events {
        if let What::Mint(mint) = &event.what
            && mint.expiry.is_none()
        {
            let words = format!("a mint for {} was sent without an expiry", mint.subject);
            let token = mint.made.first().cloned();
            found.push(Violation { invariant: Invariant::Expiry, token, at: event.at, words });
        }
    }
    found
}
