//! Organization and legacy team tokens: one slot each, and minting kills what is in it.

use kube::ResourceExt;
use serde_json::json;
use tfc_harness::simulator::{Fault, Slot, When};
use tfc_token_operator::api::TerraformCloudRole;

use crate::stage::{SOON, Stage, condition, ready, token_id};

/// Waits until a role says which other one holds its slot.
async fn conflict(stage: &Stage, name: &str, holder: &str) -> TerraformCloudRole {
    let holder = format!("{}/{holder} ", stage.tenant);
    let named = |c: tfc_token_operator::api::Condition| c.reason == "Conflict" && c.message.contains(&holder);
    let said =
        |role: &TerraformCloudRole| ready(role).is_some_and(named) && condition(role, "Stalled").is_some_and(named);
    stage.role_until(name, &format!("it to name {holder}"), said).await
}

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

#[tokio::test]
async fn one_slot_is_one_whichever_config_and_account_asks_and_the_oldest_follows() {
    let stage = Stage::new().await;
    stage.config("same", json!({})).await;
    stage.secret("other-admin", "token", stage.ids.admin_token.expose()).await;
    let other = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "other-admin"}});
    stage.create_config("other", other).await.expect("a config");
    stage.config_becomes("other", "Authenticated").await;
    let on = |config: &str| json!({"configRef": {"name": config}, "organization": {"name": "acme"}});
    stage.role("first", on("tfc")).await;
    stage.issued("first").await;
    // Ages are whole seconds, and the names sort the other way round.
    for (name, config) in [("z-older", "other"), ("a-younger", "same")] {
        let role = stage.role(name, on(config)).await;
        let role = conflict(&stage, &role.name_any(), "first").await;
        let born = role.creation_timestamp().expect("a time").0;
        assert!(stage.tfc.until(SOON, |tfc| tfc.now().as_second() > born.as_second()).await);
    }
    for (goes, follows, waits) in [("first", "z-older", Some("a-younger")), ("z-older", "a-younger", None)] {
        stage.delete_role(goes).await;
        stage.role_goes(goes).await;
        stage.issued(follows).await;
        if let Some(waits) = waits {
            conflict(&stage, waits, follows).await;
        }
        assert_eq!(stage.alive().len(), 1);
    }
    assert_eq!(stage.tfc.minted().len(), 3, "nobody fought");
}

#[tokio::test]
async fn a_role_that_lost_its_admission_keeps_no_slot_from_others() {
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "apps"}}});
    let allow = json!([{"namespaces": selector, "organizations": ["acme"]}, {"organizations": ["acme"]}]);
    let mut stage = Stage::with_tenant(json!({"allow": allow, "revocationGracePeriod": "0s"})).await;
    stage.label_tenant(json!({"team": "apps"})).await;
    stage.role("first", json!({"organization": {"name": "acme"}})).await;
    stage.issued("first").await;
    stage.label_tenant(json!({"team": null})).await;
    stage.role_becomes("first", "False", "ConfigNotAvailable").await;
    stage.alive_become(0).await;
    stage.tenant = stage.namespace.clone();
    stage.role("second", json!({"organization": {"name": "acme"}})).await;
    stage.issued("second").await;
}

#[tokio::test]
async fn across_clusters_a_slot_is_taken_once_and_taken_back_once_when_told() {
    let mut here = Stage::new().await;
    // Another cluster knows nothing of this one's Leases: it has its own, and another installation's name.
    let mut there = Stage::bare(&[]).await;
    here.share_tfc(&mut there);
    there.start().await;
    there.secret("tfc-admin", "token", here.ids.ci_token.expose()).await;
    let config = json!({"address": here.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
    there.create_config("tfc", config).await.expect("a config");
    there.config_becomes("tfc", "Authenticated").await;
    let mint = "/organizations/*/authentication-token";
    let spec = |replace: &str| json!({"organization": {"name": "acme"}, "slot": {"ifOccupied": replace}});

    here.role("org", spec("Replace")).await;
    here.issued("org").await;
    there.role("org", spec("Refuse")).await;
    there.role_becomes("org", "False", "SlotOccupied").await;
    assert_eq!(here.tfc.count("POST", mint), 1);

    // The other one takes it; this one hears of it when it looks, and leaves it alone.
    there.patch_role("org", json!({"spec": spec("Replace")})).await;
    there.issued("org").await;
    here.annotate("org", "rotate", "1").await;
    here.role_becomes("org", "False", "TakenOver").await;
    for (stage, former) in [(&here, &there), (&there, &here)] {
        let mints = here.tfc.count("POST", mint);
        for look in ["a", "b", "c"] {
            former.patch_role("org", json!({"spec": {"secret": {"labels": {"look": look}}}})).await;
            stage.patch_role("org", json!({"spec": {"secret": {"labels": {"look": look}}}})).await;
            former.seen("org").await;
            stage.seen("org").await;
        }
        assert_eq!(here.tfc.count("POST", mint), mints, "they fight");

        stage.annotate("org", "rotate", "take it back").await;
        stage.issued("org").await;
        assert_eq!(here.tfc.count("POST", mint), mints + 1);
        former.annotate("org", "rotate", "a wish from before it was told").await;
        former.role_becomes("org", "False", "TakenOver").await;
    }
    assert_eq!(here.tfc.count("POST", mint), 4);
    assert_eq!(here.alive().len(), 1);
}
