use tfc_harness::invariants::{Invariant::Order, Mint, Person, What};

use crate::story::{Story, expiry};

#[test]
fn the_intent_stands_before_the_mint() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.mints("shop", "a1", "at-1");
    story.holds();

    let mut story = Story::of("shop", "users/u");
    story.mints("shop", "a1", "at-1");
    story.begins("shop", "a1");
    let found = tfc_harness::invariants::check(&story.history);
    assert!(found.iter().any(|v| v.invariant == Order && v.words.contains("before its intent")), "{found:?}");
}

#[test]
fn another_replicas_intent_may_replace_the_one_that_is_sent() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.edits("shop", |role| role.status.unsettled.extend(role.status.intent.take()));
    story.begins("shop", "a2");
    story.mints("shop", "a1", "at-1");
    story.holds();
}

#[test]
fn the_finalizer_stands_before_the_intent() {
    let story = || {
        let mut story = Story::of("shop", "users/u");
        story.edits("shop", |role| role.finalizer = false);
        story.issues("shop", "a1", "at-1");
        story
    };
    story().breaks(Order, "at-1");
    story().excused(Person::StrippedFinalizer("ns/shop".into())).holds();
}

#[test]
fn what_is_sent_is_what_was_written_down() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    let mint = Mint { expiry: Some(expiry("a2")), ..story.mint("shop", "a1", "at-1") };
    story.sends(mint);
    story.breaks(Order, "at-1");
}

#[test]
fn an_attempt_makes_one_token() {
    let twice = |doubled: bool| {
        let mut story = Story::issued();
        let mint = Mint { doubled, ..story.mint("shop", "a1", "at-2") };
        story.sends(mint);
        story.revokes("at-2");
        story
    };
    twice(false).breaks(Order, "at-2");
    twice(true).holds();

    // A request that was refused made nothing: the next try is none too many.
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    let refused = Mint { made: Vec::new(), ..story.mint("shop", "a1", "at-0") };
    story.sends(refused);
    story.mints("shop", "a1", "at-1");
    story.holds();
}

#[test]
fn a_predecessor_is_recorded_before_it_is_revoked() {
    let mut story = Story::issued();
    story.begins("shop", "a2");
    story.mints("shop", "a2", "at-2");
    story.writes("shop", Some("at-2"));
    story.revokes("at-1");
    story.breaks(Order, "at-1");

    let mut forgotten = Story::rotated();
    forgotten.edits("shop", |role| role.status.predecessors.clear());
    forgotten.revokes("at-1");
    forgotten.breaks(Order, "at-1");
    forgotten.excused(Person::WipedStatus("ns/shop".into())).holds();
}

#[test]
fn a_former_token_that_tfc_wrongly_denied_may_be_found_again() {
    let mut denied = Story::rotated();
    denied.happens(What::Denied("at-1".into()));
    denied.edits("shop", |role| role.status.predecessors.clear());
    denied.revokes("at-1");
    denied.holds();

    let mut too_soon = Story::issued();
    too_soon.happens(What::Denied("at-1".into()));
    too_soon.issues("shop", "a2", "at-2");
    too_soon.edits("shop", |role| role.status.predecessors.clear());
    too_soon.revokes("at-1");
    too_soon.breaks(Order, "at-1");
}

#[test]
fn a_loser_and_the_sweep_may_revoke_what_was_never_recorded() {
    let mut loser = Story::of("shop", "users/u");
    loser.begins("shop", "a1");
    loser.mints("shop", "a1", "at-1");
    loser.revokes("at-1");
    loser.holds();

    let mut swept = Story::of("shop", "users/u");
    swept.begins("shop", "a1");
    swept.mints("shop", "a1", "at-1");
    swept.edits("shop", |role| role.status.intent = None);
    swept.revokes("at-1");
    swept.holds();
}

#[test]
fn the_minter_of_a_role_that_went_revokes_what_it_has_made() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.mints("shop", "a1", "at-1");
    story.goes("shop");
    story.revokes("at-1");
    story.excused(Person::StrippedFinalizer("ns/shop".into())).settled().holds();
}

#[test]
fn the_secret_is_written_before_the_record() {
    let story = || {
        let mut story = Story::of("shop", "users/u");
        story.begins("shop", "a1");
        story.mints("shop", "a1", "at-1");
        story.records("shop", "a1", "at-1");
        story
    };
    story().breaks(Order, "at-1");
    story().excused(Person::WroteSecret("ns/shop".into())).holds();
}

#[test]
fn the_wishes_recorded_are_those_it_began_with() {
    let answered = |wish: &str| {
        let mut story = Story::of("shop", "users/u");
        story.begins_for("shop", "a1", &[("rotate", "1")]);
        story.mints("shop", "a1", "at-1");
        story.writes("shop", Some("at-1"));
        let wish = wish.to_owned();
        let current = story.record("shop", "a1", Some("at-1"));
        story.edits("shop", |role| {
            role.status.intent = None;
            role.status.current = Some(current);
            role.status.handled = Some([("rotate".to_owned(), wish)].into());
        });
        story
    };
    answered("1").holds();
    // A person asked again during the mint: that is not answered by it.
    answered("2").breaks(Order, "at-1");
}
