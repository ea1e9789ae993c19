//! Conditions, as in the Kubernetes API conventions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state, as in the Kubernetes API conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = super::schema::status::condition)]
pub struct Condition {
    /// `Ready`, `Reconciling` or `Stalled`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word of a closed list: see docs/reasons.md.
    pub reason: String,
    /// What it means and what to do about it, for a person.
    pub message: String,
    /// The generation of the spec that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

impl Condition {
    /// The condition of that type.
    pub fn find<'a>(conditions: &'a [Self], type_: &str) -> Option<&'a Self> {
        conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// Equal but for `lastTransitionTime`: what decides whether a write is due.
    pub fn same(&self, other: &Self) -> bool {
        (&self.type_, &self.status, &self.reason, &self.message, self.observed_generation)
            == (&other.type_, &other.status, &other.reason, &other.message, other.observed_generation)
    }
}

/// The conditions `new`, in their order. `lastTransitionTime` is the old one where the status is the old one, and `now`
/// elsewhere, whatever `new` says; a condition that is not in `new` goes. What is unchanged comes out equal to `old`.
pub fn merge_conditions(old: &[Condition], new: Vec<Condition>, now: &Time) -> Vec<Condition> {
    new.into_iter()
        .map(|mut condition| {
            let before = Condition::find(old, &condition.type_).filter(|before| before.status == condition.status);
            condition.last_transition_time =
                before.and_then(|before| before.last_transition_time.clone()).or_else(|| Some(now.clone()));
            condition
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: &str, message: &str, second: i64) -> Condition {
        Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: "Issued".into(),
            message: message.into(),
            observed_generation: Some(1),
            last_transition_time: Some(time(second)),
        }
    }

    fn time(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).expect("a valid second"))
    }

    #[test]
    fn the_time_stays_while_the_status_does() {
        let old = [ready("True", "a", 1)];
        assert_eq!(merge_conditions(&old, vec![ready("True", "b", 7)], &time(9)), [ready("True", "b", 1)]);
        assert_eq!(merge_conditions(&old, vec![ready("False", "b", 7)], &time(9)), [ready("False", "b", 9)]);
        assert_eq!(merge_conditions(&[], vec![ready("True", "a", 7)], &time(9)), [ready("True", "a", 9)]);
    }

    #[test]
    fn what_is_not_said_any_more_goes() {
        let stalled = Condition { type_: "Stalled".into(), ..ready("True", "", 1) };
        assert_eq!(merge_conditions(&[stalled], vec![ready("True", "a", 1)], &time(9)), [ready("True", "a", 9)]);
    }

    #[test]
    fn time_alone_is_no_difference() {
        assert!(ready("True", "a", 1).same(&ready("True", "a", 2)));
        assert!(!ready("True", "a", 1).same(&ready("True", "b", 1)));
    }
}
