//! What must hold for many roles: each minted once, quiet at rest, a restart that changes nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use kube::api::ListParams;
use serde_json::json;
use tfc_harness::wait_until;

use crate::bed::bed;
use crate::stage::{SOON, Stage, ready, token_id};

const ROLES: usize = 500;

async fn create(stage: &Stage, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(16, |n| async move {
            stage.role(&format!("role-{n:03}"), json!({"user": {"me": true}, "ttl": "24h"})).await;
        })
        .await;
}

async fn all_issued(stage: &Stage, count: usize) {
    let roles = stage.roles();
    wait_until(&format!("{count} roles to be issued"), SOON * 2, async || {
        let all = roles.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let issued = all.iter().filter(|role| ready(role).is_some_and(|c| c.reason == "Issued")).count();
        if issued == count { Ok(()) } else { Err(format!("{issued} are")) }
    })
    .await;
}

/// Writes of this stage's operator to the API server since a moment, but for the Lease and events.
async fn writes(stage: &Stage, since: jiff::Timestamp) -> Vec<String> {
    // The log can lag behind by a moment: what is asked for now is seen in it before it is read.
    let mark = format!("mark-{}", jiff::Timestamp::now().as_nanosecond());
    let _ = stage.secrets().get_opt(&mark).await.expect("Secrets can be read");
    let events = wait_until("the audit log to catch up", SOON, async || {
        let events = bed().audit_events().map_err(|error| error.to_string())?;
        let caught_up = events.iter().any(|event| event.name == mark);
        if caught_up { Ok(events) } else { Err("it lags".to_owned()) }
    })
    .await;
    let ours = events
        .into_iter()
        .filter(|event| event.is_write() && event.namespace == stage.namespace && event.time >= since);
    ours.filter(|event| event.resource != "events" && !event.name.starts_with("tfc-token-operator"))
        .map(|event| format!("{} {}/{} {}", event.verb, event.resource, event.subresource, event.name))
        .collect()
}

#[tokio::test]
async fn five_hundred_roles_are_issued_once_each_and_a_restart_changes_nothing() {
    let mut stage = Stage::new().await;
    let started = Instant::now();
    create(&stage, ROLES).await;
    let created = started.elapsed();
    all_issued(&stage, ROLES).await;
    println!("{ROLES} roles: created in {created:.1?}, issued {:.1?} after the first create", started.elapsed());
    let minted = stage.tfc.minted();
    assert_eq!(minted.len(), ROLES, "none is minted twice");
    let descriptions: BTreeSet<_> = minted.iter().map(|token| token.description.clone()).collect();
    assert_eq!(descriptions.len(), ROLES, "each has a marker of its own");
    println!("rss: {} kB", stage.operator.as_ref().expect("it runs").rss_bytes().expect("rss") / 1024);

    assert!(stage.stop().await.success(), "SIGTERM ends it with 0");
    let (calls, since) = (stage.tfc.call_count(), jiff::Timestamp::now());
    stage.start().await;
    // What is asked for now is done after the operator has looked at all roles.
    let asked = format!("role-{:03}", ROLES - 1);
    let former = token_id(&stage.issued(&asked).await);
    stage.annotate(&asked, "rotate", "now").await;
    stage.succeeded(&asked, &former).await;
    let mut others = writes(&stage, since).await;
    others.retain(|write| !write.ends_with(&asked));
    assert_eq!(others, Vec::<String>::new(), "a restart writes nothing");
    assert_eq!(
        stage.tfc.call_count() - calls,
        2,
        "who it is, and the mint that was asked for: {:#?}",
        stage.tfc.log().last()
    );
}

#[tokio::test]
async fn a_first_issuance_takes_four_writes_and_one_call() {
    let stage = Stage::new().await;
    let (since, calls) = (jiff::Timestamp::now(), stage.tfc.call_count());
    stage.role("shop", json!({"user": {"me": true}, "ttl": "24h"})).await;
    stage.issued("shop").await;
    let writes = writes(&stage, since).await;
    let expected = [
        "create terraformcloudroles/ shop",
        "patch terraformcloudroles/ shop",
        "patch terraformcloudroles/status shop",
        "create secrets/ shop",
        "patch terraformcloudroles/status shop",
    ];
    assert_eq!(writes, expected, "the user's, then four");
    assert_eq!(stage.tfc.call_count() - calls, 1);
}

#[tokio::test]
async fn a_slot_takes_six_writes_and_one_look_more() {
    let stage = Stage::new().await;
    let (since, calls) = (jiff::Timestamp::now(), stage.tfc.call_count());
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    stage.issued("org").await;
    let writes = writes(&stage, since).await;
    assert!(writes.len() <= 7, "the user's and six: {writes:#?}");
    let made: Vec<_> =
        stage.tfc.log_since(calls).into_iter().map(|call| format!("{} {}", call.method, call.route)).collect();
    assert_eq!(made.iter().filter(|call| call.starts_with("POST")).count(), 1, "{made:#?}");
    println!("a slot's first token: {made:#?}");
}

#[tokio::test]
async fn nothing_is_written_and_tfc_is_not_asked_at_rest() {
    let stage = Stage::new().await;
    create(&stage, 20).await;
    all_issued(&stage, 20).await;
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    stage.issued("org").await;
    let (since, calls) = (jiff::Timestamp::now(), stage.tfc.call_count());
    // There is no condition to wait for: that nothing happens is the claim.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(writes(&stage, since).await, Vec::<String>::new());
    assert_eq!(stage.tfc.call_count(), calls, "{:#?}", stage.tfc.log_since(calls));
}
