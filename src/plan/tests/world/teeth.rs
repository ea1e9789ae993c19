//! Teeth: each rule of the protocol that is kept in acting, and the shortest history known that does not hold without it. Rules that
//! are kept in the planner are broken by mutants of the planner.
//!
//! Where a history has lost its bite, because the world or the planner takes another course by now, the test looks for another and
//! prints it.

use super::rules::Rule;
use super::run::Start;
use super::starts::{self, SLOTS, USERS};

/// Rule, the start of its history, and its choices.
const TEETH: &[(Rule, &Start, &str)] = &[
    (Rule::Intent, &USERS, ""),
    (Rule::CommitPoint, &USERS, ""),
    (Rule::SecretAfterRole, &USERS, ""),
    (Rule::Fence, &USERS, ""),
    (Rule::LoserReads, &USERS, ""),
    (Rule::RevokeReads, &USERS, ""),
    (Rule::SettleCreate, &USERS, ""),
    (Rule::Settle, &USERS, ""),
    (Rule::RandomAttempts, &USERS, ""),
    (Rule::Unsettled, &USERS, ""),
    (Rule::Prompt, &USERS, ""),
    (Rule::NoRevoke, &SLOTS, ""),
    (Rule::Rehearse, &SLOTS, ""),
    (Rule::SecretThenSlot, &SLOTS, ""),
    (Rule::Settle, &SLOTS, ""),
    (Rule::Unsettled, &SLOTS, ""),
];

#[test]
fn every_rule_that_is_broken_is_noticed() {
    let mut blunt = Vec::new();
    for (rule, start, text) in TEETH {
        let history = text.parse().ok();
        let broken = history.as_ref().and_then(|history| start.told_without(Some(*rule), history).err());
        let kept = history.as_ref().map(|history| start.told_without(None, history));
        match (broken, kept) {
            (Some(what), Some(Ok(()))) => println!("{rule:?}: {what}"),
            _ => blunt.push(format!("(Rule::{rule:?}, {}): {}", start.name, start.shortest_without(*rule))),
        }
    }
    assert!(blunt.is_empty(), "not noticed; these would be:\n{}", blunt.join("\n"));
}

/// What was found by histories and is mended: each is told again whenever few histories are tried.
const MENDED: &[(&Start, &str, &str)] = &[
    (
        &starts::USERS,
        "a walk from before an attempt's mint proved that it had made nothing",
        "1.77ae7e40.900000.0.900000.10000.200000.200000.230000.200000.700000.200000.200000.0.5000da.200000.0.0.0.900000.200000.200000.200000.600000.50123c.200000.200000",
    ),
    (
        &starts::USERS,
        "a walk that failed after a mint had was repeated at once",
        "0.ff7c0080.1001020.0.0.0.0.200000.5037f4.0.100000",
    ),
    (
        &starts::USERS,
        "a tenant's expiry made a deletion forget a live token",
        "0.fecdc1c0.600000.0.0.0.1106ad0.e00000.0.c05fb8.0.0.0.0.0.0",
    ),
    (
        &starts::USERS,
        "a tenant's token id was taken for TFC's own word",
        "0.f2d7eac0.300000.c0ec18.0.0.600000.600000.600000.c077e0.0.600000",
    ),
    (&starts::USERS, "a config moved between intent and mint", "0.7dbf8000.0.f00000.0.0.e063a0.0"),
    (&starts::SLOTS, "a slot's token at the former host was forgotten", "0.f9fb8000.e0a3c0.100000"),
    (
        &starts::SLOTS,
        "a slot's token that could not be confirmed counted as gone",
        "0.c7d58a00.0.0.0.0.0.0.0.0.0.0.0.0.d00000.e03698.e07bd8.100000.5033ed.100000",
    ),
    (
        &starts::SLOTS,
        "a slot's mint that was carried out twice looked like somebody's",
        "0.7bbeb700.0.0.800000.0.800000.0.800000.0.85c128.800000",
    ),
    (
        &starts::SLOTS,
        "a slot was reserved at one host and minted at another",
        "0.f3ff9040.0.c00000.0.600000.e03ad8.0.0.0.100000",
    ),
    (
        &starts::RIVALS,
        "a slot's token at another host counted as taken over",
        "9.d3f38000.0.1be9.23cb.266b.e003b8.10436a",
    ),
];

#[test]
fn what_was_mended_stays_so() {
    for (start, what, text) in MENDED {
        let Ok(history) = text.parse() else { panic!("{text}") };
        assert_eq!(start.told_without(None, &history), Ok(()), "{what}");
    }
}
