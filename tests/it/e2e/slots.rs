//! Organization and legacy team tokens: one slot each, and minting kills what is in it.

use serde_json::json;
use tfc_harness::simulator::{Fault, Slot, When};

use crate::stage::{Stage, condition, ready, token_id};

#[tokio::test]
async fn an_organizations_token_is_kept_until_it_is_asked_for() {
    let stage = Stage::new().await;
    stage.role("org", json!({"organization": {"name": "acme"}, "rotation": {"interval": "720h"}})).await;
    let first = token_id(&stage.issued("org").await);
    let old = stage.value("org", "token").await.expect("a token");
    assert_eq!(stage.value("org", "organization").await.as_deref(), Some("acme"));

    // Nothing that does not matter to the token costs it.
    stage
        .patch_role("org", json!({"spec": {"rotation": {"interval": "700h"}, "secret": {"labels": {"team": "a"}}}}))
        .await;
    stage
        .role_until("org", "the change to be seen", |role| {
            role.status.as_ref().is_some_and(|s| s.observed_generation == role.metadata.generation)
        })
        .await;
    assert_eq!(stage.use_token(&old).await, 200);

    stage.annotate("org", "rotate", "1").await;
    let role = stage.role_until("org", "another token", |role| token_id(role) != first).await;
    assert_eq!(ready(&role).expect("Ready").status, "True");
    let new = stage.value("org", "token").await.expect("a token");
    assert_eq!((stage.use_token(&old).await, stage.use_token(&new).await), (401, 200));

    stage.delete_role("org").await;
    stage.role_goes("org").await;
    assert_eq!(stage.use_token(&new).await, 401);
    assert_eq!(stage.tfc.slot(&Slot::Organization("acme".into())), None);
}

#[tokio::test]
async fn a_legacy_team_token_works_where_slots_are_deleted_by_path_alone() {
    let stage = Stage::new().await;
    stage.tfc.edit_behaviour(|behaviour| behaviour.slot_deletable_by_id = false);
    stage.role("legacy", json!({"team": {"id": stage.ids.legacy, "credentialType": "TeamLegacy"}})).await;
    stage.issued("legacy").await;
    let value = stage.value("legacy", "token").await.expect("a token");
    assert_eq!(stage.value("legacy", "team_id").await.as_deref(), Some(stage.ids.legacy));
    stage.delete_role("legacy").await;
    stage.role_goes("legacy").await;
    assert_eq!(stage.use_token(&value).await, 401);
}

#[tokio::test]
async fn a_slot_in_use_is_taken_only_where_the_role_says_so() {
    let stage = Stage::new().await;
    let slot = Slot::Organization("acme".into());
    let (theirs, value) = stage.tfc.person_regenerates_slot(&slot).expect("the organization exists");
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    let role = stage.role_becomes("org", "False", "SlotOccupied").await;
    let message = ready(&role).expect("Ready").message;
    assert!(message.contains(&theirs) && message.contains("never used") && message.contains("ifOccupied"), "{message}");
    assert_eq!(condition(&role, "Stalled").expect("Stalled").reason, "SlotOccupied");
    assert_eq!(stage.use_token(value.expose()).await, 200);
    let mint = "/organizations/*/authentication-token";
    assert_eq!(stage.tfc.count("POST", mint), 0);

    stage.patch_role("org", json!({"spec": {"slot": {"ifOccupied": "Replace"}}})).await;
    stage.issued("org").await;
    assert_eq!(stage.use_token(value.expose()).await, 401);
    assert_eq!(stage.tfc.count("POST", mint), 1);
}

#[tokio::test]
async fn whoever_takes_a_slot_keeps_it_until_the_role_is_told() {
    let stage = Stage::new().await;
    let slot = Slot::Organization("acme".into());
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    stage.issued("org").await;
    let (_, value) = stage.tfc.person_regenerates_slot(&slot).expect("the organization exists");

    // A wish from before the takeover was seen could not know of it.
    stage.annotate("org", "rotate", "1").await;
    let role = stage.role_becomes("org", "False", "TakenOver").await;
    assert_eq!(condition(&role, "Stalled").expect("Stalled").reason, "TakenOver");
    assert_eq!(stage.use_token(value.expose()).await, 200, "no fight");

    stage.annotate("org", "rotate", "2").await;
    stage.issued("org").await;
    assert_eq!(stage.use_token(value.expose()).await, 401);
}

#[tokio::test]
async fn one_role_holds_a_slot_and_the_next_one_follows_when_it_goes() {
    let stage = Stage::new().await;
    stage.role("first", json!({"organization": {"name": "acme"}})).await;
    stage.issued("first").await;
    stage.role("second", json!({"organization": {"name": "acme"}})).await;
    let role = stage.role_becomes("second", "False", "Conflict").await;
    let message = ready(&role).expect("Ready").message;
    assert!(message.contains(&format!("{}/first", stage.namespace)), "{message}");
    assert_eq!(stage.tfc.minted().len(), 1);

    stage.delete_role("first").await;
    stage.role_goes("first").await;
    stage.issued("second").await;
    assert_eq!(stage.alive().len(), 1);
}

#[tokio::test]
async fn the_operators_own_token_is_never_revoked_by_a_mint() {
    let stage = Stage::new().await;
    stage.secret("own-admin", "token", stage.ids.globex_token.expose()).await;
    let own = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "own-admin"}});
    stage.create_config("own", own).await.expect("a config");
    stage.config_becomes("own", "Authenticated").await;
    let replace = json!({"ifOccupied": "Replace"});
    let globex = json!({"name": stage.ids.globex});
    stage.role("own", json!({"configRef": {"name": "own"}, "organization": globex, "slot": replace})).await;
    stage.role_becomes("own", "False", "WouldRevokeOwnToken").await;
    assert_eq!(stage.use_token(stage.ids.globex_token.expose()).await, 200);
}

#[tokio::test]
async fn a_slots_lost_reply_is_known_by_the_expiry_that_was_asked_for() {
    let stage = Stage::new().await;
    stage.tfc.fault(When::post("/organizations/*/authentication-token").once(), Fault::ReplyLost);
    stage.role("org", json!({"organization": {"name": "acme"}})).await;
    stage.issued("org").await;
    let value = stage.value("org", "token").await.expect("a token");
    assert_eq!(stage.use_token(&value).await, 200);
    assert_eq!((stage.tfc.minted().len(), stage.alive().len()), (2, 1));
}
