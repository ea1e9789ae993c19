//! What stands at a moment of a history.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Attempt, Event, History, Mint, Role, Secret, Status, What};

/// What stands, and what can be told of the past.
#[derive(Default)]
pub(super) struct Standing<'a> {
    /// Roles by UID, in their latest version.
    pub roles: BTreeMap<&'a str, &'a Role>,
    /// Secrets by name, in their latest version.
    pub secrets: BTreeMap<&'a str, &'a Secret>,
    /// Every attempt that was ever an intent: its role, in the version that said so, and the intent.
    pub intents: BTreeMap<&'a str, (&'a Role, &'a Attempt)>,
    /// Tokens that the operator made: the attempt of each, as far as it was written down.
    pub made: BTreeMap<&'a str, Option<&'a str>>,
    /// Tokens of requests that the network delivered twice.
    pub doubled: BTreeSet<&'a str>,
    /// Tokens that the operator revoked.
    pub killed: BTreeMap<&'a str, Killer>,
    /// Tokens that once stood in a Secret.
    pub held: BTreeSet<&'a str>,
    /// Tokens that once were a role's current one.
    pub current: BTreeSet<&'a str>,
    /// UIDs of the roles that have once had a token.
    pub served: BTreeSet<&'a str>,
    /// The role of each attempt that any record ever named.
    pub owners: BTreeMap<&'a str, &'a Role>,
    /// Tokens of which a role has said that it can't prove their revocation.
    pub unproven: BTreeSet<&'a str>,
    /// Writes were missed.
    pub lapsed: bool,
    /// What roles had handled when they said that somebody else has the slot, by UID.
    pub told: BTreeMap<&'a str, &'a Status>,
}

/// What a token of ours died of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Killer {
    /// A delete.
    Delete,
    /// A mint in its slot.
    Mint,
}

impl<'a> Standing<'a> {
    /// The attempt that a mint belongs to: by its marker or, in a slot, by the exact expiry.
    pub fn attempt_of(&self, mint: &'a Mint) -> Option<&'a str> {
        if !mint.is_slot() {
            return mint.attempt.as_deref();
        }
        let ours = |(_, attempt): &&(&Role, &Attempt)| {
            attempt.record.subject == mint.subject
                && attempt.requested_expiry.is_some()
                && attempt.requested_expiry == mint.expiry
        };
        self.intents.values().find(ours).map(|(_, attempt)| attempt.record.attempt.as_str())
    }

    /// The role, as it was when it wrote down the attempt that made a token.
    pub fn role_of_token(&self, token: &str) -> Option<&'a Role> {
        let attempt = (*self.made.get(token)?)?;
        self.owners.get(attempt).copied()
    }

    /// Names of the Secrets that hold a token.
    pub fn holders(&self, token: &str) -> Vec<&'a str> {
        let holds = |secret: &&&Secret| secret.holds.as_deref() == Some(token);
        self.secrets.values().filter(holds).map(|secret| secret.name.as_str()).collect()
    }

    fn apply(&mut self, event: &'a Event) {
        match &event.what {
            What::Mint(mint) => {
                let attempt = self.attempt_of(mint);
                for token in &mint.made {
                    self.made.insert(token, attempt);
                    if mint.doubled {
                        self.doubled.insert(token);
                    }
                }
                self.killed.extend(mint.killed.iter().map(|token| (token.as_str(), Killer::Mint)));
            }
            What::Delete(delete) => {
                self.killed.extend(delete.killed.iter().map(|token| (token.as_str(), Killer::Delete)));
            }
            What::Role(role) => self.apply_role(role),
            What::RoleGone(uid) => {
                self.roles.remove(uid.as_str());
            }
            What::Secret(secret) => {
                self.held.extend(secret.holds.as_deref());
                self.secrets.insert(&secret.name, secret);
            }
            What::SecretGone(name) => {
                self.secrets.remove(name.as_str());
            }
            What::Lapse(_) => self.lapsed = true,
            What::Denied(_) | What::Asked(_) | What::Other(..) | What::RestBegan | What::RestEnded => {}
        }
    }

    fn apply_role(&mut self, role: &'a Role) {
        let status = &role.status;
        let open = status.intent.iter().chain(&status.unsettled).map(|attempt| &attempt.record);
        for record in open.chain(&status.current).chain(&status.predecessors) {
            self.owners.entry(&record.attempt).or_insert(role);
        }
        if let Some(intent) = &role.status.intent {
            // The first version that names it: later ones are the same attempt.
            self.intents.entry(&intent.record.attempt).or_insert((role, intent));
        }
        if let Some(current) = &role.status.current {
            self.served.insert(&role.uid);
            self.current.extend(current.token.as_deref());
        }
        let says = |reason: &str| role.says.iter().any(|said| said == reason);
        if says("RevocationUnproven") {
            self.unproven.extend(status.predecessors.iter().filter_map(|record| record.token.as_deref()));
        }
        if says("TakenOver") || says("SlotOccupied") {
            self.told.entry(&role.uid).or_insert(&role.status);
        } else {
            let former = self.roles.get(role.uid.as_str()).and_then(|former| former.status.current.as_ref());
            if role.status.current.as_ref() != former {
                self.told.remove(role.uid.as_str());
            }
        }
        self.roles.insert(&role.uid, role);
    }
}

impl History {
    /// Goes through all events; `look` sees what stands just before each. What stands at the end.
    pub(super) fn replay<'a>(&'a self, mut look: impl FnMut(&Standing<'a>, &'a Event)) -> Standing<'a> {
        let mut standing = Standing::default();
        for event in &self.events {
            look(&standing, event);
            standing.apply(event);
        }
        standing
    }
}
