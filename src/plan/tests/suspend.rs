//! `suspend: true`: everything stays as it is, but for deletion, admission and a config's incident.

use super::build::*;
use crate::api::Answers;
use crate::api::names::{ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::plan::step::{Step, Withdrawal};

fn suspended() -> Build {
    role().suspended().current("a1").secret_holds("a1")
}

#[test]
fn nothing_is_minted_rotated_or_revoked() {
    assert_eq!(role().suspended().says(), ready("False", "Suspended", None));
    assert_eq!(suspended().at(50 * MINUTE).says(), ready("True", "Suspended", None));
    assert_eq!(suspended().annotated(ANNOTATION_ROTATE, "1").says().1, "Suspended");
    assert_eq!(suspended().annotated(ANNOTATION_REVOKE, "1").says().1, "Suspended");
    assert_eq!(suspended().predecessor("a0", 30).at(MINUTE).says().1, "Suspended");
}

#[test]
fn a_dead_token_is_not_called_ready() {
    assert_eq!(suspended().at(2 * HOUR).says(), ready("False", "Suspended", None));
}

#[test]
fn deletion_goes_before_it() {
    assert_eq!(suspended().deleted().plan(), Step::Withdraw(Withdrawal::Delete));
}

#[test]
fn lost_admission_goes_before_it() {
    let refused = suspended().allow(&[]).status(|s| s.current.as_mut().unwrap().revoke_at = Some(time(0)));
    assert_eq!(refused.plan(), Step::Withdraw(Withdrawal::Empty));
}

#[test]
fn an_incident_of_the_config_goes_before_it_whole() {
    let asked = suspended().config(|c| c.revoke_wish = Some("1".into()));
    asked.begins();
    let mut adopted = asked.intent("a2", 0).secret_holds("a2").minted("a2").at(MINUTE);
    let wish = Answers { config_revoke: Some("1".into()), ..Default::default() };
    adopted = adopted.status(|s| s.intent.as_mut().unwrap().answers = wish).held(|h| h.issued_at = Some(time(30)));
    let status = adopted.records();
    let answered = adopted.status(|s| *s = status);
    assert_eq!(answered.revokes().token_id, "at-a1", "every predecessor at once, suspended or not");
}

#[test]
fn an_end_of_overlap_does_not_wake_a_suspended_role() {
    assert_eq!(suspended().at(50 * MINUTE).rests().wake_in, Some(secs(10 * MINUTE)), "its token dies then");
}
