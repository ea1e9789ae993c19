//! The operator killed at every step boundary, and within the steps that touch two servers.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::future::{Either, select};
use serde_json::Value;
use tfc_harness::wait_until;

use super::order::{BOUND, all_of};
use super::story::Story;

/// The steps that there are, as `act` names them.
fn all_steps() -> BTreeSet<&'static str> {
    let names = include_str!("../../../src/act/mod.rs").lines();
    let names = names.filter_map(|line| line.trim().strip_prefix("Step::")?.split("=> \"").nth(1)?.split('"').next());
    names.collect()
}

/// The passings of fail points in a log, each once: `Issue:minted#1`.
fn passings(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let passings = lines.filter_map(|line| line["passing"].as_str().map(str::to_owned));
    passings.collect()
}

/// Lets a story run its course undisturbed; the fail points that it passes.
async fn undisturbed(story: Story) -> Vec<String> {
    let mut stage = story.prepared().await;
    story.begins(&stage).await;
    stage.start().await;
    story.goes_on(&stage).await;
    story.ends(&stage).await;
    passings(&stage.operator.as_ref().expect("it runs").logs().expect("the log is readable"))
}

/// Lets a story run, kills the operator at this passing of a fail point, starts it again, and waits for the end. False where it came
/// to its end by another way.
async fn killed(story: Story, passing: String) -> bool {
    let mut stage = story.prepared().await;
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
