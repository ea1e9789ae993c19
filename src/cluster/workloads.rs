//! Workloads that ask to be restarted with a role's tokens. Nothing of them is kept, and only their pod template's stamp is written.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::lists::get;
use super::roles::FIELD_MANAGER;
use super::{Cluster, ClusterError};
use crate::api::names::{ANNOTATION_RESTART_FOR, ANNOTATION_TOKEN_ID};
use crate::api::{Workload, WorkloadKind};

/// Objects a page: whole ones, which can be large.
const PAGE: u32 = 50;

/// As much of a workload as counts here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    template: Template,
    update_strategy: Strategy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: Option<Rolling>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Rolling {
    partition: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    replicas: i64,
    updated_replicas: i64,
    available_replicas: i64,
    updated_number_scheduled: i64,
    desired_number_scheduled: i64,
    number_available: i64,
}

fn path(kind: WorkloadKind, namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{}", kind.plural())
}

impl Cluster {
    /// The workloads of a namespace whose owner has opted in to be restarted with the tokens of that role.
    ///
    /// # Errors
    /// Where the API server could not be asked, or refuses.
    pub async fn workloads(&self, namespace: &str, role: &str) -> Result<Vec<Workload>, ClusterError> {
        let mut found = Vec::new();
        for kind in WorkloadKind::ALL {
            let asks = |object: &Object| {
                let annotations = object.metadata.annotations.as_ref();
                annotations.and_then(|a| a.get(ANNOTATION_RESTART_FOR)).is_some_and(|named| named == role)
            };
            let visit = |object: Object| found.extend(asks(&object).then(|| workload(kind, object)));
            self.pages(PAGE, "", |query| get(&path(kind, namespace), query), visit).await?;
        }
        Ok(found)
    }

    /// Stamps a workload's pod template with a token's id, on the resourceVersion observed: its controller replaces the pods.
    ///
    /// # Errors
    /// Where it changed meanwhile, or the API server refuses.
    pub async fn stamp(&self, namespace: &str, workload: &Workload, id: &str) -> Result<Workload, ClusterError> {
        let body = json!({
            "metadata": {"uid": workload.uid, "resourceVersion": workload.resource_version},
            "spec": {"template": {"metadata": {"annotations": {ANNOTATION_TOKEN_ID: id}}}},
        });
        let path = format!("{}/{}", path(workload.kind, namespace), workload.name);
        let object = self.call(Call::new(Method::PATCH, path).body(body).query(FIELD_MANAGER)).await?;
        Ok(self::workload(workload.kind, object))
    }
}

fn workload(kind: WorkloadKind, object: Object) -> Workload {
    let rolled_out = is_rolled_out(kind, &object);
    let template = object.spec.template.metadata.and_then(|meta| meta.annotations);
    Workload {
        kind,
        name: object.metadata.name.unwrap_or_default(),
        uid: object.metadata.uid.unwrap_or_default(),
        resource_version: object.metadata.resource_version.unwrap_or_default(),
        stamp: template.and_then(|mut annotations| annotations.remove(ANNOTATION_TOKEN_ID)),
        rolled_out,
    }
}

/// All pods are of the template as it stands, and work. Where it is left to people to replace them (`OnDelete`) there is nothing to wait for.
fn is_rolled_out(kind: WorkloadKind, Object { metadata, spec, status }: &Object) -> bool {
    let seen = status.observed_generation >= metadata.generation.unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let on_delete = spec.update_strategy.kind == "OnDelete";
    seen && match kind {
        WorkloadKind::Deployment => {
            status.updated_replicas >= wanted
                && status.replicas <= status.updated_replicas
                && status.available_replicas >= wanted
        }
        WorkloadKind::StatefulSet => {
            let rolling = spec.update_strategy.rolling_update.as_ref();
            let kept = rolling.and_then(|rolling| rolling.partition).unwrap_or_default();
            on_delete || status.updated_replicas >= wanted - kept && status.available_replicas >= wanted
        }
        WorkloadKind::DaemonSet => {
            on_delete
                || status.updated_number_scheduled >= status.desired_number_scheduled
                    && status.number_available >= status.desired_number_scheduled
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_rollout_is_over_when_all_pods_are_new_and_work() {
        let (deployment, stateful, daemon) =
            (WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet);
        let new = |updated: i64, replicas: i64, available: i64| json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": replicas, "availableReplicas": available});
        let nodes = |updated: i64, available: i64| json!({"observedGeneration": 2, "updatedNumberScheduled": updated, "desiredNumberScheduled": 3, "numberAvailable": available});
        for (sentence, kind, spec, status, want) in [
            ("all are new and work", deployment, json!({"replicas": 2}), new(2, 2, 2), true),
            ("an old one is still there", deployment, json!({"replicas": 2}), new(2, 3, 3), false),
            ("a new one does not work yet", deployment, json!({"replicas": 2}), new(2, 2, 1), false),
            ("one is wanted where nothing is said", deployment, json!({}), json!({"observedGeneration": 2}), false),
            ("none is wanted", deployment, json!({"replicas": 0}), json!({"observedGeneration": 2}), true),
            (
                "its controller has not seen it",
                deployment,
                json!({"replicas": 0}),
                json!({"observedGeneration": 1}),
                false,
            ),
            ("all are new", stateful, json!({"replicas": 2}), new(2, 2, 2), true),
            ("one is old", stateful, json!({"replicas": 2}), new(1, 2, 2), false),
            (
                "it is kept old on purpose",
                stateful,
                json!({"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}),
                new(1, 2, 2),
                true,
            ),
            (
                "people replace them",
                stateful,
                json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
                new(0, 2, 2),
                true,
            ),
            ("on all nodes", daemon, json!({}), nodes(3, 3), true),
            ("not on all nodes", daemon, json!({}), nodes(2, 3), false),
        ] {
            let object: Value = json!({"metadata": {"generation": 2}, "spec": spec, "status": status});
            let object: Object = serde_json::from_value(object).expect("a workload");
            assert_eq!(is_rolled_out(kind, &object), want, "{sentence}");
        }
    }
}
