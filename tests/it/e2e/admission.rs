//! `spec.allow`: which roles may use a config for what, and what becomes of those that no longer may.

use serde_json::{Value, json};

use crate::stage::{Stage, condition, keys, ready, token_id};

/// Users' tokens for the namespaces of the team apps.
fn apps() -> Value {
    json!([{
        "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "apps"}}},
        "users": ["me"],
        "maxTTL": "8h",
    }])
}

fn revoke_at(role: &tfc_token_operator::api::TerraformCloudRole) -> bool {
    role.status.as_ref().and_then(|s| s.current.as_ref()).is_some_and(|current| current.revoke_at.is_some())
}

#[tokio::test]
async fn to_a_tenant_a_config_that_refuses_and_one_that_is_missing_are_the_same() {
    let stage = Stage::with_tenant(json!({})).await;
    let here = stage.namespace.clone();
    stage.role("shop", json!({"user": {"me": true}})).await;
    stage.role("blog", json!({"user": {"me": true}, "configRef": {"name": "none"}})).await;
    let refused = stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    let missing = stage.role_becomes("blog", "False", "ConfigNotAvailable").await;
    let words = |role, name: &str| ready(role).expect("a condition").message.replace(&format!("{here}/{name}"), "NAME");
    assert_eq!(words(&refused, "tfc"), words(&missing, "none"));
    stage.told("shop", "ConfigNotAvailable").await;
    stage.told("blog", "ConfigNotAvailable").await;
    assert_eq!(stage.events("shop").await, stage.events("blog").await);
    assert_eq!(stage.tfc.minted(), Vec::new());

    // Neither keeps its role from going.
    for name in ["shop", "blog"] {
        stage.delete_role(name).await;
        stage.role_goes(name).await;
    }
}

#[tokio::test]
async fn a_namespace_is_admitted_by_its_labels_and_only_for_what_the_entry_grants() {
    let stage = Stage::with_tenant(json!({"allow": apps()})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "24h"})).await;
    stage.role("team", json!({"team": {"id": "team-apps"}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;

    stage.label_tenant(json!({"team": "apps"})).await;
    let role = stage.role_becomes("shop", "True", "IssuedClamped").await;
    let message = ready(&role).expect("a condition").message;
    assert!(message.contains("24h") && message.contains("8h"), "{message}");
    let token = stage.tfc.token(&token_id(&role)).expect("TFC knows it");
    let life = token.expired_at.expect("an expiry").duration_since(token.created_at);
    assert!(life.as_secs() <= 8 * 3600, "{life:?}");
    stage.role_becomes("team", "False", "ConfigNotAvailable").await;

    stage.patch_config("tfc", json!({"spec": {"allow": [{"namespaces": {"from": "All"}, "teams": ["acme/*"]}]}})).await;
    stage.issued("team").await;
}

#[tokio::test]
async fn a_role_that_is_no_longer_admitted_loses_its_token_after_the_grace() {
    let stage = Stage::with_tenant(json!({"allow": apps(), "revocationGracePeriod": "12s"})).await;
    stage.label_tenant(json!({"team": "apps"})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;

    stage.label_tenant(json!({"team": null})).await;
    let role = stage.role_until("shop", "the grace to begin", revoke_at).await;
    assert_eq!(ready(&role).expect("a condition").status, "True", "the token still works");
    assert_eq!(condition(&role, "Stalled").expect("a person must act").reason, "ConfigNotAvailable");
    assert_eq!(stage.use_token(&value).await, 200);

    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.dies(&value).await;
    let secret = stage.secrets().get("shop").await.expect("the Secret stays");
    assert_eq!(keys(&secret), Vec::<&str>::new());

    stage.label_tenant(json!({"team": "apps"})).await;
    let again = stage.issued("shop").await;
    assert_ne!(token_id(&again), first);
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
}

#[tokio::test]
async fn an_admission_that_flaps_within_the_grace_cuts_nobody_off() {
    let stage = Stage::with_tenant(json!({"allow": apps(), "revocationGracePeriod": "1h"})).await;
    stage.label_tenant(json!({"team": "apps"})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;

    stage.label_tenant(json!({"team": null})).await;
    stage.role_until("shop", "the grace to begin", revoke_at).await;
    stage.label_tenant(json!({"team": "apps"})).await;
    let role = stage
        .role_until("shop", "the grace to end", |role| !revoke_at(role) && condition(role, "Stalled").is_none())
        .await;
    assert_eq!(token_id(&role), first);
    assert_eq!((stage.token("shop").await, stage.use_token(&value).await), (value.clone(), 200));
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_config_that_goes_away_without_its_finalizer_is_a_lost_admission_too() {
    let stage = Stage::with_tenant(json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"]}]})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    stage.configs().delete("tfc", &Default::default()).await.expect("the config can be deleted");
    stage.patch_config("tfc", json!({"metadata": {"finalizers": null}})).await;

    // Nothing can be revoked without it, so nothing is taken away either.
    let role = stage.role_until("shop", "the loss to be said", |role| condition(role, "Stalled").is_some()).await;
    assert_eq!(condition(&role, "Stalled").expect("a person must act").reason, "ConfigNotAvailable");
    assert_eq!((stage.token("shop").await, stage.use_token(&value).await), (value.clone(), 200));

    stage.config("tfc", json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"]}]})).await;
    stage.role_until("shop", "the config to be back", |role| condition(role, "Stalled").is_none()).await;
    assert_eq!((stage.token("shop").await, stage.tfc.minted().len()), (value, 1));
}

#[tokio::test]
async fn retain_is_the_configs_to_grant() {
    let allow = |policies: Value| json!([{"users": ["me"], "deletionPolicies": policies}]);
    let stage = Stage::set(Default::default(), json!({"allow": allow(json!(["Revoke"]))})).await;
    let spec = json!({"user": {"me": true}, "ttl": "1h", "deletionPolicy": "Retain"});
    stage.role("shop", spec.clone()).await;
    let role = stage.role_becomes("shop", "True", "IssuedClamped").await;
    let message = ready(&role).expect("a condition").message;
    assert!(message.contains("Retain"), "{message}");
    let revoked = stage.token("shop").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!((stage.use_token(&revoked).await, stage.value("shop", "token").await), (401, None));

    stage.patch_config("tfc", json!({"spec": {"allow": allow(json!(["Revoke", "Retain"]))}})).await;
    stage.role("shop", spec).await;
    stage.issued("shop").await;
    let kept = stage.token("shop").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    let secret = stage.secrets().get("shop").await.expect("the Secret stays");
    assert_eq!((stage.token("shop").await, stage.use_token(&kept).await), (kept.clone(), 200));
    assert_eq!(secret.metadata.owner_references, None);
    let marks = serde_json::to_string(&(&secret.metadata.labels, &secret.metadata.annotations)).expect("JSON");
    assert!(!marks.contains("terraformcloud.dev") && !marks.contains("managed-by"), "it is nobody's: {marks}");
}

#[tokio::test]
async fn teams_are_compared_by_id_however_they_are_named() {
    let allow = |teams: Value| json!([{"namespaces": {"from": "All"}, "teams": teams}]);
    let stage = Stage::with_tenant(json!({"allow": allow(json!(["acme/apps", "team-legacy"]))})).await;
    stage.role("apps", json!({"team": {"id": "team-apps"}})).await;
    stage.role("legacy", json!({"team": {"organization": "acme", "name": "legacy"}})).await;
    stage.role("other", json!({"team": {"id": "team-platform"}})).await;
    stage.role("named", json!({"team": {"organization": "acme", "name": "platform"}})).await;
    stage.role("none", json!({"team": {"organization": "acme", "name": "none"}})).await;
    stage.issued("apps").await;
    stage.issued("legacy").await;
    for name in ["other", "named", "none"] {
        stage.role_becomes(name, "False", "ConfigNotAvailable").await;
    }
    assert_eq!(stage.tfc.minted().len(), 2);

    stage.patch_config("tfc", json!({"spec": {"allow": allow(json!(["acme/*"]))}})).await;
    for name in ["other", "named"] {
        stage.issued(name).await;
    }
    // By now it may be told what TFC says of it.
    stage.role_becomes("none", "False", "NotPermitted").await;
}

#[tokio::test]
async fn without_a_grace_a_lost_admission_cuts_at_once() {
    let stage = Stage::with_tenant(json!({"allow": apps(), "revocationGracePeriod": "0s"})).await;
    stage.label_tenant(json!({"team": "apps"})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "suspend": false})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    // A suspension does not keep what is no longer granted.
    stage.patch_role("shop", json!({"spec": {"suspend": true}})).await;
    stage.role_becomes("shop", "True", "Suspended").await;
    stage.patch_config("tfc", json!({"spec": {"allow": []}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.dies(&value).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
}

#[tokio::test]
async fn a_role_may_come_before_its_config() {
    let stage = Stage::with_tenant(json!({})).await;
    stage.role("shop", json!({"user": {"me": true}, "configRef": {"name": "later"}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.config("later", json!({"allow": [{"namespaces": {"from": "All"}, "users": ["user-ci"]}]})).await;
    stage.issued("shop").await;
}
