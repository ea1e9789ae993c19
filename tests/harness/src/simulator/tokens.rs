//! Every token ever made. Values are kept as digests only: what is not held can't be printed.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::traces::Traces;
use super::world::TokenValue;

/// A token as tests see it. It has no value in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenView {
    /// The id, `at-…`.
    pub id: String,
    /// The kind.
    pub kind: TokenKind,
    /// Id of the user or the team, or the organization's external id.
    pub subject: String,
    /// The description.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires.
    pub expired_at: Option<Timestamp>,
    /// Account id of the caller that made it; `seed` for what existed at the start, `person` for a person's action.
    pub made_by: String,
    /// First call that it authenticated.
    pub first_used_at: Option<Timestamp>,
    /// Last call that it authenticated.
    pub last_used_at: Option<Timestamp>,
    /// What became of it.
    pub fate: Fate,
}

impl TokenView {
    /// Neither revoked nor expired.
    pub fn is_alive(&self) -> bool {
        self.fate == Fate::Alive
    }

    /// Made by a call or a person after the start.
    pub fn is_minted(&self) -> bool {
        self.made_by != SEED
    }
}

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// One of a user's tokens.
    User,
    /// One of a team's many tokens.
    Team,
    /// The team's one token without a description.
    TeamLegacy,
    /// The organization's one token.
    Organization,
    /// The organization's one token for audit trails.
    AuditTrails,
}

impl TokenKind {
    /// Name in a lifetime policy.
    pub(crate) fn policy_type(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team | Self::TeamLegacy => "team",
            Self::Organization => "organization",
            Self::AuditTrails => "audit_trails",
        }
    }

    /// One of its kind: a new one replaces it.
    pub fn is_slot(self) -> bool {
        matches!(self, Self::TeamLegacy | Self::Organization | Self::AuditTrails)
    }
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It works.
    Alive,
    /// It was revoked.
    Revoked {
        /// When.
        at: Timestamp,
        /// Account id of the caller, or `person`.
        by: String,
        /// How.
        how: Revocation,
    },
    /// Its time ran out.
    Expired {
        /// When.
        at: Timestamp,
    },
}

/// Ways for a token to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revocation {
    /// A DELETE by id or path.
    Delete,
    /// A create in its slot.
    SlotReplaced,
    /// A person on the web pages.
    Person,
}

/// `made_by` of what existed at the start.
pub(crate) const SEED: &str = "seed";
/// `made_by` and `by` of what a person does on the web pages.
pub(crate) const PERSON: &str = "person";

/// A token of the store.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub id: String,
    pub kind: TokenKind,
    pub subject: String,
    /// External id of the organization, for team and organization tokens.
    pub organization: Option<String>,
    pub description: Option<String>,
    pub created_at: Timestamp,
    pub expired_at: Option<Timestamp>,
    pub made_by: String,
    /// `created-by` as replies give it: id and type.
    pub created_by: Option<(String, &'static str)>,
    pub first_used_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    revoked: Option<(Timestamp, String, Revocation)>,
}

impl Token {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expired_at.is_some_and(|at| at <= now)
    }

    pub fn is_revoked(&self) -> bool {
        self.revoked.is_some()
    }

    pub fn is_seeded(&self) -> bool {
        self.made_by == SEED
    }

    pub fn view(&self, now: Timestamp) -> TokenView {
        let fate = match (&self.revoked, self.expired_at) {
            (Some((at, by, how)), _) => Fate::Revoked { at: *at, by: by.clone(), how: *how },
            (None, Some(at)) if at <= now => Fate::Expired { at },
            _ => Fate::Alive,
        };
        TokenView {
            id: self.id.clone(),
            kind: self.kind,
            subject: self.subject.clone(),
            description: self.description.clone(),
            created_at: self.created_at,
            expired_at: self.expired_at,
            made_by: self.made_by.clone(),
            first_used_at: self.first_used_at,
            last_used_at: self.last_used_at,
            fate,
        }
    }
}

/// What a new token is made from.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub kind: TokenKind,
    pub subject: String,
    pub organization: Option<String>,
    pub description: Option<String>,
    pub created_at: Timestamp,
    pub expired_at: Option<Timestamp>,
    pub made_by: String,
    pub created_by: Option<(String, &'static str)>,
}

/// What happened to tokens, by id.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub made: Vec<String>,
    pub killed: Vec<String>,
}

/// Position of a token in the store; never reused.
pub(crate) type Serial = usize;

/// All tokens with the indexes that keep each call cheap.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    all: Vec<Token>,
    by_id: HashMap<String, Serial>,
    by_digest: HashMap<[u8; 32], Serial>,
    /// Not revoked, oldest first.
    by_subject: HashMap<String, Vec<Serial>>,
    /// Team tokens of an organization, not revoked, oldest first.
    by_organization: HashMap<String, Vec<Serial>>,
    /// Holder of a team's description.
    descriptions: HashMap<(String, String), Serial>,
    traces: Traces,
    /// How many did not exist at the start.
    minted: usize,
    /// What happened since it was last asked.
    changes: Changes,
}

impl Tokens {
    pub fn get(&self, serial: Serial) -> &Token {
        &self.all[serial]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.all.iter()
    }

    /// How many there are beside those that existed at the start.
    pub fn minted_count(&self) -> usize {
        self.minted
    }

    /// By id, unless revoked.
    pub fn find(&self, id: &str) -> Option<Serial> {
        self.by_id.get(id).copied().filter(|serial| !self.all[*serial].is_revoked())
    }

    /// By id, also when dead.
    pub fn ever(&self, id: &str) -> Option<&Token> {
        self.by_id.get(id).map(|serial| &self.all[*serial])
    }

    /// By value, also when dead.
    pub fn of_value(&self, value: &str) -> Option<Serial> {
        self.by_digest.get(&digest(value)).copied()
    }

    /// Tokens of a subject that are not revoked, oldest first.
    pub fn of_subject(&self, subject: &str) -> &[Serial] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Team tokens of an organization that are not revoked, oldest first.
    pub fn of_organization(&self, external_id: &str) -> &[Serial] {
        self.by_organization.get(external_id).map_or(&[], Vec::as_slice)
    }

    /// The token in a slot.
    pub fn in_slot(&self, kind: TokenKind, subject: &str) -> Option<Serial> {
        self.of_subject(subject).iter().copied().find(|serial| self.all[*serial].kind == kind)
    }

    pub fn holder_of_description(&self, team: &str, description: &str) -> Option<&Token> {
        self.descriptions.get(&(team.to_owned(), description.to_owned())).map(|serial| &self.all[*serial])
    }

    /// Tokens of whose value a part stands in the text.
    pub fn traced_in(&self, text: &str) -> impl Iterator<Item = &Token> {
        self.traces.find(text).into_iter().map(|serial| &self.all[serial])
    }

    /// What happened since the last time.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub fn used(&mut self, serial: Serial, now: Timestamp) {
        let token = &mut self.all[serial];
        token.first_used_at.get_or_insert(now);
        token.last_used_at = Some(now);
    }

    pub fn add(&mut self, new: NewToken, value: &TokenValue) -> Serial {
        let serial = self.all.len();
        let id = format!("at-{}", random_text(16));
        self.by_id.insert(id.clone(), serial);
        self.by_digest.insert(digest(value.expose()), serial);
        self.traces.add(value.expose(), serial);
        self.changes.made.push(id.clone());
        self.minted += usize::from(new.made_by != SEED);
        self.by_subject.entry(new.subject.clone()).or_default().push(serial);
        if matches!(new.kind, TokenKind::Team | TokenKind::TeamLegacy) {
            if let Some(organization) = &new.organization {
                self.by_organization.entry(organization.clone()).or_default().push(serial);
            }
            if let Some(description) = &new.description {
                self.descriptions.insert((new.subject.clone(), description.clone()), serial);
            }
        }
        self.all.push(Token {
            id,
            kind: new.kind,
            subject: new.subject,
            organization: new.organization,
            description: new.description,
            created_at: new.created_at,
            expired_at: new.expired_at,
            made_by: new.made_by,
            created_by: new.created_by,
            first_used_at: None,
            last_used_at: None,
            revoked: None,
        });
        serial
    }

    pub fn revoke(&mut self, serial: Serial, now: Timestamp, by: &str, how: Revocation) {
        let token = &mut self.all[serial];
        if token.is_revoked() {
            return;
        }
        token.revoked = Some((now, by.to_owned(), how));
        self.changes.killed.push(token.id.clone());
        if let Some(list) = self.by_subject.get_mut(&token.subject) {
            remove(list, serial);
        }
        if let Some(list) = token.organization.as_ref().and_then(|o| self.by_organization.get_mut(o)) {
            remove(list, serial);
        }
        if let Some(description) = &token.description {
            let key = (token.subject.clone(), description.clone());
            if self.descriptions.get(&key) == Some(&serial) {
                self.descriptions.remove(&key);
            }
        }
    }
}

/// Serials are pushed in rising order, so the list is sorted.
fn remove(list: &mut Vec<Serial>, serial: Serial) {
    if let Ok(at) = list.binary_search(&serial) {
        list.remove(at);
    }
}

/// A fresh value in the form of the documentation's samples: 14 characters, `.atlasv1.`, 67 characters.
pub(crate) fn random_value() -> TokenValue {
    TokenValue::new(format!("{}.atlasv1.{}", random_text(14), random_text(67)))
}

/// Random letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = vec![0; length];
    let mut text = String::with_capacity(length);
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's randomness uniqueness is all that can be had; a simulator needs no more.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let _ = write!(text, "{next:0length$}");
        return text;
    }
    text.extend(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])));
    text
}

fn digest(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}
