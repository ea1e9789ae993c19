//! A consumer that reads the Secret five times a second, through rotation after rotation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tfc_harness::invariants::{History, Mint, What};
use tfc_harness::simulator::Simulator;

use crate::stage::{SOON, Stage, predecessors, token_id};

const ROTATIONS: usize = 5;
const FIFTH_OF_A_SECOND: Duration = Duration::from_millis(200);

/// Reads and uses the token in the Secret until the work is done. How often it did, and which values TFC refused.
async fn polled(stage: &Stage, name: &str, work: impl Future<Output = ()>) -> (usize, Vec<String>) {
    let (polls, mut refused) = (AtomicUsize::new(0), Vec::new());
    let poll = async {
        let mut ticks = tokio::time::interval(FIFTH_OF_A_SECOND);
        loop {
            ticks.tick().await;
            polls.fetch_add(1, Ordering::Relaxed);
            let value = stage.token(name).await;
            if stage.use_token(&value).await != 200 {
                refused.push(value);
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = poll => unreachable!("it has no end"),
    }
    (polls.into_inner(), refused)
}

/// Asks for rotation after rotation. Before the next each former token is dead, and the new one is in use.
async fn rotate(stage: &Stage, name: &str) {
    for wish in 0..ROTATIONS {
        let former = token_id(&stage.roles().get(name).await.expect("the role"));
        stage.annotate(name, "rotate", &wish.to_string()).await;
        let new = token_id(&stage.succeeded(name, &former).await);
        let dead = |tfc: &Simulator| tfc.token(&former).is_some_and(|token| !token.is_alive());
        let used = |tfc: &Simulator| tfc.token(&new).is_some_and(|token| token.first_used_at.is_some());
        assert!(stage.tfc.until(SOON, |tfc| dead(tfc) && used(tfc)).await);
    }
}

async fn issued(name: &str, spec: Value) -> Stage {
    let stage = Stage::new().await;
    stage.role(name, spec).await;
    stage.issued(name).await;
    stage
}

fn mints(history: &History) -> impl Iterator<Item = (usize, &Mint)> {
    history.events.iter().enumerate().filter_map(|(at, event)| match &event.what {
        What::Mint(mint) => Some((at, mint)),
        _ => None,
    })
}

#[tokio::test]
async fn a_polled_secret_never_holds_a_token_that_tfc_refuses() {
    let stage = issued("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})).await;
    let (polls, refused) = polled(&stage, "shop", rotate(&stage, "shop")).await;
    // Between a poll's read and its use the overlap may pass, on a slow machine: what the Secret holds at that moment counts.
    let held = stage.token("shop").await;
    assert!(polls >= ROTATIONS && !refused.contains(&held), "{} of {polls} polls were refused", refused.len());

    let history = stage.recorder.history(false).expect("a history");
    let revoked = history.events.iter().filter(|event| match &event.what {
        What::Delete(delete) => !delete.killed.is_empty(),
        _ => false,
    });
    assert_eq!((mints(&history).count(), revoked.count()), (ROTATIONS + 1, ROTATIONS));
    // That no Secret ever held what was revoked by then is what the stage's own check says of it.
    stage.recorder.settles(SOON).await.expect("every invariant holds");
}

#[tokio::test]
async fn a_polled_slot_is_without_a_live_token_for_one_write() {
    let stage = issued("org", json!({"organization": {"name": "acme"}})).await;
    let (polls, _) = polled(&stage, "org", rotate(&stage, "org")).await;
    assert!(polls >= ROTATIONS, "{polls} polls");

    let history = stage.recorder.history(false).expect("a history");
    let mut gaps = 0;
    for (at, mint) in mints(&history) {
        // The next of all that the operator did, at either server.
        let next = &history.events[at + 1].what;
        let What::Secret(secret) = next else { panic!("between mint and Secret: {next:?}") };
        assert_eq!((secret.holds.as_ref(), mint.made.len()), (mint.made.first(), 1), "{next:?}");
        gaps += mint.killed.len();
    }
    assert_eq!(gaps, ROTATIONS, "each mint but the first has killed the token before");
    stage.recorder.settles(SOON).await.expect("every invariant holds");
}

#[tokio::test]
async fn there_is_nothing_to_do_between_two_rotations() {
    let stage = issued("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})).await;
    polled(&stage, "shop", rotate(&stage, "shop")).await;
    stage.role_until("shop", "one token to be left", |role| predecessors(role) == 0).await;
    stage.told("shop", "Revoked").await;
    stage.recorder.settles(SOON).await.expect("every invariant holds");

    let rest = stage.recorder.rests().expect("a mark");
    let (polls, refused) = polled(&stage, "shop", tokio::time::sleep(Duration::from_secs(10))).await;
    stage.recorder.rested(rest).expect("a mark");
    assert_eq!(refused, Vec::<String>::new(), "of {polls} polls");
}
