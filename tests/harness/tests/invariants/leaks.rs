use tfc_harness::invariants::{Dead, Invariant::Leak, Maker, Mint, Person};

use crate::story::{Story, second};

#[test]
fn a_live_token_stands_in_a_secret_or_is_a_recorded_predecessor() {
    Story::rotated().settled().holds();
    let mut story = Story::rotated();
    story.edits("shop", |role| role.status.predecessors.clear());
    story.settled().breaks(Leak, "at-1");
}

#[test]
fn a_predecessor_without_a_time_is_kept_for_ever() {
    let mut story = Story::rotated();
    story.edits("shop", |role| role.status.predecessors[0].revoke_at = None);
    story.breaks(Leak, "at-1");
}

#[test]
fn a_token_that_died_by_itself_is_no_leak() {
    for dead in [Dead::Expired(second(9)), Dead::ByOthers(second(9))] {
        let mut story = Story::rotated();
        story.edits("shop", |role| role.status.predecessors.clear());
        story.knows("at-1", Maker::Operator, Some(dead));
        story.settled().holds();
    }
}

#[test]
fn an_attempt_under_way_is_no_leak_until_the_end() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.mints("shop", "a1", "at-1");
    story.holds();
    story.edits("shop", |role| role.status.unsettled.extend(role.status.intent.take()));
    story.holds();
    story.settled().breaks(Leak, "at-1");
}

#[test]
fn an_attempt_that_is_forgotten_is_a_leak_at_once() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    story.mints("shop", "a1", "at-1");
    story.edits("shop", |role| role.status.intent = None);
    story.breaks(Leak, "at-1");
    let mut revoked = story;
    revoked.revokes("at-1");
    revoked.settled().holds();
}

#[test]
fn the_current_token_of_a_secret_that_is_gone_has_to_be_dealt_with() {
    let mut story = Story::issued();
    story.happens(tfc_harness::invariants::What::SecretGone("ns/shop".into()));
    story.holds();
    story.settled().breaks(Leak, "at-1");
}

#[test]
fn the_twin_of_a_doubled_request_is_the_sweeps_to_find() {
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    for token in ["at-1", "at-2"] {
        let mint = Mint { doubled: true, ..story.mint("shop", "a1", token) };
        story.sends(mint);
    }
    story.writes("shop", Some("at-2"));
    story.records("shop", "a1", "at-2");
    story.holds();
    story.settled().breaks(Leak, "at-1");
}

#[test]
fn a_wiped_status_excuses_a_used_token_alone() {
    let story = || {
        let mut story = Story::rotated();
        story.edits("shop", |role| role.status = Default::default());
        story
    };
    let wiped = Person::WipedStatus("ns/shop".into());
    story().settled().excused(wiped.clone()).breaks(Leak, "at-1");
    let mut used = story();
    used.history.tokens.get_mut("at-1").unwrap().used = true;
    used.settled().excused(wiped).holds();
}

#[test]
fn what_others_made_is_no_leak() {
    let mut story = Story::issued();
    story.knows("at-theirs", Maker::Other, None);
    story.settled().holds();
}
