//! Pods that use a token: one mounts its Secret, the other takes it into its environment.
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde_json::{Value, json};
use tfc_harness::wait_until;

use crate::stage::{SHOP, SOON, Stage, TFC};

/// What terraform is told, in both pods.
fn configuration() -> String {
    format!(
        r#"terraform {{
  cloud {{
    hostname     = "{TFC}"
    organization = "acme"
    workspaces {{ name = "shop" }}
  }}
}}
output "greeting" {{ value = "hello" }}
"#
    )
}

impl Stage {
    /// A pod that mounts the Secret as a file where terraform looks for its credentials, as in deploy/samples/pod.yaml.
    pub async fn pod_with_file(&self, name: &str, secret: &str) {
        let volume = json!({
            "name": "tfc",
            "secret": {
                "secretName": secret,
                "items": [{"key": "credentials.tfrc.json", "path": "credentials.tfrc.json"}],
            },
        });
        let mount = json!({"name": "tfc", "mountPath": "/home/terraform/.terraform.d", "readOnly": true});
        self.pod(name, json!([]), vec![volume], vec![mount]).await;
    }

    /// A pod that takes the whole Secret into its environment.
    pub async fn pod_with_environment(&self, name: &str, secret: &str) {
        self.pod(name, json!([{"secretRef": {"name": secret}}]), Vec::new(), Vec::new()).await;
    }

    async fn pod(&self, name: &str, env_from: Value, mut volumes: Vec<Value>, mut mounts: Vec<Value>) {
        self.apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "terraform", "namespace": SHOP},
            "data": {"main.tf": configuration()},
        }))
        .await;
        volumes.extend([
            json!({"name": "source", "configMap": {"name": "terraform"}}),
            json!({"name": "ca", "configMap": {"name": "private-ca"}}),
            json!({"name": "work", "emptyDir": {}}),
        ]);
        mounts.extend([
            json!({"name": "source", "mountPath": "/source"}),
            json!({"name": "ca", "mountPath": "/ca"}),
            json!({"name": "work", "mountPath": "/work"}),
        ]);
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        self.apply(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SHOP},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "terraform",
                    "image": node_tests::images::TERRAFORM,
                    "env": [
                        variable("HOME", "/home/terraform"),
                        variable("SSL_CERT_FILE", "/ca/ca.crt"),
                        variable("CHECKPOINT_DISABLE", "1"),
                        variable("TMPDIR", "/work"),
                    ],
                    "envFrom": env_from,
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        }))
        .await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SHOP);
        wait_until(&format!("pod {name} to run"), SOON, async || {
            let status = pods.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let ready = status.container_statuses.iter().flatten().any(|container| container.ready);
            if ready { Ok(()) } else { Err(format!("{:?}", status.container_statuses)) }
        })
        .await;
    }

    /// `terraform init` and `terraform plan` in a pod, and the ids of the tokens that TFC was shown by them.
    pub async fn terraform(&self, pod: &str) -> Vec<String> {
        let before = self.tfc.call_count();
        let script = "mkdir -p /work/root && cp /source/main.tf /work/root && cd /work/root \
            && terraform init -no-color -input=false && terraform plan -no-color -input=false";
        let output = self.cluster.exec(SHOP, pod, &["/bin/sh", "-c", script]).await.expect("kubectl runs");
        let said = output.ok("terraform").expect("terraform is logged in");
        assert!(said.contains("greeting"), "the plan: {said}");
        let calls = self.tfc.log_since(before);
        let terraform = calls.iter().filter(|call| call.path.starts_with("/organizations/acme/workspaces/shop"));
        let mut shown: Vec<String> = terraform.filter_map(|call| call.token_id.clone()).collect();
        shown.dedup();
        shown
    }

    /// The id of the token in the pod's file of credentials. The value goes no further than TFC's own look-up.
    pub async fn token_in_file(&self, pod: &str) -> Result<String, String> {
        let path = "/home/terraform/.terraform.d/credentials.tfrc.json";
        let output = self.cluster.exec(SHOP, pod, &["/bin/busybox", "cat", path]).await.map_err(|e| e.to_string())?;
        let credentials: Value = serde_json::from_str(&output.stdout).map_err(|error| error.to_string())?;
        let value = credentials["credentials"][TFC]["token"].as_str().ok_or("the file has no token")?;
        self.tfc.token_id_of_value(value).ok_or_else(|| "the file has a token that TFC never made".to_owned())
    }

    /// A pod's identity and how often its container was started again.
    pub async fn life_of(&self, pod: &str) -> (Option<String>, i32) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SHOP);
        let pod = pods.get(pod).await.expect("the pod is there");
        let restarts = pod.status.and_then(|status| status.container_statuses).into_iter().flatten();
        (pod.metadata.uid, restarts.map(|container| container.restart_count).sum())
    }
}
