//! Teeth: each rule of the protocol that is kept in acting, and a story that does not hold without it; with it, it does. Rules that
//! are kept in the planner are broken by mutants of the planner. And what histories found, told again.
//!
//! `many.py` and `slot.py` of the design have the same rules. Of theirs, `fence`, `settle_create`, `unsettled` and `keep` are kept by
//! planner and acting together; `look`, `settle` of slots and `sweep` by the planner alone; `retry` saves a mint and is none for
//! safety.

use super::choices::{Choice, Fault, History, What};
use super::rules::Rule;
use super::run::Start;
use super::starts::{ENDS, RIVALS, SLOTS, TEAMS, USERS};

enum Part {
    /// So many turns of the first replica.
    Turns(usize),
    /// Of the second.
    Other(usize),
    /// A turn of the first whose effect meets this.
    Meets(Fault),
    /// An event.
    Event(What, u16),
}

use Part::{Event, Meets, Other, Turns};

/// The first issue of a user's token: reads of role and Secret, Finalize, Begin, the mint, the Secret's write, Record, Rest.
const MINTED: Part = Turns(5);
const SERVED: Part = Turns(8);
/// A slot's: Reserve, Inspect and, after Begin, dry run and claim come on top.
const SLOT_CLAIMED: Part = Turns(8);
const SLOT_MINTED: Part = Turns(9);
const SLOT_SERVED: Part = Turns(12);
const ROUND: Part = Event(What::Round, 0);
const OTHER_ROUND: Part = Event(What::OtherRound, 0);
const ROTATE: Part = Event(What::Wish, 0);
const MINTS_REFUSED: Part = Event(What::Outage, 1);
const DATA_REFUSED: Part = Event(What::Outage, 2);
const PAUSE: Part = Event(What::Sleep, 2);
const MINUTE: Part = Event(What::Sleep, 3);
const SETTLED: Part = Event(What::Sleep, 4);
const SECRET_DELETED: Part = Event(What::Value, 0);
const SECRET_TOUCHED: Part = Event(What::Annotation, 16);
const WIPED: Part = Event(What::Wipe, 0);

/// Rules that are broken together, where each stands in for the other; the start; and the story.
const TEETH: &[(&[Rule], &Start, &[Part])] = &[
    (&[Rule::Intent], &USERS, &[MINTED]),
    // The Secret is written, and somebody else's write of the role makes the record fail.
    (&[Rule::CommitPoint], &USERS, &[Turns(6), ROTATE, Turns(1)]),
    // The second is held up with a value in hand; the first finds its token, and may not mint one itself.
    (&[Rule::Fence], &USERS, &[SERVED, ROTATE, Other(4), MINTS_REFUSED, ROUND, SETTLED, ROUND, OTHER_ROUND]),
    (&[Rule::LoserReads], &USERS, &[MINTED, Meets(Fault::ReplyLost), Turns(2)]),
    (&[Rule::SettleCreate], &USERS, &[MINTED, Meets(Fault::Late), OTHER_ROUND, Turns(2), SECRET_DELETED, MINUTE]),
    (&[Rule::Settle], &USERS, &[Turns(4), Meets(Fault::Late), PAUSE, ROUND]),
    (&[Rule::RandomAttempts], &USERS, &[SERVED, WIPED, SECRET_DELETED, ROUND]),
    (&[Rule::Unsettled], &USERS, &[Turns(4), Meets(Fault::ReplyLost), PAUSE, ROUND]),
    (&[Rule::Prompt], &USERS, &[MINTED, MINTS_REFUSED, SETTLED, OTHER_ROUND, Turns(1)]),
    (&[Rule::NoRevoke], &SLOTS, &[SLOT_MINTED, OTHER_ROUND, Turns(3)]),
    (&[Rule::Rehearse], &SLOTS, &[DATA_REFUSED, SLOT_MINTED]),
    (
        &[Rule::SecretThenSlot],
        &SLOTS,
        &[SLOT_SERVED, ROTATE, Turns(8), SECRET_TOUCHED, Turns(1), OTHER_ROUND, Turns(2)],
    ),
    (&[Rule::Settle], &SLOTS, &[SLOT_CLAIMED, Meets(Fault::Late), PAUSE, ROUND]),
    (&[Rule::Unsettled], &SLOTS, &[SLOT_CLAIMED, Meets(Fault::ReplyLost), PAUSE, ROUND]),
];

fn story(parts: &[Part]) -> History {
    let choices = parts.iter().flat_map(|part| match part {
        Turns(turns) => vec![Choice::CALM; *turns],
        Other(turns) => vec![Choice::of(What::OtherTurn, 0); *turns],
        Meets(fault) => vec![Choice::with(*fault, 20)],
        Event(what, detail) => vec![Choice::of(*what, *detail)],
    });
    // A user's token of two days, a slot with an interval.
    History::new(4, choices.collect())
}

#[test]
fn every_rule_that_is_broken_is_noticed() {
    let mut blunt = Vec::new();
    for (rules, start, parts) in TEETH {
        let history = story(parts);
        if start.told_without(&[], &history).is_err() {
            blunt.push(format!("with all rules, in the story of {rules:?}: {}", start.report(&history, 0)));
        }
        match start.told_without(rules, &history) {
            Err(what) => println!("without {rules:?}: {what}"),
            Ok(()) => blunt.push(format!("without {rules:?} it holds: {}", start.retell_without(rules, &history))),
        }
    }
    assert!(blunt.is_empty(), "{}", blunt.join("\n\n"));
}

/// What was found by histories and is mended: each is told again whenever few histories are tried.
const MENDED: &[(&Start, &str, &str)] = &[
    (
        &USERS,
        "a walk from before an attempt's mint proved that it had made nothing",
        "1.77ae7e40.900000.0.900000.10000.200000.200000.230000.200000.700000.200000.200000.0.5000da.200000.0.0.0.900000.200000.200000.200000.600000.50123c.200000.200000",
    ),
    (
        &USERS,
        "a walk that failed after a mint had was repeated at once",
        "0.ff7c0080.1001020.0.0.0.0.200000.5037f4.0.100000",
    ),
    (
        &USERS,
        "a tenant's expiry made a deletion forget a live token",
        "0.fecdc1c0.600000.0.0.0.1106ad0.e00000.0.c05fb8.0.0.0.0.0.0",
    ),
    (
        &USERS,
        "a tenant's token id was taken for TFC's own word",
        "0.f2d7eac0.300000.c0ec18.0.0.600000.600000.600000.c077e0.0.600000",
    ),
    (&USERS, "a config moved between intent and mint", "0.7dbf8000.0.f00000.0.0.e063a0.0"),
    (&SLOTS, "a slot's token at the former host was forgotten", "0.f9fb8000.e0a3c0.100000"),
    (
        &SLOTS,
        "a slot's token that could not be confirmed counted as gone",
        "0.c7d58a00.0.0.0.0.0.0.0.0.0.0.0.0.d00000.e03698.e07bd8.100000.5033ed.100000",
    ),
    (
        &SLOTS,
        "a slot's mint that was carried out twice looked like somebody's",
        "0.7bbeb700.0.0.800000.0.800000.0.800000.0.85c128.800000",
    ),
    (
        &SLOTS,
        "a slot was reserved at one host and minted at another",
        "0.f3ff9040.0.c00000.0.600000.e03ad8.0.0.0.100000",
    ),
    (&RIVALS, "a slot's token at another host counted as taken over", "9.d3f38000.0.1be9.23cb.266b.e003b8.10436a"),
    (
        &USERS,
        "a config that moved back made another host's list prove a token dead",
        "40.2ffb3b00.800000.0.800000.800000.0.e06040.200000.200000.50241c.0.0.0.0.100000.0.0.700000.800000.0.800000.800000.e00280.40dbae.800000",
    ),
    (
        &TEAMS,
        "a mint that was carried out twice, whose second was refused for its description, was forgotten",
        "1.ffdf3d00.0.0.0.0.0.e07120.0.0.800000.900000.0.0.0.800000.50000.0",
    ),
    (
        &TEAMS,
        "a former token under the open attempt's name was revoked again and again",
        "1.dcdd4400.0.0.0.200000.200000.0.200000.200000.200000.200000.200000.606516.401e9e.0.200000.0.0.0.c0b380.0.0",
    ),
    (
        &ENDS,
        "a former token under the open attempt's name was recorded as its token, and then revoked",
        "0.ef5ded40.0.4034ec.0.600000.0.903a70.0.c01730.0.600000.0.0.0.300000.10000.0.0.100000.600000.0.a00000.0.904558.0.0.0.c0f2e0",
    ),
    (
        &SLOTS,
        "the token in use was taken for a former attempt's",
        "0.dff66600.0.200000.200000.200000.f0ae50.0.0.0.300000.c07d88.0.0.100000",
    ),
    (
        &USERS,
        "a token in use, found before its late Secret was seen, was revoked in it",
        "0.737e8600.0.0.0.0.900000.200000.200000.200000.240000.0.200000.506714.200000.200000.1000000.5018d4.0.100000.0",
    ),
    (
        &USERS,
        "a tenant's time of issue kept a list from proving a token gone",
        "4.5b5d6e40.600000.0.0.10000.0.0.506892.200000.0.0.600000.0.30000.0.c01450.f09a00",
    ),
    (
        &TEAMS,
        "a record that a tenant gave another token's id kept a role from going",
        "1.dcdd4400.0.0.0.0.200000.0.200000.200000.200000.200000.200000.400000.0.0.200000.0.0.500000.c0b380.310000.0.0.0.0",
    ),
    (
        &SLOTS,
        "a slot's former value under the live token's id was adopted",
        "0.7fffa000.d00000.300000.0.0.0.0.500000.902c60.0.0.c00000.0.0.100000.0.c06658.c039f0",
    ),
];

#[test]
fn what_was_mended_stays_so() {
    for (start, what, text) in MENDED {
        let Ok(history) = text.parse() else { panic!("{text}") };
        assert_eq!(start.told_without(&[], &history), Ok(()), "{what}");
    }
}
