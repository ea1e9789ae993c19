//! A simulator of the token API of HCP Terraform and Terraform Enterprise, as strict as the original is known to be, with
//! faults that a test programs and a record of every token that was ever made.
//!
//! It runs on threads of its own, so a test may block. The facts are from HashiCorp's API documentation and from go-tfe;
//! [`Behaviour`] has a switch for each fact that they leave open.

mod api;
mod control;
mod core;
mod door;
mod faults;
mod http;
mod inprocess;
mod jsonapi;
mod ledger;
mod limit;
mod log;
mod scenario;
mod state;
mod tls;
mod tokens;
mod traces;
mod workspaces;
mod world;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

pub use faults::{Answer, BodyKind, Fault, Gate, Wait, When};
pub use inprocess::{Answered, InProcess};
pub use ledger::{Ledger, Stamper};
pub use limit::RateLimit;
pub use log::{Call, Sent};
pub use scenario::{StandardIds, StandardWorld, standard_world};
pub use tls::Identity;
pub use tokens::{Fate, Revocation, TokenKind, TokenView};
pub use world::{
    AdminToken, Behaviour, CreatedBy, Organization, Product, Subject, Team, TokenValue, TtlExcess, User, World,
};

use self::core::Core;
use door::{Door, Order, Wires};
use faults::Faults;
use http::Shared;
use limit::Limiter;
use log::Log;
use state::State;

/// How a simulator starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// What exists.
    pub world: World,
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
    /// Serves https with this certificate; none is plain http.
    pub tls: Option<Identity>,
    /// Which product answers.
    pub product: Product,
    /// The limit on requests.
    pub rate_limit: RateLimit,
    /// Time between acting and replying.
    pub reply_delay: Duration,
    /// How many calls the log keeps.
    pub log_capacity: usize,
}

impl From<World> for Config {
    /// HCP Terraform on a free loopback port, 30 requests per second and user, no delay.
    fn from(world: World) -> Self {
        Self {
            world,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            product: Product::Hcp,
            rate_limit: RateLimit::default(),
            reply_delay: Duration::ZERO,
            log_capacity: 1_000_000,
        }
    }
}

/// How a server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are refused, and open ones are cut.
    Refused,
    /// A proxy answers 503 with a page.
    Unavailable,
}

/// A single slot for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The organization's token, by name or external id.
    Organization(String),
    /// The organization's token for audit trails, by name or external id.
    AuditTrails(String),
    /// The team's token without a description, by team id.
    Team(String),
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    scheme: &'static str,
    orders: mpsc::UnboundedSender<Order>,
    wires: Wires,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime blocks, which an async test must not do.
            runtime.shutdown_background();
        }
    }
}

impl Simulator {
    /// Starts a simulator; it listens when this returns.
    ///
    /// # Errors
    /// When the address can't be bound, threads can't be started, or the certificate is no good.
    pub fn start(config: impl Into<Config>) -> io::Result<Self> {
        let config = config.into();
        let tls = config.tls.as_ref().map(Identity::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tfc-simulator")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared::new(Core {
            state: State::new(config.world, Timestamp::now()),
            limiter: Limiter::default(),
            limit: config.rate_limit,
            product: config.product,
            faults: Faults::default(),
            log: Log::new(config.log_capacity),
            reply_delay: config.reply_delay,
            unavailable: false,
            shift: SignedDuration::ZERO,
            told: None,
            started: Instant::now(),
        }));
        let (orders, taken) = mpsc::unbounded_channel();
        let wires = Wires::default();
        let door = {
            let _inside = runtime.enter();
            Door::open(config.listen, taken, wires.clone(), tls)?
        };
        let address = door.address();
        let service = http::router(shared.clone()).into_make_service_with_connect_info::<door::Peer>();
        runtime.spawn(async move { axum::serve(door, service).await });
        Ok(Self { shared, address, scheme, orders, wires, runtime: Some(runtime) })
    }

    /// Its URL, such as `http://127.0.0.1:41234`.
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that stays good when this is gone.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.shared.clone())
    }

    // Faults.

    /// Programs a fault. Of several that match a request, the one programmed first strikes.
    pub fn fault(&self, when: When, fault: impl Into<Fault>) -> FaultHandle {
        let (id, hits) = self.shared.core().faults.add(when, fault.into());
        FaultHandle { id, hits, shared: Arc::downgrade(&self.shared) }
    }

    /// Removes all faults. What waits at a gate goes on waiting.
    pub fn clear_faults(&self) {
        self.shared.core().faults.clear();
    }

    /// Goes away. When this returns, it is away.
    ///
    /// # Errors
    /// When the listener no longer runs.
    pub fn down(&self, outage: Outage) -> io::Result<()> {
        match outage {
            Outage::Unavailable => self.shared.core().unavailable = true,
            Outage::Refused => {
                self.order(Order::Shut)?;
                self.wires.cut_all();
            }
        }
        Ok(())
    }

    /// Comes back. When this returns, it is back.
    ///
    /// # Errors
    /// When the address can't be bound again.
    pub fn up(&self) -> io::Result<()> {
        self.shared.core().unavailable = false;
        self.order(Order::Open)
    }

    fn order(&self, order: impl FnOnce(std::sync::mpsc::Sender<io::Result<()>>) -> Order) -> io::Result<()> {
        let gone = || io::Error::other("the simulator's listener has ended");
        let (answer, answered) = std::sync::mpsc::channel();
        self.orders.send(order(answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    // What happened.

    /// Every call that the log still has, oldest first.
    pub fn log(&self) -> Vec<Call> {
        self.log_since(0)
    }

    /// The calls from that serial on; with [`Simulator::call_count`] before, what came since.
    pub fn log_since(&self, serial: u64) -> Vec<Call> {
        self.shared.core().log.since(serial).cloned().collect()
    }

    /// How many calls came in so far.
    pub fn call_count(&self) -> u64 {
        self.shared.core().log.count()
    }

    /// How many calls of that method and path (as in [`When::path`]) the log has.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let core = self.shared.core();
        let matches = |call: &&Call| {
            let bare = call.path.split('?').next().unwrap_or("");
            call.method.eq_ignore_ascii_case(method) && faults::path_matches(path, bare)
        };
        core.log.since(0).filter(matches).count()
    }

    /// Waits until a condition holds, looked at after each call. False if it does not hold within the limit.
    pub async fn until(&self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let mut calls = self.shared.calls.subscribe();
        let wait = async {
            loop {
                calls.mark_unchanged();
                if condition(self) {
                    return;
                }
                // A condition may also turn with the clock alone, so a look without a call now and then.
                let _ = tokio::time::timeout(Duration::from_millis(50), calls.changed()).await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Every token ever made, oldest first.
    pub fn tokens(&self) -> Vec<TokenView> {
        let core = self.shared.core();
        let now = core.now();
        core.state.tokens.iter().map(|token| token.view(now)).collect()
    }

    /// Every token that did not exist at the start, oldest first.
    pub fn minted(&self) -> Vec<TokenView> {
        let mut tokens = self.tokens();
        tokens.retain(TokenView::is_minted);
        tokens
    }

    /// How many tokens did not exist at the start.
    pub fn minted_count(&self) -> usize {
        self.shared.core().state.tokens.minted_count()
    }

    /// A token by id, dead or alive.
    pub fn token(&self, id: &str) -> Option<TokenView> {
        let core = self.shared.core();
        let now = core.now();
        core.state.tokens.ever(id).map(|token| token.view(now))
    }

    /// The token that a slot holds.
    pub fn slot(&self, slot: &Slot) -> Option<TokenView> {
        let core = self.shared.core();
        let (kind, subject) = find_slot(&core.state, slot)?;
        let serial = core.state.tokens.in_slot(kind, &subject)?;
        Some(core.state.tokens.get(serial).view(core.now()))
    }

    /// Whether a call with this value would be authenticated.
    pub fn is_value_alive(&self, value: &str) -> bool {
        let core = self.shared.core();
        core.state.identify(value, core.now()).is_some()
    }

    /// The id of the token with this value, dead or alive.
    pub fn token_id_of_value(&self, value: &str) -> Option<String> {
        let core = self.shared.core();
        core.state.tokens.of_value(value).map(|serial| core.state.tokens.get(serial).id.clone())
    }

    // The clock.

    /// The time on its clock: the system's, plus what was added.
    pub fn now(&self) -> Timestamp {
        self.shared.core().now()
    }

    /// Moves its clock, forward or back.
    pub fn advance(&self, by: SignedDuration) {
        let mut core = self.shared.core();
        core.shift = core.shift.saturating_add(by);
    }

    /// Sets its clock, which runs on from there.
    pub fn set_now(&self, at: Timestamp) {
        let mut core = self.shared.core();
        core.shift = core.shift.saturating_add(at.duration_since(core.now()));
    }

    // What a person does on the web pages.

    /// Makes a new token in a slot; what it held dies. The id and the value, or `None` if there is no such subject.
    pub fn person_regenerates_slot(&self, slot: &Slot) -> Option<(String, TokenValue)> {
        let mut core = self.shared.core();
        let now = core.now();
        let (kind, subject) = find_slot(&core.state, slot)?;
        let expired_at = core.state.expiry(kind, &[], None, now).ok()?;
        let (serial, value) = core.state.mint(None, kind, &subject, None, expired_at, now);
        Some((core.state.tokens.get(serial).id.clone(), value))
    }

    /// Makes a team's token with a description. The id and the value, or `None` if there is no such team.
    pub fn person_creates_team_token(&self, team: &str, description: &str) -> Option<(String, TokenValue)> {
        let mut core = self.shared.core();
        let now = core.now();
        core.state.teams.get(team)?;
        let expired_at = core.state.expiry(TokenKind::Team, &[], None, now).ok()?;
        let (serial, value) =
            core.state.mint(None, TokenKind::Team, team, Some(description.to_owned()), expired_at, now);
        Some((core.state.tokens.get(serial).id.clone(), value))
    }

    /// Deletes a token; false if there is none of that id.
    pub fn person_deletes(&self, token_id: &str) -> bool {
        let mut core = self.shared.core();
        let now = core.now();
        let Some(serial) = core.state.tokens.find(token_id) else { return false };
        core.state.tokens.revoke(serial, now, tokens::PERSON, Revocation::Person);
        true
    }

    /// Deletes a team with its tokens.
    pub fn person_deletes_team(&self, id: &str) -> bool {
        let mut core = self.shared.core();
        let now = core.now();
        core.state.revoke_all_of(id, now);
        core.state.teams.remove(id).is_some()
    }

    /// Renames an organization: its paths change, its external id does not.
    pub fn person_renames_organization(&self, from: &str, to: &str) -> bool {
        self.shared.core().state.rename_organization(from, to)
    }

    /// Adds a token with a given value; its id, or `None` if there is no such subject.
    pub fn add_admin_token(&self, token: AdminToken) -> Option<String> {
        let mut core = self.shared.core();
        let now = core.now();
        core.state.add_admin_token(token, now)
    }

    /// Revokes the token of that value; false if there is none alive.
    pub fn revoke_admin_token(&self, value: &TokenValue) -> bool {
        self.token_id_of_value(value.expose()).is_some_and(|id| self.person_deletes(&id))
    }

    // Changes to what exists and to how it behaves.

    /// Adds an organization, or replaces the one of that name.
    pub fn add_organization(&self, organization: Organization) {
        self.shared.core().state.add_organization(organization);
    }

    /// Adds a team, or replaces the one of that id.
    pub fn add_team(&self, team: Team) {
        self.shared.core().state.teams.insert(team.id.clone(), team);
    }

    /// Adds a user, or replaces the one of that id.
    pub fn add_user(&self, user: User) {
        self.shared.core().state.users.insert(user.id.clone(), user);
    }

    /// Changes an organization, except its name; false if there is none of that name.
    pub fn edit_organization(&self, name: &str, edit: impl FnOnce(&mut Organization)) -> bool {
        self.shared.core().state.organizations.get_mut(name).map(edit).is_some()
    }

    /// Changes a team, except its id; false if there is none of that id.
    pub fn edit_team(&self, id: &str, edit: impl FnOnce(&mut Team)) -> bool {
        self.shared.core().state.teams.get_mut(id).map(edit).is_some()
    }

    /// Changes a user, except its id; false if there is none of that id.
    pub fn edit_user(&self, id: &str, edit: impl FnOnce(&mut User)) -> bool {
        self.shared.core().state.users.get_mut(id).map(edit).is_some()
    }

    /// Changes the switches.
    pub fn edit_behaviour(&self, edit: impl FnOnce(&mut Behaviour)) {
        edit(&mut self.shared.core().state.behaviour);
    }

    /// Changes the product that answers.
    pub fn set_product(&self, product: Product) {
        self.shared.core().product = product;
    }

    /// Changes the limit and forgets what was counted.
    pub fn set_rate_limit(&self, limit: RateLimit) {
        let mut core = self.shared.core();
        core.limit = limit;
        core.limiter.forget();
    }

    /// Changes the time between acting and replying.
    pub fn set_reply_delay(&self, delay: Duration) {
        self.shared.core().reply_delay = delay;
    }
}

fn find_slot(state: &State, slot: &Slot) -> Option<(TokenKind, String)> {
    match slot {
        Slot::Organization(key) => Some((TokenKind::Organization, state.organization(key)?.external_id.clone())),
        Slot::AuditTrails(key) => Some((TokenKind::AuditTrails, state.organization(key)?.external_id.clone())),
        Slot::Team(id) => Some((TokenKind::TeamLegacy, state.teams.get(id)?.id.clone())),
    }
}

/// A programmed fault.
#[derive(Debug)]
pub struct FaultHandle {
    id: u64,
    hits: Arc<watch::Sender<u64>>,
    shared: Weak<Shared>,
}

impl FaultHandle {
    /// How many requests it has struck.
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Waits until it has struck so many requests. With a gate: so many stand before it.
    pub async fn reached(&self, hits: u64) {
        // The sender is held by self, so this ends only with the number reached.
        let _ = self.hits.subscribe().wait_for(|now| *now >= hits).await;
    }

    /// Lets requests pass from now on. Dropping the handle doesn't.
    pub fn remove(self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.core().faults.remove(self.id);
        }
    }
}
