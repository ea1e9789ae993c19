//! The `uninstall` subcommand: before the operator is removed, the tokens of every role are revoked or released, and the operator's
//! finalizers go, so that nothing waits for an operator that is not there any more.
//!
//! It takes the Lease and holds it. The leader finishes what it has begun and hands the Lease over; all replicas stand back while this
//! works, and for two minutes after it is done, in which they are removed. Where it fails they take their work up again at once.

mod configs;
mod roles;

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::act::World;
use crate::api::{TerraformCloudConfig, TerraformCloudRole};
use crate::args::UninstallSettings;
use crate::boottime::BootInstant;
use crate::cluster::{ClusterError, Kind};
use crate::leader::{Farewell, Leadership, Purpose};
use crate::metrics::Metrics;
use crate::observe::Namespace;
use crate::place::{Place, PlaceError};
use crate::signals::Shutdown;

/// Roles worked on at a time.
const AT_A_TIME: usize = 16;
/// Longest pause before a role or a config is looked at again.
const PAUSE: Duration = Duration::from_secs(5);
/// What is begun before the time is over may take this much longer.
const OVERTIME: Duration = Duration::from_secs(20);

/// Namespace and name.
type Key = (String, String);

/// What an uninstall came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No object carries a finalizer of the operator's any more.
    Done,
    /// Of some roles a token may live on: those, and what they need, keep theirs.
    Unproven,
}

/// Why an uninstall came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// No cluster is configured, say.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The Lease was not to be had.
    #[error("the Lease was not to be had in time: its holder neither hands it over nor falls silent")]
    NoLease,
    /// Another process took the Lease.
    #[error("the Lease was lost: another process has it now")]
    LeaseLost,
    /// Asked to end.
    #[error("asked to end before it was done; the replicas take up their work")]
    Interrupted,
    /// The API server could not be asked, or refuses.
    #[error("{doing}: {error}")]
    Cluster {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        error: ClusterError,
    },
    /// Finalizers are left, for another reason than a token that may live.
    #[error("not done in time: {0} more of the lines above are to be mended; then uninstall again")]
    Unfinished(usize),
}

/// What the loops share.
struct Uninstall {
    world: World,
    settings: UninstallSettings,
    salt: String,
    until: BootInstant,
    namespaces: Mutex<HashMap<String, Namespace>>,
}

/// Revokes or releases all roles in scope, and takes the finalizers off.
///
/// # Errors
/// Where it can't be finished; the replicas then take up their work.
pub async fn run(settings: UninstallSettings, shutdown: Shutdown) -> Result<Outcome, UninstallError> {
    let until = BootInstant::now() + settings.timeout;
    let place = Place::find(&settings.scope).await?;
    if !crds_are_served(&place, until).await? {
        println!("nothing to do: the CRDs are not installed");
        return Ok(Outcome::Done);
    }
    let installation = patiently(until, "reading the namespace kube-system (or give --installation-id)", || {
        place.installation(&settings.scope)
    })
    .await?;
    info!(identity = place.identity, namespace = place.namespace, "taking the Lease");
    let candidate = place.candidate(settings.timing, Purpose::Uninstall, |_| ());
    let acquired = tokio::select! {
        leadership = Leadership::acquire(candidate.clone()) => Ok(leadership),
        () = tokio::time::sleep(settings.timeout) => Err(UninstallError::NoLease),
        () = shutdown.requested() => Err(UninstallError::Interrupted),
    };
    let leadership = match acquired {
        Ok(leadership) => leadership,
        Err(error) => {
            Leadership::give_up(candidate).await;
            return Err(error);
        }
    };
    let world = place.world(leadership.clone(), installation, Metrics::new(), settings.scope.settling_time, false);
    let late = settings.timeout + OVERTIME;
    let work = Uninstall { world, settings, salt: place.salt, until, namespaces: Mutex::default() };
    let outcome = tokio::select! {
        outcome = work.all() => outcome,
        () = leadership.lost() => Err(UninstallError::LeaseLost),
        () = shutdown.requested() => Err(UninstallError::Interrupted),
        () = tokio::time::sleep(late) => Err(UninstallError::Unfinished(1)),
    };
    let farewell = if matches!(outcome, Ok(Outcome::Done)) { Farewell::Uninstalled } else { Farewell::GivenUp };
    leadership.release(farewell).await;
    outcome
}

impl Uninstall {
    async fn all(&self) -> Result<Outcome, UninstallError> {
        let configs = self.list::<TerraformCloudConfig>("listing the configs").await?;
        let roles = self.list::<TerraformCloudRole>("listing the roles").await?;
        info!(configs = configs.len(), roles = roles.len(), policy = ?self.settings.policy, "uninstalling");
        let served = async {
            configs::ask_all(self, &configs).await;
            let served = futures::stream::iter(&roles).map(|key| async move { (key, roles::serve(self, key).await) });
            served.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await
        };
        let ended = tokio::select! {
            ended = served => ended,
            never = configs::keep_asking(self, &configs) => match never {},
        };
        let (mut unproven, mut unfinished, mut needed) = (0, 0, Vec::new());
        for (key, end) in ended {
            let place = format!("TerraformCloudRole {}/{}", key.0, key.1);
            match end {
                roles::End::Released => println!("released  {place}"),
                roles::End::Gone => {}
                roles::End::Unproven(words, config) => {
                    println!("UNPROVEN  {place}: {words}");
                    unproven += 1;
                    needed.push(config);
                }
                roles::End::Unfinished(words, config) => {
                    println!("UNDONE    {place}: {words}");
                    unfinished += 1;
                    needed.extend(config);
                }
            }
        }
        for key in &configs {
            let place = format!("TerraformCloudConfig {}/{}", key.0, key.1);
            if needed.contains(key) {
                println!("kept      {place}: roles that are left need it");
                continue;
            }
            match configs::let_go(self, key).await {
                Ok(()) => println!("released  {place}"),
                Err(error) => {
                    println!("UNDONE    {place}: {error}");
                    unfinished += 1;
                }
            }
        }
        match (unproven, unfinished) {
            (0, 0) => Ok(Outcome::Done),
            (_, 0) => Ok(Outcome::Unproven),
            (_, count) => Err(UninstallError::Unfinished(count)),
        }
    }

    /// The objects of a kind that are in scope.
    async fn list<K: Kind>(&self, doing: &'static str) -> Result<Vec<Key>, UninstallError> {
        let mut keys = Vec::new();
        for namespace in self.settings.scope.watched() {
            let found = patiently(self.until, doing, || async {
                let mut found = Vec::new();
                let visit = |meta: ObjectMeta| found.extend(meta.namespace.zip(meta.name));
                self.world.cluster.visit_kind::<K>(namespace.as_deref(), visit).await?;
                Ok(found)
            });
            keys.extend(found.await?);
        }
        Ok(keys)
    }

    /// The time is over.
    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(BootInstant::now())
    }

    /// Waits for what a plan says, but neither long nor past the end.
    async fn pause(&self, wanted: SignedDuration) {
        let wanted = Duration::try_from(wanted).unwrap_or_default();
        tokio::time::sleep(wanted.clamp(Duration::from_millis(200), PAUSE).min(self.left())).await;
    }

    /// What is known of a role's namespace: its labels say whether its config lets it keep its token.
    ///
    /// # Errors
    /// Where nobody says: a token must not go for labels that are not known.
    async fn namespace(&self, name: &str) -> Result<Namespace, ClusterError> {
        let mut known = self.namespaces.lock().await;
        if let Some(known) = known.get(name) {
            return Ok(known.clone());
        }
        let found = told(self.world.cluster.namespace(name).await)?;
        known.insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

/// What an answer says of a namespace; a refusal is one.
fn told(answer: Result<ObjectMeta, ClusterError>) -> Result<Namespace, ClusterError> {
    match answer {
        Ok(meta) => Ok(Namespace {
            going: meta.deletion_timestamp.is_some(),
            labels: Some(meta.labels.unwrap_or_default()),
            hidden: false,
        }),
        Err(ClusterError::Refused(_)) => Ok(Namespace { hidden: true, ..Namespace::default() }),
        Err(error) => Err(error),
    }
}

async fn crds_are_served(place: &Place, until: BootInstant) -> Result<bool, UninstallError> {
    patiently(until, "asking for the CRDs", || async {
        match place.cluster.get_path::<serde_json::Value>("/apis/terraformcloud.dev/v1alpha1").await {
            Ok(_) => Ok(true),
            Err(ClusterError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Asks until there is an answer or the time is over. A refusal is an answer.
async fn patiently<T, F: Future<Output = Result<T, ClusterError>>>(
    until: BootInstant,
    doing: &'static str,
    ask: impl Fn() -> F,
) -> Result<T, UninstallError> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error @ ClusterError::Unknown(_)) if BootInstant::now() < until => {
                warn!(%error, "{doing}; again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(UninstallError::Cluster { doing, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Refusal;

    #[test]
    fn labels_that_nobody_tells_are_asked_for_again_and_not_taken_for_none() {
        let labels = std::collections::BTreeMap::from([("team".to_owned(), "apps".to_owned())]);
        let meta = ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() };
        assert_eq!(told(Ok(meta)).map(|namespace| (namespace.labels, namespace.hidden)), Ok((Some(labels), false)));
        let refusal = Refusal { code: 403, message: "no".into(), missing: None };
        let refused = told(Err(ClusterError::Refused(Box::new(refusal))));
        assert_eq!(refused.map(|namespace| (namespace.labels, namespace.hidden)), Ok((None, true)));
        for error in [ClusterError::Unknown("a timeout".into()), ClusterError::NotFound] {
            assert_eq!(told(Err(error.clone())), Err(error));
        }
    }
}
