//! One test's own stage: a namespace on the shared control plane, a simulator of TFC, and the operator's real binary between them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use data_encoding::BASE64;
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tfc_harness::invariants::{Person, Recorder};
use tfc_harness::simulator::{Config, RateLimit, Simulator, StandardIds, TokenView, standard_world};
use tfc_harness::{Logs, Operator, OperatorOptions, install_tls_provider, wait_until};
use tfc_token_operator::api::{Condition, TerraformCloudConfig, TerraformCloudRole};

use crate::bed::{Bed, bed};

/// Patience for what happens in a moment on a quiet machine.
pub const SOON: Duration = Duration::from_secs(45);

/// A namespace, a simulator and an operator.
pub struct Stage {
    /// The namespace of the configs, where the operator stands.
    pub namespace: String,
    /// The namespace of the roles and their Secrets: the same one, but with [`Setting::tenant`].
    pub tenant: String,
    /// TFC.
    pub tfc: Simulator,
    /// Who is who in it.
    pub ids: StandardIds,
    /// Admin of the cluster.
    pub client: Client,
    /// Whoever writes roles and their Secrets: the admin, until a test puts somebody else there.
    pub user: Client,
    /// The operator; `None` after it was killed.
    pub operator: Option<Operator>,
    /// Writes down all that happens. When the stage goes, every invariant must have held.
    pub recorder: Recorder,
    /// Another stage's operator asks the same TFC.
    shared: bool,
    options: OperatorOptions,
    /// Values of tokens that the test has read.
    seen: Mutex<BTreeSet<String>>,
}

/// How a stage differs from the usual one.
#[derive(Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Further flags of the operator.
    pub flags: &'a [&'a str],
    /// The roles stand in a second namespace.
    pub tenant: bool,
    /// The operator's `RUST_LOG`.
    pub log: Option<&'a str>,
    /// Replicas elect a leader, by a Lease of 6 s.
    pub elect: bool,
    /// Flags of the election, where they are not the usual ones.
    pub election: Option<&'a [&'a str]>,
    /// A control plane of the test's own; without one, the shared one.
    pub bed: Option<&'a Bed>,
    /// The operator serves all namespaces; only on a control plane of the test's own.
    pub everywhere: bool,
    /// The operator's way to the API server, where it is not the straight one.
    pub kubeconfig: Option<&'a Path>,
}

impl Stage {
    /// A stage with a config `tfc` whose token is the standard world's machine user.
    pub async fn new() -> Stage {
        Stage::with(&[]).await
    }

    /// The same, with further flags of the operator.
    pub async fn with(flags: &[&str]) -> Stage {
        Stage::set(Setting { flags, ..Setting::default() }, json!({})).await
    }

    /// The same, with a second namespace for the roles; `config` is merged over the config's spec.
    pub async fn with_tenant(config: Value) -> Stage {
        Stage::set(Setting { tenant: true, ..Setting::default() }, config).await
    }

    /// The same in full.
    pub async fn set(setting: Setting<'_>, config: Value) -> Stage {
        let mut stage = Stage::bare_with(setting).await;
        stage.start().await;
        stage.config("tfc", config).await;
        stage
    }

    /// A stage without a config, the operator not started.
    pub async fn bare(flags: &[&str]) -> Stage {
        Stage::bare_with(Setting { flags, ..Setting::default() }).await
    }

    /// The same in full.
    pub async fn bare_with(setting: Setting<'_>) -> Stage {
        install_tls_provider();
        let bed: &Bed = setting.bed.unwrap_or_else(|| bed());
        let namespace = bed.fresh_namespace().await;
        let tenant = if setting.tenant { bed.fresh_namespace().await } else { namespace.clone() };
        let namespaces = BTreeSet::from([namespace.clone(), tenant.clone()]);
        let world = standard_world();
        let mut config = Config::from(world.world);
        config.rate_limit = RateLimit::Off;
        let tfc = Simulator::start(config).expect("the simulator starts");
        let election: &[&str] = match setting.elect {
            _ if setting.election.is_some() => setting.election.unwrap_or_default(),
            true => &[
                "--leader-elect-lease-duration=6s",
                "--leader-elect-renew-deadline=5s",
                "--leader-elect-retry-period=1s",
            ],
            false => &["--leader-elect=false"],
        };
        let mut args: Vec<String> = election.iter().map(|flag| (*flag).to_owned()).collect();
        args.push("--insecure-allow-http".into());
        args.push(format!("--installation-id={namespace}"));
        args.extend(setting.flags.iter().map(|flag| (*flag).to_owned()));
        let options = OperatorOptions {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_tfc-token-operator")),
            kubeconfig: setting.kubeconfig.map_or_else(|| bed.kubeconfig(), Path::to_path_buf),
            namespaces: namespaces.iter().filter(|_| !setting.everywhere).cloned().collect(),
            own_namespace: namespace.clone(),
            args,
            env: vec![("RUST_LOG".into(), setting.log.unwrap_or("info,tfc_token_operator=debug").into())],
            logs: Logs::default(),
        };
        let recorded: Vec<String> = namespaces.into_iter().collect();
        let recorder = Recorder::start(tfc.ledger(), &bed.etcd_url(), &recorded).expect("the recorder starts");
        let seen = Mutex::new(BTreeSet::from([world.ids.ci_token.expose().to_owned()]));
        let (client, user, ids) = (bed.client(), bed.client(), world.ids);
        let (operator, shared) = (None, false);
        Stage { client, user, namespace, tenant, tfc, ids, operator, recorder, shared, options, seen }
    }

    /// Two stages' operators ask one TFC. What the one's history says of the other's tokens is half the truth: nothing is concluded from it.
    pub fn share_tfc(&mut self, other: &mut Stage) {
        (self.shared, other.shared) = (true, true);
    }

    /// Says what a person did to a role or a Secret of that name, where it excuses something.
    pub fn declare(&self, act: fn(String) -> Person, name: &str) {
        self.recorder.declare(act(format!("{}/{name}", self.tenant)));
    }

    /// From here on the operator runs as whoever this kubeconfig names, with these arguments and no others.
    pub fn deployed(&mut self, kubeconfig: PathBuf, args: Vec<String>) {
        self.options.kubeconfig = kubeconfig;
        self.options.args = args;
        self.options.namespaces = Vec::new();
    }

    /// Starts one more operator, which may never be ready.
    pub fn launched(&self) -> Operator {
        Operator::start(self.options.clone()).expect("the operator starts")
    }

    /// Starts the operator, or another one after a kill.
    pub async fn start(&mut self) {
        self.operator = Some(self.replica().await);
    }

    /// Starts one more operator.
    pub async fn replica(&self) -> Operator {
        let mut operator = Operator::start(self.options.clone()).expect("the operator starts");
        operator.wait_ready().await.expect("the operator gets ready");
        operator
    }

    /// Starts one more operator with an armed fail point (see src/failpoint.rs): it may end before it is ready.
    pub fn armed(&self, failpoint: &str) -> Operator {
        let mut options = self.options.clone();
        options.env.push(("TFC_TOKEN_OPERATOR_FAILPOINT".into(), failpoint.into()));
        Operator::start(options).expect("the operator starts")
    }

    /// The operators that start from now on are whoever this kubeconfig says.
    pub fn act_as(&mut self, kubeconfig: PathBuf) {
        self.options.kubeconfig = kubeconfig;
    }

    /// The `uninstall` of this stage's installation, not started yet.
    pub fn uninstall(&self, flags: &[&str]) -> tokio::process::Command {
        const SHARED: [&str; 4] = ["--leader-elect-", "--insecure-", "--installation-id=", "--settling-time="];
        let mut command = tokio::process::Command::new(&self.options.binary);
        command.env_clear().env("KUBECONFIG", &self.options.kubeconfig).env("POD_NAMESPACE", &self.namespace);
        command.env("RUST_LOG", "info,tfc_token_operator=debug").kill_on_drop(true);
        let shared = |flag: &&String| SHARED.iter().any(|start| flag.starts_with(start));
        command.arg("uninstall").args(self.options.args.iter().filter(shared));
        command.args(self.options.namespaces.iter().map(|namespace| format!("--namespace={namespace}"))).args(flags);
        command
    }

    /// Runs an `uninstall` to its end: its exit code, and all that it said.
    pub async fn uninstalls(&self, flags: &[&str]) -> (Option<i32>, String) {
        let output = self.uninstall(flags).output().await.expect("it starts");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        self.holds_no_token("what an uninstall says", &said);
        (output.status.code(), said)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.operator.take().expect("an operator runs").kill();
    }

    /// SIGTERM; waits for its end.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        self.operator.take().expect("an operator runs").sigterm().await.expect("it ends in time")
    }

    /// Creates a config with its admin Secret, and waits until it is authenticated. `spec` is merged over the defaults.
    pub async fn config(&self, name: &str, spec: Value) {
        self.secret(&format!("{name}-admin"), "token", self.ids.ci_token.expose()).await;
        let mut whole = json!({"address": self.tfc.address(), "tokenSecretRef": {"name": format!("{name}-admin")}});
        merge(&mut whole, spec);
        self.create_config(name, whole).await.expect("the config is admitted");
        self.config_becomes(name, "Authenticated").await;
    }

    /// Creates a config as it is.
    pub async fn create_config(&self, name: &str, spec: Value) -> kube::Result<TerraformCloudConfig> {
        let config = object("TerraformCloudConfig", name, spec);
        self.configs().create(&PostParams::default(), &config).await
    }

    /// Creates a role of the config `tfc`; `spec` is merged over that.
    pub async fn role(&self, name: &str, spec: Value) -> TerraformCloudRole {
        self.create_role(name, spec).await.expect("the role is admitted")
    }

    /// The same, where it may be refused.
    pub async fn create_role(&self, name: &str, spec: Value) -> kube::Result<TerraformCloudRole> {
        self.create_annotated_role(name, json!({}), spec).await
    }

    /// The same, with annotations from the start.
    pub async fn create_annotated_role(
        &self,
        name: &str,
        annotations: Value,
        spec: Value,
    ) -> kube::Result<TerraformCloudRole> {
        let mut whole = json!({"configRef": {"name": "tfc", "namespace": self.namespace}});
        merge(&mut whole, spec);
        let mut role: TerraformCloudRole = object("TerraformCloudRole", name, whole);
        role.metadata.annotations = serde_json::from_value(annotations).expect("annotations");
        self.roles().create(&PostParams::default(), &role).await
    }

    /// Creates or replaces a Secret with one key, in the configs' namespace.
    pub async fn secret(&self, name: &str, key: &str, value: &str) {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}});
        let apply = PatchParams::apply("test").force();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.patch(name, &apply, &Patch::Apply(secret)).await.expect("the Secret is written");
    }

    /// Waits until the role's `Ready` has this reason, with this status.
    pub async fn role_becomes(&self, name: &str, status: &str, reason: &str) -> TerraformCloudRole {
        self.role_until(name, &format!("role {name} to be {reason}"), |role| {
            ready(role).is_some_and(|c| c.status == status && c.reason == reason)
        })
        .await
    }

    /// Waits until the role's token is in its Secret.
    pub async fn issued(&self, name: &str) -> TerraformCloudRole {
        self.role_becomes(name, "True", "Issued").await
    }

    /// Waits until the role is so.
    pub async fn role_until(
        &self,
        name: &str,
        what: &str,
        so: impl Fn(&TerraformCloudRole) -> bool,
    ) -> TerraformCloudRole {
        let roles = self.roles();
        wait_until(what, SOON, async || {
            let role = roles.get(name).await.map_err(|error| error.to_string())?;
            if so(&role) { Ok(role) } else { Err(serde_json::to_string_pretty(&role.status).expect("JSON")) }
        })
        .await
    }

    /// Waits until the role's spec, as it stands, was looked at.
    pub async fn seen(&self, name: &str) -> TerraformCloudRole {
        let generation = self.roles().get(name).await.expect("the role").metadata.generation;
        let seen = |role: &TerraformCloudRole| {
            role.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        };
        self.role_until(name, "a look at its spec", seen).await
    }

    /// Waits until the config's `Ready` has this reason.
    pub async fn config_becomes(&self, name: &str, reason: &str) -> TerraformCloudConfig {
        let configs = self.configs();
        wait_until(&format!("config {name} to be {reason}"), SOON, async || {
            let config = configs.get(name).await.map_err(|error| error.to_string())?;
            let conditions = config.status.clone().unwrap_or_default().conditions;
            let so = Condition::find(&conditions, "Ready").is_some_and(|c| c.reason == reason);
            if so { Ok(config) } else { Err(format!("{conditions:#?}")) }
        })
        .await
    }

    /// Waits until the role is gone.
    pub async fn role_goes(&self, name: &str) {
        let roles = self.roles();
        wait_until(&format!("role {name} to go"), SOON, async || match roles.get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(role)) => Err(serde_json::to_string_pretty(&role.status).expect("JSON")),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Asks for the role's deletion.
    pub async fn delete_role(&self, name: &str) {
        self.roles().delete(name, &DeleteParams::default()).await.expect("the role can be deleted");
    }

    /// Sets an annotation on a role.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {format!("terraformcloud.dev/{annotation}"): value}}});
        self.patch_role(name, patch).await;
    }

    /// Changes a role.
    pub async fn patch_role(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.roles().patch(name, &params, &Patch::Merge(patch)).await.expect("the role can be changed");
    }

    /// Takes all that the operator knows of a role out of its status, as a restore from a backup does.
    pub async fn wipe_status(&self, name: &str) {
        self.declare(Person::WipedStatus, name);
        let nothing = json!({"status": null});
        let params = PatchParams::default();
        self.roles().patch_status(name, &params, &Patch::Merge(nothing)).await.expect("the status can be wiped");
    }

    /// Changes a config.
    pub async fn patch_config(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.configs().patch(name, &params, &Patch::Merge(patch)).await.expect("the config can be changed");
    }

    /// Changes a role's Secret, as a user does.
    pub async fn patch_secret(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.secrets().patch(name, &params, &Patch::Merge(patch)).await.expect("the Secret can be changed");
    }

    /// Labels the roles' namespace; null takes a label off.
    pub async fn label_tenant(&self, labels: Value) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        namespaces.patch(&self.tenant, &PatchParams::default(), &patch).await.expect("a namespace can be labelled");
    }

    /// One key of a Secret, as text.
    pub async fn value(&self, secret: &str, key: &str) -> Option<String> {
        let secret = self.secrets().get_opt(secret).await.expect("Secrets can be read")?;
        let bytes = secret.data?.get(key)?.0.clone();
        let text = String::from_utf8(bytes).expect("text");
        if key == "token" {
            self.seen.lock().expect("no test panicked in it").insert(text.clone());
        }
        Some(text)
    }

    /// The token in a role's Secret.
    pub async fn token(&self, secret: &str) -> String {
        self.value(secret, "token").await.expect("the Secret holds a token")
    }

    /// Waits until the Secret is so.
    pub async fn secret_until(&self, name: &str, what: &str, so: impl Fn(&Secret) -> bool) -> Secret {
        let secrets = self.secrets();
        wait_until(&format!("Secret {name}: {what}"), SOON, async || {
            let secret = secrets.get(name).await.map_err(|error| error.to_string())?;
            if so(&secret) { Ok(secret) } else { Err(format!("{:?}, {:?}", secret.metadata, keys(&secret))) }
        })
        .await
    }

    /// Waits until TFC refuses a token.
    pub async fn dies(&self, value: &str) {
        wait_until("the token to die", SOON, async || match self.use_token(value).await {
            401 => Ok(()),
            status => Err(status.to_string()),
        })
        .await;
    }

    /// Waits until the role's current token is another one.
    pub async fn succeeded(&self, role: &str, former: &str) -> TerraformCloudRole {
        self.role_until(role, "a successor", |r| current(r).is_some_and(|id| id != former)).await
    }

    /// Fails if any token that the test has read stands in the operator's log, plain or as a Secret holds it.
    pub fn log_holds_no_token(&self) {
        let log = self.operator.as_ref().expect("an operator runs").logs().expect("the log is readable");
        self.holds_no_token("the log", &log);
    }

    /// Fails if any token that the test has read stands in the text.
    pub fn holds_no_token(&self, what: &str, text: &str) {
        for value in self.seen.lock().expect("no test panicked in it").iter() {
            let halves = value.split(".atlasv1.").map(str::to_owned);
            for part in halves.chain([value.clone(), BASE64.encode(value.as_bytes())]) {
                assert!(!text.contains(&part), "{what} holds a token");
            }
        }
    }

    /// The status that a call with this token gets.
    pub async fn use_token(&self, value: &str) -> u16 {
        let url = format!("{}/api/v2/account/details", self.tfc.address());
        reqwest::Client::new()
            .get(url)
            .bearer_auth(value)
            .send()
            .await
            .expect("the simulator answers")
            .status()
            .as_u16()
    }

    /// Tokens that calls have made and that live.
    pub fn alive(&self) -> Vec<TokenView> {
        self.tfc.minted().into_iter().filter(TokenView::is_alive).collect()
    }

    /// Waits until so many of the tokens that calls have made live.
    pub async fn alive_become(&self, count: usize) -> Vec<TokenView> {
        wait_until(&format!("{count} tokens to live"), SOON, async || {
            let alive = self.alive();
            if alive.len() == count { Ok(alive) } else { Err(format!("{alive:#?}")) }
        })
        .await
    }

    /// Waits until an event about an object has this reason: it follows the status that it speaks of.
    pub async fn told(&self, name: &str, reason: &str) {
        wait_until(&format!("an event {reason} about {name}"), SOON, async || {
            let reasons = self.events(name).await;
            if reasons.iter().any(|told| told == reason) { Ok(()) } else { Err(format!("{reasons:?}")) }
        })
        .await;
    }

    /// Reasons of the events about an object.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.tenant);
        let all = events.list(&ListParams::default()).await.expect("events can be read");
        all.items
            .into_iter()
            .filter(|e| e.involved_object.name.as_deref() == Some(name))
            .filter_map(|e| e.reason)
            .collect()
    }

    /// The roles.
    pub fn roles(&self) -> Api<TerraformCloudRole> {
        Api::namespaced(self.user.clone(), &self.tenant)
    }

    /// Configs of the namespace.
    pub fn configs(&self) -> Api<TerraformCloudConfig> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The roles' Secrets.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.user.clone(), &self.tenant)
    }
}

impl Drop for Stage {
    /// All is in order at the end, if an operator runs to see to it; and every invariant has held all the time.
    fn drop(&mut self) {
        let settled = match self.operator {
            Some(_) if !std::thread::panicking() && !self.shared => self.recorder.settles_blocking(SOON),
            _ => Ok(()),
        };
        drop(self.operator.take());
        for log in self.options.logs.all() {
            self.recorder.search("the operator's log", &log);
        }
        match settled.and_then(|()| if self.shared { Ok(()) } else { self.recorder.holds(false) }) {
            // It may be why the test fails.
            Err(error) if std::thread::panicking() => eprintln!("an invariant did not hold, too:\n{error}"),
            Err(error) => panic!("an invariant did not hold:\n{error}"),
            Ok(()) => {}
        }
    }
}

/// A role's `Ready`.
pub fn ready(role: &TerraformCloudRole) -> Option<Condition> {
    condition(role, "Ready")
}

/// A condition of a role.
pub fn condition(role: &TerraformCloudRole, type_: &str) -> Option<Condition> {
    Condition::find(&role.status.as_ref()?.conditions, type_).cloned()
}

/// TFC's id of the current token.
pub fn token_id(role: &TerraformCloudRole) -> String {
    current(role).expect("a current token")
}

/// The same, where there may be none.
pub fn current(role: &TerraformCloudRole) -> Option<String> {
    role.status.as_ref()?.current.as_ref()?.token_id.clone()
}

/// How many former tokens are recorded.
pub fn predecessors(role: &TerraformCloudRole) -> usize {
    role.status.as_ref().map_or(0, |status| status.predecessors.len())
}

/// Names of a Secret's keys.
pub fn keys(secret: &Secret) -> Vec<&str> {
    secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: Value) -> K {
    let object =
        json!({"apiVersion": "terraformcloud.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).expect("an object of the API")
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
