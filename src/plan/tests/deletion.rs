//! A role goes after its tokens, and can always go.

use super::build::*;
use crate::api::{Held, Source};
use crate::plan::observed::{AccountKind, Secret, TroubleKind, Unready};
use crate::plan::step::{Inspection, Note, Step, Withdrawal};
use crate::plan::subject::Subject;

fn going() -> Build {
    role().current("a1").secret_holds("a1").deleted()
}

fn withdrawn() -> Build {
    let mut gone = going();
    gone.o.secret = Secret::Absent;
    gone
}

#[test]
fn the_secret_goes_first_then_its_token_is_due_at_once() {
    assert_eq!(going().plan(), Step::Withdraw(Withdrawal::Delete));
    let status = withdrawn().records();
    assert_eq!(status.current, None);
    assert_eq!(status.predecessors[0].revoke_at, Some(time(0)));
    let due = withdrawn().status(|s| *s = status);
    assert_eq!(due.revokes().token_id, "at-a1");
    assert_eq!(due.gone("a1").plan(), Step::Release(None));
}

#[test]
fn predecessors_do_not_wait_for_the_end_of_their_overlap() {
    assert_eq!(role().served().predecessor("a0", 30 * MINUTE).deleted().revokes().token_id, "at-a0");
}

#[test]
fn an_open_intent_is_settled_before_the_role_goes() {
    let open = role().intent("a1", 0).deleted();
    let status = open.records();
    assert_eq!(status.unsettled[0].record.attempt, "a1");
    let unsettled = open.status(|s| *s = status);
    assert_eq!(unsettled.rests().wake_in, Some(secs(2 * MINUTE)));
    assert_eq!(unsettled.says(), ready("False", "Revoking", Some(("Reconciling", "Revoking"))));
    let ripe = unsettled.at(2 * MINUTE);
    assert_eq!(ripe.plan(), Step::Inspect(Inspection::Walk(Subject::User("user-1".into()))));
    assert!(ripe.clone().walked(&[]).records().unsettled.is_empty());
    assert_eq!(ripe.walked(&["a1"]).revokes().token_id, "at-a1");
}

#[test]
fn an_intent_that_was_proven_unsent_does_not_hold_the_role() {
    assert_eq!(role().intent("a1", 0).gone("a1").deleted().plan(), Step::Release(None));
}

#[test]
fn what_stands_in_the_secret_unrecorded_is_recorded_before_the_secret_goes() {
    let status = role().intent("a1", 0).secret_holds("a1").deleted().records();
    assert_eq!(status.current.unwrap().attempt, "a1");
}

#[test]
fn a_role_that_never_had_a_token_goes_at_once() {
    assert_eq!(role().deleted().plan(), Step::Release(None));
    assert_eq!(role().deleted().no_config().clockless().plan(), Step::Release(None));
}

#[test]
fn without_our_finalizer_there_is_nothing_to_do() {
    assert!(matches!(going().unfinalized().plan(), Step::Rest(_)));
}

#[test]
fn nothing_is_minted_or_repaired() {
    let mut lost = role().current("a1").deleted();
    lost.o.secret = Secret::Absent;
    assert!(matches!(lost.plan(), Step::Record(..)));
}

#[test]
fn while_revocation_can_not_be_proven_the_role_stays_with_the_reason() {
    for (why, stuck) in [
        ("no config", role().served().predecessor("a1", 0).no_config().deleted()),
        ("config unready", role().served().predecessor("a1", 0).unready().deleted()),
        ("other user", role().served().predecessor("a1", 0).account("user-2", AccountKind::User).deleted()),
    ] {
        assert_eq!(stuck.says().1, "RevocationUnproven", "{why}");
        assert_eq!(stuck.clone().at(HOUR).plan().clone(), stuck.at(HOUR).plan(), "{why}");
    }
}

#[test]
fn each_deletion_ends_by_itself_once_the_token_has_expired() {
    let stuck = role().served().predecessor("a1", 0).no_config().deleted().at(HOUR);
    let status = stuck.records();
    assert_eq!(stuck.status(|s| *s = status).plan(), Step::Release(None));
}

#[test]
fn the_configs_annotation_gives_up_earlier_and_names_the_token() {
    let stuck = role().served().predecessor("a1", 0).account("user-2", AccountKind::User).abandons().deleted();
    let (status, notes) = stuck.records_with_notes();
    assert!(status.predecessors.is_empty());
    assert!(matches!(&notes[..], [Note::Abandoned(r)] if r.token_id.as_deref() == Some("at-a1")));
}

#[test]
fn what_can_still_be_revoked_is_not_given_up() {
    let open = role().served().predecessor("a1", 0).unsettled("u1", 0).abandons().deleted().at(2 * MINUTE);
    let shifted = open.walked(&[]).facts(|f| f.walk.as_mut().unwrap().complete = false);
    assert_eq!(shifted.revokes().token_id, "at-a1");
}

#[test]
fn a_failure_of_the_cluster_does_not_repeat_the_step_at_once() {
    for stuck in [going(), withdrawn(), role().intent("a1", 0).deleted()] {
        let rest = stuck.trouble(TroubleKind::Cluster).rests();
        assert_eq!(rest.wake_in, Some(secs(30)));
    }
    let refused = going().trouble(TroubleKind::SecretRefused);
    assert_eq!(refused.plan(), Step::Withdraw(Withdrawal::Delete), "what takes no write can be deleted");
}

#[test]
fn retain_lets_go_of_secret_and_token_where_the_config_allows_it() {
    let mut allowed = entry();
    allowed.users = vec!["user-1".into()];
    allowed.deletion_policies = Some(vec![crate::api::role::DeletionPolicy::Retain]);
    let retained = going().retains().allow(&[allowed]);
    assert_eq!(retained.plan(), Step::Disown);
    let mut disowned = retained.facts(|f| f.disowned = true);
    disowned.o.secret = Secret::Foreign;
    let status = disowned.records();
    assert!(status.current.is_none() && status.predecessors.is_empty());
    assert_eq!(disowned.status(|s| *s = status).plan(), Step::Release(None));
}

#[test]
fn retain_that_the_config_does_not_allow_revokes() {
    assert_eq!(going().retains().plan(), Step::Withdraw(Withdrawal::Delete));
}

#[test]
fn retain_waits_while_the_config_can_not_say() {
    let mut allowed = entry();
    allowed.users = vec!["me".into()];
    allowed.deletion_policies = Some(vec![crate::api::role::DeletionPolicy::Retain]);
    let unready = going().retains().allow(&[allowed]).config(|c| c.account = Err(Unready { reason: None }));
    assert_eq!(unready.rests().wake_in, Some(secs(MINUTE)));
    assert!(!matches!(unready.at(2 * HOUR).plan(), Step::Rest(_)), "and ends by itself");
}

#[test]
fn a_slots_token_that_cannot_be_confirmed_is_not_taken_for_gone() {
    let slot = role().organization("acme").served().predecessor("a1", 0).deleted().slot("at-a1");
    let of_another = slot.slot_token(|token| token.created_by = Some("user-7".into()));
    let mut of_another = of_another.status(|s| s.predecessors[0].source = Source::Secret);
    of_another.o.secret = Secret::Absent;
    let before_the_config_changed_hands = of_another.clone().status(|s| s.predecessors[0].account = "user-7".into());
    assert_eq!(before_the_config_changed_hands.says().1, "RevocationUnproven");
    // What another account made can't be what this attempt made, whatever id the Secret gave it.
    assert!(of_another.records().predecessors.is_empty());
}

#[test]
fn a_tenants_expiry_does_not_shorten_a_deletion() {
    let yesterday = |held: &mut Held| held.expires_at = Some(time(-HOUR));
    let going = role().served().intent("a1", 0).secret_holds("a1").held(yesterday).deleted();
    assert_eq!(going.records().current.and_then(|c| c.expires_at), Some(time(HOUR)));
}

#[test]
fn a_slot_is_deleted_only_after_a_read_shows_our_token() {
    let mut slot = role().organization("acme").served().predecessor("a1", 0).deleted();
    slot.o.secret = Secret::Absent;
    let subject = Subject::Organization("acme".into());
    assert_eq!(slot.plan(), Step::Inspect(Inspection::Slot(subject.clone())));
    assert_eq!(slot.clone().slot("at-a1").revokes().token_id, "at-a1");
    let twin = slot.clone().slot("at-twin");
    assert_eq!(twin.revokes().token_id, "at-twin", "what its mint made when it was carried out twice");
    let other = slot.slot("at-other").slot_token(|token| token.expires_at = Some(t(9 * HOUR)));
    let status = other.records();
    assert_eq!(other.status(|s| *s = status).plan(), Step::Release(Some(subject)));
}

#[test]
fn the_expiry_of_an_open_attempt_is_what_was_asked_for_whatever_the_secret_says() {
    let edited = role().intent("a1", 0).secret_holds("a1").held(|held| held.expires_at = Some(time(-HOUR))).deleted();
    let status = edited.records();
    assert!(status.current.unwrap().expires_at.unwrap().0 > edited.o.now.unwrap());
}

#[test]
fn what_an_unsettled_attempt_put_into_the_secret_is_asked_for_or_kept_with_the_expiry_that_was_asked_for() {
    let late = || role().served().unsettled("u1", 0).secret_holds("u1").deleted();
    let late = || late().held(|held| held.expires_at = Some(time(-HOUR)));
    assert_eq!(late().plan(), Step::Inspect(Inspection::Token("at-u1".into())));
    let current = late().unready().records().current.unwrap();
    assert_eq!((current.attempt.as_str(), current.expires_at), ("u1", Some(time(HOUR))), "nobody can be asked");
    let slot = role().organization("acme").served().unsettled("u1", 0).secret_holds("u1").unready().deleted();
    slot.rests();
}

#[test]
fn an_attempt_that_can_not_be_proven_dead_is_given_up_too() {
    let stuck = role().served().unsettled("u1", 0).account("user-2", AccountKind::User).abandons().deleted();
    assert!(stuck.records().unsettled.is_empty());
}

#[test]
fn retain_asks_for_the_team_that_decides_it_and_ends_by_itself() {
    let mut allowed = entry();
    allowed.teams = vec!["acme/apps".into()];
    allowed.deletion_policies = Some(vec![crate::api::role::DeletionPolicy::Retain]);
    let asked = role().team("team-1").current("a1").secret_holds("a1").retains().allow(&[allowed]).deleted();
    assert!(matches!(asked.plan(), Step::Resolve(_)), "{:?}", asked.plan());
    assert_eq!(asked.clone().abandons().plan(), Step::Withdraw(Withdrawal::Delete));
    assert_eq!(asked.at(HOUR).plan(), Step::Withdraw(Withdrawal::Delete));
}

#[test]
fn a_revocation_that_failed_is_waited_for_and_nothing_else_holds_it_up() {
    let due = role().served().predecessor("a1", 0).deleted().trouble(TroubleKind::Rejected);
    assert_eq!(due.revokes().token_id, "at-a1");
    let mut failed = due;
    failed.o.trouble.as_mut().unwrap().settling = true;
    failed.rests();
}

#[test]
fn a_successor_that_stands_in_the_secret_unrecorded_is_not_lost_with_it() {
    let late = role().current("a0").secret_holds("a1").deleted();
    assert_eq!(late.plan(), Step::Inspect(Inspection::Token("at-a1".into())));
}

#[test]
fn a_slots_token_that_the_server_cut_and_our_account_made_is_revoked() {
    let slot = role().organization("acme").served().predecessor("a1", 0).deleted().slot("at-a1");
    let mut cut = slot.slot_token(|token| token.expires_at = Some(t(HOUR - 1)));
    cut = cut.status(|s| s.predecessors[0].source = Source::Secret);
    cut.o.secret = Secret::Absent;
    assert_eq!(cut.revokes().token_id, "at-a1");
}
