//! A record in the Secret's annotation is a tenant's word.

use kube::api::PostParams;
use serde_json::{Value, json};
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Fault, Gate, Slot, When};

use super::{annotated, anybody, intent, looked_at, record, tenanted};
use crate::stage::{SOON, Stage, current, predecessors, token_id};

/// A Secret of that name with a record.
async fn forge(stage: &Stage, name: &str, record: &Value) {
    stage.declare(Person::WroteSecret, name);
    let secret = json!({
        "metadata": {"name": name, "annotations": {"terraformcloud.dev/record": record.to_string()}},
        "stringData": {"token": "not.atlasv1.ours"},
    });
    let secret = serde_json::from_value(secret).expect("a Secret");
    stage.secrets().create(&PostParams::default(), &secret).await.expect("the Secret is created");
}

#[tokio::test]
async fn a_record_written_while_a_token_is_minted_is_not_taken_for_the_mints_own() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.role("victim", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let victim = token_id(&stage.issued("victim").await);
    let mut forged = record(&stage, "victim").await;
    let admin = stage.tfc.token_id_of_value(stage.ids.ci_token.expose()).expect("the admin token");

    for (name, target) in [("shop", &victim), ("blog", &admin)] {
        let gate = Gate::new();
        let handle = stage.tfc.fault(When::mint().once(), Fault::DelayAfter((&gate).into()));
        let role = stage.role(name, json!({"user": {"me": true}, "ttl": "1h", "overlap": "0s"})).await;
        let begun = stage.role_until(name, "an attempt", |role| intent(role).is_some()).await;
        forged["roleUID"] = json!(role.metadata.uid);
        forged["held"]["attempt"] = json!(intent(&begun).expect("an intent").record.attempt);
        forged["held"]["tokenID"] = json!(target);
        assert!(stage.tfc.until(SOON, |_| handle.hits() > 0).await);
        forge(&stage, name, &forged).await;
        gate.open();
        stage.role_until(name, "a token", |role| current(role).is_some()).await;
        stage.annotate(name, "rotate", "1").await;
        stage.succeeded(name, target).await;
        stage.role_until(name, "what is former to go", |role| predecessors(role) == 0).await;
        stage.delete_role(name).await;
        stage.role_goes(name).await;
    }
    let alive: Vec<String> = stage.alive().into_iter().map(|token| token.id).collect();
    assert_eq!(alive, [victim]);
    assert_eq!(stage.use_token(stage.ids.ci_token.expose()).await, 200, "the admin token");
}

#[tokio::test]
async fn an_expiry_written_beside_an_open_attempt_makes_no_deletion_forget_its_token() {
    let mut stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.role("victim", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("victim").await;
    let mut forged = record(&stage, "victim").await;

    let gate = Gate::new();
    stage.tfc.fault(When::mint().once(), Fault::DelayAfter((&gate).into()));
    let minted = stage.tfc.minted().len();
    let role = stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let begun = stage.role_until("shop", "an attempt", |role| intent(role).is_some()).await;
    assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() > minted).await);
    stage.kill();
    let lost = stage.tfc.minted().pop().expect("the token whose reply was lost").id;
    forged["roleUID"] = json!(role.metadata.uid);
    forged["held"]["attempt"] = json!(intent(&begun).expect("an intent").record.attempt);
    forged["held"]["tokenID"] = json!(lost);
    forged["held"]["expiresAt"] = json!("2020-01-01T00:00:00Z");
    forge(&stage, "shop", &forged).await;
    stage.delete_role("shop").await;
    stage.start().await;
    stage.role_goes("shop").await;
    assert!(!stage.tfc.token(&lost).expect("TFC knows it").is_alive(), "the role went and left its token alive");
}

#[tokio::test]
async fn a_slots_token_named_in_a_record_is_not_taken_by_whoever_names_it() {
    let stage = tenanted(
        &["--settling-time=2s"],
        json!({"revocationGracePeriod": "0s", "allow": [{"organizations": ["acme"]}]}),
    )
    .await;
    // The victim stands beside its config; the tenant's namespace is not admitted.
    let platform = stage.client.clone();
    let roles: kube::Api<tfc_token_operator::api::TerraformCloudRole> =
        kube::Api::namespaced(platform.clone(), &stage.namespace);
    let victim = json!({
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole", "metadata": {"name": "victim"},
        "spec": {"configRef": {"name": "tfc"}, "organization": {"name": "acme"}},
    });
    let victim = serde_json::from_value(victim).expect("a role");
    roles.create(&PostParams::default(), &victim).await.expect("a role");
    let slot = Slot::Organization("acme".into());
    assert!(stage.tfc.until(SOON, |tfc| tfc.slot(&slot).is_some()).await);
    let held = stage.tfc.slot(&slot).expect("a token");

    let role = stage.role("shop", json!({"organization": {"name": "acme"}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    let installation = tfc_token_operator::marker::Installation::new(&stage.namespace);
    let forged = json!({
        "v": 1, "installation": installation.as_str(), "roleUID": role.metadata.uid,
        "held": {
            "attempt": "aaaaaaaaaaaaaaaaaaaaaaaaaa", "tokenID": held.id, "subject": "organizations/acme",
            "host": stage.tfc.socket_address().to_string(), "account": stage.ids.ci,
        },
    });
    forge(&stage, "shop", &forged).await;
    // A Secret without our label is seen when its role is looked at.
    looked_at(&stage, "shop").await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert!(stage.tfc.token(&held.id).expect("TFC knows it").is_alive(), "a role that is not admitted had it revoked");
}

#[tokio::test]
async fn a_record_longer_than_a_status_takes_holds_nothing_up() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "20m"})).await;
    let first = token_id(&stage.issued("shop").await);
    let mut long = record(&stage, "shop").await;
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;

    // The former token, which TFC confirms, with words that no status takes.
    long["held"]["digest"] = json!("x".repeat(100_000));
    long["held"]["account"] = json!("y".repeat(50_000));
    stage.patch_secret("shop", annotated(&long)).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
}
