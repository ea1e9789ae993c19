//! A release's life, from `helm install` to `helm uninstall`.
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use tfc_harness::simulator::Fate;
use tfc_harness::wait_until;

use crate::stage::{RELEASE, SHOP, SOON, Stage, on_the_cluster};

#[test]
fn terraform_in_a_pod_is_logged_in_and_stays_so() {
    on_the_cluster(async |stage| {
        stage.install(&[]).await;
        stage.config().await;
        stage.role("ci").await;
        let first = stage.issued("ci", None).await;

        stage.pod_with_file("file", "ci").await;
        stage.pod_with_environment("environment", "ci").await;
        for pod in ["file", "environment"] {
            assert_eq!(stage.terraform(pod).await, [first.as_str()], "what terraform in pod {pod} showed to TFC");
        }

        // A rotation reaches the running pod's file by itself, and not its environment.
        let life = stage.life_of("file").await;
        let metadata = json!({"name": "ci", "namespace": SHOP, "annotations": {"terraformcloud.dev/rotate": "now"}});
        let patch = json!({"metadata": metadata}).to_string();
        let args = ["patch", "tfcrole", "ci", "--namespace", SHOP, "--type=merge", "--patch", &patch];
        stage.cluster.kubectl(&args, None).await.and_then(|said| said.ok("kubectl patch")).expect("it is taken");
        let second = stage.issued("ci", Some(&first)).await;
        wait_until("the successor in the running pod", SOON, async || match stage.token_in_file("file").await? {
            token if token == second => Ok(()),
            token => Err(token),
        })
        .await;
        assert_eq!(stage.life_of("file").await, life, "the pod is the same and was not started again");
        assert_eq!(stage.terraform("file").await, [second.as_str()]);
        assert_eq!(stage.terraform("environment").await, [first.as_str()], "the former token lives on for the overlap");

        the_other_takes_over(&stage).await;
        stage.cluster.helm(&["test", RELEASE, "--namespace", RELEASE]).await.expect("helm test succeeds");
        every_token_is_revoked(&stage).await;
        stage.namespaces_go().await;
    });
}

/// The leader is killed without a word, and then the next one's pod is deleted: each time another process leads, and serves.
async fn the_other_takes_over(stage: &Stage) {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), RELEASE);
    for (role, kill) in [("after-a-kill", true), ("after-a-deletion", false)] {
        let leader = stage.leader().await;
        // The holder's name begins with its pod's.
        let of_operator = ListParams::default().labels("app.kubernetes.io/component=controller");
        let all = pods.list(&of_operator).await.expect("the pods can be read").items;
        let pod = all.iter().map(|pod| pod.name_any()).find(|pod| leader.starts_with(pod.as_str()));
        let pod = pod.expect("the leader is one of the pods");
        if kill {
            stage.cluster.node().kill_program_of(&pod).expect("the operator runs");
        } else {
            pods.delete(&pod, &DeleteParams::default()).await.expect("the pod can be deleted");
        }
        wait_until("another leader", SOON, async || {
            let now = stage.leader().await;
            if now == leader { Err(now) } else { Ok(()) }
        })
        .await;
        stage.role(role).await;
        stage.issued(role, None).await;
    }
}

/// `helm uninstall` with the chart's own policy, `Revoke`.
async fn every_token_is_revoked(stage: &Stage) {
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), SHOP);
    stage.uninstall().await;
    let tokens = stage.tfc.minted();
    assert!(tokens.len() >= 4, "{tokens:?}");
    for token in tokens {
        assert!(matches!(token.fate, Fate::Revoked { .. }), "a token lives on: {token:?}");
    }
    for name in ["ci", "after-a-kill", "after-a-deletion"] {
        let secret = secrets.get_opt(name).await.expect("the API server answers");
        let holds = secret.and_then(|secret| secret.data).is_some_and(|data| data.contains_key("token"));
        assert!(!holds, "Secret {name} holds a token that is revoked");
        let role = stage.roles().get(name).await.expect("helm keeps the CRDs, and with them the roles");
        assert_eq!(role.finalizers(), [""; 0], "nobody is left to take it off");
    }
}

#[test]
fn a_release_that_lets_go_leaves_tokens_and_secrets() {
    on_the_cluster(async |stage| {
        stage.install(&["uninstall.policy=Release"]).await;
        stage.config().await;
        stage.role("kept").await;
        let token = stage.issued("kept", None).await;
        stage.pod_with_file("file", "kept").await;
        stage.uninstall().await;
        assert!(matches!(stage.tfc.token(&token).expect("the token").fate, Fate::Alive), "the token was revoked");
        assert_eq!(stage.terraform("file").await, [token.as_str()], "terraform is logged in, without an operator");
        let role = stage.roles().get("kept").await.expect("the role");
        assert_eq!(role.finalizers(), [""; 0], "nobody is left to take it off");
        stage.namespaces_go().await;
    });
}
