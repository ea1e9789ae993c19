//! Whole histories through the real planner and the real acting code: two replicas, an API server and TFC in memory, and between them
//! a wire that loses, delays, repeats and breaks what it carries, while people edit and delete and processes die.
//!
//! `MODEL_SEED=n` runs one history and tells its story; `MODEL_HISTORIES` and `MODEL_FIRST` say how many there are and where they begin.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod apiserver;
mod choices;
mod ends;
mod history;
mod moves;
mod passing;
mod people;
mod replica;
mod scenes;
mod servers;
mod shrink;
mod time;
mod wire;

use history::{History, Kind};

/// Histories of each kind.
const HISTORIES: u64 = 1_250;

#[test]
fn users_tokens_survive_every_history() {
    survive(Kind::User);
}

#[test]
fn teams_tokens_survive_every_history() {
    survive(Kind::Team);
}

#[test]
fn organizations_tokens_survive_every_history() {
    survive(Kind::Organization);
}

#[test]
fn legacy_team_tokens_survive_every_history() {
    survive(Kind::Legacy);
}

fn survive(kind: Kind) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("MODEL_SEED") {
        return examine(kind, seed);
    }
    let (first, histories) = (number("MODEL_FIRST").unwrap_or(0), number("MODEL_HISTORIES").unwrap_or(HISTORIES));
    let (mut requests, mut mints) = (0, 0);
    for seed in first..first + histories {
        match history::run(kind, seed, &choices::of(kind, seed), false) {
            Ok(came) => (requests, mints) = (requests + came.serial, mints + came.servers.minted.len()),
            Err(_) => return examine(kind, seed),
        }
    }
    println!("{kind:?}: {histories} histories, {requests} requests, {mints} mints");
}

/// Runs one seed; where it fails, tells the shortest story found that ends the same way.
fn examine(kind: Kind, seed: u64) {
    let moves = choices::of(kind, seed);
    let Err(first) = history::run(kind, seed, &moves, false) else { return };
    let same = |end: Result<History, String>| end.is_err_and(|other| gist(&other) == gist(&first));
    let short = shrink::shrink(moves, |moves| same(history::run(kind, seed, moves, false)));
    let Err(story) = history::run(kind, seed, &short, true) else { panic!("{kind:?} {seed}: it does not fail twice") };
    panic!("{kind:?}, MODEL_SEED={seed}, {} moves, shortened\n{story}", short.len());
}

/// What went wrong, without what differs from run to run.
fn gist(end: &str) -> String {
    let line = end.lines().next().unwrap_or_default();
    line.split(' ').filter(|word| !word.starts_with("at-")).take(8).collect::<Vec<_>>().join(" ")
}
