//! What can't be changed any more, what the API server fills in, and who may write a status.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{CONFIG, ROLE, Subject, yaml};
use crate::bed::bed;

pub struct Change {
    from: &'static str,
    accepted: &'static str,
    refused: &'static str,
    pub says: &'static str,
}

const fn change(from: &'static str, accepted: &'static str, refused: &'static str, says: &'static str) -> Change {
    Change { from, accepted, refused, says }
}

pub const ROLE_CHANGES: &[Change] = &[
    change("{}", "{ttl: 2h}", "{configRef: {name: other}}", "configRef is immutable"),
    change("{}", "{suspend: true}", "{configRef: {namespace: other}}", "configRef is immutable"),
    change("{}", "{description: x}", "{team: {name: other}}", "team is immutable"),
    change("{}", "{renewal: Never}", "{team: {credentialType: TeamLegacy}}", "team is immutable"),
    change("{}", "{overlap: 0s}", "{team: null, user: {me: true}}", "team is immutable"),
    change("{team: null, user: {me: true}}", "{ttl: 1h}", "{user: {me: null, id: user-1}}", "user is immutable"),
    change(
        "{team: null, organization: {name: acme}}",
        "{rotation: {interval: 1h}}",
        "{organization: {name: b}}",
        "organization is immutable",
    ),
    change(
        "{}",
        "{secret: {name: a}}",
        "{secret: {name: other}}",
        "secret.name is immutable (left out, it is the role's own name)",
    ),
    change(
        "{secret: {name: other}}",
        "{secret: {labels: {a: b}}}",
        "{secret: {name: null}}",
        "secret.name is immutable",
    ),
    change("{secret: {name: a}}", "{secret: null}", "{secret: {name: b}}", "secret.name is immutable"),
];

pub const CONFIG_CHANGES: &[Change] = &[
    change("{}", "{address: null}", "{address: 'https://tfe.example.com'}", "address is immutable"),
    change("{address: 'https://tfe.example.com'}", "{maxTTL: 48h}", "{address: null}", "address is immutable"),
    change("{}", "{tokenSecretRef: {name: other}}", "{basePath: /}", "basePath is immutable"),
];

async fn check(subject: &Subject, changes: &[Change]) {
    let mut faults = Vec::new();
    for Change { from, accepted, refused, says } in changes {
        let api = subject.api(&bed().fresh_namespace().await);
        api.create(&PostParams::default(), &subject.object("a", from)).await.expect(from);
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = async |spec| api.patch("a", &dry_run, &Patch::Merge(json!({"spec": yaml(spec)}))).await;
        if let Err(error) = patch(accepted).await {
            faults.push(format!("{from} to {accepted}\n    should be accepted: {error}"));
        }
        match patch(refused).await.map_err(|error| error.to_string()) {
            Err(message) if message.contains(says) => {}
            other => faults.push(format!("{from} to {refused}\n    should say {says:?}: {other:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_role_keeps_its_config_subject_and_secret() {
    check(&ROLE, ROLE_CHANGES).await;
}

#[tokio::test]
async fn a_config_keeps_its_host() {
    check(&CONFIG, CONFIG_CHANGES).await;
}

#[tokio::test]
async fn defaults_are_filled_in_and_null_is_absent() {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let create = async |subject: &Subject, spec| -> Value {
        subject.api("default").create(&dry_run, &subject.object("a", spec)).await.expect("it is valid").data["spec"]
            .take()
    };
    assert_eq!(
        create(&ROLE, "{}").await,
        yaml(
            "{configRef: {name: tfc}, team: {organization: acme, name: apps, credentialType: Team}, deletionPolicy: Revoke, suspend: false}"
        )
    );
    assert_eq!(
        create(&CONFIG, "{allow: [{namespaces: {}}], caBundleRef: {name: ca}}").await,
        yaml(
            "{tokenSecretRef: {name: tfc-admin, key: token}, address: https://app.terraform.io, basePath: /api/v2/, defaultTTL: 24h, maxTTL: 768h, \
             revocationGracePeriod: 10m, allow: [{namespaces: {from: Same}}], caBundleRef: {kind: ConfigMap, name: ca, key: ca.crt}}"
        )
    );
    let mut explicit = ROLE.object("a", "{}");
    explicit.data["spec"]["ttl"] = Value::Null;
    explicit.data["spec"]["secret"] = json!({"name": null});
    let created = ROLE.api("default").create(&dry_run, &explicit).await.expect("null is absent");
    assert_eq!(created.data["spec"].get("ttl"), None);
    assert_eq!(created.data["spec"]["secret"], json!({}));
}

#[tokio::test]
async fn a_status_is_written_through_its_subresource_alone() {
    let api = ROLE.api(&bed().fresh_namespace().await);
    api.create(&PostParams::default(), &ROLE.object("a", "{}")).await.expect("a role");
    let status = json!({"status": {
        "kind": "Team", "subject": "acme/apps", "secret": "a", "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"}],
        "current": {"attempt": "x", "host": "app.terraform.io", "account": "user-1", "subject": "teams/team-1", "source": "Reply",
                    "expiresAt": "2030-01-01T00:00:00Z"},
        "handled": {"rotate": "1"},
    }});
    let merge = Patch::Merge(&status);
    let main: DynamicObject = api.patch("a", &PatchParams::default(), &merge).await.expect("the status is ignored");
    assert_eq!(main.data.get("status"), None);
    let written = api.patch_status("a", &PatchParams::default(), &merge).await.expect("the status is written");
    assert_eq!(written.data["status"], status["status"], "nothing is filled in and nothing lost");
    let spec = json!({"spec": {"suspend": true}});
    let ignored =
        api.patch_status("a", &PatchParams::default(), &Patch::Merge(&spec)).await.expect("the spec is ignored");
    assert_eq!(ignored.data["spec"]["suspend"], json!(false));
}

#[tokio::test]
async fn a_status_is_refused_without_its_condition_words() {
    let api = ROLE.api(&bed().fresh_namespace().await);
    api.create(&PostParams::default(), &ROLE.object("a", "{}")).await.expect("a role");
    let status =
        json!({"status": {"conditions": [{"type": "Ready", "status": "Maybe", "reason": "Issued", "message": ""}]}});
    let error =
        api.patch_status("a", &PatchParams::default(), &Patch::Merge(&status)).await.expect_err("no such status");
    assert!(error.to_string().contains("supported values: \"True\", \"False\", \"Unknown\""), "{error}");
}
