//! What a sweep points at: tokens of the role that no record knows, and records whose token is gone.

use super::build::{Build, MINUTE, role};
use crate::plan::step::{Inspection, Step};
use crate::plan::subject::Subject;

/// A role with its token, half an hour later; a sweep points at it.
fn swept() -> Build {
    let mut build = role().current("a1").secret_holds("a1").at(30 * MINUTE);
    build.o.swept = true;
    build
}

#[test]
fn a_role_that_a_sweep_points_at_lists_its_tokens_anew() {
    assert_eq!(swept().plan(), Step::Inspect(Inspection::Walk(Subject::User("user-1".into()))));
    let mut unswept = swept();
    unswept.o.swept = false;
    unswept.rests();
}

#[test]
fn a_token_that_nobody_knows_and_nobody_used_is_fenced_and_then_revoked() {
    let found = || swept().lists("a1", 0, true).lists("lost", 0, false);
    assert_eq!(found().plan(), Step::Fence);
    let revocation = found().facts(|f| f.fenced = true).revokes();
    assert_eq!((revocation.token_id.as_str(), revocation.stray), ("at-lost", true));
    found().facts(|f| f.strays_gone.extend(["at-lost".into()])).rests();
}

#[test]
fn one_that_is_in_use_is_told_of_and_left() {
    let rest = swept().lists("a1", 0, true).lists("clone", 0, true).rests();
    assert_eq!(rest.strays.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["at-clone"]);
}

#[test]
fn one_that_ran_out_is_nobodys_business() {
    let ran_out = |used: bool| {
        let listed = swept().lists("a1", 0, true).lists("old", 0, used);
        listed.facts(|f| f.walk.as_mut().unwrap().tokens[1].expires_at = Some(super::build::t(29 * MINUTE))).rests()
    };
    assert!(ran_out(true).strays.is_empty() && ran_out(false).strays.is_empty());
}

#[test]
fn one_whose_secret_may_still_land_is_left_for_now() {
    swept().lists("a1", 0, true).lists("young", 29 * MINUTE, false).rests();
}

#[test]
fn the_twin_of_a_known_token_is_told_by_its_id() {
    let twin = swept().lists("a1", 0, true).lists_as("a1", "at-twin", 0, false).facts(|f| f.fenced = true);
    assert_eq!(twin.revokes().token_id, "at-twin");
}

#[test]
fn an_id_that_is_a_tenants_word_makes_no_twin_of_the_real_one() {
    let mut forged = swept().lists_as("a1", "at-real", 0, false).facts(|f| f.fenced = true);
    forged.o.role.status.as_mut().unwrap().current.as_mut().unwrap().source = crate::api::Source::Secret;
    // Whether the real one stands in the Secret nobody can tell: a successor can.
    let began = forged.begins();
    assert_eq!((began.current.unwrap().attempt.as_str(), began.intent.unwrap().record.attempt.as_str()), ("a1", "new"));
}

#[test]
fn the_twin_of_a_token_that_is_gone_does_not_make_up_for_it() {
    let mut twin = swept().lists_as("a1", "at-twin", 0, true);
    twin.begins();
    twin.o.role.status.as_mut().unwrap().current.as_mut().unwrap().source = crate::api::Source::Secret;
    twin.begins();
}

#[test]
fn nothing_is_revoked_while_the_secret_does_not_say_what_it_holds() {
    let mut illegible = swept().lists("a1", 0, true).lists("lost", 0, false).facts(|f| f.fenced = true);
    let crate::plan::observed::Secret::Ours(secret) = &mut illegible.o.secret else { panic!("built") };
    (secret.record, secret.verified) = (None, true);
    illegible.rests();
}

#[test]
fn a_token_that_a_whole_list_does_not_show_is_replaced() {
    let gone = swept().lists("other", 30 * MINUTE, false);
    let intent = gone.begins().intent.unwrap();
    assert_eq!(intent.record.attempt, "new");
    swept().lists("other", 30 * MINUTE, false).facts(|f| f.walk.as_mut().unwrap().complete = false).rests();
}

#[test]
fn a_former_token_that_a_whole_list_does_not_show_is_gone() {
    let gone = swept().predecessor("a0", 40 * MINUTE).lists("a1", 0, true);
    assert!(gone.records().predecessors.is_empty());
}

#[test]
fn a_slot_that_a_sweep_points_at_is_looked_at() {
    let slot = || {
        let mut build = role().organization("acme").current("a1").secret_holds("a1").at(30 * MINUTE);
        build.o.swept = true;
        build
    };
    assert!(matches!(slot().plan(), Step::Inspect(Inspection::Slot(_))));
}
