//! What a list says beside what the records say. No IO.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ripe_in;
use crate::controller::slim::Slim;
use crate::marker::role_hash;
use crate::walks::Marked;

/// A walk under way.
pub struct Survey {
    now: Timestamp,
    settling: SignedDuration,
    roles: HashMap<String, Seen>,
    verdict: Verdict,
}

struct Seen {
    role: Arc<Slim>,
    /// Its tokens are in this list.
    listed: bool,
    /// Its current token was seen.
    present: bool,
    suspect: bool,
}

/// What came of a walk.
#[derive(Default)]
pub struct Verdict {
    /// Roles that have to look at their tokens.
    pub suspects: Vec<Arc<Slim>>,
    /// Tokens of roles that are nowhere, never used, and older than a late write.
    pub orphans: Vec<Marked>,
    /// Tokens with our marker in the list.
    pub listed: usize,
    /// Of those, in use and in no record: they are left to their expiry.
    pub unknown: usize,
    /// When the youngest that could not be judged yet can be.
    pub ripe_in: Option<Duration>,
}

impl Survey {
    /// `listed` are the roles whose tokens the list shows.
    pub fn new(
        now: Timestamp,
        settling: SignedDuration,
        all: impl Iterator<Item = Arc<Slim>>,
        listed: impl Iterator<Item = Arc<Slim>>,
    ) -> Self {
        let hash = |role: &Slim| role_hash(role.metadata.uid.as_deref().unwrap_or_default());
        let seen = |role: Arc<Slim>| (hash(&role), Seen { role, listed: false, present: false, suspect: false });
        let mut roles: HashMap<String, Seen> = all.map(seen).collect();
        for role in listed {
            if let Some(seen) = roles.get_mut(&hash(&role)) {
                seen.listed = true;
            }
        }
        Self { now, settling, roles, verdict: Verdict::default() }
    }

    /// Takes one token of the list. `told` says whether people know of one that is in use.
    pub fn see(&mut self, token: Marked, told: impl Fn(&str) -> bool) {
        self.verdict.listed += 1;
        let role = self.roles.get_mut(&token.role);
        if let Some(seen) = &role
            && let Some(tokens) = &seen.role.tokens
            && tokens.explain(&token.id, &token.attempt)
        {
            let current = tokens.is_current(&token.id);
            if let Some(seen) = role {
                seen.present |= current;
            }
            return;
        }
        // TFC may go on to list what its clock has ended.
        if token.expires_at.is_some_and(|end| end <= self.now) {
            return;
        }
        if let Some(wait) = ripe_in(token.issued_at, self.settling, self.now) {
            self.verdict.ripe_in = Some(self.verdict.ripe_in.map_or(wait, |soonest| soonest.min(wait)));
            return;
        }
        self.verdict.unknown += usize::from(token.used);
        match role {
            Some(seen) => seen.suspect |= !(token.used && told(&token.id)),
            None if token.used => {}
            None => self.verdict.orphans.push(token),
        }
    }

    /// After the last page.
    pub fn conclude(self) -> Verdict {
        let missing = |seen: &Seen| {
            let has_one = seen.role.tokens.as_ref().is_some_and(|tokens| tokens.current.is_some());
            seen.listed && has_one && !seen.present
        };
        let suspects = self.roles.into_values().filter(|seen| seen.suspect || missing(seen)).map(|seen| seen.role);
        Verdict { suspects: suspects.collect(), ..self.verdict }
    }
}
