use tfc_harness::invariants::{Invariant, What, check};

use crate::story::Story;

/// What is found where this happens at rest, and just after it.
fn at_rest_and_after(what: &What) -> [usize; 2] {
    [true, false].map(|inside| {
        let mut story = Story::issued();
        story.happens(What::RestBegan);
        if inside {
            story.happens(what.clone());
        }
        story.happens(What::RestEnded);
        story.happens(what.clone());
        let found = check(&story.history);
        assert!(found.iter().all(|violation| violation.invariant == Invariant::Rest), "{found:?}");
        found.len()
    })
}

#[test]
fn at_rest_tfc_is_not_asked_and_nothing_is_written() {
    let mut story = Story::issued();
    story.edits("shop", |role| role.says = vec!["Issued".into()]);
    let role = story.history.events.last().unwrap().what.clone();
    let secret = story.history.events.iter().find(|event| matches!(event.what, What::Secret(_))).unwrap().what.clone();
    let asked = What::Asked("GET /account/details".into());
    for what in [role, secret, asked, What::Other("Event", "ns/shop.1".into()), What::Other("Lease", "ns/slot".into())]
    {
        assert_eq!(at_rest_and_after(&what), [1, 0], "{what:?}");
    }
}

#[test]
fn the_leaders_lease_is_renewed_at_rest() {
    assert_eq!(at_rest_and_after(&What::Other("Lease", "ns/tfc-token-operator".into())), [0, 0]);
}
