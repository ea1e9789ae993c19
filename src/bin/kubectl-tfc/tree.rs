//! `kubectl tfc tree`: config, roles, Secrets, and the pods that read them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::Api;
use serde::Serialize;
use tfc_token_operator::api::{Condition, TerraformCloudConfig, TerraformCloudRole};

use crate::reach::{Reach, list};
use crate::{Failure, Output};

/// A config and what hangs on it.
#[derive(Debug, Serialize)]
struct ConfigNode {
    namespace: String,
    name: String,
    /// `False` where the config does not exist.
    exists: bool,
    reason: String,
    roles: Vec<RoleNode>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleNode {
    namespace: String,
    name: String,
    reason: String,
    secret: String,
    secret_exists: bool,
    /// Name, and how the pod reads the Secret.
    pods: Vec<(String, &'static str)>,
}

/// Prints the tree.
pub async fn print(reach: &Reach, config: Option<&str>, output: Output) -> Result<bool, Failure> {
    let configs = match config {
        Some(name) => vec![reach.one::<TerraformCloudConfig>(name).await?],
        None => reach.all::<TerraformCloudConfig>().await?,
    };
    // Roles of any namespace may use a config; who may not list them all sees those of the one namespace.
    let everywhere: Api<TerraformCloudRole> = Api::all(reach.client.clone());
    let roles = match list(&everywhere).await {
        Ok(roles) => roles,
        Err(_) => {
            eprintln!(
                "you may not list roles in all namespaces: only those of namespace {} are shown",
                reach.namespace
            );
            list(&reach.here()).await?
        }
    };
    let mut nodes: BTreeMap<(String, String), ConfigNode> =
        configs.iter().map(|config| (key(config), node(config))).collect();
    let mut pods = PodsOf { reach, known: BTreeMap::new() };
    for role in roles {
        let of = role.config_key();
        let mine = reach.everywhere || role.metadata.namespace.as_deref() == Some(&reach.namespace);
        if !nodes.contains_key(&of) && (config.is_some() || !mine) {
            continue;
        }
        let missing = || ConfigNode {
            namespace: of.0.clone(),
            name: of.1.clone(),
            exists: false,
            reason: "not shown to you, or not there".into(),
            roles: Vec::new(),
        };
        let leaf = leaf(&mut pods, &role).await?;
        nodes.entry(of.clone()).or_insert_with(missing).roles.push(leaf);
    }
    let nodes: Vec<ConfigNode> = nodes.into_values().collect();
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&nodes)?),
        Output::Text if nodes.is_empty() => eprintln!("no TerraformCloudConfig and no TerraformCloudRole found"),
        Output::Text => nodes.iter().for_each(|node| print!("{}", drawn(node))),
    }
    Ok(true)
}

fn key(config: &TerraformCloudConfig) -> (String, String) {
    let meta = &config.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn node(config: &TerraformCloudConfig) -> ConfigNode {
    let (namespace, name) = key(config);
    let conditions = config.status.clone().unwrap_or_default().conditions;
    ConfigNode { namespace, name, exists: true, reason: reason(&conditions), roles: Vec::new() }
}

fn reason(conditions: &[Condition]) -> String {
    Condition::find(conditions, "Ready").map_or_else(|| "not looked at yet".into(), |ready| ready.reason.clone())
}

async fn leaf(pods: &mut PodsOf<'_>, role: &TerraformCloudRole) -> Result<RoleNode, Failure> {
    let namespace = role.metadata.namespace.clone().unwrap_or_default();
    let secret = role.secret_name();
    // Metadata alone: what it holds does not leave the API server.
    let secrets: Api<Secret> = Api::namespaced(pods.reach.client.clone(), &namespace);
    let secret_exists = secrets.get_metadata_opt(&secret).await?.is_some();
    let readers = pods.of(&namespace).await?.iter();
    let readers = readers.filter_map(|pod| Some((pod.metadata.name.clone()?, how(pod, &secret)?))).collect();
    Ok(RoleNode {
        name: role.metadata.name.clone().unwrap_or_default(),
        reason: reason(&role.status.clone().unwrap_or_default().conditions),
        pods: readers,
        namespace,
        secret,
        secret_exists,
    })
}

/// Pods, listed once for each namespace.
struct PodsOf<'a> {
    reach: &'a Reach,
    known: BTreeMap<String, Vec<Pod>>,
}

impl PodsOf<'_> {
    async fn of(&mut self, namespace: &str) -> Result<&[Pod], Failure> {
        if !self.known.contains_key(namespace) {
            let api: Api<Pod> = Api::namespaced(self.reach.client.clone(), namespace);
            self.known.insert(namespace.to_owned(), list(&api).await?);
        }
        Ok(self.known.get(namespace).map(Vec::as_slice).unwrap_or_default())
    }
}

/// How a pod reads a Secret; `None` where it does not.
fn how(pod: &Pod, secret: &str) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    let containers: Vec<_> = spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    let mounts = |volume: &k8s_openapi::api::core::v1::Volume| {
        let direct = volume.secret.as_ref().and_then(|s| s.secret_name.as_deref()) == Some(secret);
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        direct || projected.filter_map(|source| source.secret.as_ref()).any(|source| source.name == secret)
    };
    let mounted: Vec<&str> = spec.volumes.iter().flatten().filter(|v| mounts(v)).map(|v| v.name.as_str()).collect();
    let mut used =
        containers.iter().flat_map(|c| c.volume_mounts.iter().flatten()).filter(|m| mounted.contains(&m.name.as_str()));
    if let Some(mount) = used.next() {
        let pinned = mount.sub_path.as_deref().is_some_and(|path| !path.is_empty());
        return Some(if pinned { "mounted by subPath: it keeps its first token" } else { "mounted" });
    }
    let whole = containers.iter().flat_map(|c| c.env_from.iter().flatten()).filter_map(|from| from.secret_ref.as_ref());
    let keys = containers.iter().flat_map(|c| c.env.iter().flatten());
    let keys = keys.filter_map(|env| env.value_from.as_ref()?.secret_key_ref.as_ref());
    let named =
        whole.map(|reference| &reference.name).chain(keys.map(|reference| &reference.name)).any(|name| name == secret);
    named.then_some("in its environment: read when it starts")
}

fn drawn(node: &ConfigNode) -> String {
    let mut text = format!("TerraformCloudConfig {}/{} ({})\n", node.namespace, node.name, node.reason);
    for (at, role) in node.roles.iter().enumerate() {
        let (branch, trunk) = if at + 1 == node.roles.len() { ("└─", "  ") } else { ("├─", "│ ") };
        text += &format!("{branch} TerraformCloudRole {}/{} ({})\n", role.namespace, role.name, role.reason);
        let there = if role.secret_exists { "" } else { " (does not exist)" };
        text += &format!("{trunk} └─ Secret {}{there}\n", role.secret);
        for (at, (pod, how)) in role.pods.iter().enumerate() {
            let branch = if at + 1 == role.pods.len() { "└─" } else { "├─" };
            text += &format!("{trunk}    {branch} Pod {pod} ({how})\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_is_told_how_it_reads_a_secret() {
        let pod = |spec: Value| {
            serde_json::from_value::<Pod>(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod")
        };
        let volume = |mount: Value, source: Value| {
            let mut source = source;
            source["name"] = json!("v");
            pod(json!({"volumes": [source], "containers": [{"name": "c", "volumeMounts": [mount]}]}))
        };
        let mount = json!({"name": "v", "mountPath": "/x"});
        let secret = json!({"secret": {"secretName": "tfc"}});
        let projected = json!({"projected": {"sources": [{"secret": {"name": "tfc"}}]}});
        let environment = |env: Value| pod(json!({"containers": [{"name": "c", "env": env}]}));
        for (sentence, pod, want) in [
            ("a volume", volume(mount.clone(), secret.clone()), Some("mounted")),
            ("a projected one", volume(mount.clone(), projected), Some("mounted")),
            (
                "a file of it",
                volume(json!({"name": "v", "mountPath": "/x", "subPath": "token"}), secret.clone()),
                Some("mounted by subPath: it keeps its first token"),
            ),
            ("one that no container mounts", volume(json!({"name": "w", "mountPath": "/x"}), secret), None),
            (
                "all of its keys",
                pod(json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "tfc"}}]}]})),
                Some("in its environment: read when it starts"),
            ),
            (
                "a key",
                environment(json!([{"name": "T", "valueFrom": {"secretKeyRef": {"name": "tfc", "key": "token"}}}])),
                Some("in its environment: read when it starts"),
            ),
            (
                "another's key",
                environment(json!([{"name": "T", "valueFrom": {"secretKeyRef": {"name": "other", "key": "token"}}}])),
                None,
            ),
        ] {
            assert_eq!(how(&pod, "tfc"), want, "{sentence}");
        }
    }
}
