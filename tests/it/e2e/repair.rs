//! What users do to a Secret or a status is mended, with a new token only where the value is lost.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, current, keys, predecessors, ready, token_id};

/// A role `shop`, issued: its token's id and value.
async fn issued(stage: &Stage, spec: Value) -> (String, String) {
    let mut whole = json!({"user": {"me": true}, "ttl": "1h", "overlap": "5s"});
    whole.as_object_mut().expect("an object").extend(spec.as_object().cloned().unwrap_or_default());
    stage.role("shop", whole).await;
    let id = token_id(&stage.issued("shop").await);
    (id, stage.token("shop").await)
}

#[tokio::test]
async fn a_secret_that_was_deleted_comes_back_with_a_new_token() {
    let stage = Stage::new().await;
    let (first, value) = issued(&stage, json!({})).await;
    stage.secrets().delete("shop", &DeleteParams::default()).await.expect("the Secret can be deleted");
    stage.succeeded("shop", &first).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    stage.dies(&value).await;
    assert_eq!(stage.tfc.minted().len(), 2);
}

#[tokio::test]
async fn a_value_that_was_edited_or_emptied_is_replaced() {
    let stage = Stage::new().await;
    let (first, first_value) = issued(&stage, json!({})).await;
    stage.patch_secret("shop", json!({"stringData": {"token": "not.atlasv1.ours"}})).await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    let second_value = stage.token("shop").await;
    assert_eq!(stage.use_token(&second_value).await, 200);
    stage.dies(&first_value).await;

    stage.patch_secret("shop", json!({"data": null})).await;
    stage.succeeded("shop", &second).await;
    let third_value = stage.token("shop").await;
    assert_eq!(stage.use_token(&third_value).await, 200);
    stage.dies(&second_value).await;
    assert_eq!(stage.tfc.minted().len(), 3);
}

#[tokio::test]
async fn a_key_beside_the_value_is_restored_from_the_value() {
    let stage = Stage::new().await;
    let (first, value) = issued(&stage, json!({})).await;
    stage
        .patch_secret("shop", json!({"data": {"credentials.tfrc.json": null}, "stringData": {"token_id": "at-other"}}))
        .await;
    let secret = stage
        .secret_until("shop", "its keys to be back", |secret| {
            let data = secret.data.as_ref().expect("data");
            data.contains_key("credentials.tfrc.json") && data["token_id"].0 == first.as_bytes()
        })
        .await;
    assert_eq!(secret.data.expect("data")["token"].0, value.as_bytes());
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_changed_template_rewrites_the_secret_and_leaves_what_is_anothers() {
    let stage = Stage::new().await;
    let secret = json!({"labels": {"a": "1", "b": "1"}, "annotations": {"note": "1"}, "template": {"ONE": "${token}"}});
    let (_, value) = issued(&stage, json!({"secret": secret})).await;
    let foreign = json!({
        "metadata": {"labels": {"foreign": "yes"}, "annotations": {"foreign": "yes"}},
        "stringData": {"foreign": "yes"},
    });
    stage.patch_secret("shop", foreign).await;

    let change =
        json!({"labels": {"a": "2", "b": null}, "annotations": null, "template": {"ONE": null, "TWO": "is ${token}"}});
    stage.patch_role("shop", json!({"spec": {"secret": change}})).await;
    let secret = stage.secret_until("shop", "the new key", |secret| keys(secret).contains(&"TWO")).await;
    assert_eq!(stage.value("shop", "TWO").await, Some(format!("is {value}")));
    assert!(!keys(&secret).contains(&"ONE") && keys(&secret).contains(&"foreign"));
    let (labels, annotations) = (secret.labels(), secret.annotations());
    assert_eq!((labels.get("a").map(String::as_str), labels.get("b")), (Some("2"), None));
    assert_eq!(annotations.get("note"), None);
    assert!(labels.contains_key("foreign") && annotations.contains_key("foreign"));
    assert_eq!((stage.token("shop").await, stage.tfc.minted().len()), (value, 1));
    stage.log_holds_no_token();
}

#[tokio::test]
async fn our_marks_are_restored_without_a_new_token() {
    let stage = Stage::new().await;
    let (_, value) = issued(&stage, json!({"secret": {"labels": {"team": "apps"}}})).await;
    let marks = [
        json!({"metadata": {"labels": {"team": null}}}),
        json!({"metadata": {"labels": {"terraformcloud.dev/role": "other"}}}),
        json!({"metadata": {"annotations": {"terraformcloud.dev/record": null}}}),
        json!({"metadata": {"annotations": {"terraformcloud.dev/record": "{}"}}}),
        json!({"metadata": {"ownerReferences": null}}),
        // Without it the watch of Secrets does not show this one any more: the last of all.
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
    ];
    for mark in marks {
        stage.patch_secret("shop", mark.clone()).await;
        stage
            .secret_until("shop", &format!("{mark} to be mended"), |secret| {
                let (labels, record) = (secret.labels(), secret.annotations().get("terraformcloud.dev/record"));
                labels.get("team").is_some_and(|v| v == "apps")
                    && labels.get("terraformcloud.dev/role").is_some_and(|v| v == "shop")
                    && labels.get("app.kubernetes.io/managed-by").is_some_and(|v| v == "tfc-token-operator")
                    && record.is_some_and(|record| record.contains("attempt"))
                    && secret.owner_references().len() == 1
            })
            .await;
    }
    assert_eq!((stage.token("shop").await, stage.use_token(&value).await), (value.clone(), 200));
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_secret_of_someone_else_is_never_touched() {
    let stage = Stage::new().await;
    let metadata = ObjectMeta { name: Some("shop".into()), ..ObjectMeta::default() };
    let theirs =
        Secret { metadata, string_data: Some([("token".into(), "theirs".into())].into()), ..Secret::default() };
    let created = stage.secrets().create(&PostParams::default(), &theirs).await.expect("a Secret");
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "SecretConflict").await;
    assert!(ready(&role).expect("a condition").message.contains("shop"));
    let now = stage.secrets().get("shop").await.expect("their Secret");
    assert_eq!((now.resource_version(), stage.tfc.minted()), (created.resource_version(), Vec::new()));

    stage.secrets().delete("shop", &DeleteParams::default()).await.expect("it can be deleted");
    stage.issued("shop").await;
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_role_beside_a_secret_of_someone_else_goes_and_leaves_it() {
    let stage = Stage::new().await;
    let (_, value) = issued(&stage, json!({})).await;
    stage.secrets().delete("shop", &DeleteParams::default()).await.expect("the Secret can be deleted");
    let metadata = ObjectMeta { name: Some("shop".into()), ..ObjectMeta::default() };
    let theirs =
        Secret { metadata, string_data: Some([("token".into(), "theirs".into())].into()), ..Secret::default() };
    // Whoever is first: the operator writes it anew at once, unless this one stands there already.
    match stage.secrets().create(&PostParams::default(), &theirs).await {
        Ok(_) => {
            stage.role_becomes("shop", "False", "SecretConflict").await;
            stage.delete_role("shop").await;
            stage.role_goes("shop").await;
            assert_eq!(stage.value("shop", "token").await.as_deref(), Some("theirs"));
        }
        Err(_) => {
            stage.delete_role("shop").await;
            stage.role_goes("shop").await;
        }
    }
    assert_eq!((stage.use_token(&value).await, stage.alive()), (401, Vec::new()));
}

#[tokio::test]
async fn a_wiped_status_is_rebuilt_from_the_secret_without_a_new_token() {
    let stage = Stage::with(&["--settling-time=2s"]).await;
    let (first, value) = issued(&stage, json!({})).await;
    let before = stage.roles().get("shop").await.expect("the role").status.expect("a status");
    stage.wipe_status("shop").await;
    let role = stage.role_until("shop", "its record to be back", |role| current(role).as_deref() == Some(&first)).await;
    let after = role.status.clone().expect("a status");
    assert_eq!(after.current.as_ref().map(|c| &c.expires_at), before.current.as_ref().map(|c| &c.expires_at));
    stage.issued("shop").await;
    assert_eq!((stage.token("shop").await, stage.tfc.minted().len()), (value.clone(), 1));

    // What is known of it by way of the Secret alone is revoked all the same, once TFC has shown that it is ours.
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.use_token(&value).await, 401);
}

#[tokio::test]
async fn a_token_that_was_revoked_in_tfc_is_replaced_when_somebody_asks() {
    let stage = Stage::new().await;
    let (first, value) = issued(&stage, json!({})).await;
    assert!(stage.tfc.person_deletes(&first));
    stage.dies(&value).await;
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    // What is gone already counts as revoked.
    stage.role_until("shop", "the record to go", |role| predecessors(role) == 0).await;
    assert_eq!(stage.tfc.minted().len(), 2);
}

#[tokio::test]
async fn what_happened_while_no_operator_ran_is_made_good() {
    let mut stage = Stage::with(&["--settling-time=2s"]).await;
    for name in ["deleted", "edited", "asked", "going", "due"] {
        let ttl = if name == "due" { "15s" } else { "1h" };
        stage.role(name, json!({"user": {"me": true}, "ttl": ttl, "overlap": "2s"})).await;
    }
    let mut former = Vec::new();
    for name in ["deleted", "edited", "asked", "going", "due"] {
        let id = token_id(&stage.issued(name).await);
        former.push((name, id, stage.token(name).await));
    }
    stage.kill();
    stage.secrets().delete("deleted", &DeleteParams::default()).await.expect("the Secret can be deleted");
    stage.patch_secret("edited", json!({"stringData": {"token": "not.atlasv1.ours"}})).await;
    stage.annotate("asked", "rotate", "1").await;
    stage.delete_role("going").await;
    assert!(stage.tfc.until(SOON, |tfc| tfc.token(&former[4].1).is_some_and(|token| !token.is_alive())).await);

    stage.start().await;
    for (name, id, value) in &former {
        if *name == "going" {
            stage.role_goes(name).await;
        } else {
            stage.succeeded(name, id).await;
            assert_eq!(stage.use_token(&stage.token(name).await).await, 200, "{name}");
        }
        stage.dies(value).await;
    }
    stage.log_holds_no_token();
}
