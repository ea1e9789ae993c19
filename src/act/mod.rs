//! Does one step. Takes no decision: what a step comes to is left behind in the [`Round`] for the planner to see.

mod cluster_steps;
mod issue;
mod restart_steps;
pub mod status;
mod tfc_steps;

use std::sync::Arc;

use jiff::SignedDuration;
use tracing::debug;

use crate::accounts::Accounts;
use crate::cluster::{Cluster, ClusterError};
use crate::leader::Leadership;
use crate::marker::Installation;
use crate::metrics::Metrics;
use crate::observe::Round;
use crate::plan::observed::{Trouble, TroubleKind};
use crate::plan::step::{Step, Urgency};
use crate::plan::subject::Subject;
use crate::tfc::{self, Class};

/// All that a step needs of the world.
pub struct World {
    /// The API server.
    pub cluster: Cluster,
    /// The accounts at TFC.
    pub accounts: Accounts,
    /// Whether this process may change anything.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Metrics,
    /// This installation.
    pub installation: Installation,
    /// Where the slots' Leases stand.
    pub own_namespace: String,
    /// How long a request that got no reply may still land.
    pub settling_time: SignedDuration,
    /// Workloads that ask for it are restarted with each new token.
    pub rollout_restart: bool,
    /// Fills what it is given with randomness; says whether it could.
    pub random: fn(&mut [u8]) -> bool,
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Plan again on what the step left behind.
    Plan,
    /// Something changed under it: observe all anew.
    Observe,
    /// The role is gone, or served.
    Done,
}

/// Does one step. `Rest` is not done here: it ends the round.
pub async fn act(world: &World, round: &mut Round, step: Step) -> After {
    debug!(namespace = round.namespace(), role = round.name(), step = name(&step), "step");
    if let Err(not_leading) = world.leadership.ensure() {
        debug!(%not_leading, "step not done");
        return After::Done;
    }
    let (settles, failed) = (step.settles(), std::mem::take(&mut round.failed));
    let after = take(world, round, step).await;
    if let (Some(trouble), true) = (&mut round.trouble, round.failed) {
        trouble.settling = settles;
    }
    round.failed |= failed;
    after
}

async fn take(world: &World, round: &mut Round, step: Step) -> After {
    match step {
        Step::Finalize => cluster_steps::finalize(world, round).await,
        Step::Reserve(subject) => cluster_steps::reserve(world, round, &subject).await,
        Step::Rehearse => cluster_steps::rehearse(world, round).await,
        Step::Claim => cluster_steps::claim(world, round).await,
        Step::Render => cluster_steps::render(world, round).await,
        Step::Fence => cluster_steps::fence(world, round).await,
        Step::Withdraw(how) => cluster_steps::withdraw(world, round, how).await,
        Step::Disown => cluster_steps::disown(world, round).await,
        Step::Survey => restart_steps::survey(world, round).await,
        Step::Restart(restart) => restart_steps::restart(world, round, &restart).await,
        Step::Release(slot) => cluster_steps::release(world, round, slot.as_ref()).await,
        Step::Begin(status, urgency) => status::begin(world, round, *status, urgency).await,
        Step::Record(status, notes) => status::record(world, round, *status, notes).await,
        Step::Rest(_) => After::Done,
        Step::Resolve(question) => tfc_steps::resolve(world, round, &question).await,
        Step::Inspect(inspection) => tfc_steps::inspect(world, round, &inspection).await,
        Step::Revoke(revocation) => tfc_steps::revoke(world, round, &revocation).await,
        Step::Issue(order) => issue::issue(world, round, &order).await,
    }
}

/// The step's name, for logs.
pub fn name(step: &Step) -> &'static str {
    match step {
        Step::Finalize => "Finalize",
        Step::Resolve(_) => "Resolve",
        Step::Inspect(_) => "Inspect",
        Step::Reserve(_) => "Reserve",
        Step::Rehearse => "Rehearse",
        Step::Begin(..) => "Begin",
        Step::Claim => "Claim",
        Step::Issue(_) => "Issue",
        Step::Record(..) => "Record",
        Step::Render => "Render",
        Step::Fence => "Fence",
        Step::Revoke(_) => "Revoke",
        Step::Withdraw(_) => "Withdraw",
        Step::Disown => "Disown",
        Step::Survey => "Survey",
        Step::Restart(_) => "Restart",
        Step::Release(_) => "Release",
        Step::Rest(_) => "Rest",
    }
}

/// What an error of TFC means for the role.
fn tfc_trouble(error: &tfc::Error) -> (TroubleKind, String) {
    let kind = match error.kind {
        tfc::Kind::Unauthorized => TroubleKind::Unauthorized,
        tfc::Kind::Hidden | tfc::Kind::Forbidden => TroubleKind::NotPermitted,
        tfc::Kind::Limited { .. } => TroubleKind::Limited,
        tfc::Kind::Rejected => TroubleKind::Rejected,
        tfc::Kind::Ambiguous => TroubleKind::Ambiguous,
        tfc::Kind::Unavailable | tfc::Kind::Malformed => TroubleKind::Unreachable,
    };
    (kind, format!("TFC: {}", error.words))
}

/// What an error of the API server means for the round: a conflict is observed anew, all else is waited for.
fn cluster_trouble(round: &mut Round, doing: &str, error: ClusterError) -> After {
    match error {
        ClusterError::Conflict | ClusterError::NotFound => After::Observe,
        ClusterError::Refused(refusal) => {
            round.refused(TroubleKind::Cluster, format!("{doing}: {refusal}"), &refusal);
            After::Plan
        }
        ClusterError::Unknown(words) => {
            round.fail(TroubleKind::Cluster, format!("{doing}: {words}"));
            After::Plan
        }
    }
}

fn class(urgency: Urgency) -> Class {
    match urgency {
        Urgency::Dying => Class::Dying,
        Urgency::Asked => Class::Asked,
        Urgency::Renewal => Class::Renewal,
        Urgency::First => Class::First,
    }
}

fn tfc_slot(subject: &Subject) -> Option<tfc::Slot> {
    match subject {
        Subject::Organization(name) => Some(tfc::Slot::Organization { name: name.clone() }),
        Subject::TeamLegacy(id) => Some(tfc::Slot::TeamLegacy { team_id: id.clone() }),
        Subject::User(_) | Subject::Team(_) => None,
    }
}

impl World {
    /// The client of a role's config, as long as this process may use it.
    fn client(&self, round: &mut Round) -> Option<tfc::Client> {
        let client = round.session.as_ref().and_then(|session| session.client.clone());
        if client.is_none() {
            round.fail(TroubleKind::Unauthorized, "the config can't be used at the moment".into());
        }
        client.map(|client| self.gated(&client))
    }

    /// A client that sends nothing once this process does not lead any more.
    pub fn gated(&self, client: &tfc::Client) -> tfc::Client {
        let leadership = self.leadership.clone();
        client.with_gate(Arc::new(move || leadership.ensure().map_err(|e| e.to_string())))
    }
}

impl Trouble {
    /// A failure whose retry is not yet set.
    pub fn new(kind: TroubleKind, words: String) -> Self {
        Trouble { kind, words, retry_in: SignedDuration::ZERO, settling: false, missing_permission: false }
    }
}
