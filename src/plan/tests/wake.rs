//! When a resting role looks again: the earliest of what will be due, and never for nothing.

use super::build::*;
use crate::plan::observed::TroubleKind;

#[test]
fn a_role_wakes_for_the_earliest_of_what_will_be_due() {
    let issued = role().current("a1").secret_holds("a1");
    let renewal = issued.rests().wake_in.expect("its renewal");
    assert!(renewal >= secs(38 * MINUTE) && renewal <= secs(40 * MINUTE), "{renewal}");
    assert_eq!(issued.clone().predecessor("p1", 5 * MINUTE).rests().wake_in, Some(secs(5 * MINUTE)));
    assert_eq!(issued.unsettled("u1", 0).rests().wake_in, Some(secs(2 * MINUTE)));
}

#[test]
fn a_role_that_waits_for_a_person_sleeps() {
    assert_eq!(role().no_config().rests().wake_in, None);
    assert_eq!(role().suspended().rests().wake_in, None);
}

#[test]
fn the_secret_of_another_is_in_no_watch_so_it_is_looked_for_again() {
    assert_eq!(role().secret_foreign().rests().wake_in, Some(secs(15)));
}

#[test]
fn what_failed_is_tried_again_when_its_trouble_is_over() {
    assert_eq!(role().trouble(TroubleKind::Limited).rests().wake_in, Some(secs(30)));
}

#[test]
fn a_wake_is_never_in_the_past() {
    for minute in 0..130 {
        for build in [
            role().current("a1").secret_holds("a1").predecessor("p1", 600).trouble(TroubleKind::Unreachable),
            role().suspended().current("a1").secret_holds("a1").unsettled("u1", 60),
            role().current("a1").secret_holds("a1").allow(&[]),
        ] {
            if let crate::plan::step::Step::Rest(rest) = build.at(minute * MINUTE).plan() {
                assert!(rest.wake_in.is_none_or(|wake| wake > secs(0)), "{minute}: {rest:?}");
            }
        }
    }
}

#[test]
fn a_role_wakes_at_the_end_of_a_lease_only_where_nothing_follows_it() {
    let long = |role: Build| role.max_ttl("4h").current("a1").secret_holds("a1");
    let long = |role| long(role).status(|s| s.current.as_mut().unwrap().expires_at = Some(time(4 * HOUR)));
    assert_eq!(long(role().never_renewed()).rests().wake_in, Some(secs(HOUR)));
    assert!(long(role()).rests().wake_in > Some(secs(HOUR)));
}
