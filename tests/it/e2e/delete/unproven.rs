//! What can't be proven revoked: it is waited for, or given up by whoever runs the config, and never said to be gone.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Outage, Slot};
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use crate::stage::{SOON, Stage, predecessors, token_id};

fn says(role: &TerraformCloudRole, reason: &str) -> Option<String> {
    let conditions = &role.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.reason == reason).map(|c| c.message.clone())
}

/// What the events of this reason about a role say.
async fn told(stage: &Stage, role: &str, reason: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(stage.client.clone(), &stage.tenant);
    let all = events.list(&ListParams::default()).await.expect("events can be read");
    let about = all.items.into_iter().filter(|e| e.involved_object.name.as_deref() == Some(role));
    about.filter(|e| e.reason.as_deref() == Some(reason)).filter_map(|e| e.message).collect()
}

/// The config speaks for whoever this token is of.
async fn becomes(stage: &Stage, token: &str, account: &str) {
    stage.secret("tfc-admin", "token", token).await;
    let configs = stage.configs();
    wait_until("the config to speak for another account", SOON, async || {
        let status = configs.get("tfc").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let now = status.account.unwrap_or_default();
        if now.id == account { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

#[tokio::test]
async fn while_tfc_is_away_the_configs_annotation_gives_up_and_names_each_token() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    stage.annotate("shop", "rotate", "1").await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    stage.tfc.down(Outage::Refused).expect("it goes down");
    stage.delete_role("shop").await;
    stage
        .role_until("shop", "the reason to be said", |role| {
            says(role, "RevocationUnproven").is_some() || says(role, "Unreachable").is_some()
        })
        .await;
    // The same on the role is a tenant's word.
    stage.annotate("shop", "abandon-unproven", "yes").await;
    stage.role_until("shop", "the wait to be one for a proof", |role| says(role, "RevocationUnproven").is_some()).await;

    stage.declare(Person::Abandoned, "shop");
    stage
        .patch_config("tfc", json!({"metadata": {"annotations": {"terraformcloud.dev/abandon-unproven": "yes"}}}))
        .await;
    stage.role_goes("shop").await;
    wait_until("both tokens to be named", SOON, async || {
        let words = told(&stage, "shop", "Abandoned").await;
        if [&first, &second].iter().all(|id| words.iter().any(|w| w.contains(*id))) {
            Ok(())
        } else {
            Err(words.concat())
        }
    })
    .await;
    assert_eq!(told(&stage, "shop", "Revoked").await, Vec::<String>::new());
    assert_eq!(stage.alive().len(), 2, "given up, not revoked");
}

#[tokio::test]
async fn another_accounts_config_says_of_no_live_predecessor_that_it_is_gone() {
    let stage = Stage::new().await;
    let (ci, dev) = (stage.ids.ci, stage.ids.dev);
    stage.role("shop", json!({"user": {"id": ci}, "ttl": "1h", "overlap": "4s"})).await;
    let first = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;
    stage.tfc.fault(
        tfc_harness::simulator::When::delete("/authentication-tokens/*").once(),
        tfc_harness::simulator::Fault::status(503),
    );
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;
    becomes(&stage, stage.ids.dev_token.expose(), dev).await;
    let role = stage.role_until("shop", "what is not proven", |role| says(role, "RevocationUnproven").is_some()).await;
    let message = says(&role, "RevocationUnproven").expect("a condition");
    assert!(message.contains(&first) && message.contains(ci), "{message}");
    assert_eq!((predecessors(&role), stage.use_token(&value).await), (1, 200));
    assert_eq!(told(&stage, "shop", "Revoked").await, Vec::<String>::new());

    becomes(&stage, stage.ids.ci_token.expose(), ci).await;
    stage.dies(&value).await;
    stage.role_until("shop", "the proof", |role| predecessors(role) == 0).await;
}

#[tokio::test]
async fn a_slot_that_a_person_took_is_left_alone_by_a_deletion() {
    let stage = Stage::new().await;
    for by_id in [true, false] {
        stage.tfc.edit_behaviour(|behaviour| behaviour.slot_deletable_by_id = by_id);
        stage.role("org", json!({"organization": {"name": "acme"}, "slot": {"ifOccupied": "Replace"}})).await;
        stage.role("team", json!({"team": {"id": stage.ids.legacy, "credentialType": "TeamLegacy"}, "slot": {"ifOccupied": "Replace"}})).await;
        let mut theirs = Vec::new();
        for (name, slot) in [("org", Slot::Organization("acme".into())), ("team", Slot::Team(stage.ids.legacy.into()))]
        {
            stage.issued(name).await;
            theirs.push(stage.tfc.person_regenerates_slot(&slot).expect("the subject exists").1);
            stage.delete_role(name).await;
            stage.role_goes(name).await;
        }
        for value in theirs {
            assert_eq!(stage.use_token(value.expose()).await, 200, "by id: {by_id}");
        }
    }
}
