//! The operator goes, and the role stays.

use super::build::*;
use crate::api::config::AllowEntry;
use crate::api::role::DeletionPolicy;
use crate::api::{ConfigReason, TerraformCloudRoleStatus};
use crate::plan::observed::{Secret, TroubleKind, Unready};
use crate::plan::step::{Note, Step, Withdrawal};
use crate::plan::uninstall::{Next, Policy, plan};

fn served() -> Build {
    role().current("a1").secret_holds("a1")
}

fn revokes(role: &Build) -> Next {
    plan(&role.o, Policy::Revoke, false)
}

fn releases(role: &Build) -> Next {
    plan(&role.o, Policy::Release, false)
}

fn step(next: Next) -> Step {
    match next {
        Next::Do(step) => step,
        next => panic!("expected a step, got {next:?}"),
    }
}

fn recorded(next: Next) -> TerraformCloudRoleStatus {
    match step(next) {
        Step::Record(status, _) => *status,
        step => panic!("expected Record, got {step:?}"),
    }
}

fn unready(reason: ConfigReason) -> Build {
    served().config(|c| c.account = Err(Unready { reason: Some(reason) }))
}

#[test]
fn a_role_is_revoked_as_if_it_were_deleted_and_stays_as_uninstalled() {
    assert_eq!(step(revokes(&served())), Step::Withdraw(Withdrawal::Delete));
    let mut withdrawn = served();
    withdrawn.o.secret = Secret::Absent;
    let due = withdrawn.clone().status(|s| *s = recorded(revokes(&withdrawn)));
    assert!(matches!(step(revokes(&due)), Step::Revoke(r) if r.token_id == "at-a1"));
    assert_eq!(step(revokes(&due.clone().gone("a1"))), Step::Release(None));
    let released = due.unfinalized().status(|s| s.predecessors.clear());
    let Next::Done(Some(status)) = revokes(&released) else { panic!("it is done, and says so") };
    assert_eq!(said(&status), ready("False", "Uninstalled", None));
    assert_eq!(revokes(&released.status(|s| *s = *status)), Next::Done(None));
}

#[test]
fn a_role_that_was_never_served_is_left_as_it_is() {
    assert_eq!(revokes(&role().unfinalized()), Next::Done(None));
    assert_eq!(step(revokes(&role())), Step::Release(None));
}

#[test]
fn a_role_whose_finalizer_somebody_took_off_gets_it_back_until_its_tokens_are_gone() {
    assert_eq!(step(revokes(&served().unfinalized())), Step::Finalize);
}

#[test]
fn release_takes_the_finalizer_off_and_leaves_tokens_records_and_slots() {
    assert_eq!(step(releases(&served())), Step::Release(None));
    let slot = role().organization("acme").current("a1").secret_holds("a1").reserved();
    assert_eq!(step(releases(&slot)), Step::Release(None));
    assert_eq!(releases(&served().unfinalized()), Next::Done(None));
}

#[test]
fn a_role_that_goes_takes_its_tokens_along_whatever_the_policy_is() {
    assert_eq!(step(releases(&served().deleted())), Step::Withdraw(Withdrawal::Delete));
    assert_eq!(releases(&served().deleted().unfinalized()), Next::Done(None));
}

#[test]
fn what_may_be_retained_is_released() {
    let allow = |policies: Vec<DeletionPolicy>| AllowEntry {
        users: vec!["user-1".into()],
        deletion_policies: Some(policies),
        ..entry()
    };
    let retained = served().retains().allow(&[allow(vec![DeletionPolicy::Revoke, DeletionPolicy::Retain])]);
    assert_eq!(step(revokes(&retained)), Step::Release(None));
    let refused = served().retains().allow(&[allow(vec![DeletionPolicy::Revoke])]);
    assert_eq!(step(revokes(&refused)), Step::Withdraw(Withdrawal::Delete));
}

#[test]
fn pods_keep_a_credential_that_can_not_be_revoked_anyway() {
    assert!(
        matches!(revokes(&unready(ConfigReason::Unreachable)), Next::Wait(_)),
        "the outage may be over in a moment"
    );
    for hopeless in [unready(ConfigReason::Unauthorized), served().no_config()] {
        let Next::Unproven(records) = revokes(&hopeless) else { panic!("nobody can show that it is dead") };
        assert_eq!(records[0].token_id.as_deref(), Some("at-a1"));
        assert_eq!(step(plan(&hopeless.o, Policy::Revoke, true)), Step::Withdraw(Withdrawal::Delete), "unless told to");
    }
}

#[test]
fn what_is_hidden_is_unproven_and_given_up_by_name_only_when_told_to() {
    let hidden = role().team("team-1").served().predecessor("a0", 0).hidden("a0").walked(&["a0"]);
    let Next::Unproven(records) = revokes(&hidden) else { panic!("{:?}", revokes(&hidden)) };
    assert_eq!(records[0].attempt, "a0");
    let Step::Record(status, notes) = step(plan(&hidden.o, Policy::Revoke, true)) else { panic!("it is recorded") };
    assert!(status.predecessors.is_empty() && matches!(&notes[..], [Note::Abandoned(r)] if r.attempt == "a0"));
}

#[test]
fn an_attempt_that_may_still_land_is_waited_for_and_what_failed_is_tried_again() {
    let open = role().served().unsettled("a1", 0);
    assert_eq!(revokes(&open), Next::Wait(secs(2 * MINUTE)));
    let mut settling = role().served().predecessor("a0", 0).trouble(TroubleKind::Unreachable);
    settling.o.trouble.as_mut().unwrap().settling = true;
    assert!(matches!(revokes(&settling), Next::Wait(_)));
}
