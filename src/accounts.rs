//! The accounts that configs give access to: one session a config, one budget an account, one clock a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::api::config::{AllowEntry, ResolvedTeam};
use crate::boottime::BootInstant;
use crate::clock::ServerClock;
use crate::plan::observed::{self, Account, Unready};
use crate::tfc::{Budget, Client, RateCap};
use crate::walks::Walks;

/// Namespace and name of a config.
pub type ConfigKey = (String, String);

/// A config as it was last read, with the client that its token makes.
pub struct Session {
    /// What the config says.
    pub terms: Terms,
    /// The account behind its token, or why it can't be used.
    pub account: Result<Account, Unready>,
    /// The client; `None` where none can be made.
    pub client: Option<Client>,
    /// TFC's time at its host.
    pub clock: Arc<ServerClock>,
    /// Rises whenever something changes that roles have to see.
    pub epoch: u64,
    /// Teams that TFC showed to this account.
    teams: RwLock<Vec<ResolvedTeam>>,
}

/// What a config says to its roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// UID of the config.
    pub uid: String,
    /// It is being deleted.
    pub deleting: bool,
    /// Its host.
    pub host: String,
    /// `spec.allow`.
    pub allow: Option<Vec<AllowEntry>>,
    /// `spec.defaultTTL`.
    pub default_ttl: SignedDuration,
    /// `spec.maxTTL`.
    pub max_ttl: SignedDuration,
    /// `spec.revocationGracePeriod`.
    pub grace: SignedDuration,
    /// Value of the annotation `revoke`.
    pub revoke_wish: Option<String>,
    /// The annotation `abandon-unproven` is set.
    pub abandon_unproven: bool,
}

impl Session {
    /// A session with the teams known so far.
    pub fn new(
        terms: Terms,
        account: Result<Account, Unready>,
        client: Option<Client>,
        clock: Arc<ServerClock>,
        teams: Vec<ResolvedTeam>,
    ) -> Self {
        Self { terms, account, client, clock, epoch: 0, teams: RwLock::new(teams) }
    }

    /// TFC's time; `None` until a reply of its host carried it.
    pub fn now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    /// Teams that TFC showed to this account.
    pub fn teams(&self) -> Vec<ResolvedTeam> {
        self.teams.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a team that TFC showed.
    pub fn learn_team(&self, team: ResolvedTeam) {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        teams.retain(|known| known.id != team.id);
        teams.push(team);
    }

    /// The session as the planner sees it.
    pub fn observed(&self, (namespace, name): &ConfigKey) -> observed::Config {
        let terms = self.terms.clone();
        observed::Config {
            namespace: namespace.clone(),
            name: name.clone(),
            deleting: terms.deleting,
            host: terms.host,
            allow: terms.allow,
            teams: self.teams(),
            default_ttl: terms.default_ttl,
            max_ttl: terms.max_ttl,
            grace: terms.grace,
            revoke_wish: terms.revoke_wish,
            abandon_unproven: terms.abandon_unproven,
            account: self.account.clone(),
        }
    }
}

/// All sessions, and what they share.
#[derive(Default)]
pub struct Accounts {
    sessions: RwLock<HashMap<ConfigKey, Arc<Session>>>,
    shared: Mutex<Shared>,
    changed: Notify,
    /// Walks over lists of tokens, shared by the roles that wait for them.
    pub walks: Walks,
}

#[derive(Default)]
struct Shared {
    epochs: u64,
    budgets: HashMap<(String, String), Arc<Budget>>,
    clocks: HashMap<String, Arc<ServerClock>>,
    failed_probes: HashMap<(String, String), BootInstant>,
}

impl Accounts {
    /// The session of a config, if it was read.
    pub fn session(&self, key: &ConfigKey) -> Option<Arc<Session>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Puts a session in the place of the one before. Says whether roles have to look again.
    pub fn put(&self, key: ConfigKey, mut session: Session) -> bool {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        let before = sessions.get(&key);
        let same = before
            .is_some_and(|b| b.terms == session.terms && b.account == session.account && b.teams() == session.teams());
        session.epoch = if same { before.map_or(0, |b| b.epoch) } else { self.next_epoch() };
        sessions.insert(key, Arc::new(session));
        self.changed.notify_waiters();
        !same
    }

    /// Resolves once each config was asked about, whatever came of it.
    pub async fn answered(&self) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before the look: a change that comes right after it counts.
            changed.as_mut().enable();
            let is_open = |session: &Arc<Session>| matches!(&session.account, Err(unready) if unready.reason.is_none());
            if !self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().any(is_open) {
                return;
            }
            changed.await;
        }
    }

    /// The configs that were read.
    pub fn keys(&self) -> Vec<ConfigKey> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Forgets a config that is gone.
    pub fn remove(&self, key: &ConfigKey) {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The budget of an account: TFC counts per user, and configs can share one.
    pub fn budget(&self, host: &str, account: &str, cap: Option<RateCap>) -> Arc<Budget> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = shared.budgets.entry((host.to_owned(), account.to_owned()));
        let budget = budget.or_insert_with(|| Arc::new(Budget::new(None)));
        budget.set_cap(cap);
        budget.clone()
    }

    /// How long an account that did not answer is left alone from now on; zero where it may be asked. Configs of one account share
    /// the wait.
    pub fn probe_in(&self, host: &str, account: &str, pause: Duration) -> Duration {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = shared.failed_probes.get(&(host.to_owned(), account.to_owned()));
        failed.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()))
    }

    /// An account did not answer, or did: the wait for the next question begins, or ends.
    pub fn probed(&self, host: &str, account: &str, answered: bool) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), account.to_owned());
        match answered {
            true => shared.failed_probes.remove(&key),
            false => shared.failed_probes.insert(key, BootInstant::now()),
        };
    }

    /// The clock of a host.
    pub fn clock(&self, host: &str) -> Arc<ServerClock> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.clocks.entry(host.to_owned()).or_default().clone()
    }

    /// Requests that each account could send at once: host, account, number; none where there is no limit.
    pub fn budgets_left(&self) -> Vec<(String, String, f64)> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |((host, account), budget): (&(String, String), &Arc<Budget>)| {
            Some((host.clone(), account.clone(), budget.left()?))
        };
        shared.budgets.iter().filter_map(left).collect()
    }

    fn next_epoch(&self) -> u64 {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.epochs += 1;
        shared.epochs
    }
}
