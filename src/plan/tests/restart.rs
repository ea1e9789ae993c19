//! Workloads that read a token only when they start are restarted with each new one, before the former one's overlap counts.

use super::build::*;
use crate::api::names::ANNOTATION_REVOKE;
use crate::api::{Workload, WorkloadKind};
use crate::plan::observed::TroubleKind;
use crate::plan::step::{Note, Step};

fn workload(name: &str, stamp: Option<&str>, rolled_out: bool) -> Workload {
    Workload {
        kind: WorkloadKind::Deployment,
        name: name.into(),
        uid: format!("uid-{name}"),
        resource_version: "1".into(),
        stamp: stamp.map(str::to_owned),
        rolled_out,
    }
}

/// The token of `a1` was put into the Secret at `t(0)`, in the place of that of `a0`, whose overlap ends then.
fn rotated() -> Build {
    let mut role = role().overlap("0s").current("a1").secret_holds("a1").predecessor("a0", 1).at(2);
    role.o.restarts = true;
    role.status(|s| s.restarting = Some(time(0)))
}

fn finds(role: Build, workloads: &[Workload]) -> Build {
    role.facts(|f| f.workloads = Some(workloads.to_vec()))
}

#[test]
fn each_workload_is_stamped_once_and_then_its_rollout_is_waited_for() {
    assert_eq!(rotated().plan(), Step::Survey);
    let (old, new) = (workload("old", Some("at-a0"), true), workload("new", Some("at-a1"), false));
    match finds(rotated(), &[new.clone(), old.clone()]).plan() {
        Step::Restart(restart) => assert_eq!((restart.workload, restart.token_id), (old, "at-a1".into())),
        step => panic!("expected Restart, got {step:?}"),
    }
    let waiting = finds(rotated(), &[new]);
    assert_eq!(waiting.says(), ready("True", "Issued", Some(("Reconciling", "Restarting"))));
    assert_eq!(waiting.rests().wake_in, Some(secs(5)));
}

#[test]
fn a_rotation_without_an_overlap_is_no_incident() {
    let mut rotating = role().overlap("0s").current("a0").intent("a1", 0).secret_holds("a1").minted("a1");
    rotating.o.restarts = true;
    let status = rotating.records();
    assert_eq!(status.restarting, Some(time(0)));
    assert_eq!(status.predecessors[0].revoke_at, Some(time(1)), "after its successor was issued, at t(0)");
    let next = rotating.status(|s| *s = status).at(5);
    assert_eq!(next.plan(), Step::Survey, "before the former token goes");
}

#[test]
fn the_overlap_counts_from_the_end_of_the_rollout_up_to_the_former_token_s_own_expiry() {
    let over = |role: Build| finds(role, &[workload("shop", Some("at-a1"), true)]);
    let (status, notes) = over(rotated().overlap("5m").at(MINUTE)).records_with_notes();
    assert_eq!((status.restarted.as_deref(), status.restarting), (Some("at-a1"), None));
    assert_eq!(status.predecessors[0].revoke_at, Some(time(6 * MINUTE)));
    assert!(matches!(&notes[..], [Note::Restarted(names)] if names == "Deployment shop"));
    let late = over(rotated().overlap("2h").at(MINUTE)).records();
    assert_eq!(late.predecessors[0].revoke_at, Some(time(HOUR)), "it is dead then");
    let nobody = finds(rotated(), &[]).records();
    assert_eq!(nobody.predecessors[0].revoke_at, Some(time(1)), "nobody was restarted: it ends as it would have");
}

#[test]
fn a_former_token_is_not_revoked_while_pods_have_not_been_restarted_with_its_successor() {
    let waiting = || finds(rotated(), &[workload("shop", Some("at-a1"), false)]);
    assert!(matches!(waiting().plan(), Step::Rest(_)));
    let restarted = waiting().status(|s| (s.restarted, s.restarting) = (Some("at-a1".into()), None));
    assert_eq!(restarted.revokes().token_id, "at-a0");
    let mut off = waiting();
    off.o.restarts = false;
    assert_eq!(off.revokes().token_id, "at-a0", "without the flag nothing is held");
}

#[test]
fn neither_a_rollout_that_does_not_end_nor_a_refusal_keeps_it_for_longer_than_ten_minutes() {
    let late = finds(rotated().at(10 * MINUTE), &[workload("shop", Some("at-a1"), false)]);
    let (status, notes) = late.records_with_notes();
    assert_eq!(status.restarted.as_deref(), Some("at-a1"));
    assert!(matches!(&notes[..], [Note::NotRestarted(names)] if names == "Deployment shop"));
    assert!(matches!(&rotated().at(10 * MINUTE).records_with_notes().1[..], [Note::NotRestarted(_)]));
    let refused = rotated().trouble(TroubleKind::Restart);
    assert!(matches!(refused.plan(), Step::Rest(_)));
    assert_eq!(refused.at(10 * MINUTE).revokes().token_id, "at-a0");
}

#[test]
fn an_incident_is_not_held_up() {
    let cut = rotated().status(|s| s.predecessors[0].revoke_at = Some(time(0)));
    let cut = finds(cut, &[workload("shop", Some("at-a1"), false)]);
    assert_eq!(cut.revokes().token_id, "at-a0");
    let asked = finds(rotated().annotated(ANNOTATION_REVOKE, "1"), &[workload("shop", Some("at-a1"), false)]);
    assert_eq!(asked.begins().intent.unwrap().record.attempt, "new");
}

#[test]
fn at_rest_nothing_is_listed() {
    let done = rotated().status(|s| (s.restarted, s.restarting, s.predecessors) = (Some("at-a1".into()), None, vec![]));
    assert!(matches!(done.plan(), Step::Rest(_)));
    let (suspended, going) = (rotated().suspended(), rotated().deleted());
    assert!(matches!(suspended.plan(), Step::Rest(_)));
    assert!(!matches!(going.plan(), Step::Survey | Step::Restart(_)));
}
