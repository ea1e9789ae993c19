//! Whose Secret it is: made before the role, with forged marks, shared, or moved.

use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tfc_harness::invariants::Person;
use tfc_token_operator::api::TerraformCloudRole;

use super::{anybody, looked_at, record, tenanted};
use crate::stage::{SOON, Setting, Stage, current, token_id};

fn user() -> Value {
    json!({"user": {"me": true}, "ttl": "1h"})
}

fn owner(role: &TerraformCloudRole) -> Value {
    json!([{
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
        "name": role.name_any(), "uid": role.metadata.uid, "controller": true,
    }])
}

async fn create(stage: &Stage, secret: Value) {
    let secret = serde_json::from_value(secret).expect("a Secret");
    stage.secrets().create(&PostParams::default(), &secret).await.expect("the Secret is created");
}

#[tokio::test]
async fn our_labels_and_another_roles_record_make_no_secret_ours() {
    let stage = tenanted(&[], anybody()).await;
    stage.role("victim", user()).await;
    let victim = token_id(&stage.issued("victim").await);
    let (value, theirs) = (stage.token("victim").await, record(&stage, "victim").await);
    let marks = json!({
        "name": "shop",
        "labels": {"app.kubernetes.io/managed-by": "tfc-token-operator", "terraformcloud.dev/role": "shop"},
        "annotations": {"terraformcloud.dev/record": theirs.to_string()},
    });
    create(&stage, json!({"metadata": marks, "stringData": {"token": value}})).await;
    let before = stage.secrets().get("shop").await.expect("the Secret").resource_version();
    stage.role("shop", user()).await;
    stage.role_becomes("shop", "False", "SecretConflict").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.secrets().get("shop").await.expect("it stays").resource_version(), before);
    assert_eq!((token_id(&stage.issued("victim").await), stage.use_token(&value).await), (victim, 200));
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_secret_given_to_another_role_costs_no_third_ones_token() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.role("victim", user()).await;
    let victim = token_id(&stage.issued("victim").await);
    stage.role("first", user()).await;
    let first = token_id(&stage.issued("first").await);
    let mut shared = user();
    shared["secret"] = json!({"name": "first"});
    let second = stage.role("second", shared).await;
    stage.role_becomes("second", "False", "SecretConflict").await;

    // From now on both have a claim on it: one by the owner, one by the record.
    stage.patch_secret("first", json!({"metadata": {"ownerReferences": owner(&second)}})).await;
    looked_at(&stage, "second").await;
    stage.role_until("second", "its own token", |role| current(role).is_some()).await;
    looked_at(&stage, "first").await;
    assert!(stage.tfc.minted().len() < 8, "they fight: {:#?}", stage.tfc.minted());
    assert!(stage.tfc.token(&first).is_some());
    for name in ["first", "second"] {
        stage.delete_role(name).await;
        stage.role_goes(name).await;
    }
    let alive: Vec<String> = stage.alive().into_iter().map(|token| token.id).collect();
    assert_eq!(alive, [victim], "each role's tokens went with it, and no other");
    stage.log_holds_no_token();
}

#[tokio::test]
async fn a_secret_of_a_type_with_power_elsewhere_keeps_its_type_and_gains_none() {
    let stage = tenanted(&[], anybody()).await;
    let role = stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "suspend": true})).await;
    stage.role_becomes("shop", "False", "Suspended").await;
    let account = json!({"kubernetes.io/service-account.name": "default"});
    let basic = json!({
        "metadata": {"name": "shop", "ownerReferences": owner(&role), "annotations": account},
        "type": "kubernetes.io/basic-auth", "stringData": {"username": "tenant", "password": "own"},
    });
    create(&stage, basic).await;
    stage.patch_role("shop", json!({"spec": {"suspend": false}})).await;
    stage.issued("shop").await;
    let secret = stage.secrets().get("shop").await.expect("the Secret");
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    assert_eq!(stage.value("shop", "password").await.as_deref(), Some("own"), "what is the tenant's stays");
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    // A spec can't ask for such marks, whatever it is called there.
    for key in ["kubernetes.io/service-account.name", "argocd.argoproj.io/secret-type", "terraformcloud.dev/record"] {
        for field in ["labels", "annotations"] {
            let spec = json!({"user": {"me": true}, "secret": {field: {key: "x"}}});
            stage.create_role("power", spec).await.expect_err(key);
        }
    }
    stage
        .create_role("power", json!({"user": {"me": true}, "secret": {"type": "x"}}))
        .await
        .expect("an unknown field goes");
    stage.issued("power").await;
    assert_eq!(stage.secrets().get("power").await.expect("the Secret").type_.as_deref(), Some("Opaque"));
}

#[tokio::test]
async fn the_admin_secret_is_no_roles_secret() {
    let stage = Stage::set(Setting::default(), anybody()).await;
    let before = stage.secrets().get("tfc-admin").await.expect("the admin Secret");
    stage.role("shop", json!({"user": {"me": true}, "secret": {"name": "tfc-admin"}})).await;
    stage.role_becomes("shop", "False", "SecretConflict").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    let after = stage.secrets().get("tfc-admin").await.expect("the admin Secret");
    assert_eq!((before.data, stage.tfc.minted()), (after.data, Vec::new()));
    stage.config_becomes("tfc", "Authenticated").await;
}

#[tokio::test]
async fn secrets_that_change_places_give_no_role_the_others_token() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let mut former = Vec::new();
    for name in ["shop", "blog"] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h", "overlap": "0s"})).await;
        let id = token_id(&stage.issued(name).await);
        former.push((name, id, stage.secrets().get(name).await.expect("the Secret")));
    }
    // Deleted and made again at once, each with the other's marks and value.
    for (place, whose) in [(0, 1), (1, 0)] {
        let (name, other) = (former[place].0, &former[whose].2);
        stage.declare(Person::WroteSecret, name);
        stage.secrets().delete(name, &DeleteParams::default()).await.expect("it can be deleted");
        let moved = json!({
            "metadata": {"name": name, "labels": other.labels(), "annotations": other.annotations(),
                "ownerReferences": other.owner_references()},
            "data": other.data,
        });
        let moved = serde_json::from_value(moved).expect("a Secret");
        // Where the operator was first, its own stands there, and that is well.
        let _ = stage.secrets().create(&PostParams::default(), &moved).await;
    }
    for (name, id, _) in &former {
        let _ = stage.secrets().delete(name, &DeleteParams::default()).await;
        stage.succeeded(name, id).await;
        stage.issued(name).await;
    }
    for (_, id, _) in &former {
        assert!(stage.tfc.until(SOON, |tfc| !tfc.token(id).expect("TFC knows it").is_alive()).await, "{id} lives");
    }
    for name in ["shop", "blog"] {
        let role = stage.issued(name).await;
        assert_eq!(stage.tfc.token_id_of_value(&stage.token(name).await), current(&role), "{name} has its own");
        assert_eq!(stage.use_token(&stage.token(name).await).await, 200);
    }
    stage.alive_become(2).await;
}

#[tokio::test]
async fn garbage_in_our_annotations_is_replaced_without_a_new_token() {
    let stage = tenanted(&[], anybody()).await;
    stage.role("shop", user()).await;
    let id = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;
    let good = record(&stage, "shop").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut record = good.clone();
        change(&mut record);
        record.to_string()
    };
    let garbage = [
        "not JSON".to_owned(),
        "[".repeat(100_000),
        "{\"held\":".repeat(1000),
        "x".repeat(200_000),
        with(&|record| record["v"] = json!(2)),
        with(&|record| record["held"] = json!([1, 2])),
        with(&|record| record["roleUID"] = json!("another")),
        with(&|record| record["installation"] = json!("another")),
        with(&|record| record["keys"] = json!(["token", "token_id", "../../x", ""])),
        with(&|record| record["labels"] = json!(["app.kubernetes.io/managed-by", "no label!"])),
        with(&|record| record["held"]["digest"] = json!("")),
        with(&|record| record["held"]["expiresAt"] = json!("9999-12-31T23:59:59Z")),
        with(&|record| record["answers"]["rotate"] = json!("y".repeat(100_000))),
    ];
    for text in garbage {
        let marks = json!({"terraformcloud.dev/record": text, "terraformcloud.dev/pending": text, "terraformcloud.dev/fence": "["});
        let short = &text[..text.len().min(60)];
        // All annotations of an object are 256 KiB together.
        let marks = if text.len() < 100_000 { marks } else { json!({"terraformcloud.dev/record": text}) };
        stage.patch_secret("shop", json!({"metadata": {"annotations": marks}})).await;
        let back = |secret: &k8s_openapi::api::core::v1::Secret| {
            let text = secret.annotations().get("terraformcloud.dev/record");
            text.and_then(|text| serde_json::from_str::<Value>(text).ok()).is_some_and(|record| record == good)
        };
        stage.secret_until("shop", &format!("its record to be back after {short}"), back).await;
        assert_eq!(
            (token_id(&stage.issued("shop").await), stage.token("shop").await),
            (id.clone(), value.clone()),
            "{short}"
        );
    }
    assert_eq!((stage.tfc.minted().len(), stage.use_token(&value).await), (1, 200));
}
