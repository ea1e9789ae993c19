//! The watches, and what each event has to say to whom.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{join_all, ready};
use futures::stream::{self, BoxStream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, WatchStreamExt, controller, watcher};
use kube::{Resource, ResourceExt};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::configs::{self, Configs, References};
use super::memory::{Memory, Seen};
use super::namespaces::Namespaces;
use super::permissions::Permissions;
use super::slim::Slim;
use super::startup::Leading;
use super::turnstile::Turnstile;
use super::wakes::Wakes;
use super::{Operator, Scope, glance, roles, sweep};
use crate::accounts::ConfigKey;
use crate::api::TerraformCloudConfig;
use crate::api::names::{GROUP, LABEL_MANAGED_BY, LABEL_ROLE, OPERATOR};
use crate::args::Settings;
use crate::metrics;
use crate::signals::Shutdown;

/// Objects a page of a list: what is buffered at once.
const PAGE: u32 = 250;
/// How long one request of a watch lasts, in seconds. A connection that somebody between forgot, so that nothing is ever heard on it
/// again, is given up a little later: well within the three minutes in which all is to be in order again.
const WATCH: u32 = 90;

/// How all watches are made.
pub fn watching() -> watcher::Config {
    watcher::Config::default().timeout(WATCH).page_size(PAGE)
}

/// What the loops of one scope are fed with.
struct Feed {
    scope: usize,
    namespace: Option<String>,
    roles: BoxStream<'static, watcher::Result<Slim>>,
    configs: BoxStream<'static, watcher::Result<TerraformCloudConfig>>,
    role_wakes: UnboundedReceiver<ObjectRef<Slim>>,
    config_wakes: UnboundedReceiver<ObjectRef<TerraformCloudConfig>>,
    /// The roles are in their store.
    listed: watch::Receiver<bool>,
    /// Told when the first look is over.
    looked: watch::Sender<bool>,
}

/// Runs all loops until `shutdown` is requested, and what has begun is done.
pub async fn run(leading: Leading, settings: Settings, shutdown: Shutdown) {
    let client = leading.world.cluster.client();
    let (namespaces, permissions) = (settings.scope.watched(), leading.permissions);
    let (wakes, role_wakes) = Wakes::new(&namespaces);
    let (config_wakes, wakes_of_configs) = Wakes::new(&namespaces);
    let (news, told_news) = unbounded();
    let (config_removed, config_removals) = unbounded();
    // kube's stores wake one of those that wait for their first list, and its controller is that.
    let (mut feeds, mut scopes, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (scope, (namespace, (role_wakes, config_wakes))) in
        namespaces.iter().zip(role_wakes.into_iter().zip(wakes_of_configs)).enumerate()
    {
        let ((listed, told_listed), (looked, told_looked)) = (watch::channel(false), watch::channel(false));
        seen.push(told_looked);
        let (role_store, roles) = watch_roles(&client, namespace.as_deref(), news.clone(), permissions.clone(), listed);
        let (config_store, configs) =
            watch_configs(&client, namespace.as_deref(), config_removed.clone(), permissions.clone());
        let namespace = namespace.clone();
        feeds.push(Feed { scope, namespace, roles, configs, role_wakes, config_wakes, listed: told_listed, looked });
        scopes.push(Scope { roles: role_store, configs: config_store });
    }
    let places = Namespaces::default();
    // A quarter is kept for what is more urgent.
    let first_mints = usize::from(settings.max_concurrent_reconciles.get()) * 3 / 4;
    let operator = Arc::new(Operator {
        configs: Configs::new(config_wakes.clone(), References::new(client.clone(), config_wakes)),
        salt: leading.salt,
        world: leading.world,
        settings,
        memory: Memory::default(),
        namespaces: places.clone(),
        scopes,
        turnstile: Arc::new(Turnstile::new(first_mints, wakes.clone())),
        wakes,
    });
    show_roles(&operator);
    let (told, shown) = (operator.clone(), operator.clone());
    let watch_places = places.clone().watch(
        client.clone(),
        operator.settings.scope.namespaces.clone(),
        move |namespace| told.wake_roles_in(namespace),
        move || shown.world.accounts.keys().iter().for_each(|config| shown.configs.wake(config)),
    );
    let mut helpers = vec![
        tokio::spawn(watch_places),
        tokio::spawn(told_of_roles(operator.clone(), told_news)),
        tokio::spawn(told_of_removed_configs(operator.clone(), config_removals)),
        tokio::spawn(show_budgets(operator.clone())),
        tokio::spawn(sweep::run(operator.clone())),
    ];
    for namespace in namespaces {
        let (client, permissions) = (client.clone(), permissions.clone());
        helpers.push(tokio::spawn(told_of_secrets(operator.clone(), client, namespace, permissions, seen.clone())));
    }
    tokio::select! {
        () = places.ready() => {}
        () = shutdown.requested() => return,
    }
    join_all(feeds.into_iter().map(|feed| serve(operator.clone(), feed, shutdown.clone()))).await;
    for helper in helpers {
        helper.abort();
    }
}

/// Runs the loops of one scope: the configs', and once those have been read, the roles'.
async fn serve(operator: Arc<Operator>, feed: Feed, shutdown: Shutdown) {
    let Some(scope) = operator.scopes.get(feed.scope) else { return };
    let (roles_stop, configs_stop) = (shutdown.clone(), shutdown);
    let concurrency = operator.settings.max_concurrent_reconciles.get();
    let configs_loop = Controller::for_stream(feed.configs, scope.configs.clone())
        .with_config(controller::Config::default().concurrency(16))
        .reconcile_on(feed.config_wakes)
        .graceful_shutdown_on(async move { configs_stop.requested().await })
        .run(configs::reconcile, never, operator.clone())
        .for_each(quietly);
    let mut roles = feed.roles;
    let roles_loop = async {
        tokio::select! {
            () = first_look(&operator, scope, feed.namespace.as_deref(), &mut roles, feed.listed) => {}
            () = roles_stop.requested() => return,
        }
        feed.looked.send_replace(true);
        Controller::for_stream(roles, scope.roles.clone())
            .with_config(controller::Config::default().concurrency(concurrency))
            // What came with the first list.
            .reconcile_all_on(stream::once(ready(())))
            .reconcile_on(feed.role_wakes)
            .graceful_shutdown_on(async move { roles_stop.requested().await })
            .run(roles::reconcile, never, operator.clone())
            .for_each(quietly)
            .await;
    };
    futures::join!(configs_loop, roles_loop);
}

/// Looks at what rests, while the watch lists its roles into the store.
async fn first_look(
    operator: &Operator,
    scope: &Scope,
    namespace: Option<&str>,
    roles: &mut BoxStream<'static, watcher::Result<Slim>>,
    mut listed: watch::Receiver<bool>,
) {
    // Roles decide on what their configs say, so those come first. The configs' controller waits for the same list in the same task, so that
    // the store's one wake is for both.
    if scope.configs.wait_until_ready().await.is_ok() {
        for config in scope.configs.state() {
            configs::placeholder(operator, &config);
        }
    }
    let list = roles.by_ref().take_until(listed.wait_for(|listed| *listed)).for_each(quietly);
    futures::join!(glance::look(operator, namespace), list);
}

fn never<K>(_: Arc<K>, error: &Infallible, _: Arc<Operator>) -> controller::Action {
    match *error {}
}

async fn quietly<T, E: std::fmt::Display>(result: Result<T, E>) {
    // An object that went while it waited for its turn.
    if let Err(error) = result {
        debug!(%error, "controller");
    }
}

fn scoped<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

type Watched<K> = (reflector::Store<K>, BoxStream<'static, watcher::Result<K>>);

fn watch_roles(
    client: &kube::Client,
    namespace: Option<&str>,
    news: UnboundedSender<News>,
    permissions: Permissions,
    listed: watch::Sender<bool>,
) -> Watched<Slim> {
    let (store, writer) = reflector::store::<Slim>();
    let before = store.clone();
    let stream = watcher(scoped::<Slim>(client, namespace), watching())
        .default_backoff()
        .inspect(move |event| permissions.hear(event))
        // Before the store, which still says how it was.
        .inspect(move |event| {
            let told = match event {
                Ok(watcher::Event::Delete(role)) => News::Removed(Box::new(role.clone())),
                Ok(watcher::Event::Apply(role)) => match before.get(&ObjectRef::from_obj(role)) {
                    Some(waiting) if waiting.waits() => News::Answered(waiting),
                    _ => return,
                },
                _ => return,
            };
            let _ = news.unbounded_send(told);
        })
        .reflect(writer)
        // After the store, which by now says what there is.
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                listed.send_replace(true);
            }
        })
        .applied_objects();
    (store, stream.boxed())
}

fn watch_configs(
    client: &kube::Client,
    namespace: Option<&str>,
    removed: UnboundedSender<Removed>,
    permissions: Permissions,
) -> Watched<TerraformCloudConfig> {
    let (store, writer) = reflector::store();
    let stream = watcher(scoped::<TerraformCloudConfig>(client, namespace), watching())
        .modify(|config| config.metadata.managed_fields = None)
        .default_backoff()
        .inspect(move |event| permissions.hear(event))
        .reflect(writer)
        // After the store, which by now says what there is.
        .inspect(move |event| {
            let news = match event {
                Ok(watcher::Event::Delete(config)) => {
                    Removed::One((config.namespace().unwrap_or_default(), config.name_any()))
                }
                Ok(watcher::Event::InitDone) => Removed::Perhaps,
                _ => return,
            };
            let _ = removed.unbounded_send(news);
        })
        .applied_objects();
    (store, stream.boxed())
}

/// What the watch of configs says of those that are gone.
enum Removed {
    /// This one.
    One(ConfigKey),
    /// The watch began anew: any that the store does not hold.
    Perhaps,
}

/// What the watch says of a role that others may wait for.
enum News {
    /// It is gone.
    Removed(Box<Slim>),
    /// It waited for a slot, and something about it has changed.
    Answered(Arc<Slim>),
}

/// A role that is gone is forgotten. Its config, which may wait for it, is told, and so are the roles that wait for its slot.
async fn told_of_roles(operator: Arc<Operator>, mut news: UnboundedReceiver<News>) {
    while let Some(news) = news.next().await {
        match news {
            News::Removed(role) => {
                let uid = role.metadata.uid.as_deref().unwrap_or_default();
                operator.memory.remove(uid);
                operator.turnstile.forget(uid);
                operator.configs.wake(&role.config);
                if role.slot.is_some() {
                    operator.wake_waiting(None);
                }
            }
            News::Answered(role) => operator.wake_waiting(Some(&role)),
        }
    }
}

/// A config that is gone is forgotten, and its roles are told: kube's controller drops what its store does not hold any more.
async fn told_of_removed_configs(operator: Arc<Operator>, mut removals: UnboundedReceiver<Removed>) {
    while let Some(removed) = removals.next().await {
        let keys = match removed {
            Removed::One(key) => vec![key],
            Removed::Perhaps => operator.world.accounts.keys(),
        };
        for key in keys.iter().filter(|key| !operator.has_config(key)) {
            configs::forget(&operator, key);
        }
    }
}

/// A Secret of a role that someone else changed or deleted is looked at.
///
/// The list with which it begins is later than the roles' own and than the first look: what changed since is seen in it.
async fn told_of_secrets(
    operator: Arc<Operator>,
    client: kube::Client,
    namespace: Option<String>,
    permissions: Permissions,
    seen: Vec<watch::Receiver<bool>>,
) {
    for mut seen in seen {
        // An error means that the watch of the roles has ended, and with it all.
        let _ = seen.wait_for(|seen| *seen).await;
    }
    let api: Api<PartialObjectMeta<Secret>> = scoped(&client, namespace.as_deref());
    let ours = watching().labels(&format!("{LABEL_MANAGED_BY}={OPERATOR}"));
    let mut events = watcher(api, ours).default_backoff().boxed();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        permissions.hear(&event);
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(secret)) => {
                let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
                see(&operator, &secret, false);
                listed.insert((namespace, name));
            }
            Ok(watcher::Event::InitDone) => {
                let missed = operator.memory.miss_secrets(&listed, namespace.as_deref());
                listed = HashSet::new();
                if !missed.is_empty() {
                    let names = operator.names_by_uid();
                    for (namespace, name) in missed.iter().filter_map(|uid| names.get(uid)) {
                        operator.wakes.send(namespace, name);
                    }
                }
            }
            Ok(watcher::Event::Apply(secret)) => see(&operator, &secret, false),
            Ok(watcher::Event::Delete(secret)) => see(&operator, &secret, true),
            Err(error) => {
                warn!(%error, "Secrets can't be watched: an edited or deleted one is not noticed until this works again")
            }
        }
    }
}

fn see(operator: &Operator, secret: &PartialObjectMeta<Secret>, gone: bool) {
    let kind = Slim::kind(&());
    let namespace = secret.namespace().unwrap_or_default();
    let owners = secret.owner_references().iter();
    let owners =
        owners.filter(|owner| owner.kind == kind && owner.api_version.starts_with(GROUP)).map(|owner| &owner.name);
    // Someone may have taken the owner off, or put another there; the label still says whose it is.
    let names: BTreeSet<&String> = owners.chain(secret.labels().get(LABEL_ROLE)).collect();
    // Of roles that there are: what else tenants name here would be kept for ever.
    for role in names.into_iter().filter_map(|name| operator.role_named(&namespace, name)) {
        let seen = Seen { version: secret.resource_version().unwrap_or_default(), gone };
        if operator.memory.see_secret(role.metadata.uid.as_deref().unwrap_or_default(), seen) {
            operator.wakes.send(&namespace, role.metadata.name.as_deref().unwrap_or_default());
        }
    }
}

/// Lets the metrics read the roles at each scrape.
fn show_roles(operator: &Arc<Operator>) {
    let shown = operator.clone();
    operator.world.metrics.watch_roles(Box::new(move |show| {
        for role in shown.roles() {
            show(metrics::Role {
                namespace: role.metadata.namespace.as_deref().unwrap_or_default(),
                name: role.metadata.name.as_deref().unwrap_or_default(),
                ready: &role.ready.0,
                reason: &role.ready.1,
                expires_at: role.expires_at,
            });
        }
    }));
}

/// Copies what is left of the budgets into the metrics.
async fn show_budgets(operator: Arc<Operator>) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(5));
    loop {
        ticks.tick().await;
        for (host, account, left) in operator.world.accounts.budgets_left() {
            operator.world.metrics.budget_left(&host, &account, left);
        }
    }
}
