//! The sweep: what no record knows is found, and what TFC no longer has is replaced.

use serde_json::json;
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Fault, Slot, When};
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use crate::bed::Bed;
use crate::stage::{SOON, Setting, Stage, condition, ready, token_id};

const USER: &str = "/users/*/authentication-tokens";
const SWEEPING: [&str; 2] = ["--settling-time=2s", "--sweep-interval=2s"];

#[tokio::test]
async fn a_token_that_was_revoked_in_tfc_is_replaced_without_being_asked() {
    let stage = Stage::with(&SWEEPING).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.role("team", json!({"team": {"id": stage.ids.apps}, "ttl": "1h"})).await;
    for name in ["shop", "team"] {
        let first = token_id(&stage.issued(name).await);
        assert!(stage.tfc.person_deletes(&first));
        let role = stage.succeeded(name, &first).await;
        assert_eq!(ready(&role).expect("Ready").reason, "Issued");
        assert_eq!(stage.use_token(&stage.token(name).await).await, 200);
    }
    stage.alive_become(2).await;
}

#[tokio::test]
async fn the_twin_of_a_mint_that_was_delivered_twice_is_revoked() {
    let stage = Stage::with(&SWEEPING).await;
    stage.tfc.fault(When::post(USER).once(), Fault::DuplicateDelivery);
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let id = token_id(&stage.issued("shop").await);
    assert_eq!(stage.tfc.minted().len(), 2);
    assert_eq!(stage.alive_become(1).await[0].id, id);
    stage.told("shop", "Revoked").await;
}

#[tokio::test]
async fn a_teams_mint_that_was_delivered_twice_is_found_without_a_sweep() {
    let stage = Stage::with(&["--settling-time=2s"]).await;
    let doubled = stage.tfc.fault(When::post("/teams/*/authentication-tokens").once(), Fault::DuplicateDelivery);
    stage.role("shop", json!({"team": {"id": stage.ids.apps}, "ttl": "1h"})).await;
    let id = token_id(&stage.issued("shop").await);
    assert_eq!(doubled.hits(), 1);
    assert_eq!(
        stage.tfc.minted().len(),
        2,
        "the first, whose value went with the reply that was lost, and its successor"
    );
    assert_eq!(stage.alive_become(1).await[0].id, id);
    stage.told("shop", "Revoked").await;
}

#[tokio::test]
async fn a_token_in_use_that_no_record_knows_is_told_of_and_left() {
    let mut stage = Stage::with(&SWEEPING).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    assert_eq!(stage.use_token(&value).await, 200, "a pod uses it");
    // As after a restore from a backup: neither the status nor the Secret is there.
    stage.kill();
    stage.wipe_status("shop").await;
    stage.secrets().delete("shop", &Default::default()).await.expect("the Secret can be deleted");
    stage.start().await;
    stage.issued("shop").await;
    stage.told("shop", "UnknownToken").await;
    assert_eq!(stage.use_token(&value).await, 200, "a clone's pods may use it");
    let metrics = stage.operator.as_ref().expect("it runs").metrics().await.expect("metrics");
    let unknown = metrics.lines().find(|line| line.starts_with("tfc_token_operator_unknown_tokens{"));
    assert!(unknown.is_some_and(|line| line.ends_with(" 1")), "{unknown:?}");
}

#[tokio::test]
async fn one_that_ran_out_is_not_told_of() {
    let mut stage = Stage::with(&SWEEPING).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "10s"})).await;
    let first = token_id(&stage.issued("shop").await);
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    stage.kill();
    assert!(stage.tfc.until(SOON, |tfc| tfc.token(&first).is_some_and(|token| !token.is_alive())).await);
    stage.start().await;
    stage.succeeded("shop", &first).await;
    let lists = stage.tfc.count("GET", USER);
    wait_until("three sweeps", SOON, async || match stage.tfc.count("GET", USER) {
        now if now >= lists + 3 => Ok(()),
        now => Err(now.to_string()),
    })
    .await;
    let told = stage.events("shop").await;
    assert!(!told.iter().any(|reason| reason == "UnknownToken"), "{told:?}");
}

#[tokio::test]
async fn one_that_nobody_used_is_revoked() {
    let mut stage = Stage::with(&SWEEPING).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let lost = token_id(&stage.issued("shop").await);
    stage.kill();
    stage.wipe_status("shop").await;
    stage.secrets().delete("shop", &Default::default()).await.expect("the Secret can be deleted");
    stage.start().await;
    stage.issued("shop").await;
    assert_ne!(stage.alive_become(1).await[0].id, lost);
}

#[tokio::test]
async fn a_slot_that_somebody_took_is_noticed_and_one_that_was_emptied_is_filled() {
    let stage = Stage::with(&SWEEPING).await;
    let slot = Slot::Organization("acme".into());
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    let first = token_id(&stage.issued("org").await);
    assert!(stage.tfc.person_deletes(&first));
    stage.succeeded("org", &first).await;

    let (theirs, value) = stage.tfc.person_regenerates_slot(&slot).expect("the organization exists");
    let role = stage.role_becomes("org", "False", "TakenOver").await;
    assert!(condition(&role, "Stalled").expect("Stalled").message.contains(&theirs));
    let sweeps = stage.tfc.count("GET", USER);
    wait_until("two more sweeps", SOON, async || match stage.tfc.count("GET", USER) {
        now if now >= sweeps + 2 => Ok(()),
        now => Err(now.to_string()),
    })
    .await;
    assert_eq!(stage.use_token(value.expose()).await, 200, "no fight");
    let role = stage.role_becomes("org", "False", "TakenOver").await;
    assert_eq!(role.status.expect("a status").taken_over_by.as_deref(), Some(theirs.as_str()));
    stage.annotate("org", "rotate", "1").await;
    stage.issued("org").await;
}

#[tokio::test]
async fn a_sweep_that_finds_all_in_order_is_one_request_and_no_write() {
    let stage = Stage::with(&SWEEPING).await;
    for n in 0..5 {
        stage.role(&format!("role-{n}"), json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    let mut before = Vec::new();
    for n in 0..5 {
        before.push(stage.issued(&format!("role-{n}")).await.metadata.resource_version);
    }
    let calls = stage.tfc.call_count();
    let lists = stage.tfc.count("GET", USER);
    wait_until("three sweeps", SOON, async || match stage.tfc.count("GET", USER) {
        now if now >= lists + 3 => Ok(()),
        now => Err(now.to_string()),
    })
    .await;
    let swept = stage.tfc.count("GET", USER) - lists;
    let asked = usize::try_from(stage.tfc.call_count() - calls).expect("few");
    assert!(asked <= swept + 1, "{asked} calls in {swept} sweeps");
    for (n, version) in before.into_iter().enumerate() {
        assert_eq!(stage.issued(&format!("role-{n}")).await.metadata.resource_version, version);
    }
}

#[tokio::test]
async fn the_tokens_of_a_role_that_went_by_force_are_revoked_if_nobody_used_them() {
    let bed = Bed::of_its_own().await;
    let setting = Setting { flags: &SWEEPING, bed: Some(&bed), everywhere: true, ..Setting::default() };
    let mut stage = Stage::set(setting, json!({})).await;
    for name in ["used", "unused", "stays"] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.issued(name).await;
    }
    let used = stage.token("used").await;
    assert_eq!(stage.use_token(&used).await, 200);
    stage.kill();
    for name in ["used", "unused"] {
        stage.declare(Person::StrippedFinalizer, name);
        stage.patch_role(name, json!({"metadata": {"finalizers": null}})).await;
        stage.delete_role(name).await;
        stage.role_goes(name).await;
        // What the garbage collector of a real cluster does.
        stage.secrets().delete(name, &Default::default()).await.expect("the Secret can be deleted");
    }
    stage.start().await;
    stage.alive_become(2).await;
    assert_eq!(stage.use_token(&used).await, 200, "somebody uses it: it dies at its expiry");
    assert_eq!(stage.use_token(&stage.token("stays").await).await, 200);
}

#[tokio::test]
async fn the_oldest_of_those_that_wait_for_a_slot_gets_it() {
    let stage = Stage::new().await;
    let org = || json!({"organization": {"name": "acme"}});
    stage.role("holder", org()).await;
    stage.issued("holder").await;
    // Names against the order of their ages.
    for name in ["c", "b", "a"] {
        let role = stage.role(name, org()).await;
        stage.role_becomes(name, "False", "Conflict").await;
        a_second_after(&role).await;
    }
    stage.delete_role("holder").await;
    stage.issued("c").await;
    for name in ["b", "a"] {
        stage
            .role_until(name, "to hear who holds the slot", |role| {
                ready(role)
                    .is_some_and(|c| c.reason == "Conflict" && c.message.contains(&format!("{}/c", stage.namespace)))
            })
            .await;
    }
    stage.delete_role("c").await;
    stage.issued("b").await;
}

/// An object is as old as the second in which it was made.
async fn a_second_after(role: &TerraformCloudRole) {
    let made = role.metadata.creation_timestamp.as_ref().expect("made").0.as_second();
    wait_until("the next second", SOON, async || match jiff::Timestamp::now().as_second() {
        now if now > made => Ok(()),
        now => Err(now.to_string()),
    })
    .await;
}
