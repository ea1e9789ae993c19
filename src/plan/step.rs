//! What there is to do: one step changes one server once, and can be repeated.

use jiff::{SignedDuration, Timestamp};

use super::observed::MarkedToken;
use super::subject::{Subject, TeamQuestion};
use crate::api::{Record, SecretRecord, TerraformCloudRoleStatus, Workload};

/// The next step for one role.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// API server: put our finalizer on the role.
    Finalize,
    /// TFC: look up a team for the config's directory.
    Resolve(TeamQuestion),
    /// TFC: find out about tokens. Changes nothing.
    Inspect(Inspection),
    /// API server: take the slot's Lease.
    Reserve(Subject),
    /// API server: write the intent into the status, on the resourceVersion observed. The mint that follows is as urgent as that.
    Begin(Box<TerraformCloudRoleStatus>, Urgency),
    /// API server: dry run of the Secret's write, after it was refused.
    Rehearse,
    /// API server: dry run of the Secret's write, and where a Secret stands the annotation `/pending`.
    Claim,
    /// TFC, then API server: mint, and write the Secret on the resourceVersion observed.
    Issue(Box<Order>),
    /// API server: write what is known into the status.
    Record(Box<TerraformCloudRoleStatus>, Vec<Note>),
    /// API server: read the Secret whole, and rewrite what of ours differs, from the value it holds.
    Render,
    /// API server: change the Secret so that no late write can land.
    Fence,
    /// TFC: revoke one token.
    Revoke(Box<Revocation>),
    /// API server: take the credential out of the Secret.
    Withdraw(Withdrawal),
    /// API server: take the owner reference off the Secret, which stays.
    Disown,
    /// API server: list the workloads that ask to be restarted with this role's tokens. Changes nothing.
    Survey,
    /// API server: stamp one workload's pod template with the token's id, so that its pods are replaced.
    Restart(Box<Restart>),
    /// API server: give the slot's Lease back and take our finalizer off the role.
    Release(Option<Subject>),
    /// Nothing to do for now.
    Rest(Rest),
}

/// What to ask TFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// What the slot holds.
    Slot(Subject),
    /// One token by its id.
    Token(String),
    /// All tokens of the subject that carry this role's marker, twice where absence counts.
    Walk(Subject),
}

/// What to mint.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The attempt, as in the intent.
    pub attempt: String,
    /// Whom the token is to act for.
    pub subject: Subject,
    /// Marker and description; slots carry none.
    pub description: String,
    /// The expiry to send.
    pub expires_at: Timestamp,
    /// Who goes first.
    pub urgency: Urgency,
    /// UID and resourceVersion of the Secret to be written; `None`: it is created.
    pub secret: Option<(String, String)>,
    /// The record of the Secret as it stands, for what is to be removed from it.
    pub former: Option<SecretRecord>,
}

/// Who goes first when TFC's budget is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Pods are about to be without a live token.
    Dying,
    /// A person asked for it.
    Asked,
    /// A successor that is due.
    Renewal,
    /// A role's first token.
    First,
}

/// One token to be revoked.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation {
    /// The attempt that made it.
    pub attempt: String,
    /// TFC's id.
    pub token_id: String,
    /// Whose it is.
    pub subject: Subject,
    /// No record knows it. It may be the twin of one that is known: the attempt is the same, the token is not.
    pub stray: bool,
    /// Where it stands in the Secret by now, somebody else put it there: that holds nothing up.
    pub put_back: bool,
}

/// One workload to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// As it was observed.
    pub workload: Workload,
    /// TFC's id of the token that stands in the Secret.
    pub token_id: String,
}

/// How the credential leaves the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// The Secret stays without it.
    Empty,
    /// The Secret goes.
    Delete,
}

/// Nothing to do for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    /// The status to write first, where it differs from what stands there.
    pub status: Option<Box<TerraformCloudRoleStatus>>,
    /// When to look again, counted from now; `None`: when something changes.
    pub wake_in: Option<SignedDuration>,
    /// Tokens with this role's marker that are in use and that no record knows: left alone, and told of.
    pub strays: Vec<MarkedToken>,
}

impl Rest {
    /// Nothing to write, nothing to tell.
    pub fn until(wake_in: Option<SignedDuration>) -> Rest {
        Rest { status: None, wake_in, strays: Vec::new() }
    }
}

impl Step {
    /// It is on the way to a revocation: where it fails, those wait.
    pub fn settles(&self) -> bool {
        matches!(self, Step::Inspect(_) | Step::Fence | Step::Revoke(_))
    }
}

/// What a person would want to know, once the step that carries it is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The Secret has its first token.
    Issued(Record),
    /// The Secret has a successor.
    Rotated(Record),
    /// The lease was started anew.
    Renewed,
    /// A token is proven dead.
    Revoked(Record),
    /// The credential left the Secret.
    Withdrawn(Record),
    /// A token may still live, and the operator gives up on it.
    Abandoned(Record),
    /// These workloads run with the token in the Secret now.
    Restarted(String),
    /// These workloads were restarted, and their rollout is waited for no longer.
    NotRestarted(String),
}
