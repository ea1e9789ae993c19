//! Arithmetic of lives: what is cut, when a token's successor is due, when a predecessor dies.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::build::*;
use crate::api::Record;
use crate::plan::admission::Grant;
use crate::plan::terms::{Lease, Life, SlotLife, Terms, terms};

fn cut(role: &Build, is_slot: bool) -> Terms {
    let grant = Grant { max_ttl: secs(8 * HOUR), default_ttl: secs(2 * HOUR), may_retain: false };
    terms(&role.o.role.spec, is_slot, &grant).expect("valid")
}

fn lease(role: &Build) -> Lease {
    match cut(role, false).life {
        Life::Lease(lease) => lease,
        life => panic!("{life:?}"),
    }
}

#[test]
fn ttl_and_max_ttl_are_cut_to_the_configs_cap_and_to_each_other() {
    let unset = || role().spec(|s| s.ttl = None);
    let rows = [
        ("the config's default", unset(), 2 * HOUR, 2 * HOUR, false),
        ("maxTTL defaults to ttl", role().ttl("1h"), HOUR, HOUR, false),
        ("both as asked", role().ttl("1h").max_ttl("8h"), HOUR, 8 * HOUR, false),
        ("ttl over the cap", role().ttl("9h"), 8 * HOUR, 8 * HOUR, true),
        ("maxTTL over the cap", role().ttl("1h").max_ttl("9h"), HOUR, 8 * HOUR, true),
        ("the default over the role's own maxTTL", unset().max_ttl("1h"), HOUR, HOUR, true),
    ];
    for (why, role, ttl, max, clamped) in rows {
        let lease = lease(&role);
        assert_eq!((lease.ttl, lease.max), (secs(ttl), secs(max)), "{why}");
        assert_eq!(!cut(&role, false).clamped.is_empty(), clamped, "{why}");
    }
}

#[test]
fn renew_before_is_a_third_or_a_percentage_or_as_said() {
    assert_eq!(lease(&role().ttl("1h")).renew_before, secs(20 * MINUTE));
    assert_eq!(lease(&role().spec(|s| s.renew_before_percentage = Some(10))).renew_before, secs(6 * MINUTE));
    assert_eq!(lease(&role().spec(|s| s.renew_before = Some("5m".into()))).renew_before, secs(5 * MINUTE));
}

#[test]
fn first_renewals_are_spread_over_the_whole_cycle() {
    let lease = lease(&role().ttl("1h"));
    let mut quarters = [0; 4];
    for n in 0..400 {
        let at = lease.renew_at(&role().record("a1"), &format!("role-{n}")).expect("due some time");
        assert!(at <= t(40 * MINUTE) && at >= t(2 * MINUTE), "{at}");
        let quarter = (at.duration_since(t(2 * MINUTE)).as_secs() * 4 / (38 * MINUTE)).min(3);
        quarters[usize::try_from(quarter).unwrap()] += 1;
    }
    assert!(quarters.iter().all(|count| (70..=130).contains(count)), "{quarters:?}");
}

/// A token that was minted then and lives for so many seconds. TFC keeps whole ones.
fn minted(at: jiff::Timestamp, lives: i64) -> Record {
    let mut token = role().record("a1");
    token.issued_at = Some(Time(at));
    token.expires_at = Some(Time(jiff::Timestamp::from_second(at.as_second() + lives).unwrap()));
    token
}

#[test]
fn each_later_token_is_renewed_after_one_cycle_however_long_its_mint_took() {
    let lease = lease(&role().ttl("1h"));
    for n in 0..50 {
        let uid = format!("role-{n}");
        let mut due = lease.renew_at(&role().record("a1"), &uid).expect("due some time");
        for cycle in 0..20 {
            // The mint was on its way for some of the life that was asked for.
            let token = minted(due + SignedDuration::from_millis(137 * (cycle % 7)), HOUR);
            let next = lease.renew_at(&token, &uid).expect("due some time");
            assert_eq!(next.duration_since(due), secs(38 * MINUTE), "{uid}, cycle {cycle}");
            due = next;
        }
    }
}

#[test]
fn a_life_of_seconds_keeps_its_cycle_whatever_its_cut() {
    let lease = lease(&role().ttl("18s"));
    for n in 0..50 {
        let uid = format!("role-{n}");
        let renew = |at, lives| lease.renew_at(&minted(at, lives), &uid).expect("due some time");
        let first = renew(t(0), 18);
        let second = renew(first + SignedDuration::from_millis(900), 17);
        let third = renew(second + SignedDuration::from_millis(100), 18);
        for (due, next) in [(first, second), (second, third)] {
            assert!(next.duration_since(due) >= secs(9), "{uid}: {due}, {next}");
        }
    }
}

#[test]
fn a_short_notice_is_kept_and_a_longer_one_is_given() {
    let lease = lease(&role().ttl("1h").spec(|s| s.renew_before = Some("5m".into())));
    for n in 0..50 {
        let at = lease.renew_at(&role().record("a1"), &format!("role-{n}")).expect("due some time");
        assert!(at <= t(55 * MINUTE) && at >= t(55 * MINUTE / 20), "{at}");
    }
}

#[test]
fn a_third_of_the_life_passes_between_renewals_whatever_is_asked() {
    let greedy = lease(&role().ttl("1h").spec(|s| s.renew_before = Some("59m".into())));
    let first = greedy.renew_at(&role().record("a1"), ROLE).unwrap();
    assert!(first <= t(20 * MINUTE), "{first}");
    let mut next = role().record("a2");
    (next.issued_at, next.expires_at) = (Some(Time(first)), Some(Time(first + secs(HOUR))));
    assert_eq!(greedy.renew_at(&next, ROLE).unwrap().duration_since(first), secs(19 * MINUTE));

    // A server that cuts to ten seconds is not minted at in a loop.
    let mut short = role().record("a1");
    short.expires_at = Some(time(10));
    let first = greedy.renew_at(&short, ROLE).unwrap();
    (short.issued_at, short.expires_at) = (Some(Time(first)), Some(Time(first + secs(10))));
    let second = greedy.renew_at(&short, ROLE).unwrap();
    assert!(second.duration_since(first) >= secs(3), "{first}, {second}");
}

#[test]
fn a_ttl_that_is_shortened_applies_at_once_to_the_lease_in_being() {
    let shortened = role().ttl("10m").current("a1").secret_holds("a1");
    assert!(matches!(shortened.clone().at(5 * MINUTE).plan(), crate::plan::step::Step::Rest(_)));
    shortened.at(7 * MINUTE).begins();
    let once = role().ttl("10m").never_renewed().current("a1").secret_holds("a1").at(10 * MINUTE);
    assert!(matches!(once.plan(), crate::plan::step::Step::Withdraw(_)));
}

#[test]
fn leases_in_place_follow_each_other_from_their_start() {
    let lease = lease(&role().ttl("1h").max_ttl("150m"));
    let mut token = role().record("a1");
    token.expires_at = Some(time(150 * MINUTE));
    let rows = [(0, 60), (59, 60), (60, 120), (119, 120), (120, 150), (149, 150)];
    for (now, end) in rows {
        assert_eq!(lease.lease_end(&token, t(now * MINUTE)), Some(t(end * MINUTE)), "at minute {now}");
    }
}

#[test]
fn a_predecessor_never_outlives_its_expiry() {
    let long = lease(&role().overlap("10h"));
    assert_eq!(long.revoke_at(&role().record("a1"), t(0)), Some(t(HOUR)));
}

#[test]
fn a_predecessor_whose_lease_is_about_to_end_gets_the_time_of_a_scheduled_rotation() {
    let lease = lease(&role().ttl("1h").max_ttl("4h"));
    let mut token = role().record("a1");
    token.expires_at = Some(time(4 * HOUR));
    assert_eq!(lease.revoke_at(&token, t(HOUR - 1)), Some(t(HOUR - 1 + 20 * MINUTE)));
    assert_eq!(lease.revoke_at(&token, t(MINUTE)), Some(t(HOUR)));
}

#[test]
fn a_slot_lives_for_its_interval_and_a_margin_or_a_year() {
    let rows = [(None, 365 * 24 * HOUR), (Some("720h"), 900 * HOUR), (Some("1h"), 2 * HOUR)];
    for (interval, life) in rows {
        let role = interval.map_or_else(role, |i| role().interval(i)).organization("acme");
        let Life::Slot(slot) = cut(&role, true).life else { panic!() };
        assert_eq!(slot.requested_expiry(t(0), 0), t(life), "{interval:?}");
    }
}

#[test]
fn a_slot_that_the_server_cut_is_still_rotated_in_time() {
    let slot = SlotLife { interval: Some(secs(720 * HOUR)), replace: false };
    let cut = role().organization("acme").record("a1");
    assert_eq!(slot.renew_at(&cut), Some(t(40 * MINUTE)));
}

#[test]
fn an_interval_that_is_set_later_applies_to_the_token_in_the_slot() {
    let mut of_a_year = role().organization("acme").record("a1");
    of_a_year.expires_at = Some(time(365 * 24 * HOUR));
    let slot = SlotLife { interval: Some(secs(720 * HOUR)), replace: false };
    assert_eq!(slot.renew_at(&of_a_year), Some(t(720 * HOUR)));
}

#[test]
fn a_retain_that_the_config_does_not_grant_is_told() {
    let told = |role: Build, may_retain: bool| {
        let grant = Grant { max_ttl: secs(8 * HOUR), default_ttl: secs(2 * HOUR), may_retain };
        let terms = terms(&role.o.role.spec, false, &grant).expect("valid");
        terms.clamped.iter().any(|words| words.contains("does not allow deletionPolicy Retain"))
    };
    assert!(told(role().retains(), false));
    assert!(!told(role().retains(), true));
    assert!(!told(role(), false));
}

#[test]
fn what_is_no_duration_is_told_with_its_field() {
    let grant = Grant { max_ttl: secs(HOUR), default_ttl: secs(HOUR), may_retain: false };
    let error = terms(&role().ttl("soon").o.role.spec, false, &grant).expect_err("no duration");
    assert!(error.starts_with("spec.ttl: "), "{error}");
    assert_eq!(role().ttl("soon").says().1, "Rejected");
}

#[test]
fn enormous_durations_do_not_overflow() {
    let huge = lease(&role().ttl("2562047h").max_ttl("2562047h"));
    assert_eq!(huge.max, secs(8 * HOUR));
    let grant = Grant { max_ttl: SignedDuration::MAX, default_ttl: secs(HOUR), may_retain: false };
    let wide = terms(&role().ttl("2562047h").o.role.spec, false, &grant).expect("valid");
    let Life::Lease(wide) = wide.life else { panic!() };
    assert!(wide.renew_at(&role().record("a1"), ROLE).is_some());
    let slot = SlotLife { interval: Some(secs(2562047 * HOUR)), replace: false };
    slot.requested_expiry(t(0), 3599);
}
