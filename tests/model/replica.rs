//! A replica of the operator: what is lost when it dies, the round under way, and whether it leads.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use jiff::SignedDuration;
use tfc_token_operator::accounts::{Accounts, Session, Terms};
use tfc_token_operator::act::World;
use tfc_token_operator::boottime::BootInstant;
use tfc_token_operator::clock::ServerClock;
use tfc_token_operator::cluster::Cluster;
use tfc_token_operator::controller::memory::Memory;
use tfc_token_operator::controller::roles::{Host, serve};
use tfc_token_operator::controller::slim::Slim;
use tfc_token_operator::leader::{Leadership, State};
use tfc_token_operator::marker::Installation;
use tfc_token_operator::metrics::Metrics;
use tfc_token_operator::observe::Namespace;
use tfc_token_operator::plan::observed::{Account, Unready};
use tfc_token_operator::tfc::{Budget, Client, Connection, TokenValue};
use tokio::sync::watch;

use crate::choices::Rng;
use crate::wire::Wire;

/// A Lease's length.
pub const LEASE: Duration = Duration::from_secs(15);
/// How long a request may still land.
pub const SETTLING: SignedDuration = SignedDuration::from_secs(120);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static RANDOM: RefCell<Rng> = RefCell::new(Rng::new(0));
}

/// The model's clock, on this thread.
pub fn now() -> Duration {
    NOW.get()
}

/// Turns the model's clock.
pub fn set_now(at: Duration) {
    BootInstant::use_clock(now);
    NOW.set(at);
}

/// Randomness that a seed brings back.
pub fn seed_random(seed: u64) {
    RANDOM.with_borrow_mut(|rng| *rng = Rng::new(seed));
}

fn random(bytes: &mut [u8]) -> bool {
    RANDOM.with_borrow_mut(|rng| bytes.iter_mut().for_each(|byte| *byte = rng.next() as u8));
    true
}

/// What all replicas know of the one config.
#[derive(Clone)]
pub struct Config {
    pub terms: Terms,
    pub account: Result<Account, Unready>,
    pub token: String,
    pub namespace_going: bool,
}

/// A process that leads, or did.
pub struct Process {
    world: World,
    pub memory: Memory,
    client: Client,
    clock: Arc<ServerClock>,
    namespace_going: AtomicBool,
    lead: watch::Sender<State>,
}

impl Process {
    /// A process that has just been elected, and whose config has been asked about.
    fn start(wire: &Wire, config: &Config, end: BootInstant) -> Process {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        let metrics = METRICS.get_or_init(Metrics::new).clone();
        let connection = Connection {
            address: "https://tfc.test".into(),
            base_path: "/api/v2/".into(),
            ca_pem: None,
            allow_http: false,
        };
        let clock = Arc::new(ServerClock::new());
        clock.observe(crate::time::at(now()));
        let token = TokenValue::new(config.token.clone()).expect("a token");
        let (carrier, budget) = (Arc::new(wire.clone()), Arc::new(Budget::new(None)));
        let observer = Arc::new(metrics.clone());
        let client = Client::over(carrier, &connection, &token, budget, clock.clone(), observer).expect("a client");
        let (lead, state) = watch::channel(State::Leading { end });
        let leadership = Leadership::told(state);
        let leader = leadership.clone();
        let cluster = Cluster::new(kube::Client::new(wire.clone(), "ops"), "replica");
        let world = World {
            cluster: cluster.with_gate(Arc::new(move || leader.is_leader())),
            accounts: Accounts::default(),
            leadership,
            metrics,
            installation: Installation::new("model"),
            own_namespace: "ops".into(),
            settling_time: SETTLING,
            rollout_restart: false,
            random,
        };
        let process =
            Process { world, memory: Memory::default(), client, clock, namespace_going: AtomicBool::new(false), lead };
        process.learn(config);
        process
    }

    /// Takes what the config says now.
    pub fn learn(&self, config: &Config) {
        let key = (crate::time::NAMESPACE.to_owned(), "tfc".to_owned());
        let teams = self.world.accounts.session(&key).map(|session| session.teams()).unwrap_or_default();
        let client = Some(self.client.clone());
        let session = Session::new(config.terms.clone(), config.account.clone(), client, self.clock.clone(), teams);
        self.world.accounts.put(key, session);
        self.namespace_going.store(config.namespace_going, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Round = Pin<Box<dyn Future<Output = Option<Duration>> + Send>>;

/// One of the two.
pub struct Replica {
    pub wire: Wire,
    pub process: Option<Arc<Process>>,
    round: Option<Round>,
    woken: Arc<Woken>,
    /// Stopped (SIGSTOP): it neither runs nor renews its Lease.
    pub frozen: bool,
    /// Renews its Lease.
    pub renews: bool,
    /// When its Lease ends.
    pub end: Duration,
    /// When the role is to be looked at.
    pub due: Option<Duration>,
    /// Requests of the round under way.
    pub requests: usize,
}

impl Replica {
    pub fn new() -> Self {
        Replica {
            wire: Wire::default(),
            process: None,
            round: None,
            woken: Arc::default(),
            frozen: false,
            renews: false,
            end: Duration::ZERO,
            due: None,
            requests: 0,
        }
    }

    /// Wins the election.
    pub fn elect(&mut self, config: &Config) {
        self.end = now() + LEASE;
        self.renews = true;
        match &self.process {
            Some(_) => self.renew(),
            None => self.process = Some(Arc::new(Process::start(&self.wire, config, instant(self.end)))),
        }
        self.due = Some(now());
    }

    /// Renews its Lease, if it is the one that does.
    pub fn renew(&mut self) {
        if self.renews
            && !self.frozen
            && let Some(process) = &self.process
        {
            self.end = now() + LEASE;
            process.lead.send_replace(State::Leading { end: instant(self.end) });
        }
    }

    /// Dies. What it sent stays sent.
    pub fn crash(&mut self) {
        (self.process, self.round, self.frozen, self.renews, self.due) = (None, None, false, false, None);
    }

    pub fn leads(&self) -> bool {
        self.process.is_some() && now() < self.end
    }

    pub fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// May begin a round.
    pub fn is_free(&self) -> bool {
        self.leads() && !self.frozen && !self.is_busy()
    }

    /// Begins a round on the role as the watch shows it.
    pub fn begin(&mut self, slim: Slim) {
        let Some(process) = self.process.clone() else { return };
        (self.due, self.requests) = (None, 0);
        self.woken.0.store(true, Ordering::Relaxed);
        self.round = Some(Box::pin(async move {
            let going = process.namespace_going.load(Ordering::Relaxed);
            let labels = Some(Default::default());
            let namespace = |_: &str| Namespace { going, labels: Option::clone(&labels), hidden: false };
            let host = Host { world: &process.world, memory: &process.memory, namespace: &namespace, doubt: &|_| () };
            serve(&slim, host).await
        }));
    }

    /// Lets it run until it waits. Says whether it ran at all.
    pub fn run(&mut self) -> bool {
        let Some(round) = &mut self.round else { return false };
        if self.frozen || !self.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        if let Poll::Ready(next) = round.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.round = None;
            let next = next.map(|wait| now() + wait.max(Duration::from_secs(1)));
            self.due = self.due.into_iter().chain(next).min();
        }
        true
    }
}

fn instant(at: Duration) -> BootInstant {
    let now = BootInstant::now();
    now + at.saturating_sub(now.since_boot())
}
