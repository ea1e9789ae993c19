//! The loop of one config: who is behind its token, and is it usable? Says so in its status, and gives its roles a session.

pub mod check;
mod references;
mod verdict;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use tracing::{debug, error, info, warn};

use self::check::{Checked, Fingerprint, Problem};
pub use self::references::References;
use super::Operator;
use super::wakes::Wakes;
use crate::accounts::{ConfigKey, Session, Terms};
use crate::act::World;
use crate::api::names::{ANNOTATION_ABANDON_UNPROVEN, ANNOTATION_REVOKE, FINALIZER_ADMIN_SECRET, FINALIZER_IN_USE};
use crate::api::{ConfigReason, TerraformCloudConfig};
use crate::cluster::events::Regarding;
use crate::cluster::{Cluster, ClusterError, Severity};
use crate::plan::observed::Unready;
use crate::plan::terms::parse;
use crate::tfc::{Connection, TokenValue};

/// How often an account that is out of reach is asked again. Its roles wait for the answer instead of each asking by itself.
const PROBE: Duration = Duration::from_secs(15);
/// How often a token that TFC refuses is tried again; a changed admin Secret is tried at once.
const REFUSED: Duration = Duration::from_secs(120);

/// What is kept of the configs between their rounds.
pub struct Configs {
    wakes: Wakes<TerraformCloudConfig>,
    kept: Mutex<HashMap<ConfigKey, Kept>>,
    /// Watches of what the configs refer to.
    pub references: References,
}

/// What is kept of one config.
#[derive(Clone, Default)]
pub struct Kept {
    /// What the last good answer of TFC was to.
    confirmed: Option<Fingerprint>,
    /// What TFC did not answer, or refused, and how that was said.
    failed: Option<(Fingerprint, Problem)>,
    /// Someone met a failure that only a new answer of TFC can clear up.
    doubted: bool,
}

impl Configs {
    /// Those that have to look again are sent to `wakes`.
    pub fn new(wakes: Wakes<TerraformCloudConfig>, references: References) -> Self {
        Self { wakes, kept: Mutex::default(), references }
    }

    /// A role met a failure that may be its config's: TFC is asked who is behind the token.
    pub fn recheck(&self, key: &ConfigKey) {
        self.edit(key, |kept| kept.doubted = true);
        self.wake(key);
    }

    /// Something that the config depends on has changed.
    pub fn wake(&self, key: &ConfigKey) {
        self.wakes.send(&key.0, &key.1);
    }

    fn get(&self, key: &ConfigKey) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    fn edit(&self, key: &ConfigKey, edit: impl FnOnce(&mut Kept)) {
        edit(self.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
    }

    fn forget(&self, key: &ConfigKey) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Serves one config.
pub async fn reconcile(
    config: Arc<TerraformCloudConfig>,
    operator: Arc<Operator>,
) -> Result<Action, std::convert::Infallible> {
    let key = (config.namespace().unwrap_or_default(), config.name_any());
    let served = tokio::spawn(async move { serve(&operator, &key).await });
    Ok(match served.await {
        Ok(action) => action,
        Err(panicked) => {
            error!(%panicked, "a config's round ended in a panic");
            Action::requeue(Duration::from_secs(60))
        }
    })
}

/// A session that says no more than the spec: until TFC has answered, nothing is decided on it.
pub fn placeholder(operator: &Operator, config: &TerraformCloudConfig) {
    let key = (config.namespace().unwrap_or_default(), config.name_any());
    let host = connection(config, None, true).host().unwrap_or_default();
    let clock = operator.world.accounts.clock(&host);
    let teams = config.status.clone().unwrap_or_default().teams;
    let session = Session::new(terms(config, &host), Err(Unready { reason: None }), None, clock, teams);
    if operator.world.accounts.session(&key).is_none() {
        operator.world.accounts.put(key, session);
    }
}

async fn serve(operator: &Operator, key: &ConfigKey) -> Action {
    match attempt(operator, key).await {
        Ok(action) => action,
        Err(ClusterError::Conflict | ClusterError::NotFound) => Action::requeue(Duration::from_millis(100)),
        Err(error) => {
            warn!(namespace = key.0, config = key.1, %error, "the config could not be served; again in 5 s");
            if let Some(missing) = error.missing() {
                tell_missing(operator, key, &missing.to_string()).await;
            }
            Action::requeue(Duration::from_secs(5))
        }
    }
}

/// A permission is missing without which the config can't be served: its status says so, or at least an event.
async fn tell_missing(operator: &Operator, key: &ConfigKey, words: &str) {
    let Ok(Some(config)) = operator.world.cluster.get::<TerraformCloudConfig>(&key.0, &key.1).await else { return };
    let session = operator.world.accounts.session(key);
    let checked = Checked::missing_permission(&config, session.as_deref(), words);
    match write_status(operator, key, &config, &checked, &[]).await {
        Err(error) if error.missing().is_some() && operator.memory.is_news(&format!("{} {words}", key.1)) => {
            let reason = ConfigReason::MissingPermission.as_str();
            operator.world.cluster.event(&regarding(key, &config), Severity::Warning, reason, "Check", words).await;
        }
        _ => {}
    }
    // Roles that were served by it before go on; others say what they wait for.
    if session.is_none_or(|session| session.account.is_err()) && publish(&operator.world, key, &config, checked) {
        operator.wake_roles_of(key);
    }
}

async fn attempt(operator: &Operator, key: &ConfigKey) -> Result<Action, ClusterError> {
    let cluster = &operator.world.cluster;
    let Some(mut config) = cluster.get::<TerraformCloudConfig>(&key.0, &key.1).await? else {
        forget(operator, key);
        return Ok(Action::await_change());
    };
    operator.configs.references.follow(key, &config);
    let going = config.metadata.deletion_timestamp.is_some();
    let holders = if going { operator.holders(key) } else { Vec::new() };
    if going && holders.is_empty() {
        release(operator, key, &config).await?;
        return Ok(Action::await_change());
    }
    if !going {
        hold(cluster, key, &mut config).await?;
    }
    let kept = operator.configs.get(key);
    operator.configs.edit(key, |kept| kept.doubted = false);
    let before = operator.world.accounts.session(key);
    let checked = check::check(operator.checker(), key, &config, before.as_deref(), &kept).await?;
    let confirmed = checked.account.is_ok().then(|| checked.fingerprint.clone()).flatten();
    let failed = checked.fingerprint.clone().zip(checked.problem.clone());
    operator.configs.edit(key, |kept| (kept.confirmed, kept.failed) = (confirmed, failed));

    let retry = match &checked.problem {
        None => None,
        Some(_) if checked.ask_in.is_some() => checked.ask_in,
        Some(problem) if problem.reason == ConfigReason::Unreachable => Some(PROBE),
        Some(problem) if problem.reason == ConfigReason::Unauthorized => Some(REFUSED),
        // The watches of what it refers to say when to look again; this is for what no watch shows.
        Some(_) => Some(REFUSED),
    };
    write_status(operator, key, &config, &checked, &holders).await?;
    let changed = publish(&operator.world, key, &config, checked);
    if !operator.has_config(key) {
        // It went while it was looked at, and was forgotten before this round gave it a session again.
        forget(operator, key);
    } else if changed {
        operator.wake_roles_of(key);
    }
    Ok(retry.map_or_else(Action::await_change, Action::requeue))
}

/// A config that is gone: nothing is done with its token any more.
pub fn forget(operator: &Operator, key: &ConfigKey) {
    operator.world.accounts.remove(key);
    operator.configs.forget(key);
    operator.configs.references.forget(key);
    operator.wake_roles_of(key);
}

/// Gives the config's roles what the check came to. Says whether they have to look again.
pub fn publish(world: &World, key: &ConfigKey, config: &TerraformCloudConfig, checked: Checked) -> bool {
    let clock = world.accounts.clock(&checked.host);
    let terms = terms(config, &checked.host);
    let account = checked.account.map(|account| account.observed).map_err(|reason| Unready { reason: Some(reason) });
    let session = Session::new(terms, account, checked.client, clock, checked.teams);
    world.accounts.put(key.clone(), session)
}

/// What the spec says to roles. A duration that got past the schema grants nothing.
fn terms(config: &TerraformCloudConfig, host: &str) -> Terms {
    let annotation = |name: &str| config.annotations().get(name).cloned();
    let duration = |text: &str| parse(text).unwrap_or_default();
    Terms {
        uid: config.uid().unwrap_or_default(),
        deleting: config.metadata.deletion_timestamp.is_some(),
        host: host.to_owned(),
        allow: config.spec.allow.clone(),
        default_ttl: duration(&config.spec.default_ttl),
        max_ttl: duration(&config.spec.max_ttl),
        grace: duration(&config.spec.revocation_grace_period),
        revoke_wish: annotation(ANNOTATION_REVOKE),
        abandon_unproven: annotation(ANNOTATION_ABANDON_UNPROVEN).is_some(),
    }
}

fn connection(config: &TerraformCloudConfig, ca_pem: Option<Vec<u8>>, allow_http: bool) -> Connection {
    Connection { address: config.spec.address.clone(), base_path: config.spec.base_path.clone(), ca_pem, allow_http }
}

/// Puts the finalizers on the config and its admin Secret, before anything can be minted with them.
async fn hold(cluster: &Cluster, key: &ConfigKey, config: &mut TerraformCloudConfig) -> Result<(), ClusterError> {
    if !config.finalizers().iter().any(|f| f == FINALIZER_IN_USE) {
        let mut finalizers = config.finalizers().to_vec();
        finalizers.push(FINALIZER_IN_USE.into());
        let version = config.resource_version().unwrap_or_default();
        *config = cluster.patch_finalizers((&key.0, &key.1, &version), &finalizers).await?;
    }
    let name = &config.spec.token_secret_ref.name;
    if let Some(secret) = cluster.secret(&key.0, name).await? {
        let finalizers = secret.metadata.finalizers.clone().unwrap_or_default();
        if !finalizers.iter().any(|f| f == FINALIZER_ADMIN_SECRET) && secret.metadata.deletion_timestamp.is_none() {
            set_secret_finalizers(cluster, &key.0, name, &secret.metadata, finalizers, true).await?;
        }
    }
    let former = config.status.as_ref().and_then(|s| s.token.as_ref()).and_then(|t| t.secret.clone());
    if let Some(former) = former.filter(|former| former != name) {
        let_secret_go(cluster, &key.0, &former).await?;
    }
    Ok(())
}

async fn set_secret_finalizers(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    mut finalizers: Vec<String>,
    on: bool,
) -> Result<(), ClusterError> {
    finalizers.retain(|f| f != FINALIZER_ADMIN_SECRET);
    if on {
        finalizers.push(FINALIZER_ADMIN_SECRET.into());
    }
    let patch = serde_json::json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers,
    }});
    cluster.patch_secret(namespace, name, patch, false).await.map(|_| ())
}

async fn let_secret_go(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), ClusterError> {
    let Some(secret) = cluster.secret(namespace, name).await? else { return Ok(()) };
    let finalizers = secret.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|f| f == FINALIZER_ADMIN_SECRET) {
        set_secret_finalizers(cluster, namespace, name, &secret.metadata, finalizers, false).await?;
    }
    Ok(())
}

/// No role depends on it any more: the admin Secret may go, and then the config.
async fn release(operator: &Operator, key: &ConfigKey, config: &TerraformCloudConfig) -> Result<(), ClusterError> {
    if !config.finalizers().iter().any(|f| f == FINALIZER_IN_USE) {
        return Ok(());
    }
    let name = &config.spec.token_secret_ref.name;
    let shared = operator.shares_admin_secret(key, name);
    let_go(&operator.world.cluster, key, config, if shared { &[] } else { std::slice::from_ref(name) }).await
}

/// Takes the finalizers off these admin Secrets of a config, and then off the config.
pub async fn let_go(
    cluster: &Cluster,
    key: &ConfigKey,
    config: &TerraformCloudConfig,
    admin_secrets: &[String],
) -> Result<(), ClusterError> {
    for name in admin_secrets {
        let_secret_go(cluster, &key.0, name).await?;
    }
    if !config.finalizers().iter().any(|f| f == FINALIZER_IN_USE) {
        return Ok(());
    }
    let mut finalizers = config.finalizers().to_vec();
    finalizers.retain(|f| f != FINALIZER_IN_USE);
    let version = config.resource_version().unwrap_or_default();
    cluster.patch_finalizers::<TerraformCloudConfig>((&key.0, &key.1, &version), &finalizers).await?;
    info!(namespace = key.0, config = key.1, "released: no role depends on it");
    Ok(())
}

fn regarding(key: &ConfigKey, config: &TerraformCloudConfig) -> Regarding {
    Regarding {
        kind: "TerraformCloudConfig",
        namespace: key.0.clone(),
        name: key.1.clone(),
        uid: config.uid().unwrap_or_default(),
    }
}

async fn write_status(
    operator: &Operator,
    key: &ConfigKey,
    config: &TerraformCloudConfig,
    checked: &Checked,
    holders: &[String],
) -> Result<(), ClusterError> {
    let before = config.status.clone().unwrap_or_default();
    let hidden = operator.namespaces.are_hidden();
    let status = verdict::status(config, checked, holders, hidden, jiff::Timestamp::now());
    if status == before {
        return Ok(());
    }
    let version = config.resource_version().unwrap_or_default();
    let at = (key.0.as_str(), key.1.as_str(), version.as_str());
    let _: TerraformCloudConfig = operator.world.cluster.patch_status(at, &before, &status).await?;
    let regarding = regarding(key, config);
    for (severity, reason, note) in verdict::news(&before, &status) {
        debug!(namespace = key.0, config = key.1, reason, "{note}");
        if severity == Severity::Warning {
            warn!(namespace = key.0, config = key.1, reason, "{note}");
            operator.world.metrics.failed(reason);
        }
        operator.world.cluster.event(&regarding, severity, reason, "Check", &note).await;
    }
    Ok(())
}

/// The admin token as a Secret's key holds it: a trailing newline is forgiven.
fn admin_token(bytes: &[u8]) -> Result<TokenValue, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    TokenValue::new(text).map_err(|error| error.to_string())
}
