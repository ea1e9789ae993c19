use tfc_harness::invariants::{Invariant::Value, Spill};

use crate::story::{Story, second};

#[test]
fn a_value_that_was_found_is_told_with_its_place() {
    let mut story = Story::issued();
    let place = "the operator's log".to_owned();
    story.history.spills.push(Spill { token: "at-1".into(), place: place.clone(), at: second(2) });
    story.breaks(Value, "at-1");
    let words = tfc_harness::invariants::check(&story.history)[0].to_string();
    assert!(words.contains(&place) && words.contains("at-1"), "{words}");
}
