//! Passing for another: a description that begins like another's, a name used again, a config and teams that are not one's own.

use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Fault, When};

use super::{anybody, intent, looked_at, tenanted};
use crate::stage::{Stage, condition, ready, token_id};

#[tokio::test]
async fn a_description_that_begins_with_another_roles_marker_is_only_words() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.role("victim", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let victim = token_id(&stage.issued("victim").await);
    let marker = stage.tfc.token(&victim).and_then(|token| token.description).expect("a marker");
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "description": marker})).await;
    let shop = token_id(&stage.issued("shop").await);
    let description = stage.tfc.token(&shop).and_then(|token| token.description).expect("a description");
    assert!(description.ends_with(&format!(" {marker}")) && !description.starts_with(&marker), "{description}");

    // The victim has to look for a lost attempt by its marker, while such tokens stand in the list.
    stage.tfc.fault(When::mint().once(), Fault::ReplyLost);
    stage.annotate("victim", "rotate", "1").await;
    stage.succeeded("victim", &victim).await;
    stage
        .role_until("victim", "the lost attempt to be settled", |role| {
            intent(role).is_none() && role.status.as_ref().is_some_and(|s| s.unsettled.is_empty())
        })
        .await;
    assert!(stage.tfc.token(&shop).expect("TFC knows it").is_alive());
    stage.delete_role("victim").await;
    stage.role_goes("victim").await;
    let alive: Vec<String> = stage.alive().into_iter().map(|token| token.id).collect();
    assert_eq!(alive, [shop]);
}

#[tokio::test]
async fn a_role_made_again_with_the_same_name_gets_nothing_of_the_former() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let spec = || json!({"user": {"me": true}, "ttl": "1h"});
    let mut former: Vec<String> = Vec::new();
    for how in [DeleteParams::orphan(), DeleteParams::foreground(), DeleteParams::background()] {
        stage.role("shop", spec()).await;
        stage.issued("shop").await;
        let value = stage.token("shop").await;
        let kept = stage.secrets().get("shop").await.expect("the Secret");
        stage.roles().delete("shop", &how).await.expect("it can be deleted");
        stage.role_goes("shop").await;
        // The former Secret, under another name and with all its marks.
        let copy = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "copy", "annotations": kept.metadata.annotations, "labels": kept.metadata.labels},
            "data": kept.data,
        });
        let apply = kube::api::PatchParams::apply("tenant").force();
        stage.declare(Person::WroteSecret, "copy");
        stage.secrets().patch("copy", &apply, &Patch::Apply(copy)).await.expect("a copy");
        for value in former.iter().chain([&value]) {
            assert_eq!(stage.use_token(value).await, 401);
        }
        former.push(value);
    }
    assert_eq!((stage.tfc.minted().len(), stage.alive()), (3, Vec::new()));
}

#[tokio::test]
async fn a_stripped_finalizer_comes_back_and_costs_nothing() {
    let stage = tenanted(&[], anybody()).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let id = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;
    for _ in 0..5 {
        stage.patch_role("shop", json!({"metadata": {"finalizers": null}})).await;
        let is_back = |role: &tfc_token_operator::api::TerraformCloudRole| {
            role.metadata.finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == "terraformcloud.dev/revoke"))
        };
        stage.role_until("shop", "our finalizer to be back", is_back).await;
    }
    assert_eq!((token_id(&stage.issued("shop").await), stage.use_token(&value).await), (id, 200));
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!((stage.use_token(&value).await, stage.tfc.minted().len()), (401, 1));
}

/// What a role hears of a team.
async fn heard(stage: &Stage, name: &str, team: Value) -> String {
    stage.role(name, json!({"team": team, "ttl": "1h"})).await;
    let role = stage.role_becomes(name, "False", "ConfigNotAvailable").await;
    assert_eq!(condition(&role, "Stalled").expect("a person must act").reason, "ConfigNotAvailable");
    ready(&role).expect("a condition").message
}

#[tokio::test]
async fn guessing_teams_asks_tfc_nothing_and_tells_nothing() {
    let entry = json!({"namespaces": {"from": "All"}, "teams": ["acme/platform"]});
    let stage = tenanted(&[], json!({"allow": [entry]})).await;
    let calls = stage.tfc.call_count();
    let there = heard(&stage, "there", json!({"organization": "acme", "name": "apps"})).await;
    let nowhere = heard(&stage, "nowhere", json!({"organization": "acme", "name": "no-such-team"})).await;
    let elsewhere = heard(&stage, "elsewhere", json!({"organization": "globex", "name": "apps"})).await;
    assert!(there == nowhere && there == elsewhere, "{there}\n{nowhere}\n{elsewhere}");
    assert_eq!(stage.tfc.log_since(calls), Vec::new(), "no team was looked up");
    assert_eq!(stage.tfc.minted(), Vec::new());
}

#[tokio::test]
async fn a_role_that_is_not_admitted_has_tfc_asked_nothing_by_its_secret() {
    let stage = tenanted(&[], json!({})).await;
    let role = stage.role("shop", json!({"user": {"me": true}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    let installation = tfc_token_operator::marker::Installation::new(&stage.namespace);
    let calls = stage.tfc.call_count();
    for edit in 0..20 {
        let record = json!({
            "v": 1, "installation": installation.as_str(), "roleUID": role.metadata.uid,
            "held": {
                "attempt": format!("{edit:026}"), "tokenID": format!("at-{edit:016}"),
                "subject": format!("users/{}", stage.ids.ci), "host": stage.tfc.socket_address().to_string(),
            },
        });
        let marks = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": "shop", "annotations": {"terraformcloud.dev/record": record.to_string()},
                "labels": {"app.kubernetes.io/managed-by": "tfc-token-operator", "terraformcloud.dev/role": "shop"},
            },
        });
        let apply = kube::api::PatchParams::apply("tenant").force();
        stage.secrets().patch("shop", &apply, &Patch::Apply(marks)).await.expect("a Secret");
        looked_at(&stage, "shop").await;
    }
    assert_eq!(stage.tfc.log_since(calls), Vec::new());
}
