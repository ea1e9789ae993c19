//! What people and kstatus read.

use super::build::*;
use crate::plan::observed::TroubleKind;

#[test]
fn a_failing_rotation_stands_beside_ready() {
    let issued = role().current("a1").secret_holds("a1").at(41 * MINUTE);
    let rows = [
        (TroubleKind::Unreachable, "Reconciling", "Unreachable"),
        (TroubleKind::Ambiguous, "Reconciling", "Unreachable"),
        (TroubleKind::Limited, "Reconciling", "Limited"),
        (TroubleKind::Unauthorized, "Reconciling", "ConfigNotReady"),
        (TroubleKind::Rejected, "Stalled", "Rejected"),
        (TroubleKind::NotPermitted, "Stalled", "NotPermitted"),
        (TroubleKind::SecretRefused, "Stalled", "SecretRefused"),
    ];
    for (kind, condition, reason) in rows {
        let failing = issued.clone().trouble(kind);
        assert_eq!(failing.says(), ready("True", "Issued", Some((condition, reason))), "{kind:?}");
    }
}

#[test]
fn a_message_does_not_change_while_nothing_changes() {
    let failing = role().trouble(TroubleKind::Unreachable);
    let first = failing.rests_as();
    let later = failing.status(|s| *s = first).at(HOUR);
    assert_eq!(later.rests().status, None, "a message with a time in it would be written at each retry");
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change() {
    let issued = role().current("a1").secret_holds("a1");
    let first = issued.rests_as();
    let later = issued.status(|s| *s = first).at(MINUTE).spec(|s| s.ttl = Some("2h".into()));
    assert_eq!(later.rests_as().conditions[0].last_transition_time, Some(time(0)));
}

#[test]
fn ready_is_never_true_over_a_dead_or_a_lost_token() {
    let issued = role().current("a1").secret_holds("a1");
    for (why, dead) in [
        ("expired", issued.clone().at(HOUR)),
        ("edited", issued.clone().facts(|f| f.value_lost = true)),
        ("absent", role().current("a1")),
    ] {
        assert_eq!(said(&dead.begins()).0, "False", "{why}");
        assert_eq!(dead.trouble(TroubleKind::Unreachable).says().0, "False", "{why}");
    }
}

#[test]
fn a_clamped_life_is_ready_and_says_what_was_cut() {
    let clamped = role().ttl("9h").config(|c| c.max_ttl = secs(HOUR)).current("a1").secret_holds("a1").rests_as();
    assert_eq!(said(&clamped), ready("True", "IssuedClamped", None));
    assert!(clamped.conditions[0].message.contains("ttl is cut from 9h to the config's cap of 1h"));
}
