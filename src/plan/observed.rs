//! Everything the decision is made from: plain data, gathered by `observe`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::api::config::{AllowEntry, ResolvedTeam};
use crate::api::{ConfigReason, Pending, SecretRecord, TerraformCloudRole, Workload};
use crate::marker::Installation;

/// One role and all that bears on it, at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The role as the API server holds it.
    pub role: TerraformCloudRole,
    /// Its namespace is being deleted: no mint, no Secret.
    pub namespace_going: bool,
    /// Labels of its namespace; `None` where the operator may not read them.
    pub namespace_labels: Option<BTreeMap<String, String>>,
    /// The operator may not read namespaces at all: entries that look beyond the config's own admit nobody.
    pub namespaces_hidden: bool,
    /// The config that it names.
    pub config: Option<Config>,
    /// The Secret that it names, as the API server holds it.
    pub secret: Secret,
    /// What earlier steps of this round found out or did.
    pub facts: Facts,
    /// The last failure of this role, until it may be tried again.
    pub trouble: Option<Trouble>,
    /// TFC's time at the config's host; `None` until a reply carried it.
    pub now: Option<Timestamp>,
    /// The API server's time; only ever used to forget what expired long ago.
    pub api_now: Option<Timestamp>,
    /// Wall clock, for the times of conditions alone.
    pub wall: Timestamp,
    /// Fresh randomness, used by at most one attempt.
    pub nonce: Nonce,
    /// This installation, as it stands in markers.
    pub installation: Installation,
    /// How long a request that got no reply may still land.
    pub settling_time: SignedDuration,
    /// Workloads that ask for it are restarted with each new token.
    pub restarts: bool,
    /// A sweep found something at TFC that the records do not explain: it has to be looked at.
    pub swept: bool,
}

/// Fresh randomness for one attempt.
#[derive(Clone, Debug)]
pub struct Nonce {
    /// Name of the attempt.
    pub attempt: String,
    /// Offset in seconds, 0..3600: makes a slot's requested expiry tell whose mint it was.
    pub seconds: i64,
}

/// What a role can see of its config.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of the config.
    pub namespace: String,
    /// Name of the config.
    pub name: String,
    /// It is being deleted: nothing new is admitted.
    pub deleting: bool,
    /// Host of its address, with a port that is not 443.
    pub host: String,
    /// `spec.allow`.
    pub allow: Option<Vec<AllowEntry>>,
    /// Teams that TFC showed to this account.
    pub teams: Vec<ResolvedTeam>,
    /// `spec.defaultTTL`.
    pub default_ttl: SignedDuration,
    /// `spec.maxTTL`.
    pub max_ttl: SignedDuration,
    /// `spec.revocationGracePeriod`.
    pub grace: SignedDuration,
    /// Value of the annotation `revoke` on the config.
    pub revoke_wish: Option<String>,
    /// The annotation `abandon-unproven` is set.
    pub abandon_unproven: bool,
    /// The account behind its token, or why it can't be used.
    pub account: Result<Account, Unready>,
}

/// The account behind a config's token, as TFC confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// TFC's id of the (service) user.
    pub id: String,
    /// What it is.
    pub kind: AccountKind,
    /// Id of the token that the config uses, where TFC shows it.
    pub token_id: Option<String>,
}

/// What an account is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A person's or a machine's user.
    User,
    /// A team's service account: the team's id.
    Team(String),
    /// An organization's service account: the organization's name.
    Organization(String),
}

/// Why a config can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// Reason of the config's `Ready` condition.
    pub reason: Option<ConfigReason>,
}

/// The Secret of the role's choice.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, in a round")]
#[derive(Clone, Debug, PartialEq)]
pub enum Secret {
    /// None of that name.
    Absent,
    /// One that is not this role's.
    Foreign,
    /// One that is.
    Ours(OurSecret),
}

/// A Secret whose controller is this role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OurSecret {
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion as observed.
    pub resource_version: String,
    /// Its record; `None` where someone removed or broke it.
    pub record: Option<SecretRecord>,
    /// A slot's mint was announced; `None` where it was not, or someone broke the words.
    pub pending: Option<Pending>,
    /// It was read whole at this resourceVersion and found in order, or this process wrote it so.
    pub verified: bool,
}

/// What earlier steps of this round found out or did. Nothing here outlives the round.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The attempt whose intent this round has written and whose mint it has not sent.
    pub begun: Option<String>,
    /// The attempt that this round minted and whose Secret it wrote, with what TFC's reply said. Not set where a try of that write
    /// got no answer: it may land once more.
    pub minted: Option<String>,
    /// The slot's Lease.
    pub reservation: Option<Reservation>,
    /// The Secret was dry-run, or claimed, for the attempt begun. Each Issue forgets it.
    pub claimed: bool,
    /// The API server would take the Secret: a dry run in this round says so.
    pub rehearsed: bool,
    /// What the slot holds. Each Issue and each Revoke forgets it: it is out of date.
    pub slot: Option<SlotLook>,
    /// The value in the Secret is not the one recorded.
    pub value_lost: bool,
    /// Tokens that TFC was asked about by id.
    pub shown: BTreeMap<String, Shown>,
    /// The subject's tokens that carry this role's marker. Each Issue forgets it, and the fence with it.
    pub walk: Option<Walk>,
    /// TFC's time when this round asked for that slot or those tokens. What they do not show may have been made since.
    pub looked_at: Option<Timestamp>,
    /// Attempts proven to have no live token.
    pub gone: BTreeSet<String>,
    /// Ids of tokens that this round revoked, and of those that no record knows and that TFC answered 404 for.
    pub strays_gone: BTreeSet<String>,
    /// Attempts whose token TFC answered 404 for.
    pub hidden: BTreeSet<String>,
    /// The Secret was fenced in this round, after the walk.
    pub fenced: bool,
    /// Teams that TFC did not show.
    pub hidden_teams: BTreeSet<String>,
    /// The workloads that ask to be restarted with this role's tokens. Each Issue forgets them.
    pub workloads: Option<Vec<Workload>>,
    /// The Secret was let go (deletionPolicy Retain).
    pub disowned: bool,
}

impl Facts {
    /// A mint was sent, whatever became of it: what was known of the slot, of the subject's tokens and of the Secret is out of
    /// date. With a slot's old look the next decision would take its own token for another's, and mint again.
    pub fn forget_at_issue(&mut self) {
        (self.begun, self.claimed, self.value_lost) = (None, false, false);
        (self.slot, self.walk, self.looked_at, self.fenced) = (None, None, None, false);
        self.workloads = None;
    }
}

/// Who holds a slot's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// This role.
    Held,
    /// Another one: namespace and name.
    HeldBy(String),
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLook {
    /// Its token, if it has one.
    pub token: Option<SlotToken>,
}

/// A slot's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotToken {
    /// TFC's id.
    pub id: String,
    /// When TFC made it.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When TFC lets it die.
    pub expires_at: Option<Timestamp>,
    /// Id of the account that made it, where TFC says so.
    pub created_by: Option<String>,
}

/// What TFC showed of a token asked for by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It carries this installation's marker and this role's.
    Ours(MarkedToken),
    /// It is somebody else's.
    Foreign,
    /// It is gone, proven.
    Gone,
    /// It is gone or hidden: no proof.
    Hidden,
}

/// The subject's tokens that carry this role's marker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Those found.
    pub tokens: Vec<MarkedToken>,
    /// What is not among them does not exist: the caller can see the subject, and two whole walks had equal counts.
    pub complete: bool,
}

/// A token with this role's marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedToken {
    /// TFC's id.
    pub id: String,
    /// The attempt its marker names.
    pub attempt: String,
    /// It has authenticated a call.
    pub used: bool,
    /// When TFC made it.
    pub issued_at: Timestamp,
    /// When TFC lets it die.
    pub expires_at: Option<Timestamp>,
}

/// A failure with its consequence. The decision sees the kind, the person reads the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of failure.
    pub kind: TroubleKind,
    /// What TFC or the API server said, fit for a condition.
    pub words: String,
    /// When to try again; counted from now.
    pub retry_in: SignedDuration,
    /// It was met on the way to a revocation. Any other leaves the way to those open.
    pub settling: bool,
    /// RBAC does not grant what was tried: whoever runs the operator has to act.
    pub missing_permission: bool,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// TFC refuses the request as it is.
    Rejected,
    /// TFC hides the subject, or forbids the request.
    NotPermitted,
    /// TFC refuses the config's token.
    Unauthorized,
    /// TFC's rate limit is used up.
    Limited,
    /// TFC is out of reach, or its reply made no sense; nothing happened or it does not matter.
    Unreachable,
    /// The mint may have happened, and no value came back.
    Ambiguous,
    /// The API server refuses the Secret for good.
    SecretRefused,
    /// A workload could not be restarted. Nothing else waits for that.
    Restart,
    /// The API server could not be asked, or something changed meanwhile.
    Cluster,
}
