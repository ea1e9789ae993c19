//! A role's first token: finalizer, intent, mint, record.

use super::build::*;
use crate::api::names::ANNOTATION_ROTATE;
use crate::api::{Answers, Source};
use crate::plan::observed::{AccountKind, TroubleKind};
use crate::plan::step::{Inspection, Note, Step, Urgency};
use crate::plan::subject::Subject;

#[test]
fn the_finalizer_comes_before_anything_is_minted() {
    assert_eq!(role().unfinalized().plan(), Step::Finalize);
}

#[test]
fn a_finalizer_that_somebody_stripped_comes_back_while_a_token_is_recorded() {
    assert_eq!(role().unfinalized().current("a1").secret_holds("a1").plan(), Step::Finalize);
    assert_eq!(role().unfinalized().served().unsettled("u1", 0).plan(), Step::Finalize);
}

#[test]
fn the_intent_is_written_before_the_mint() {
    let status = role().annotated(ANNOTATION_ROTATE, "1").begins();
    let intent = status.intent.unwrap();
    assert_eq!(intent.record.attempt, "new");
    assert_eq!((intent.record.host.as_str(), intent.record.account.as_str()), (HOST, "user-1"));
    assert_eq!(intent.record.subject, "users/user-1");
    assert_eq!((intent.since, intent.requested_expiry), (Some(time(0)), Some(time(HOUR))));
    assert_eq!(intent.answers.rotate.as_deref(), Some("1"), "the wish that stood at Begin is what is answered");
    assert_eq!(status.subject_id.as_deref(), Some("user-1"));
}

#[test]
fn what_was_begun_in_this_round_is_minted_with_marker_and_expiry() {
    let Step::Issue(order) = role().spec(|s| s.description = Some("CI".into())).begun("a1").plan() else { panic!() };
    assert_eq!((order.attempt.as_str(), order.subject), ("a1", Subject::User("user-1".into())));
    assert!(order.description.ends_with(".a1 CI"), "{}", order.description);
    assert_eq!((order.expires_at, order.secret, order.urgency), (t(HOUR), None, Urgency::First));
}

#[test]
fn an_intent_of_an_earlier_round_is_kept_as_unsettled_beside_the_next_attempt() {
    let status = role().intent("a1", -MINUTE).begins();
    assert_eq!(status.intent.unwrap().record.attempt, "new");
    assert_eq!(status.unsettled[0].record.attempt, "a1");
}

#[test]
fn an_intent_that_was_proven_unsent_is_dropped() {
    let status = role().intent("a1", 0).gone("a1").trouble(TroubleKind::Unreachable).records();
    assert_eq!((status.intent, status.unsettled.len()), (None, 0));
}

#[test]
fn the_attempt_in_the_secret_is_recorded_without_asking_tfc() {
    let (status, notes) = role().intent("a1", 0).secret_holds("a1").minted("a1").records_with_notes();
    let current = status.current.clone().unwrap();
    assert_eq!((current.attempt.as_str(), current.token_id.as_deref()), ("a1", Some("at-a1")));
    assert_eq!((status.intent.as_ref(), current.lease_expires_at), (None, Some(time(HOUR))));
    assert_eq!(said(&status), ready("True", "Issued", None));
    assert!(matches!(notes[..], [Note::Issued(_)]));
}

#[test]
fn of_an_attempt_whose_reply_is_lost_the_requested_expiry_is_recorded() {
    let found = role().intent("a1", 0).secret_holds("a1").status(|s| {
        s.intent.as_mut().unwrap().requested_expiry = Some(time(2 * HOUR));
    });
    let current = found.records().current.unwrap();
    assert_eq!(current.source, Source::Secret, "the id came by way of the Secret: this round did not mint it");
    assert_eq!(current.expires_at, Some(time(2 * HOUR)));
}

#[test]
fn the_id_that_came_with_this_rounds_own_reply_is_trusted() {
    let minted = role().intent("a1", 0).secret_holds("a1").facts(|f| f.minted = Some("a1".into()));
    assert_eq!(minted.records().current.unwrap().source, Source::Reply);
}

#[test]
fn what_this_round_minted_into_the_secret_is_recorded_though_another_wrote_the_status_meanwhile() {
    let lost = role().intent("b1", 0).secret_holds("a1").facts(|f| f.minted = Some("a1".into()));
    assert_eq!(lost.plan(), Step::Inspect(Inspection::Token("at-a1".into())));
    let status = lost.shown("at-a1", shown_ours("a1")).records();
    assert_eq!(status.current.unwrap().attempt, "a1");
    assert_eq!(status.unsettled[0].record.attempt, "b1", "it may have minted, too");
}

#[test]
fn a_wish_present_at_first_sight_counts_as_handled() {
    let mut adopted = role().annotated(ANNOTATION_ROTATE, "1").secret_holds("a1").minted("a1");
    adopted.o.role.status = Some(role().annotated(ANNOTATION_ROTATE, "1").begins());
    let adopted = adopted.status(|s| s.intent.as_mut().unwrap().record.attempt = "a1".into());
    let status = adopted.records();
    assert_eq!(status.handled.clone().unwrap().rotate.as_deref(), Some("1"));
    let rested = adopted.status(|s| *s = status).plan();
    assert!(matches!(rested, Step::Rest(_)), "{rested:?}");
}

#[test]
fn a_role_with_its_token_rests_without_a_write() {
    let issued = role().current("a1").secret_holds("a1");
    let written = issued.rests_as();
    assert_eq!(issued.status(|s| *s = written).rests().status, None);
}

#[test]
fn another_attempt_in_the_secret_passes_over_the_open_intent_and_keeps_it() {
    let status = role().intent("a1", 0).secret_holds("b1").shown("at-b1", ours("b1")).records();
    assert_eq!(status.current.unwrap().attempt, "b1");
    assert_eq!((status.intent, status.unsettled[0].record.attempt.as_str()), (None, "a1"));
}

#[test]
fn what_stands_in_the_way_is_said() {
    let foreign = role().secret_foreign();
    assert_eq!(foreign.says(), ready("False", "SecretConflict", Some(("Stalled", "SecretConflict"))));
    let team = role().account("user-9", AccountKind::User);
    assert_eq!(team.says(), ready("False", "NotPermitted", Some(("Stalled", "NotPermitted"))));
    let unready = role().unready();
    assert_eq!(unready.says(), ready("False", "ConfigNotReady", Some(("Reconciling", "ConfigNotReady"))));
    let clockless = role().clockless();
    assert_eq!(clockless.says(), ready("False", "ConfigNotReady", Some(("Reconciling", "ConfigNotReady"))));
}

#[test]
fn a_namespace_that_is_going_gets_no_mint() {
    let mut going = role();
    going.o.namespace_going = true;
    assert_eq!(going.says(), ready("False", "Revoking", Some(("Reconciling", "Revoking"))));
}

#[test]
fn a_config_that_is_going_admits_nothing_new_and_serves_what_there_is() {
    let deleting = role().config(|c| c.deleting = true);
    assert_eq!(deleting.says(), ready("False", "ConfigNotAvailable", Some(("Stalled", "ConfigNotAvailable"))));
    deleting.current("a1").secret_holds("a1").at(50 * MINUTE).begins();
}

#[test]
fn four_unsettled_attempts_block_nothing_but_a_fifth() {
    let three = role().unsettled("u1", 0).unsettled("u2", 0).unsettled("u3", 0).intent("a1", 0);
    assert_eq!(three.begins().unsettled.len(), 4);
    let four = three.unsettled("u4", 0).at(1);
    let kept = four.records();
    assert_eq!((kept.intent.as_ref(), kept.unsettled.len()), (None, 5), "it is looked for as well");
    assert_eq!(four.status(|s| *s = kept).says().1, "RevocationUnproven");
}

#[test]
fn a_refused_mint_is_told_in_tfcs_words_and_tried_again_later() {
    let rest = role().trouble(TroubleKind::Rejected).rests();
    assert_eq!(rest.wake_in, Some(secs(30)));
    let stalled = rest.status.unwrap().conditions.pop().unwrap();
    assert_eq!((stalled.type_.as_str(), stalled.message.as_str()), ("Stalled", "TFC said so"));
}

#[test]
fn after_a_secret_was_refused_its_write_is_rehearsed_before_another_token_is_minted() {
    let refused = role().trouble(TroubleKind::SecretRefused).rests_as();
    let again = role().status(|s| *s = refused);
    assert_eq!(again.plan(), Step::Rehearse);
    again.facts(|f| f.rehearsed = true).begins();
}

#[test]
fn answers_default_to_nothing_asked() {
    assert_eq!(role().begins().intent.unwrap().answers, Answers::default());
}

fn ours(attempt: &str) -> crate::plan::observed::Shown {
    shown_ours(attempt)
}

#[test]
fn what_is_recorded_of_a_token_is_what_tells_a_changed_value_and_the_start_of_its_lease() {
    let current = role().intent("a1", 0).secret_holds("a1").minted("a1").records().current.unwrap();
    assert_eq!((current.digest.as_str(), current.lease_started_at), ("digest of a1", Some(time(0))));
}

#[test]
fn the_subject_stands_in_the_status_in_the_roles_own_words() {
    let rows = [
        (role(), "user-1"),
        (role().me(), "me"),
        (role().team("team-1"), "team-1"),
        (role().team_named("acme", "apps").no_config(), "acme/apps"),
        (role().organization("acme"), "acme"),
    ];
    for (role, words) in rows {
        assert_eq!(role.no_config().rests_as().subject.as_deref(), Some(words));
    }
}

#[test]
fn a_team_is_another_where_the_organization_or_the_name_is() {
    let known =
        role().team_named("acme", "apps").knows_team("acme", "ops", "team-2").knows_team("other", "apps", "team-3");
    assert!(matches!(known.plan(), Step::Resolve(_)), "{:?}", known.plan());
}

#[test]
fn a_role_without_a_config_hears_which_one_is_missing() {
    let message = role().no_config().rests_as().conditions[0].message.clone();
    assert!(message.contains("TerraformCloudConfig apps/tfc does not exist"), "{message}");
}

#[test]
fn me_stays_the_account_for_which_the_role_was_first_served() {
    let served = role().me().served().status(|s| s.subject_id = Some("user-9".into()));
    assert_eq!(served.says().1, "NotPermitted");
}

#[test]
fn a_team_that_tfc_does_not_show_is_not_asked_for_again_at_once() {
    let hidden = role().team_named("acme", "apps").facts(|f| f.hidden_teams.extend(["acme/apps".into()]));
    assert_eq!(hidden.says().1, "NotPermitted");
}
