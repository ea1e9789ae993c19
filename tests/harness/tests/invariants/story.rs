//! Histories, told in a few words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tfc_harness::invariants::{
    Attempt, Dead, Delete, Event, History, Invariant, Maker, Mint, Person, Record, Role, Secret, Token, What, check,
};

/// A history as it grows. Each event takes a second.
pub struct Story {
    pub history: History,
    roles: BTreeMap<&'static str, (Role, &'static str)>,
}

pub fn second(second: usize) -> Timestamp {
    Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
}

/// The expiry that an attempt asks for: another one each.
pub fn expiry(attempt: &str) -> Timestamp {
    second(1_000_000 + usize::from(*attempt.as_bytes().last().unwrap()))
}

impl Story {
    /// A role with its finalizer, of this subject, in the namespace `ns`. Its Secret has its name.
    pub fn of(name: &'static str, subject: &'static str) -> Story {
        let mut story = Story { history: History::default(), roles: BTreeMap::new() };
        story.comes(name, subject);
        story
    }

    /// The same, of a user; its first token is `at-1`.
    pub fn issued() -> Story {
        let mut story = Story::of("shop", "users/u");
        story.issues("shop", "a1", "at-1");
        story
    }

    /// The same, and its second is `at-2`.
    pub fn rotated() -> Story {
        let mut story = Story::issued();
        story.issues("shop", "a2", "at-2");
        story
    }

    /// The token `at-1` in the slot of an organization.
    pub fn slot() -> Story {
        let mut story = Story::of("org", "organizations/acme");
        story.issues("org", "a1", "at-1");
        story
    }

    pub fn happens(&mut self, what: What) {
        let at = second(self.history.events.len());
        self.history.events.push(Event { at, what });
        self.history.ended = second(self.history.events.len());
    }

    pub fn comes(&mut self, name: &'static str, subject: &'static str) {
        let full = format!("ns/{name}");
        let uid = format!("uid-{name}");
        let role = Role { name: full.clone(), uid, finalizer: true, secret: full, ..Role::default() };
        self.roles.insert(name, (role, subject));
        self.edits(name, |_| {});
    }

    /// A new version of a role.
    pub fn edits(&mut self, name: &'static str, edit: impl FnOnce(&mut Role)) {
        let (role, _) = self.roles.get_mut(name).unwrap();
        edit(role);
        let role = Box::new(role.clone());
        self.happens(What::Role(role));
    }

    pub fn record(&self, name: &str, attempt: &str, token: Option<&str>) -> Record {
        let subject = self.roles[name].1.to_owned();
        Record { attempt: attempt.into(), token: token.map(str::to_owned), subject, revoke_at: None }
    }

    /// The intent is written down.
    pub fn begins(&mut self, name: &'static str, attempt: &str) {
        self.begins_for(name, attempt, &[]);
    }

    /// The same, for wishes.
    pub fn begins_for(&mut self, name: &'static str, attempt: &str, wishes: &[(&str, &str)]) {
        let answers = wishes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let record = self.record(name, attempt, None);
        let intent = Attempt { record, requested_expiry: Some(expiry(attempt)), answers };
        self.edits(name, |role| role.status.intent = Some(intent));
    }

    /// A mint as it should be, of this attempt; and what it makes.
    pub fn mint(&self, name: &str, attempt: &str, token: &str) -> Mint {
        let mut mint = Mint { subject: self.roles[name].1.into(), made: vec![token.into()], ..Mint::default() };
        mint.attempt = (!mint.is_slot()).then(|| attempt.to_owned());
        mint.expiry = Some(expiry(attempt));
        mint
    }

    pub fn sends(&mut self, mint: Mint) {
        for token in &mint.made {
            self.knows(token, Maker::Operator, None);
        }
        self.happens(What::Mint(mint));
    }

    pub fn mints(&mut self, name: &str, attempt: &str, token: &str) {
        self.sends(self.mint(name, attempt, token));
    }

    /// Mints in a slot, which kills what was in it.
    pub fn mints_over(&mut self, name: &str, attempt: &str, token: &str, killed: &str) {
        self.sends(Mint { killed: vec![killed.into()], ..self.mint(name, attempt, token) });
    }

    /// TFC has this token.
    pub fn knows(&mut self, token: &str, maker: Maker, dead: Option<Dead>) {
        self.history.tokens.insert(token.into(), Token { maker, used: false, dead });
    }

    pub fn writes(&mut self, secret: &str, token: Option<&str>) {
        self.happens(What::Secret(Secret { name: format!("ns/{secret}"), holds: token.map(str::to_owned) }));
    }

    /// The token becomes the current one, and the former a predecessor; of a slot there is none.
    pub fn records(&mut self, name: &'static str, attempt: &str, token: &str) {
        let current = self.record(name, attempt, Some(token));
        let due = second(self.history.events.len());
        self.edits(name, |role| {
            let status = &mut role.status;
            let intent = status.intent.take();
            status.handled = intent.map(|intent| intent.answers).or(status.handled.take());
            let former = status.current.replace(current);
            let former = former.filter(|former| former.subject.starts_with("users/"));
            status.predecessors.extend(former.map(|former| Record { revoke_at: Some(due), ..former }));
        });
    }

    pub fn issues(&mut self, name: &'static str, attempt: &str, token: &str) {
        self.begins(name, attempt);
        self.mints(name, attempt, token);
        self.writes(name, Some(token));
        self.records(name, attempt, token);
    }

    /// The same in a slot.
    pub fn issues_over(&mut self, name: &'static str, attempt: &str, token: &str, killed: &str) {
        self.begins(name, attempt);
        self.mints_over(name, attempt, token, killed);
        self.writes(name, Some(token));
        self.records(name, attempt, token);
    }

    pub fn revokes(&mut self, token: &str) {
        self.happens(What::Delete(Delete { killed: vec![token.into()], unplaced: false }));
    }

    /// The current token leaves the Secret, and is recorded as due.
    pub fn withdraws(&mut self, name: &'static str) {
        self.happens(What::SecretGone(format!("ns/{name}")));
        let due = second(self.history.events.len());
        self.edits(name, |role| {
            let current = role.status.current.take().unwrap();
            role.status.predecessors.push(Record { revoke_at: Some(due), ..current });
        });
    }

    pub fn goes(&mut self, name: &str) {
        self.happens(What::RoleGone(format!("uid-{name}")));
    }

    pub fn settled(mut self) -> Story {
        self.history.settled = true;
        self
    }

    pub fn excused(mut self, act: Person) -> Story {
        self.history.people.push(act);
        self
    }

    /// Nothing is wrong with it.
    pub fn holds(&self) {
        assert_eq!(check(&self.history), Vec::new());
    }

    /// This alone is wrong with it, about this token.
    pub fn breaks(&self, invariant: Invariant, token: &str) {
        let found = check(&self.history);
        let found: Vec<_> = found.iter().map(|violation| (violation.invariant, violation.token.as_deref())).collect();
        assert_eq!(found, [(invariant, Some(token))]);
    }
}
