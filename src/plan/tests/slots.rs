//! Single slots: minting kills what is there, so each mint is preceded by a look.

use super::build::*;
use crate::api::names::ANNOTATION_ROTATE;
use crate::api::{Answers, Pending, Source};
use crate::plan::observed::{AccountKind, Reservation, Secret};
use crate::plan::step::{Inspection, Step};
use crate::plan::subject::Subject;

#[test]
fn a_slot_at_another_host_is_neither_replaced_nor_overtaken_by_what_the_slot_here_holds() {
    let moved = role().organization("acme").current("a1").secret_holds("a1").config(|c| c.host = "tfe.example".into());
    assert_eq!(moved.clone().slot("at-other").says(), ready("True", "Issued", None));
    assert_eq!(moved.slot_empty().says(), ready("True", "Issued", None));
}

fn acme() -> Subject {
    Subject::Organization("acme".into())
}

fn slot() -> Build {
    role().organization("acme")
}

fn issued() -> Build {
    slot().current("a1").secret_holds("a1").status(|s| {
        s.current.as_mut().unwrap().expires_at = Some(time(365 * 24 * HOUR));
    })
}

#[test]
fn the_slot_is_reserved_then_looked_at_then_begun_then_claimed_then_minted() {
    assert_eq!(slot().plan(), Step::Reserve(acme()));
    assert_eq!(slot().reserved().plan(), Step::Inspect(Inspection::Slot(acme())));
    let status = slot().reserved().slot_empty().begins();
    let intent = status.intent.clone().unwrap();
    assert_eq!(intent.requested_expiry, Some(time(365 * 24 * HOUR + 42)), "random seconds tell whose mint it was");
    let begun = slot().reserved().slot_empty().status(|s| *s = status).facts(|f| f.begun = Some("new".into()));
    assert_eq!(begun.plan(), Step::Claim);
    let Step::Issue(order) = begun.facts(|f| f.claimed = true).plan() else { panic!() };
    assert_eq!(order.expires_at, t(365 * 24 * HOUR + 42));
}

#[test]
fn another_role_on_the_same_slot_is_told_who_holds_it() {
    let second = slot().facts(|f| f.reservation = Some(Reservation::HeldBy("apps/first".into())));
    assert_eq!(second.says(), ready("False", "Conflict", Some(("Stalled", "Conflict"))));
    assert!(second.rests_as().conditions[0].message.contains("apps/first"));
}

#[test]
fn somebodys_token_is_not_killed_without_being_told_to() {
    let occupied = slot().reserved().slot("at-theirs");
    assert_eq!(occupied.says(), ready("False", "SlotOccupied", Some(("Stalled", "SlotOccupied"))));
    assert!(occupied.rests_as().conditions[0].message.contains("at-theirs"));
    let status = occupied.replaces().begins();
    assert_eq!(status.intent.unwrap().slot_token_id_before.as_deref(), Some("at-theirs"));
}

#[test]
fn the_operators_own_admin_token_is_never_killed() {
    let organization = slot().account("user-svc", AccountKind::Organization("acme".into()));
    assert_eq!(organization.says().1, "WouldRevokeOwnToken");
    let team = role().legacy_team("team-1").account("user-svc", AccountKind::Team("team-1".into()));
    assert_eq!(team.says().1, "WouldRevokeOwnToken");
    assert_eq!(slot().reserved().slot("at-admin").replaces().says().1, "WouldRevokeOwnToken", "by its id");
}

#[test]
fn our_own_token_in_the_slot_is_rotated_when_asked() {
    issued().annotated(ANNOTATION_ROTATE, "1").reserved().slot("at-a1").begins();
}

#[test]
fn a_slot_that_someone_else_took_is_left_to_them() {
    let taken = issued().annotated(ANNOTATION_ROTATE, "1").reserved().slot("at-theirs");
    assert_eq!(taken.says(), ready("False", "TakenOver", Some(("Stalled", "TakenOver"))));
}

#[test]
fn a_wish_from_before_the_takeover_does_not_take_the_slot_back() {
    let taken = issued().annotated(ANNOTATION_ROTATE, "1").reserved().slot("at-theirs");
    let told = taken.rests_as();
    let again = taken.status(|s| *s = told);
    assert!(matches!(again.plan(), Step::Rest(_)), "{:?}", again.plan());
    again.annotated(ANNOTATION_ROTATE, "2").begins();
}

#[test]
fn a_takeover_is_not_forgotten_when_the_slot_is_not_looked_at() {
    let taken = issued().annotated(ANNOTATION_ROTATE, "1").reserved().slot("at-theirs");
    let told = taken.rests_as();
    let later = taken.status(|s| *s = told).facts(|f| f.slot = None);
    assert_eq!(later.says().0, "False");
    let away = later.trouble(crate::plan::observed::TroubleKind::Unreachable);
    assert_eq!(away.says().0, "False");
    let told = away.rests_as();
    away.status(|s| *s = told).annotated(ANNOTATION_ROTATE, "2").facts(|f| f.slot = None);
}

#[test]
fn an_attempt_of_ours_is_known_by_its_exact_expiry() {
    let lost = slot().reserved().unsettled("a1", 0).slot("at-whatever");
    lost.clone().begins();
    let theirs = lost.slot_token(|t| t.expires_at = Some(super::build::t(HOUR + 1)));
    assert_eq!(theirs.says().1, "SlotOccupied");
}

#[test]
fn where_the_server_cut_the_expiry_maker_and_time_tell() {
    let cut =
        slot().reserved().unsettled("a1", 0).slot("at-cut").slot_token(|t| t.expires_at = Some(super::build::t(60)));
    cut.clone().begins();
    assert_eq!(cut.clone().slot_token(|t| t.created_by = Some("user-2".into())).says().1, "SlotOccupied");
    assert_eq!(cut.slot_token(|t| t.created_at = super::build::t(-1)).says().1, "SlotOccupied");
}

#[test]
fn an_unchanged_id_says_that_the_mint_did_not_happen() {
    let unchanged = slot().reserved().unsettled("a1", 0).slot("at-before");
    let unchanged = unchanged.status(|s| s.unsettled[0].slot_token_id_before = Some("at-before".into()));
    assert_eq!(unchanged.says().1, "SlotOccupied");
}

#[test]
fn a_wiped_status_does_not_make_our_own_mint_look_foreign() {
    let pending = Pending {
        attempt: "a1".into(),
        requested_expiry: Some(time(HOUR)),
        account: "user-1".into(),
        since: Some(time(0)),
        ..Default::default()
    };
    let mut wiped = slot().secret_emptied().pending(pending).reserved().slot("at-a1");
    wiped = wiped.served();
    wiped.begins();
}

#[test]
fn a_late_mint_of_ours_that_killed_the_token_in_use_is_found_and_followed_by_another() {
    let late = issued().unsettled("u1", 0).at(MINUTE);
    assert!(matches!(late.plan(), Step::Rest(_)), "it may still land");
    let ripe = late.at(2 * MINUTE);
    assert_eq!(ripe.plan(), Step::Inspect(Inspection::Slot(acme())));
    let unmoved = ripe.clone().slot("at-a1").slot_token(|t| t.expires_at = Some(super::build::t(365 * 24 * HOUR)));
    assert!(unmoved.records().unsettled.is_empty(), "it did not land");
    let landed = ripe.slot("at-u1").slot_token(|t| t.expires_at = Some(super::build::t(HOUR)));
    landed.reserved().begins();
}

#[test]
fn an_emptied_slot_is_minted_again() {
    issued().reserved().slot_empty().begins();
}

#[test]
fn a_slots_former_token_is_dead_and_never_revoked() {
    let adopted = issued().intent("a2", 0).secret_holds("a2").minted("a2").records();
    assert_eq!((adopted.current.unwrap().attempt.as_str(), adopted.predecessors.len()), ("a2", 0));
}

#[test]
fn a_slot_is_rotated_at_its_interval_and_in_any_case_before_its_year_is_over() {
    let monthly = issued().interval("720h").status(|s| {
        s.current.as_mut().unwrap().expires_at = Some(time(900 * HOUR));
    });
    assert!(matches!(monthly.clone().at(719 * HOUR).plan(), Step::Rest(_)));
    assert_eq!(monthly.at(720 * HOUR).plan(), Step::Reserve(acme()));
    assert!(matches!(issued().at(330 * 24 * HOUR).plan(), Step::Rest(_)));
    assert_eq!(issued().at(336 * 24 * HOUR).plan(), Step::Reserve(acme()));
}

#[test]
fn a_change_of_the_spec_that_does_not_matter_to_the_token_mints_nothing() {
    let changed = issued().spec(|s| s.description = Some("another".into()));
    assert!(matches!(changed.plan(), Step::Rest(_)));
}

#[test]
fn nothing_of_a_suspended_slot_is_looked_at() {
    let mut lost = issued().suspended();
    lost.o.secret = Secret::Absent;
    assert!(matches!(lost.plan(), Step::Rest(_)));
    assert_eq!(lost.o.role.status.as_ref().unwrap().handled, Some(Answers::default()));
}

#[test]
fn the_token_in_use_is_not_taken_for_an_earlier_attempts_that_the_server_cut() {
    let later = issued().unsettled("u1", 0).at(2 * MINUTE).slot("at-a1").slot_token(|t| {
        t.expires_at = Some(super::build::t(HOUR - 1));
    });
    assert!(later.records().unsettled.is_empty());
}

#[test]
fn a_mint_that_the_secret_announced_is_kept_as_unsettled_when_the_status_was_wiped() {
    let pending = Pending { attempt: "a2".into(), since: Some(time(0)), ..Default::default() };
    let wiped = slot().secret_holds("a1").pending(pending);
    assert!(matches!(wiped.plan(), Step::Reserve(_)), "who does not hold the slot has no say in whose its token is");
    let status = wiped.reserved().slot("at-a1").records();
    assert_eq!(status.current.unwrap().attempt, "a1");
    assert_eq!(status.unsettled[0].record.attempt, "a2");
}

#[test]
fn whose_a_slots_token_is_a_secret_says_only_for_a_role_that_may_have_it() {
    let refused = slot().secret_holds("a1").slot("at-a1").reserved().allow(&[]);
    assert!(matches!(refused.plan(), Step::Rest(_)));
    assert!(matches!(refused.deleted().plan(), Step::Withdraw(_)), "nothing is recorded, so nothing revoked");
    let second = slot().secret_holds("a1").slot("at-a1");
    let second = second.facts(|f| f.reservation = Some(Reservation::HeldBy("apps/first".into())));
    assert!(matches!(second.plan(), Step::Rest(_)));
}

#[test]
fn a_slots_token_that_another_account_made_is_not_the_secrets_whatever_it_says() {
    let theirs = |by: &str| {
        let by = Some(by.to_owned());
        slot().secret_holds("a1").reserved().slot("at-a1").slot_token(|token| token.created_by = by)
    };
    assert_eq!(
        theirs("user-1").held(|held| held.account = "user-7".into()).records().current.unwrap().account,
        "user-1"
    );
    assert_eq!(theirs("user-7").says().1, "SlotOccupied");
    let named = theirs("user-7").current("a1").status(|s| s.current.as_mut().unwrap().source = Source::Secret);
    assert_eq!(named.says().1, "TakenOver");
}

#[test]
fn the_twin_of_a_mint_is_known_though_the_config_has_changed_hands() {
    let twin = slot().current("a1").secret_holds("a1").reserved().slot("at-twin");
    let twin = twin.status(|s| s.current.as_mut().unwrap().account = "user-7".into());
    let by = |by: &str| twin.clone().slot_token(|token| token.created_by = Some(by.to_owned()));
    by("user-7").begins();
    assert_eq!(by("user-8").says().1, "TakenOver");
}

#[test]
fn of_several_attempts_that_may_have_made_the_slots_token_one_is_kept() {
    let mut several = slot().reserved().slot("at-ours").at(30 * MINUTE);
    for n in 0..5 {
        several = several.unsettled(&format!("u{n}"), n);
    }
    let several = several.slot_token(|t| t.created_at = super::build::t(10));
    let kept: Vec<_> = several.records().unsettled.into_iter().map(|u| u.record.attempt).collect();
    assert_eq!(kept, ["u0"], "its expiry is exactly the one asked for");
}

#[test]
fn a_mint_that_the_secret_announced_is_kept_whole_and_only_where_nothing_else_knows_it() {
    let pending = |attempt: &str| Pending {
        attempt: attempt.into(),
        account: "user-1".into(),
        since: Some(time(0)),
        ..Default::default()
    };
    let wiped = |attempt: &str| slot().secret_holds("a1").pending(pending(attempt)).reserved().slot("at-a1");
    let kept = wiped("a2").records().unsettled.remove(0).record;
    assert_eq!((kept.host.as_str(), kept.account.as_str()), (HOST, "user-1"));
    assert_eq!(kept.subject, "organizations/acme");
    assert!(wiped("a1").records().unsettled.is_empty(), "it is the one in the Secret");
    let served = wiped("a2").current("a0").records();
    assert!(served.unsettled.is_empty(), "the status was not wiped");
}

#[test]
fn a_failure_after_a_takeover_does_not_wash_it_away() {
    let taken = issued().annotated(ANNOTATION_ROTATE, "1").reserved().slot("at-theirs");
    let told = taken.rests_as();
    let away = taken.status(|s| *s = told).facts(|f| f.slot = None);
    let away = away.trouble(crate::plan::observed::TroubleKind::Unreachable);
    assert_eq!(away.says(), ready("False", "TakenOver", Some(("Reconciling", "Unreachable"))));
}

#[test]
fn a_slot_that_a_look_shows_as_ours_is_issued_and_one_that_is_not_is_taken_over() {
    assert_eq!(issued().slot("at-a1").says(), ready("True", "Issued", None));
    let theirs = issued().slot("at-theirs").slot_token(|token| token.expires_at = None);
    assert_eq!(theirs.says().1, "TakenOver");
}

#[test]
fn a_look_that_finds_our_own_token_answers_no_wish() {
    let waits = issued().annotated(ANNOTATION_ROTATE, "1").slot("at-a1");
    let waits = waits.facts(|f| f.reservation = Some(Reservation::HeldBy("apps/first".into())));
    assert_eq!(waits.rests_as().handled.unwrap().rotate, None);
}
