//! Wires watches to the loops of roles and configs, and runs them for as long as this process leads.

pub mod configs;
mod glance;
pub mod memory;
mod namespaces;
mod permissions;
pub mod roles;
pub mod slim;
mod startup;
mod sweep;
mod turnstile;
mod wakes;
mod watches;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use tracing::info;

use self::configs::Configs;
use self::configs::check::Checker;
use self::memory::Memory;
use self::namespaces::Namespaces;
use self::slim::Slim;
use self::turnstile::Turnstile;
use self::wakes::Wakes;
use crate::accounts::ConfigKey;
use crate::act::World;
use crate::api::TerraformCloudConfig;
use crate::args::Settings;
use crate::http::{BindError, ReadyState};
use crate::leader::Farewell;
use crate::place::PlaceError;
use crate::signals::Shutdown;

/// Why the operator ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster is configured, say.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An address is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Another replica leads now. What was under way is found and finished by it.
    #[error("the Lease was lost: another replica leads now")]
    LeaseLost,
}

/// All that the loops share.
pub struct Operator {
    /// What the steps need.
    pub(crate) world: World,
    /// Flags.
    pub(crate) settings: Settings,
    memory: Memory,
    configs: Configs,
    namespaces: Namespaces,
    scopes: Vec<Scope>,
    wakes: Wakes<Slim>,
    turnstile: Arc<Turnstile>,
    /// Salt of the digests by which a changed admin token is noticed.
    pub(crate) salt: String,
}

/// The roles and configs of one namespace, or of all.
struct Scope {
    roles: Store<Slim>,
    configs: Store<TerraformCloudConfig>,
}

/// Runs until `shutdown` is requested.
///
/// # Errors
/// If it can't start, or another replica took over.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    let process = startup::Process::start(&settings, &shutdown).await?;
    let Some(leading) = process.lead(&settings, &shutdown).await? else { return Ok(()) };
    let leadership = leading.world.leadership.clone();
    process.readiness.set(ReadyState::Leading);
    process.metrics.leading(true);
    info!("leading");
    let (stop, stopped) = Shutdown::manual();
    let ended = tokio::select! {
        () = watches::run(leading, settings, stopped) => Ok(()),
        () = leadership.lost() => Err(Error::LeaseLost),
        // Asks `watches::run` to end, which finishes what is under way.
        never = async {
            tokio::select! {
                () = shutdown.requested() => {}
                () = leadership.asked_back() => info!("an uninstall asks for the Lease: this replica ends, to begin anew and stand back"),
            }
            stop.request();
            std::future::pending::<Infallible>().await
        } => match never {},
    };
    process.readiness.set(ReadyState::Stopping);
    process.metrics.leading(false);
    if ended.is_ok() {
        leadership.release(Farewell::HandOver).await;
        info!("stopped, and gave the Lease back");
    }
    ended
}

impl Operator {
    fn checker(&self) -> Checker<'_> {
        Checker { world: &self.world, scope: &self.settings.scope, salt: &self.salt }
    }

    /// Has all roles of a config look again.
    fn wake_roles_of(&self, config: &ConfigKey) {
        self.wake_roles(|role| role.config == *config);
    }

    /// Has the roles of a namespace look again, whatever they rest on.
    fn wake_roles_in(&self, namespace: &str) {
        self.wake_roles(|role| {
            let inside = role.metadata.namespace.as_deref() == Some(namespace);
            if inside {
                self.memory.disturb(role.metadata.uid.as_deref().unwrap_or_default());
            }
            inside
        });
    }

    /// Of the roles that wait for a slot the oldest looks again, of each slot; with `after`, the next one behind that role. What it comes to
    /// wakes the next: so a slot that is free goes to the oldest, and the others hear who has it.
    fn wake_waiting(&self, after: Option<&Slim>) {
        let mut next = HashMap::<Box<str>, Arc<Slim>>::new();
        for role in self.roles().filter(|role| role.waits()) {
            let Some(slot) = role.slot.clone() else { continue };
            if after.is_some_and(|after| after.slot.as_ref() != Some(&slot) || age(&role) <= age(after)) {
                continue;
            }
            let first = next.entry(slot).or_insert_with(|| role.clone());
            if age(&role) < age(first) {
                *first = role;
            }
        }
        for role in next.values() {
            let meta = &role.metadata;
            self.memory.disturb(meta.uid.as_deref().unwrap_or_default());
            self.wakes.send(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        }
    }

    fn wake_roles(&self, which: impl Fn(&Slim) -> bool) {
        for role in self.roles().filter(|role| which(role)) {
            let meta = &role.metadata;
            self.wakes.send(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        }
    }

    fn roles(&self) -> impl Iterator<Item = Arc<Slim>> {
        self.scopes.iter().flat_map(|scope| scope.roles.state())
    }

    /// The roles that a config has to outlive: namespace and name of each.
    fn holders(&self, config: &ConfigKey) -> Vec<String> {
        let mut names: Vec<String> = self
            .roles()
            .filter(|role| role.held && role.config == *config)
            .map(|role| {
                let meta = &role.metadata;
                format!(
                    "{}/{}",
                    meta.namespace.as_deref().unwrap_or_default(),
                    meta.name.as_deref().unwrap_or_default()
                )
            })
            .collect();
        names.sort();
        names
    }

    /// Whether the watch shows this config.
    fn has_config(&self, key: &ConfigKey) -> bool {
        let reference = ObjectRef::<TerraformCloudConfig>::new(&key.1).within(&key.0);
        self.scopes.iter().any(|scope| scope.configs.get(&reference).is_some())
    }

    /// The role of this name, as the watch shows it.
    fn role_named(&self, namespace: &str, name: &str) -> Option<Arc<Slim>> {
        let reference = ObjectRef::<Slim>::new(name).within(namespace);
        self.scopes.iter().find_map(|scope| scope.roles.get(&reference))
    }

    /// Whether another config of that namespace uses the same admin Secret.
    fn shares_admin_secret(&self, config: &ConfigKey, secret: &str) -> bool {
        let configs = self.scopes.iter().flat_map(|scope| scope.configs.state());
        configs.into_iter().any(|other| {
            let key = (other.metadata.namespace.as_deref(), other.metadata.name.as_deref());
            key.0 == Some(&config.0)
                && key.1 != Some(&config.1)
                && other.metadata.deletion_timestamp.is_none()
                && other.spec.token_secret_ref.name == secret
        })
    }

    /// Namespace and name of the roles by UID, for what is known by UID alone.
    fn names_by_uid(&self) -> HashMap<String, (String, String)> {
        self.roles()
            .filter_map(|role| {
                let meta = &role.metadata;
                Some((meta.uid.clone()?, (meta.namespace.clone()?, meta.name.clone()?)))
            })
            .collect()
    }
}

/// Orders roles from the oldest on; the UID decides between two of the same second.
fn age(role: &Slim) -> (i64, Option<&str>) {
    (role.created_at, role.metadata.uid.as_deref())
}
