//! Roles and Secrets brought back from a copy: into the same cluster, and into another one beside the first.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;
use tfc_harness::invariants::Person;
use tfc_harness::simulator::TokenView;
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use super::order::{BOUND, is_in_order};
use crate::stage::{Stage, token_id};

/// A role and its Secret, as a backup holds them.
struct Copy {
    role: TerraformCloudRole,
    secret: Secret,
}

impl Copy {
    async fn of(stage: &Stage, name: &str) -> Self {
        let role = stage.issued(name).await;
        Self { role, secret: stage.secrets().get(name).await.expect("its Secret") }
    }

    /// Brings both back: the Secret first, then the role, then its status. The Secret names a role of another UID as its owner, so it is
    /// nobody's: Kubernetes' garbage collector deletes it in a while, or a person does.
    async fn restore(&self, stage: &Stage) {
        for act in [Person::WroteSecret, Person::WipedStatus] {
            stage.declare(act, self.role.metadata.name.as_deref().expect("a name"));
        }
        let mut secret = self.secret.clone();
        secret.metadata = restored(&self.secret.metadata, &stage.tenant);
        let secret = stage.secrets().create(&PostParams::default(), &secret).await.expect("the Secret comes back");
        let mut role = self.role.clone();
        role.metadata = restored(&self.role.metadata, &stage.tenant);
        role.spec.config_ref.namespace = Some(stage.namespace.clone());
        let name = role.metadata.name.clone().expect("a name");
        stage.roles().create(&PostParams::default(), &role).await.expect("the role comes back");
        let status = Patch::Merge(json!({"status": self.role.status}));
        stage.roles().patch_status(&name, &PatchParams::default(), &status).await.expect("its status comes back");
        let this = Preconditions { uid: secret.metadata.uid, resource_version: None };
        let this = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
        match stage.secrets().delete(&name, &this).await {
            Ok(_) | Err(kube::Error::Api(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a backup keeps of an object's metadata: the server gives another UID, and the finalizers and owners stay.
fn restored(of: &ObjectMeta, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        uid: None,
        resource_version: None,
        creation_timestamp: None,
        managed_fields: None,
        namespace: Some(namespace.to_owned()),
        ..of.clone()
    }
}

#[tokio::test]
async fn a_role_that_is_brought_back_into_its_cluster_gets_a_token_of_its_own() {
    for operator_runs in [true, false] {
        let mut stage = Stage::with(&["--settling-time=2s"]).await;
        stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})).await;
        let copy = Copy::of(&stage, "shop").await;
        stage.delete_role("shop").await;
        stage.role_goes("shop").await;
        if !operator_runs {
            stage.kill();
        }
        copy.restore(&stage).await;
        if !operator_runs {
            stage.start().await;
        }
        let former = token_id(&copy.role);
        stage.succeeded("shop", &former).await;
        is_in_order(&stage).await;
    }
}

/// A cluster and its copy, each with an installation of its own and the same admin token.
#[tokio::test]
async fn what_is_copied_into_another_cluster_touches_no_token_of_the_first() {
    let mut first = Stage::with(&["--settling-time=2s"]).await;
    first.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})).await;
    let copy = Copy::of(&first, "shop").await;
    let theirs = token_id(&copy.role);

    // No sweep comes to its help in time: the first one is after the settling time.
    let mut second = Stage::bare(&["--settling-time=30s"]).await;
    first.share_tfc(&mut second);
    second.start().await;
    second.secret("tfc-admin", "token", first.ids.ci_token.expose()).await;
    let config = json!({"address": first.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
    second.create_config("tfc", config).await.expect("the config is admitted");
    second.config_becomes("tfc", "Authenticated").await;
    copy.restore(&second).await;
    let role = second.succeeded("shop", &theirs).await;
    let own = token_id(&role);
    let roles: Api<TerraformCloudRole> = second.roles();
    wait_until("the copy to come to rest", BOUND, async || {
        let status = roles.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let open = status.predecessors.len() + status.unsettled.len();
        if open == 0 { Ok(()) } else { Err(format!("{status:#?}")) }
    })
    .await;
    let alive: Vec<String> = first.tfc.minted().into_iter().filter(TokenView::is_alive).map(|token| token.id).collect();
    assert_eq!(alive, [theirs.clone(), own.clone()], "each cluster has its own");

    // Nor when the copy goes.
    second.delete_role("shop").await;
    second.role_goes("shop").await;
    assert!(first.tfc.token(&theirs).expect("TFC made it").is_alive());
    assert!(!first.tfc.token(&own).expect("TFC made it").is_alive());
    assert_eq!(token_id(&first.issued("shop").await), theirs);
}
