use tfc_harness::invariants::{Dead, Invariant::InUse, Maker, Person};

use crate::story::{Story, second};

#[test]
fn a_former_token_may_go_and_the_one_in_the_secret_may_not() {
    let mut story = Story::rotated();
    story.revokes("at-1");
    story.holds();
    // Recorded as due, but the Secret holds it.
    let mut story = Story::issued();
    story.edits("shop", |role| {
        let current = role.status.current.take();
        role.status.predecessors.extend(current);
    });
    story.revokes("at-1");
    story.breaks(InUse, "at-1");
}

#[test]
fn a_withdrawn_token_may_go() {
    let mut story = Story::issued();
    story.withdraws("shop");
    story.revokes("at-1");
    story.holds();
}

#[test]
fn a_late_write_must_not_bring_back_what_was_revoked() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.mints("shop", "a1", "at-1");
    story.revokes("at-1");
    story.holds();
    story.writes("shop", Some("at-1"));
    story.breaks(InUse, "at-1");
    story.excused(Person::WroteSecret("ns/shop".into())).holds();
}

#[test]
fn a_person_who_writes_one_secret_excuses_no_other() {
    let mut story = Story::rotated();
    story.revokes("at-1");
    story.writes("blog", Some("at-1"));
    story.breaks(InUse, "at-1");
    story.excused(Person::WroteSecret("ns/shop".into())).breaks(InUse, "at-1");
}

#[test]
fn a_slots_mint_kills_the_token_in_its_secret_if_the_secrets_write_follows() {
    let mut story = Story::slot();
    story.begins("org", "a2");
    story.mints_over("org", "a2", "at-2", "at-1");
    story.holds();
    let mut lost = Story::slot();
    lost.begins("org", "a2");
    lost.mints_over("org", "a2", "at-2", "at-1");
    lost.edits("org", |role| role.status.unsettled.extend(role.status.intent.take()));
    let found = tfc_harness::invariants::check(&lost.settled().history);
    assert!(found.iter().any(|v| v.invariant == InUse && v.token.as_deref() == Some("at-1")), "{found:?}");
    story.writes("org", Some("at-2"));
    story.records("org", "a2", "at-2");
    story.settled().holds();
}

#[test]
fn a_dead_value_must_not_overwrite_the_live_one_of_a_slot() {
    let mut story = Story::slot();
    story.issues_over("org", "a2", "at-2", "at-1");
    story.holds();
    story.writes("org", Some("at-1"));
    story.breaks(InUse, "at-1");
}

#[test]
fn a_role_must_not_kill_the_token_of_another_ones_slot() {
    let mut story = Story::slot();
    story.comes("other", "organizations/acme");
    story.begins("other", "a2");
    story.mints_over("other", "a2", "at-2", "at-1");
    story.breaks(InUse, "at-1");
}

#[test]
fn a_role_must_not_say_that_all_is_well_with_a_token_that_has_run_out() {
    for (says, well) in [("Issued", false), ("Expired", true)] {
        let mut story = Story::issued();
        story.edits("shop", |role| role.says = vec![says.into()]);
        story.knows("at-1", Maker::Operator, Some(Dead::Expired(second(3))));
        story.holds();
        let story = story.settled();
        if well { story.holds() } else { story.breaks(InUse, "at-1") }
    }
}
