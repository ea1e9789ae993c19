use tfc_harness::invariants::{Invariant::Foreign, Maker, Mint, Person};

use crate::story::{Story, expiry};

/// A role on a slot that holds a person's token.
fn occupied(replace: bool) -> Story {
    let mut story = Story::of("org", "organizations/acme");
    story.knows("at-theirs", Maker::Other, None);
    story.edits("org", |role| role.replace = replace);
    story
}

/// The role had the slot, and a person took it. It says so, or not.
fn taken_over(said: bool) -> Story {
    let mut story = Story::slot();
    story.knows("at-theirs", Maker::Other, None);
    if said {
        story.edits("org", |role| {
            role.status.handled = Some([("rotate".into(), "1".into())].into());
            role.says = vec!["TakenOver".into()];
        });
    }
    story
}

#[test]
fn a_token_of_ours_may_be_revoked_and_a_foreign_one_may_not() {
    let mut story = Story::rotated();
    story.revokes("at-1");
    story.holds();
    story.knows("at-theirs", Maker::Other, None);
    story.revokes("at-theirs");
    story.breaks(Foreign, "at-theirs");
}

#[test]
fn another_installations_token_is_foreign() {
    let mut story = Story::issued();
    story.knows("at-theirs", Maker::Operator, None);
    story.revokes("at-theirs");
    story.breaks(Foreign, "at-theirs");
}

#[test]
fn an_occupied_slot_is_taken_only_where_the_role_says_replace() {
    let mut story = occupied(true);
    story.issues_over("org", "a1", "at-1", "at-theirs");
    story.holds();
    let mut story = occupied(false);
    story.issues_over("org", "a1", "at-1", "at-theirs");
    story.breaks(Foreign, "at-theirs");
    story.excused(Person::RacedForSlot("ns/org".into())).holds();
}

#[test]
fn a_slot_that_was_taken_over_is_taken_back_only_for_a_wish_made_after_it_was_said() {
    for (said, wish, may) in [(true, "2", true), (true, "1", false), (false, "2", false)] {
        let mut story = taken_over(said);
        story.begins_for("org", "a2", &[("rotate", wish)]);
        story.mints_over("org", "a2", "at-2", "at-theirs");
        if may { story.holds() } else { story.breaks(Foreign, "at-theirs") }
    }
}

#[test]
fn replace_is_for_the_first_token_and_no_leave_to_fight() {
    let mut story = taken_over(false);
    story.edits("org", |role| role.replace = true);
    story.begins("org", "a2");
    story.mints_over("org", "a2", "at-2", "at-theirs");
    story.breaks(Foreign, "at-theirs");
}

#[test]
fn a_slots_mint_is_its_roles_by_the_exact_expiry() {
    let mut story = occupied(true);
    story.begins("org", "a1");
    let mint = Mint { expiry: Some(expiry("a2")), ..story.mint("org", "a1", "at-1") };
    story.sends(Mint { killed: vec!["at-theirs".into()], ..mint });
    let found = tfc_harness::invariants::check(&story.history);
    assert!(found.iter().any(|violation| violation.invariant == Foreign), "{found:?}");
}
