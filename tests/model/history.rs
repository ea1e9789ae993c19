//! One history: two replicas, two servers, people and time; after each effect it is judged, and at its end all must be in order.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tfc_harness::simulator::Slot;
use tfc_token_operator::accounts::Terms;
use tfc_token_operator::plan::observed::{Account, AccountKind};
use tokio::sync::oneshot;

use crate::choices::Move;
use crate::replica::{Config, Replica, now, seed_random, set_now};
use crate::servers::{ROLE, SECRET, Servers};
use crate::wire::{Heard, Sent};

/// What sort of token a history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Team,
    Legacy,
    Organization,
}

/// A request under way.
pub struct Flight {
    pub who: usize,
    pub sent: Sent,
    pub at: Duration,
    /// Whoever waits for the reply; nobody any more once it was told something.
    pub reply: Option<oneshot::Sender<Heard>>,
    /// It is acted on at this time.
    pub held_until: Option<Duration>,
    /// It was acted on already, and its reply is late.
    pub acted: Option<crate::wire::Reply>,
}

/// What one look at the role may cost at most, in requests.
const MOST_REQUESTS: usize = 400;
const MINUTE: Duration = Duration::from_secs(60);

pub struct History {
    pub kind: Kind,
    pub servers: Servers,
    pub replicas: [Replica; 2],
    pub config: Config,
    pub flights: Vec<Flight>,
    /// Whose turn it is to be elected.
    holder: usize,
    /// The status was wiped: what only it knew is found by a sweep, and where pods used it, left to its expiry.
    pub wiped: bool,
    /// The finalizers were stripped: what the role leaves behind is for the sweep of what has no role, which is not part of this.
    pub orphaned: bool,
    /// When the next sweep points at the role.
    sweep: Duration,
    /// Requests answered since time went by.
    at_once: u32,
    /// Replies with a wrong date do not follow one another: two that agree are believed.
    pub date_was_wrong: bool,
    pub serial: u64,
    story: Option<Vec<String>>,
}

/// Runs a history. What went wrong, with the story where it was asked for.
pub fn run(kind: Kind, seed: u64, moves: &[Move], told: bool) -> Result<History, String> {
    tell(kind, seed, told, async |history| history.live(moves).await)
}

/// A history of such a course. What went wrong, with the story where it was asked for.
pub fn tell(
    kind: Kind,
    seed: u64,
    told: bool,
    course: impl AsyncFnOnce(&mut History) -> Judged,
) -> Result<History, String> {
    set_now(Duration::from_secs(1_000_000));
    seed_random(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut history = History::new(kind, seed, told);
    match runtime.expect("a runtime").block_on(course(&mut history)) {
        Ok(()) => Ok(history),
        Err(what) => Err(format!("{what}\n{}", history.story.unwrap_or_default().join("\n"))),
    }
}

pub type Judged = Result<(), String>;

impl History {
    fn new(kind: Kind, seed: u64, told: bool) -> Self {
        let slot = match kind {
            Kind::Organization => Some(Slot::Organization("acme".into())),
            Kind::Legacy => Some(Slot::Team("team-legacy".into())),
            Kind::User | Kind::Team => None,
        };
        let servers = Servers::new(slot);
        let hours = SignedDuration::from_hours;
        let terms = Terms {
            uid: "config".into(),
            deleting: false,
            host: "tfc.test".into(),
            allow: None,
            default_ttl: hours(24),
            max_ttl: hours(768),
            grace: SignedDuration::from_mins(10),
            revoke_wish: None,
            abandon_unproven: false,
        };
        let account = Account { id: "user-ci".into(), kind: AccountKind::User, token_id: Some("at-config".into()) };
        let token = servers.ids.ci_token.expose().to_owned();
        let config = Config { terms, account: Ok(account), token, namespace_going: false };
        let mut history = History {
            kind,
            servers,
            replicas: [Replica::new(), Replica::new()],
            config,
            flights: Vec::new(),
            holder: 0,
            wiped: false,
            orphaned: false,
            sweep: now() + 60 * MINUTE,
            at_once: 0,
            date_was_wrong: false,
            serial: 0,
            story: told.then(Vec::new),
        };
        history.apply_role(seed.is_multiple_of(3));
        history
    }

    /// A person applies the role. Short leases for what comes due, long ones so that nothing lost is excused by its expiry.
    pub fn apply_role(&mut self, short: bool) {
        let mut spec = json!({"configRef": {"name": "tfc"}});
        match self.kind {
            Kind::User => spec["user"] = json!({"me": true}),
            Kind::Team => spec["team"] = json!({"organization": "acme", "name": "apps"}),
            Kind::Legacy => spec["team"] = json!({"id": "team-legacy", "credentialType": "TeamLegacy"}),
            Kind::Organization => spec["organization"] = json!({"name": "acme"}),
        }
        if self.is_slot() {
            spec["rotation"] = json!({"interval": if short { "1h" } else { "720h" }});
        } else {
            spec["ttl"] = if short { "1h".into() } else { "48h".into() };
        }
        let role = json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "metadata": {"name": "shop", "namespace": "apps"}, "spec": spec,
        });
        self.servers.api.add(ROLE, role);
        self.changed(ROLE);
    }

    pub fn is_slot(&self) -> bool {
        self.servers.slot.is_some()
    }

    async fn live(&mut self, moves: &[Move]) -> Judged {
        for one in moves {
            self.tick(*one).await?;
        }
        self.calm().await?;
        if self.servers.api.object(ROLE).is_none_or(|role| !role["metadata"]["deletionTimestamp"].is_null()) {
            self.pass(30 * MINUTE).await?;
            self.expect_gone()?;
            self.apply_role(false);
        }
        self.pass(3 * 60 * MINUTE).await?;
        self.expect_served()?;
        self.servers.api.remove(ROLE, &crate::time::at(now()).to_string());
        self.changed(ROLE);
        self.say(|| "the role is deleted".into());
        self.pass(30 * MINUTE).await?;
        self.expect_gone()
    }

    /// The faults are over: whoever was stopped goes on, whatever was held lands or never does.
    async fn calm(&mut self) -> Judged {
        self.say(|| "the faults are over".into());
        for who in 0..2 {
            self.thaw(who);
        }
        let account = Account { id: "user-ci".into(), kind: AccountKind::User, token_id: Some("at-config".into()) };
        (self.config.account, self.config.terms.allow, self.config.namespace_going) = (Ok(account), None, false);
        self.servers.api.namespace_going = false;
        self.config_changed();
        if !self.servers.secret_is_the_roles() {
            self.servers.api.remove(SECRET, "");
            self.changed(SECRET);
        }
        self.servers.api.edit(ROLE, |role| drop(role["spec"].as_object_mut().map(|spec| spec.remove("suspend"))));
        self.changed(ROLE);
        self.settle().await
    }

    /// Time goes by, and all goes its ordinary course.
    pub async fn pass(&mut self, span: Duration) -> Judged {
        let until = now() + span;
        let mut steps = 0;
        while now() < until {
            self.ordinary().await?;
            steps += 1;
            if steps > 20_000 {
                return Err("it does not come to a rest".into());
            }
        }
        Ok(())
    }

    /// What happens if nothing else does: a request is answered, a round begins, a replica is elected, or time goes by.
    pub async fn ordinary(&mut self) -> Judged {
        if let Some(index) =
            self.flights.iter().position(|flight| flight.held_until.is_none() && flight.reply.is_some())
        {
            self.date_was_wrong = false;
            let flight = self.flights.remove(index);
            self.answer(flight);
            self.at_once += 1;
            // Two replicas that both lead may contradict each other until the Lease of one of them ends.
            return if self.at_once.is_multiple_of(25) {
                self.advance(Duration::from_secs(1), false).await
            } else {
                self.settle().await
            };
        }
        let due = |replica: &Replica| replica.is_free() && replica.due.is_some_and(|due| due <= now());
        if let Some(who) = self.replicas.iter().position(due) {
            self.begin(who);
            return self.settle().await;
        }
        if self.elect_next() {
            return self.settle().await;
        }
        if self.replicas.iter().any(|replica| replica.is_busy() && !replica.frozen) {
            return self.advance(Duration::from_secs(1), false).await;
        }
        let dues = self.replicas.iter().filter(|replica| replica.is_free()).filter_map(|replica| replica.due);
        let ends = self.replicas.iter().map(|replica| replica.end);
        let next = dues.chain(ends).filter(|at| *at > now()).min().unwrap_or(now() + 60 * MINUTE);
        self.collect_garbage();
        self.sweep();
        let leads = self.replicas.iter().any(Replica::leads);
        let next = next.min(self.sweep);
        let span = if leads { next.saturating_sub(now()) } else { Duration::from_secs(5) };
        self.advance(span.max(Duration::from_secs(1)), false).await
    }

    /// Acts on a request and tells its sender.
    pub fn answer(&mut self, flight: Flight) {
        let Flight { who, sent, reply, acted, .. } = flight;
        let answered = match acted {
            Some(acted) => acted,
            None => self.act(who, &sent),
        };
        self.say(|| format!("   {who}: {} {} {}", answered.status, sent.method, sent.path));
        self.tell(reply, Heard::Reply(answered));
    }

    /// A server acts on a request.
    pub fn act(&mut self, who: usize, sent: &Sent) -> crate::wire::Reply {
        let minted = self.servers.minted.len();
        let (reply, changed) = self.servers.act(sent, who);
        if self.servers.minted.len() > minted {
            self.say(|| "   a token is made".into());
        }
        if let Some(path) = changed {
            self.changed(&path);
        }
        reply
    }

    pub fn tell(&mut self, reply: Option<oneshot::Sender<Heard>>, heard: Heard) {
        // Whoever asked may be dead by now.
        let _ = reply.map(|reply| reply.send(heard));
    }

    /// The watches tell all replicas of a change.
    pub fn changed(&mut self, path: &str) {
        let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let secret = self.servers.api.object(SECRET);
        let seen = tfc_token_operator::controller::memory::Seen {
            version: secret.map_or_else(|| u64::MAX.to_string(), version),
            gone: secret.is_none(),
        };
        let uid = self.servers.role_uid();
        for replica in &mut self.replicas {
            let Some(process) = &replica.process else { continue };
            let concerned = match path {
                SECRET => process.memory.see_secret(&uid, seen.clone()),
                _ => path == ROLE,
            };
            if concerned {
                replica.due = Some(now());
            }
        }
    }

    /// All replicas hear of the config.
    pub fn config_changed(&mut self) {
        for replica in &mut self.replicas {
            if let Some(process) = &replica.process {
                process.learn(&self.config);
                replica.due = Some(now());
            }
        }
    }

    pub fn begin(&mut self, who: usize) {
        let slim = self.servers.api.object(ROLE).map(|role| serde_json::from_value(role.clone()).expect("a role"));
        self.replicas[who].due = None;
        if let Some(slim) = slim {
            self.say(|| format!("{who}: looks at the role"));
            self.replicas[who].begin(slim);
        }
    }

    /// Somebody else is elected once the Lease of whoever led is over.
    fn elect_next(&mut self) -> bool {
        let holder = &self.replicas[self.holder];
        if holder.renews && !holder.frozen || self.replicas.iter().any(Replica::leads) {
            return false;
        }
        let other = 1 - self.holder;
        let next = if self.replicas[other].frozen { self.holder } else { other };
        if self.replicas[next].frozen || self.replicas[next].is_busy() {
            return false;
        }
        self.elect(next);
        true
    }

    /// A replica is elected. Whoever led before does not renew its Lease any more, and goes on until its end.
    pub fn elect(&mut self, who: usize) {
        let other = 1 - who;
        self.replicas[other].renews = false;
        self.holder = who;
        self.replicas[who].elect(&self.config);
        self.say(|| format!("{who}: leads"));
    }

    pub fn thaw(&mut self, who: usize) {
        if self.replicas[who].frozen {
            self.replicas[who].frozen = false;
            self.replicas[who].renews &= self.replicas[who].leads();
            self.say(|| format!("{who}: goes on"));
        }
    }

    /// A sweep points at the role, whatever it found.
    fn sweep(&mut self) {
        if now() < self.sweep {
            return;
        }
        self.sweep = now() + 60 * MINUTE;
        let uid = self.servers.role_uid();
        for replica in self.replicas.iter_mut().filter(|replica| replica.leads()) {
            if let Some(process) = &replica.process {
                process.memory.point_at(&uid);
                replica.due = Some(now());
            }
        }
        self.say(|| "the sweep points at the role".into());
    }

    fn collect_garbage(&mut self) {
        for path in self.servers.api.collect_garbage() {
            self.say(|| format!("garbage: {path}"));
            self.changed(&path);
        }
    }

    /// Replicas run until all of them wait for something.
    pub async fn settle(&mut self) -> Judged {
        let mut idle = 0;
        while idle < 3 {
            let mut ran = false;
            for who in 0..2 {
                ran |= self.replicas[who].run();
                for parked in self.replicas[who].wire.take() {
                    ran = true;
                    self.leaves(who, parked);
                }
            }
            idle = if ran { 0 } else { idle + 1 };
            tokio::task::yield_now().await;
        }
        for who in 0..2 {
            let replica = &self.replicas[who];
            if replica.process.is_some() && !replica.leads() && !replica.is_busy() && !replica.frozen {
                self.replicas[who].crash();
                self.say(|| format!("{who}: exits, its Lease is over"));
            }
        }
        match self.servers.wrong.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    fn leaves(&mut self, who: usize, mut parked: crate::wire::Parked) {
        self.serial += 1;
        let replica = &mut self.replicas[who];
        replica.requests += 1;
        if replica.requests > MOST_REQUESTS {
            self.servers.accuse("a round without an end");
        }
        self.servers.sends(&mut parked.sent, who, !replica.leads());
        let sent = parked.sent;
        self.say(|| {
            format!(
                "   {who}: -> {} {}{}",
                sent.method,
                sent.path,
                if sent.query.contains("dryRun") { " (dry)" } else { "" }
            )
        });
        let (at, reply) = (now(), Some(parked.reply));
        self.flights.push(Flight { who, sent, at, reply, held_until: None, acted: None });
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let what = what().replace(ROLE, "ROLE").replace(SECRET, "SECRET");
            story.push(format!("{:>8} {what}", now().as_secs() - 1_000_000));
        }
    }
}
