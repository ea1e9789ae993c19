//! Successors: due, asked for, urgent; and what becomes of the predecessor.

use super::build::*;
use crate::api::Answers;
use crate::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::plan::observed::{Secret, TroubleKind};
use crate::plan::step::{Note, Step, Urgency, Withdrawal};

fn issued() -> Build {
    role().current("a1").secret_holds("a1")
}

#[test]
fn a_successor_is_minted_a_third_of_the_lease_before_its_end() {
    assert!(matches!(issued().at(37 * MINUTE).plan(), Step::Rest(_)), "two minutes of jitter at most");
    assert_eq!(issued().at(41 * MINUTE).urgency(), Urgency::Renewal);
}

#[test]
fn a_scheduled_rotation_does_not_make_ready_flicker() {
    let standing = issued().rests_as();
    let begun = issued().status(|s| *s = standing).at(41 * MINUTE).begins();
    assert_eq!(said(&begun), ready("True", "Issued", None));
}

#[test]
fn a_new_value_of_rotate_asks_once() {
    let asked = issued().annotated(ANNOTATION_ROTATE, "2");
    assert_eq!(asked.urgency(), Urgency::Asked);
    let handled = asked.status(|s| s.handled = Some(Answers { rotate: Some("2".into()), ..Default::default() }));
    assert!(matches!(handled.plan(), Step::Rest(_)));
}

#[test]
fn a_new_value_of_renew_starts_the_lease_anew_without_tfc() {
    let renewed =
        role().max_ttl("4h").current("a1").secret_holds("a1").at(30 * MINUTE).annotated(ANNOTATION_RENEW, "1");
    let renewed = renewed.status(|s| s.current.as_mut().unwrap().expires_at = Some(time(4 * HOUR)));
    let (status, notes) = renewed.records_with_notes();
    assert_eq!(status.current.unwrap().lease_expires_at, Some(time(90 * MINUTE)));
    assert_eq!((status.handled.unwrap().renew.as_deref(), notes), (Some("1"), vec![Note::Renewed]));
}

#[test]
fn leases_renew_in_place_until_max_ttl_is_used_up() {
    let long = role().max_ttl("4h").current("a1").secret_holds("a1");
    let long = long.status(|s| s.current.as_mut().unwrap().expires_at = Some(time(4 * HOUR)));
    // Past the first lease; the role's own place in the cycle comes a little later.
    assert!(matches!(long.clone().at(62 * MINUTE).plan(), Step::Rest(_)));
    assert_eq!(long.at(3 * HOUR + 41 * MINUTE).urgency(), Urgency::Renewal);
}

#[test]
fn the_predecessor_lives_to_the_end_of_its_own_lease() {
    let rotated = role().current("a1").intent("a2", 0).secret_holds("a2").minted("a2").at(41 * MINUTE).records();
    assert_eq!(rotated.current.unwrap().attempt, "a2");
    assert_eq!(rotated.predecessors[0].attempt, "a1");
    assert_eq!(rotated.predecessors[0].revoke_at, Some(time(HOUR)));
}

#[test]
fn the_predecessor_lives_on_for_the_overlap_where_one_is_set() {
    let rotated =
        role().overlap("5m").current("a1").intent("a2", 0).secret_holds("a2").minted("a2").at(41 * MINUTE).records();
    assert_eq!(rotated.predecessors[0].revoke_at, Some(time(46 * MINUTE)));
}

#[test]
fn a_predecessor_is_revoked_when_its_overlap_is_over_and_not_before() {
    let overlapping = role().current("a2").secret_holds("a2").predecessor("a1", 10 * MINUTE);
    let rest = overlapping.rests();
    assert_eq!(rest.wake_in, Some(secs(10 * MINUTE)));
    assert_eq!(overlapping.at(10 * MINUTE).revokes().token_id, "at-a1");
}

#[test]
fn what_the_secret_holds_is_never_revoked() {
    let held = role().current("a2").predecessor("a1", 10 * MINUTE).secret_holds("a1").at(MINUTE);
    assert!(!matches!(held.plan(), Step::Revoke(_)));
    let held = held.shown("at-a1", shown_ours("a1"));
    let status = held.records();
    assert_eq!(status.current.unwrap().attempt, "a1", "the Secret is the commit point");
    assert_eq!(status.predecessors[0].attempt, "a2");
}

#[test]
fn a_former_token_that_somebody_put_back_gets_no_second_life() {
    let put_back = role().current("a2").predecessor("a1", 0).secret_holds("a1").shown("at-a1", shown_ours("a1"));
    put_back.clone().at(MINUTE).begins();
    // No write of ours can have brought it there by now, and a Secret that takes no successor holds nothing up.
    let refused = put_back.trouble(TroubleKind::SecretRefused);
    assert_eq!(refused.clone().at(MINUTE).rests().wake_in.map(|at| at <= secs(MINUTE)), Some(true));
    let revocation = refused.at(3 * MINUTE).revokes();
    assert_eq!((revocation.token_id.as_str(), revocation.put_back), ("at-a1", true));
}

#[test]
fn an_incident_of_the_config_does_not_wait_for_a_secret_that_takes_no_successor() {
    let asked = issued().config(|c| c.revoke_wish = Some("1".into())).trouble(TroubleKind::SecretRefused);
    assert_eq!(asked.plan(), Step::Withdraw(Withdrawal::Delete));
    let mut gone = asked.clone();
    gone.o.secret = Secret::Absent;
    let status = gone.records();
    assert_eq!((status.current, status.predecessors.len()), (None, 1));
    let own = issued().annotated(ANNOTATION_REVOKE, "1").trouble(TroubleKind::SecretRefused);
    assert!(matches!(own.plan(), Step::Rest(_)), "the tenant's own wish can wait");
}

#[test]
fn an_incident_mints_first_and_then_revokes_every_predecessor_at_once() {
    let asked = issued().predecessor("a0", 30 * MINUTE).annotated(ANNOTATION_REVOKE, "1");
    assert_eq!(asked.urgency(), Urgency::Dying);
    let mut adopted = asked.intent("a2", 0).secret_holds("a2").minted("a2");
    let wish = Answers { revoke: Some("1".into()), ..Default::default() };
    adopted = adopted.status(|s| s.intent.as_mut().unwrap().answers = wish);
    let adopted = adopted.at(2 * MINUTE);
    let status = adopted.records();
    assert!(status.predecessors.iter().all(|p| p.revoke_at.as_ref().unwrap().0 <= t(2 * MINUTE)), "{status:?}");
    assert_eq!(status.predecessors.len(), 2);
    assert!(matches!(adopted.status(|s| *s = status).plan(), Step::Revoke(_)));
}

#[test]
fn the_wish_that_is_answered_is_the_one_that_begin_wrote_down() {
    let later =
        role().current("a1").intent("a2", 0).secret_holds("a2").minted("a2").annotated(ANNOTATION_ROTATE, "later");
    assert_eq!(later.records().handled.unwrap().rotate, None);
}

#[test]
fn eight_predecessors_hold_a_rotation_and_an_incident_makes_room() {
    let mut full = issued().annotated(ANNOTATION_ROTATE, "1");
    for n in 0..8 {
        full = full.predecessor(&format!("p{n}"), 30 * MINUTE);
    }
    assert_eq!(full.says(), ready("True", "Issued", Some(("Stalled", "TooManyPredecessors"))));
    assert_eq!(full.annotated(ANNOTATION_REVOKE, "1").revokes().token_id, "at-p0");
}

#[test]
fn a_secret_that_went_missing_is_replaced_at_once() {
    let mut missing = issued();
    missing.o.secret = Secret::Absent;
    assert_eq!(missing.urgency(), Urgency::Dying);
}

#[test]
fn an_edited_value_is_replaced_at_once() {
    assert_eq!(issued().facts(|f| f.value_lost = true).urgency(), Urgency::Dying);
}

#[test]
fn a_token_that_died_upstream_is_replaced_at_once() {
    assert_eq!(issued().at(HOUR).urgency(), Urgency::Dying);
}

#[test]
fn a_secret_of_unknown_version_is_read_and_mended_without_a_mint() {
    assert_eq!(issued().ours(|s| (s.verified, s.resource_version) = (false, "8".into())).plan(), Step::Render);
    assert_eq!(issued().ours(|s| s.record = None).ours(|s| s.verified = false).plan(), Step::Render);
    assert!(
        matches!(issued().ours(|s| s.verified = false).plan(), Step::Rest(_)),
        "the recorded version costs nothing"
    );
}

#[test]
fn a_changed_template_rewrites_the_secret_from_the_value_it_holds() {
    let changed = issued().spec(|s| {
        s.secret.get_or_insert_default().template.insert("TFE_TOKEN".into(), "${token}".into());
    });
    assert_eq!(changed.plan(), Step::Render);
}

#[test]
fn an_intent_whose_cause_is_gone_is_kept_as_unsettled() {
    let status = issued().intent("a2", 0).records();
    assert_eq!((status.intent, status.unsettled[0].record.attempt.as_str()), (None, "a2"));
}

#[test]
fn a_create_that_may_have_been_sent_twice_holds_a_revocation_until_it_can_no_longer_land() {
    let fresh = role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).status(|s| {
        s.predecessors[0].source = crate::api::Source::Secret;
        s.predecessors[0].issued_at = Some(time(0));
    });
    assert_eq!(fresh.rests().wake_in, Some(secs(MINUTE)));
    assert!(matches!(fresh.at(2 * MINUTE).plan(), Step::Inspect(_)));
}
