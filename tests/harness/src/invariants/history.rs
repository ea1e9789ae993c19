//! What happened: plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// All that happened between one operator (its replicas and restarts included), TFC and the API server.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every token that TFC ever had, by id.
    pub tokens: BTreeMap<String, Token>,
    /// In order. A call to TFC stands after every write that was committed before its reply.
    pub events: Vec<Event>,
    /// Parts of values found where none may be.
    pub spills: Vec<Spill>,
    /// What people did that excuses something.
    pub people: Vec<Person>,
    /// The end is one at rest: what is under way then is lost.
    pub settled: bool,
    /// When it ends, on TFC's clock.
    pub ended: Timestamp,
}

/// A token, as TFC knows it at the end.
#[derive(Clone, Debug)]
pub struct Token {
    /// Who made it.
    pub maker: Maker,
    /// It has authenticated a call.
    pub used: bool,
    /// How it died, but for what the operator did: that is an event.
    pub dead: Option<Dead>,
}

/// Who made a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A call of the operator.
    Operator,
    /// Anybody else.
    Other,
}

/// A death that is not the operator's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Its time ran out.
    Expired(Timestamp),
    /// A person revoked it, or another client did.
    ByOthers(Timestamp),
}

impl Dead {
    /// Since when.
    pub fn at(self) -> Timestamp {
        match self {
            Dead::Expired(at) | Dead::ByOthers(at) => at,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, on TFC's clock.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum What {
    /// The operator asked TFC for a token.
    Mint(Mint),
    /// The operator asked TFC to delete a token.
    Delete(Delete),
    /// TFC answered that the token of this id is not there.
    Denied(String),
    /// The operator asked TFC something else: method and path.
    Asked(String),
    /// A version of a role was written.
    Role(Box<Role>),
    /// The role of this UID is gone.
    RoleGone(String),
    /// A version of a Secret was written.
    Secret(Secret),
    /// The Secret of this name (`NAMESPACE/NAME`) is gone.
    SecretGone(String),
    /// Another object was written: its kind, and `NAMESPACE/NAME`.
    Other(&'static str, String),
    /// From here on some writes were not seen, since the store had forgotten them; of what.
    Lapse(String),
    /// From here on there is nothing to do.
    RestBegan,
    /// To here.
    RestEnded,
}

/// A mint, as it reached TFC.
#[derive(Clone, Debug, Default)]
pub struct Mint {
    /// Whom the token is to act for, in the words of a record's subject.
    pub subject: String,
    /// The attempt that the description's marker names; a slot has none.
    pub attempt: Option<String>,
    /// The `expired-at` that was sent.
    pub expiry: Option<Timestamp>,
    /// Ids of the tokens that were made.
    pub made: Vec<String>,
    /// Ids of the tokens that died by it: what was in the slot.
    pub killed: Vec<String>,
    /// The network delivered it twice.
    pub doubled: bool,
}

impl Mint {
    /// The subject has one token only.
    pub fn is_slot(&self) -> bool {
        self.subject.starts_with("organizations/") || self.subject.ends_with("/legacy")
    }
}

/// A delete, as it reached TFC.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Ids of the tokens that died by it.
    pub killed: Vec<String>,
    /// It may have been before writes that stand before it here: the store was away, and could not say.
    pub unplaced: bool,
}

/// A version of a role.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// It carries the operator's finalizer.
    pub finalizer: bool,
    /// `deletionPolicy: Retain`.
    pub retain: bool,
    /// `slot.ifOccupied: Replace`.
    pub replace: bool,
    /// Its Secret, `NAMESPACE/NAME`.
    pub secret: String,
    /// Reasons of its conditions.
    pub says: Vec<String>,
    /// Its records.
    pub status: Status,
}

/// The records of a role's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The attempt under way.
    pub intent: Option<Attempt>,
    /// The token in the Secret.
    pub current: Option<Record>,
    /// Former ones that still live.
    pub predecessors: Vec<Record>,
    /// Attempts of unknown fate.
    pub unsettled: Vec<Attempt>,
    /// Wishes that have been answered.
    pub handled: Option<BTreeMap<String, String>>,
}

/// A record of a token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The attempt that made it.
    pub attempt: String,
    /// TFC's id.
    #[serde(rename = "tokenID")]
    pub token: Option<String>,
    /// Whom it acts for.
    pub subject: String,
    /// When it is to be revoked.
    pub revoke_at: Option<Timestamp>,
}

/// An attempt to mint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempt {
    /// The token to be.
    #[serde(flatten)]
    pub record: Record,
    /// The exact expiry to be sent.
    pub requested_expiry: Option<Timestamp>,
    /// The wishes that it answers.
    pub answers: BTreeMap<String, String>,
}

/// A version of a Secret.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Id of the token whose value stands under `token`.
    pub holds: Option<String>,
}

/// Part of a token's value where none may be.
#[derive(Clone, Debug)]
pub struct Spill {
    /// Whose.
    pub token: String,
    /// Where it was found.
    pub place: String,
    /// When it was found.
    pub at: Timestamp,
}

/// What a person or a tenant did, and the test says so. It excuses as little as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// Put a token's value into this Secret (`NAMESPACE/NAME`), or its name into the Secret's record.
    WroteSecret(String),
    /// Wiped the status of this role (`NAMESPACE/NAME`), or restored one of another day.
    WipedStatus(String),
    /// Took the finalizer off this role, or deleted it by force.
    StrippedFinalizer(String),
    /// Told the operator to give up what it can't prove of this role.
    Abandoned(String),
    /// Took the slot of this role between the operator's look and its mint, which nobody can prevent.
    RacedForSlot(String),
}

impl History {
    /// Whether a person did this.
    pub fn excused(&self, act: &Person) -> bool {
        self.people.contains(act)
    }

    /// Whether a token was dead by then, by other than the operator's doing or by a delete whose place is not known.
    pub fn died_by_then(&self, token: &str, then: Timestamp) -> bool {
        let by_itself = self.tokens.get(token).and_then(|token| token.dead).is_some_and(|dead| dead.at() <= then);
        let unplaced = |event: &Event| match &event.what {
            What::Delete(delete) => delete.unplaced && event.at <= then && delete.killed.iter().any(|id| id == token),
            _ => false,
        };
        by_itself || self.events.iter().any(unplaced)
    }
}
