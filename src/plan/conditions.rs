//! From a verdict to the conditions that a person and kstatus read. Messages carry neither times nor request ids: those would
//! cause a write at each retry.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observed::Observed;
use super::slot;
use crate::api::{Condition, RoleReason, TerraformCloudRoleStatus};

/// Where a role stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub reason: RoleReason,
    /// In a sentence, with the mend.
    pub message: String,
    /// What it means for whoever waits.
    pub state: State,
}

/// What a verdict means for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is as asked for.
    Settled,
    /// The operator is at work, or will try again by itself.
    Working,
    /// A person must act.
    Stuck,
}

impl Verdict {
    /// All is as asked for.
    pub fn settled(reason: RoleReason, message: impl Into<String>) -> Verdict {
        Verdict { reason, message: message.into(), state: State::Settled }
    }

    /// The operator goes on by itself.
    pub fn working(reason: RoleReason, message: impl Into<String>) -> Verdict {
        Verdict { reason, message: message.into(), state: State::Working }
    }

    /// A person must act.
    pub fn stuck(reason: RoleReason, message: impl Into<String>) -> Verdict {
        Verdict { reason, message: message.into(), state: State::Stuck }
    }
}

/// Puts a verdict into a status. `Ready` says whether the Secret holds a live token: a rotation that fails does not make it
/// flicker, it shows in `Reconciling` or `Stalled` beside it.
pub fn put(o: &Observed, status: &mut TerraformCloudRoleStatus, live: Option<Verdict>, verdict: &Verdict) {
    let generation = o.role.metadata.generation;
    let condition = |type_: &str, status: &str, v: &Verdict| Condition {
        type_: type_.into(),
        status: status.into(),
        reason: v.reason.as_str().into(),
        message: v.message.clone(),
        observed_generation: generation,
        last_transition_time: None,
    };
    let mut conditions = match &live {
        Some(live) => vec![condition("Ready", "True", live)],
        // The one thing that is remembered in a condition alone; a failure that follows must not wash it away.
        None => match status.conditions.iter().find(|c| c.type_ == "Ready" && slot::taken_over(o) && says_so(c)) {
            Some(said) => vec![Condition { observed_generation: generation, ..said.clone() }],
            None => vec![condition("Ready", "False", verdict)],
        },
    };
    match verdict.state {
        State::Settled => {}
        State::Working => conditions.push(condition("Reconciling", "True", verdict)),
        State::Stuck => conditions.push(condition("Stalled", "True", verdict)),
    }
    status.conditions = crate::api::condition::merge_conditions(&status.conditions, conditions, &Time(o.wall));
    status.observed_generation = generation;
}

fn says_so(condition: &Condition) -> bool {
    condition.reason == RoleReason::TakenOver.as_str()
}
