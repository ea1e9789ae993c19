use tfc_harness::invariants::{Dead, Delete, Event, Invariant::Gone, Maker, Person, What, check};

use crate::story::{Story, second};

#[test]
fn a_role_that_goes_takes_its_tokens_along() {
    let mut story = Story::rotated();
    story.withdraws("shop");
    story.revokes("at-2");
    story.revokes("at-1");
    story.goes("shop");
    story.settled().holds();

    let mut story = Story::rotated();
    story.revokes("at-1");
    story.withdraws("shop");
    story.goes("shop");
    // What is revoked after that was revoked too late.
    story.revokes("at-2");
    story.breaks(Gone, "at-2");
}

#[test]
fn a_token_that_is_dead_by_then_needs_nobody() {
    for (at, left) in [(second(5), false), (second(500), true)] {
        let mut story = Story::issued();
        story.withdraws("shop");
        story.knows("at-1", Maker::Operator, Some(Dead::Expired(at)));
        story.goes("shop");
        if left { story.breaks(Gone, "at-1") } else { story.holds() }
    }
}

#[test]
fn a_delete_that_the_store_could_not_place_counts_by_its_time() {
    for (at, left) in [(second(6), false), (second(500), true)] {
        let mut story = Story::issued();
        story.withdraws("shop");
        story.goes("shop");
        let delete = Delete { killed: vec!["at-1".into()], unplaced: true };
        story.history.events.push(Event { at, what: What::Delete(delete) });
        if left { story.breaks(Gone, "at-1") } else { story.holds() }
    }
}

#[test]
fn retain_keeps_the_token_in_the_secret_and_no_other() {
    let mut story = Story::rotated();
    story.edits("shop", |role| role.retain = true);
    story.revokes("at-1");
    story.goes("shop");
    story.settled().holds();

    let mut story = Story::rotated();
    story.edits("shop", |role| role.retain = true);
    story.goes("shop");
    let found = check(&story.history);
    assert!(found.iter().any(|v| v.invariant == Gone && v.token.as_deref() == Some("at-1")), "{found:?}");
    assert!(found.iter().all(|v| v.token.as_deref() == Some("at-1")), "{found:?}");
}

/// A role that goes and leaves its token, though it said so or not.
fn leaves(unproven: bool) -> Story {
    let mut story = Story::issued();
    story.withdraws("shop");
    if unproven {
        story.edits("shop", |role| role.says = vec!["RevocationUnproven".into()]);
    }
    story.goes("shop");
    story
}

#[test]
fn who_strips_the_finalizer_lets_a_token_live() {
    leaves(false).excused(Person::StrippedFinalizer("ns/shop".into())).settled().holds();
    let found = check(&leaves(false).excused(Person::StrippedFinalizer("ns/blog".into())).history);
    assert!(found.iter().any(|violation| violation.invariant == Gone), "{found:?}");
}

#[test]
fn only_what_the_role_says_it_can_t_prove_is_given_up() {
    leaves(true).excused(Person::Abandoned("ns/shop".into())).settled().holds();
    let found = check(&leaves(false).excused(Person::Abandoned("ns/shop".into())).history);
    assert!(found.iter().any(|violation| violation.invariant == Gone), "{found:?}");
}
