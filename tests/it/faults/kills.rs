//! The operator killed at every step boundary, and within the steps that touch two servers; and stopped there past its Lease.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::future::{Either, select};
use serde_json::Value;
use tfc_harness::process::Signal;
use tfc_harness::wait_until;

use super::order::{BOUND, all_of};
use super::story::Story;
use crate::e2e::leader::leads;
use crate::stage::SOON;

/// The steps that there are, as `act` names them.
fn all_steps() -> BTreeSet<&'static str> {
    let names = include_str!("../../../src/act/mod.rs").lines();
    let names = names.filter_map(|line| line.trim().strip_prefix("Step::")?.split("=> \"").nth(1)?.split('"').next());
    names.collect()
}

/// Stories whose steps change something at both servers, and end without a hand.
const MINTS_AND_REVOCATIONS: [Story; 6] =
    [Story::First, Story::FirstOfASlot, Story::Rotation, Story::RotationOfASlot, Story::LostReply, Story::Deletion];

/// Steps after which, or within which, a leader holds what is not yet at both servers.
const IN_HAND: [&str; 7] = ["Begin", "Claim", "Issue", "Record", "Fence", "Revoke", "Withdraw"];

/// The passings of fail points in a log, each once: `Issue:minted#1`.
fn passings(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let passings = lines.filter_map(|line| line["passing"].as_str().map(str::to_owned));
    passings.collect()
}

/// Lets a story run its course undisturbed; the fail points that it passes.
async fn undisturbed(story: Story) -> Vec<String> {
    let mut stage = story.prepared(false).await;
    story.begins(&stage).await;
    stage.start().await;
    story.goes_on(&stage).await;
    story.ends(&stage).await;
    passings(&stage.operator.as_ref().expect("it runs").logs().expect("the log is readable"))
}

/// Lets a story run, kills the operator at this passing of a fail point, starts it again, and waits for the end. False where it came
/// to its end by another way.
async fn killed(story: Story, passing: String) -> bool {
    let mut stage = story.prepared(false).await;
    story.begins(&stage).await;
    let mut operator = stage.armed(&format!("KILL@{passing}"));
    let died = {
        let died = pin!(wait_until("it to be killed", BOUND, async || operator.exit_status()));
        let ends = pin!(async {
            story.goes_on(&stage).await;
            story.ends(&stage).await;
        });
        matches!(select(died, ends).await, Either::Left(_))
    };
    drop(operator);
    stage.start().await;
    story.goes_on(&stage).await;
    story.ends(&stage).await;
    died
}

#[tokio::test]
async fn killed_at_any_step_boundary_the_operator_leaks_nothing_and_finishes_what_was_begun() {
    let mut cases = Vec::new();
    for (story, passings) in all_of(Story::ALL, undisturbed).await {
        println!("{story:?}: {}", passings.join(" "));
        cases.extend(passings.into_iter().map(|passing| (story, passing)));
    }
    let steps: BTreeSet<&str> = cases.iter().filter_map(|(_, passing)| passing.split(':').next()).collect();
    assert_eq!(steps, all_steps(), "each step is taken by some story");

    let runs = all_of(cases, |(story, passing)| killed(story, passing)).await;
    let struck = runs.iter().filter(|(_, died)| *died).count();
    println!("{struck} kills, {} came by another way", runs.len() - struck);
    assert!(struck * 10 >= runs.len() * 9, "{:?}", runs.iter().filter(|(_, died)| !died).collect::<Vec<_>>());
}

/// Lets a story run, has the leader stand still at this passing of a fail point until its Lease is over and another one has led the
/// story to its end, and go on then. False where the story came to its end by another way.
async fn slept(story: Story, passing: String) -> bool {
    let mut stage = story.prepared(true).await;
    story.begins(&stage).await;
    let mut sleeper = stage.armed(&format!("STOP@{passing}"));
    let stands_still = {
        let stands_still = pin!(wait_until("it to stand still", BOUND, async || sleeper.is_stopped().then_some(())));
        matches!(select(stands_still, pin!(story.ends(&stage))).await, Either::Left(_))
    };
    if !stands_still {
        return false;
    }
    stage.start().await;
    leads(stage.operator.as_ref().expect("it runs")).await;
    story.ends(&stage).await;

    let minted = stage.tfc.minted().len();
    sleeper.signal(Signal::CONT).expect("it stands still");
    let ended = wait_until("it to end", SOON, async || sleeper.exit_status()).await;
    assert!(!ended.success(), "it no longer leads");
    assert_eq!(stage.tfc.minted().len(), minted, "it mints nothing more");
    story.ends(&stage).await;
    true
}

#[tokio::test]
async fn a_leader_that_slept_at_any_step_boundary_mints_nothing_more_and_leaks_nothing() {
    let mut cases = Vec::new();
    let holds_something = |passing: &String| IN_HAND.iter().any(|step| passing.starts_with(step));
    for (story, passings) in all_of(MINTS_AND_REVOCATIONS, undisturbed).await {
        cases.extend(passings.into_iter().filter(holds_something).map(|passing| (story, passing)));
    }
    let runs = all_of(cases, |(story, passing)| slept(story, passing)).await;
    let slept = runs.iter().filter(|(_, slept)| *slept).count();
    println!("{slept} sleeps, {} came by another way", runs.len() - slept);
    assert!(slept * 10 >= runs.len() * 9, "{:?}", runs.iter().filter(|(_, slept)| !slept).collect::<Vec<_>>());
}
