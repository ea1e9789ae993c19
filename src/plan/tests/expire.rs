//! `renewal: Never`: the token goes at the end of its lease, and the role rests.

use super::build::*;
use crate::api::names::{ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::plan::step::{Step, Withdrawal};

fn once() -> Build {
    role().never_renewed().current("a1").secret_holds("a1")
}

#[test]
fn nothing_is_minted_before_the_end_of_the_lease() {
    assert_eq!(once().at(50 * MINUTE).rests().wake_in, Some(secs(10 * MINUTE)));
}

#[test]
fn the_credential_leaves_the_secret_before_its_token_is_revoked() {
    assert_eq!(once().at(HOUR).plan(), Step::Withdraw(Withdrawal::Empty));
    let status = once().secret_emptied().at(HOUR).records();
    assert_eq!(status.current, None);
    assert_eq!(status.predecessors[0].revoke_at, Some(time(HOUR)));
}

#[test]
fn a_lease_that_is_shorter_than_the_tokens_life_ends_it() {
    let short = once().max_ttl("4h").status(|s| s.current.as_mut().unwrap().expires_at = Some(time(4 * HOUR)));
    assert_eq!(short.at(HOUR).plan(), Step::Withdraw(Withdrawal::Empty));
    let emptied = role().never_renewed().max_ttl("4h").served().predecessor("a1", HOUR).secret_emptied().at(HOUR + 1);
    let alive = emptied.status(|s| s.predecessors[0].expires_at = Some(time(4 * HOUR)));
    assert_eq!(alive.revokes().token_id, "at-a1");
}

#[test]
fn the_role_rests_as_expired() {
    let expired = role().never_renewed().served().secret_emptied().at(2 * HOUR);
    assert_eq!(expired.says(), ready("False", "Expired", None));
    assert_eq!(expired.rests().wake_in, None);
}

#[test]
fn a_new_token_is_minted_when_someone_asks() {
    let expired = role().never_renewed().served().secret_emptied().at(2 * HOUR);
    expired.clone().annotated(ANNOTATION_ROTATE, "1").begins();
    expired.annotated(ANNOTATION_REVOKE, "1").begins();
}

#[test]
fn a_wiped_status_does_not_make_an_expired_role_a_new_one() {
    let wiped = role().never_renewed().secret_emptied();
    let status = wiped.records();
    assert!(status.handled.is_some());
    assert_eq!(wiped.status(|s| *s = status).says().1, "Expired");
}

#[test]
fn a_secret_deleted_within_the_lease_is_replaced() {
    role().never_renewed().current("a1").at(MINUTE).begins();
}
