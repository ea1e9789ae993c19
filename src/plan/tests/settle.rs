//! Attempts of unknown fate, and what counts as a proof that a token is dead.

use super::build::*;
use crate::plan::observed::{AccountKind, Secret, Shown, TroubleKind};
use crate::plan::step::{Inspection, Note, Step};
use crate::plan::subject::Subject;

fn user() -> Subject {
    Subject::User("user-1".into())
}

fn unsettled() -> Build {
    role().current("a1").secret_holds("a1").unsettled("u1", 0)
}

#[test]
fn a_reply_that_never_came_leaves_the_attempt_unsettled() {
    let status = role().intent("a1", 0).trouble(TroubleKind::Ambiguous).rests_as();
    assert_eq!(status.intent.unwrap().record.attempt, "a1");
}

#[test]
fn nothing_is_asked_before_the_attempt_can_no_longer_land() {
    assert_eq!(unsettled().rests().wake_in, Some(secs(2 * MINUTE)));
    assert_eq!(unsettled().at(2 * MINUTE).plan(), Step::Inspect(Inspection::Walk(user())));
}

#[test]
fn an_attempt_that_two_whole_walks_do_not_show_is_forgotten() {
    assert!(unsettled().at(2 * MINUTE).walked(&["a1"]).records().unsettled.is_empty());
}

#[test]
fn a_list_that_shifted_while_it_was_paged_proves_nothing() {
    let shifted = unsettled().at(2 * MINUTE).walked(&["a1"]).facts(|f| f.walk.as_mut().unwrap().complete = false);
    assert!(shifted.rests().wake_in.is_some());
}

#[test]
fn a_walk_before_the_attempt_has_settled_proves_nothing() {
    assert!(matches!(unsettled().at(MINUTE).walked(&["a1"]).plan(), Step::Rest(_)));
}

#[test]
fn a_walk_from_before_the_attempt_had_settled_proves_nothing_later() {
    let late = unsettled().at(2 * MINUTE).walked(&["a1"]).facts(|f| f.looked_at = Some(t(MINUTE)));
    assert_eq!(late.rests().wake_in, Some(secs(0)), "it has to be looked for anew");
}

#[test]
fn an_unused_token_is_revoked_after_the_secret_was_fenced() {
    let found = unsettled().at(2 * MINUTE).walked(&["a1", "u1"]);
    assert_eq!(found.plan(), Step::Fence);
    let fenced = found.facts(|f| f.fenced = true);
    assert_eq!((fenced.revokes().attempt, fenced.revokes().token_id), ("u1".into(), "at-u1".into()));
}

#[test]
fn where_no_secret_stands_there_is_none_to_fence() {
    let mut found = role().never_renewed().served().unsettled("u1", 0).at(2 * MINUTE).walked(&["u1"]);
    found.o.secret = Secret::Absent;
    assert_eq!(found.revokes().token_id, "at-u1");
}

#[test]
fn a_revoked_attempt_is_forgotten_and_told() {
    let (status, notes) = unsettled().at(2 * MINUTE).gone("u1").records_with_notes();
    assert!(status.unsettled.is_empty());
    assert!(matches!(notes[..], [Note::Revoked(_)]));
}

#[test]
fn an_unsettled_token_that_pods_used_becomes_a_predecessor() {
    let used = unsettled().at(2 * MINUTE).walked(&["u1"]).facts(|f| f.walk.as_mut().unwrap().tokens[0].used = true);
    let status = used.records();
    assert!(status.unsettled.is_empty());
    let due = &status.predecessors[0];
    assert_eq!((due.token_id.as_deref(), &due.revoke_at), (Some("at-u1"), &Some(time(2 * MINUTE))));
    assert_eq!(due.source, crate::api::Source::Reply, "TFC itself showed it");
}

#[test]
fn an_attempt_past_its_expiry_is_forgotten_without_asking() {
    assert!(unsettled().at(HOUR + 1).no_config().records().unsettled.is_empty());
}

#[test]
fn an_intent_is_looked_for_also_where_something_stands_in_the_way_of_the_next() {
    let cases = [
        ("a Secret of somebody else's", role().intent("u1", 0).secret_foreign()),
        ("lost admission", role().intent("u1", 0).allow(&[])),
        ("a config that goes", role().intent("u1", 0).config(|c| c.deleting = true)),
        ("a spec that is none", role().intent("u1", 0).spec(|s| s.user = None)),
    ];
    for (why, stuck) in cases {
        let given_up = stuck.clone().at(2 * MINUTE).records();
        assert_eq!(given_up.unsettled[0].record.attempt, "u1", "{why}");
        let next = stuck.status(|s| *s = given_up).at(2 * MINUTE).plan();
        assert_eq!(next, Step::Inspect(Inspection::Walk(user())), "{why}");
    }
}

#[test]
fn a_mint_that_fails_does_not_hold_up_revocations() {
    use TroubleKind::{Ambiguous, Cluster, Limited, NotPermitted, Rejected, SecretRefused, Unauthorized, Unreachable};
    let due = || role().current("a2").secret_holds("a2").predecessor("a1", 0).at(41 * MINUTE);
    for kind in [Rejected, NotPermitted, SecretRefused, Unreachable, Ambiguous, Limited, Unauthorized] {
        assert_eq!(due().trouble(kind).revokes().token_id, "at-a1", "{kind:?}");
        let mut failed = due().trouble(kind);
        failed.o.trouble.as_mut().unwrap().settling = true;
        assert!(matches!(failed.plan(), Step::Rest(_)), "{kind:?}: it was the revocation that failed");
    }
    assert!(matches!(due().trouble(Cluster).plan(), Step::Rest(_)), "the last look at the Secret would fail too");
}

fn hidden() -> Build {
    role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).hidden("a1")
}

#[test]
fn a_404_is_a_proof_for_the_same_user() {
    assert!(hidden().records().predecessors.is_empty());
}

#[test]
fn a_404_is_no_proof_for_another_user() {
    let other = hidden().account("user-2", AccountKind::User);
    assert_eq!(other.rests_as().predecessors.len(), 1);
}

#[test]
fn a_404_is_no_proof_from_another_host() {
    let elsewhere = hidden().config(|c| c.host = "tfe.example".into());
    assert_eq!(elsewhere.rests_as().predecessors.len(), 1);
}

#[test]
fn a_teams_404_is_a_proof_once_the_organizations_tokens_were_listed_without_it() {
    let team = role().team("team-1").current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).hidden("a1");
    assert_eq!(team.plan(), Step::Inspect(Inspection::Walk(Subject::Team("team-1".into()))));
    assert!(team.clone().walked(&["a2"]).records().predecessors.is_empty());
    let seen = team.walked(&["a1", "a2"]);
    assert_eq!(seen.rests_as().predecessors.len(), 1, "hidden by id, and listed: no proof");
    assert_eq!(seen.says().2, Some(("Reconciling".into(), "RevocationUnproven".into())));
}

#[test]
fn what_can_not_be_proven_is_said_and_tried_again() {
    let team = role().team("team-1").current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).hidden("a1");
    let shifted = team.walked(&["a2"]).facts(|f| f.walk.as_mut().unwrap().complete = false);
    assert_eq!(shifted.says(), ready("True", "Issued", Some(("Reconciling", "RevocationUnproven"))));
    assert!(shifted.rests().wake_in.is_some_and(|wake| wake < secs(HOUR - MINUTE)));
}

#[test]
fn a_record_past_its_expiry_on_tfcs_clock_counts_as_revoked() {
    let expired = role().current("a2").secret_holds("a2").predecessor("a1", HOUR).no_config();
    assert!(expired.clone().at(HOUR).records().predecessors.is_empty());
}

#[test]
fn while_tfc_is_away_the_api_servers_clock_and_an_hour_will_do() {
    let away = role().never_renewed().served().secret_emptied().predecessor("a1", 0).at(2 * HOUR - 1).clockless();
    assert!(matches!(away.plan(), Step::Rest(_)));
    assert!(away.at(2 * HOUR).clockless().records().predecessors.is_empty());
}

#[test]
fn nothing_is_revoked_for_its_age_while_tfcs_time_is_unknown() {
    let clockless = role().current("a2").secret_holds("a2").predecessor("a1", 0).clockless();
    assert!(matches!(clockless.plan(), Step::Rest(_)));
}

#[test]
fn a_token_shown_by_its_id_counts_as_gone_only_when_that_is_proven() {
    let by_secret = role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE);
    let by_secret = by_secret.status(|s| s.predecessors[0].source = crate::api::Source::Secret);
    let hidden = by_secret.shown("at-a1", Shown::Hidden);
    assert_eq!(hidden.plan(), Step::Inspect(Inspection::Walk(user())), "gone or out of sight: the list tells");
    let in_part = hidden.clone().walked(&["a2"]).facts(|f| f.walk.as_mut().unwrap().complete = false);
    assert_eq!(in_part.rests_as().predecessors.len(), 1);
    assert!(hidden.walked(&["a2"]).records().predecessors.is_empty());
}

#[test]
fn why_a_token_can_not_be_proven_dead_is_said_with_its_id() {
    let stuck = || role().served().predecessor("a1", 0).deleted();
    let rows = [
        ("its config tfc does not exist", stuck().no_config()),
        ("is not ready", stuck().unready()),
        ("the config is for tfe.example", stuck().config(|c| c.host = "tfe.example".into())),
        ("the config's account can't see users/user-1", stuck().account("user-2", AccountKind::User)),
    ];
    for (why, stuck) in rows {
        let message = stuck.rests_as().conditions[0].message.clone();
        assert!(message.contains(why) && message.contains("at-a1"), "{message}");
        assert_eq!(stuck.rests().wake_in, Some(secs(MINUTE)), "{why}: it is tried again");
    }
}

#[test]
fn a_look_shows_nothing_of_what_was_made_after_it() {
    let team = role().team("team-1").current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).hidden("a1");
    let earlier = team.walked(&["a2"]).facts(|f| f.looked_at = Some(t(-2 * HOUR)));
    assert_eq!(earlier.rests_as().predecessors.len(), 1);
}

#[test]
fn an_unsettled_token_whose_id_is_known_is_revoked_by_it_and_looked_for_only_where_that_is_hidden() {
    let known = unsettled().at(2 * MINUTE).status(|s| s.unsettled[0].record.token_id = Some("at-u1".into()));
    assert_eq!(known.plan(), Step::Fence);
    assert_eq!(known.clone().facts(|f| f.fenced = true).revokes().token_id, "at-u1");
    let team = role().team("team-1").current("a1").secret_holds("a1").unsettled("u1", 0).at(2 * MINUTE).hidden("u1");
    let team = team.status(|s| s.unsettled[0].record.token_id = Some("at-u1".into()));
    assert_eq!(team.plan(), Step::Inspect(Inspection::Walk(Subject::Team("team-1".into()))));
}

#[test]
fn a_secret_that_was_just_refused_is_not_fenced_at_once() {
    unsettled().at(2 * MINUTE).walked(&["a1", "u1"]).trouble(TroubleKind::SecretRefused).rests();
}

#[test]
fn in_trouble_a_role_that_is_not_admitted_waits() {
    role().allow(&[]).served().secret_emptied().predecessor("a1", 0).trouble(TroubleKind::Rejected).rests();
}
