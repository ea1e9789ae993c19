//! One test's stage: a simulator of TFC on the cluster that all tests share, a release of the chart, a config and roles.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams};
use node_tests::cluster::Cluster;
use node_tests::sandbox;
use serde_json::{Value, json};
use tfc_harness::simulator::{Config, Identity, Product, Simulator, StandardIds, standard_world};
use tfc_harness::wait_until;
use tfc_token_operator::api::{Condition, TerraformCloudRole};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// The name by which pods reach the simulator.
pub const TFC: &str = "tfe.example.test";
/// The release, and its namespace.
pub const RELEASE: &str = "tfc-token-operator";
/// The namespace of the config.
pub const PLATFORM: &str = "tfc-platform";
/// The namespace of the roles and of the pods that use them.
pub const SHOP: &str = "shop";
/// Patience for what happens in a moment on a quiet machine.
pub const SOON: Duration = Duration::from_secs(90);

/// Runs a test on the cluster when it is its turn.
pub fn on_the_cluster(test: impl AsyncFnOnce(Stage)) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    RUNTIME.block_on(async {
        // Nobody drops it: the sandbox ends all of it.
        let cluster = CLUSTER.get_or_init(start).await;
        test(Stage::new(cluster).await).await;
    });
}

async fn start() -> Cluster {
    let folder = |name: &str| PathBuf::from(variable(name));
    let names = BTreeMap::from([(TFC.to_owned(), sandbox::TFC)]);
    let cluster = Cluster::start(&folder("TESTBED_BIN"), &folder("NODE_BIN"), names).await.expect("the cluster starts");
    cluster.import_terraform(&folder("NODE_BIN")).await.expect("the image with terraform");
    for image in ["before", env!("CARGO_PKG_VERSION")] {
        cluster.import(&archive(image)).await.expect("the operator's image");
    }
    cluster
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name).expect("`make test-node` sets the folders of programs and images")
}

/// The archive of the operator's image with that tag.
fn archive(tag: &str) -> PathBuf {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    Path::new(&variable("IMAGES")).join(format!("{RELEASE}-{tag}-linux-{architecture}.tar"))
}

fn chart() -> String {
    format!("{}/../../charts/{RELEASE}", env!("CARGO_MANIFEST_DIR"))
}

/// A cluster, a simulator, and the namespaces of people.
pub struct Stage {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// Its admin.
    pub client: Client,
    /// TFC, as [`TFC`] on port 443.
    pub tfc: Simulator,
    /// Who is who in it.
    pub ids: StandardIds,
    /// What the simulator's clients have to trust.
    ca: String,
}

impl Stage {
    async fn new(cluster: &'static Cluster) -> Self {
        let identity = Identity::self_signed(&[TFC]).expect("a certificate");
        let ca = identity.ca_pem().to_owned();
        let world = standard_world();
        let mut config = Config::from(world.world);
        config.tls = Some(identity);
        config.listen = (sandbox::TFC, 443).into();
        config.product = Product::Tfe("v202505-1".into());
        // The one of the test before may hold the port a moment longer.
        let tfc = wait_until("the simulator's port", SOON, async || Simulator::start(config.clone())).await;
        let stage = Self { cluster, client: cluster.client(), tfc, ids: world.ids, ca };
        for namespace in [RELEASE, PLATFORM, SHOP] {
            // The strictest standard of Pod Security, as platforms set it for everybody.
            let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "tfc-tokens": "allowed"});
            let metadata = json!({"name": namespace, "labels": labels});
            stage.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
        }
        stage
    }

    /// `helm install --wait` with the chart's own values, but for `values` (`NAME=VALUE`).
    pub async fn install(&self, values: &[&str]) {
        self.helm("install", values).await;
    }

    /// `helm upgrade --wait`, in the same way; values of the release before are forgotten.
    pub async fn upgrade(&self, values: &[&str]) {
        self.helm("upgrade --reset-values", values).await;
    }

    async fn helm(&self, command: &str, values: &[&str]) {
        let chart = chart();
        let mut args: Vec<&str> = command.split(' ').collect();
        args.extend([RELEASE, &chart, "--namespace", RELEASE, "--wait", "--timeout", "4m"]);
        args.extend(values.iter().flat_map(|value| ["--set", value]));
        self.cluster.helm(&args).await.expect("helm succeeds");
    }

    /// `helm uninstall --wait`; then everything that people made, and the CRDs that it keeps. Nothing may be stuck.
    pub async fn uninstall(&self) {
        self.cluster.helm(&["uninstall", RELEASE, "--namespace", RELEASE, "--wait"]).await.expect("helm succeeds");
    }

    /// Deletes the namespaces and waits until they are gone.
    pub async fn namespaces_go(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [SHOP, PLATFORM, RELEASE] {
            namespaces.delete(name, &DeleteParams::default()).await.expect("the namespace can be deleted");
        }
        for name in [SHOP, PLATFORM, RELEASE] {
            wait_until("the namespace to be gone", SOON, async || {
                match namespaces.get_opt(name).await.map_err(|error| error.to_string())? {
                    None => Ok(()),
                    Some(left) => Err(format!("{:?}", left.status.map(|status| status.conditions))),
                }
            })
            .await;
        }
        let kept =
            ["delete", "crd", "terraformcloudroles.terraformcloud.dev", "terraformcloudconfigs.terraformcloud.dev"];
        self.cluster.kubectl(&kept, None).await.and_then(|output| output.ok("kubectl delete")).expect("the CRDs go");
    }

    /// Applies an object, on the server's side: what `kubectl apply` does else writes a Secret's value into an annotation too.
    pub async fn apply(&self, object: Value) {
        let text = object.to_string();
        let output = self.cluster.kubectl(&["apply", "--server-side", "--filename", "-"], Some(&text)).await;
        output.and_then(|output| output.ok("kubectl apply")).expect("the object is taken");
    }

    /// The platform team's part: the account, the private CA and the config, and the CA for the pods in the shop.
    pub async fn config(&self) {
        let metadata = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace});
        self.apply(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata("tfc-admin", PLATFORM),
            "stringData": {"token": self.ids.ci_token.expose()},
        }))
        .await;
        for namespace in [PLATFORM, SHOP] {
            self.apply(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("private-ca", namespace),
                "data": {"ca.crt": self.ca},
            }))
            .await;
        }
        self.apply(json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudConfig",
            "metadata": metadata("tfc", PLATFORM),
            "spec": {
                "address": format!("https://{TFC}"),
                "tokenSecretRef": {"name": "tfc-admin"},
                "caBundleRef": {"name": "private-ca"},
                "allow": [{
                    "namespaces": {"from": "Selector", "selector": {"matchLabels": {"tfc-tokens": "allowed"}}},
                    "teams": ["acme/*"],
                }],
            },
        }))
        .await;
        let said = self.cluster.kubectl(
            &["wait", "tfcconfig/tfc", "--namespace", PLATFORM, "--for=condition=Ready", "--timeout=90s"],
            None,
        );
        said.await.and_then(|said| said.ok("kubectl wait")).expect("the config is ready");
    }

    /// A role of the team `apps` with tokens of an hour.
    pub async fn role(&self, name: &str) {
        self.apply(json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {
                "configRef": {"name": "tfc", "namespace": PLATFORM},
                "team": {"organization": "acme", "name": "apps"},
                "ttl": "1h", "renewBefore": "20m", "overlap": "15m",
            },
        }))
        .await;
    }

    /// The roles.
    pub fn roles(&self) -> Api<TerraformCloudRole> {
        Api::namespaced(self.client.clone(), SHOP)
    }

    /// Waits until a role is ready, and gives its token's id. `not` is a token that it had before.
    pub async fn issued(&self, name: &str, not: Option<&str>) -> String {
        let roles = self.roles();
        wait_until(&format!("role {name} to have a token"), SOON, async || {
            let role = roles.get(name).await.map_err(|error| error.to_string())?;
            let status = role.status.unwrap_or_default();
            let ready = Condition::find(&status.conditions, "Ready").cloned();
            let current = status.current.and_then(|current| current.token_id);
            match (&ready, current) {
                (Some(ready), Some(current)) if ready.status == "True" && Some(&*current) != not => Ok(current),
                (ready, current) => Err(format!("{ready:?}, token {current:?}")),
            }
        })
        .await
    }

    /// The pod that leads.
    pub async fn leader(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), RELEASE);
        wait_until("a leader", SOON, async || {
            let lease = leases.get("tfc-token-operator").await.map_err(|error| error.to_string())?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
            // POD_UID or POD_something: the pod's name comes first.
            holder.ok_or_else(|| "nobody holds the Lease".to_owned())
        })
        .await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The cluster goes with the sandbox, and a failed test is read from its output.
            let operator =
                ["logs", "--all-pods", "--prefix", "--tail=40", "-n", RELEASE, "deployment/tfc-token-operator"];
            for args in [
                &["get", "pods", "-A", "-o", "wide"][..],
                &["get", "events", "-A", "--sort-by=.lastTimestamp"],
                &["get", "tfc", "-A"],
                &operator,
            ] {
                eprintln!("--- kubectl {}\n{}", args.join(" "), self.cluster.describe(args));
            }
            eprintln!("{}", self.cluster.node().end_of_log());
        }
    }
}
