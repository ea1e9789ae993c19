//! Whole histories: two replicas that both believe they lead carry out what the planner says against a small TFC and a small API
//! server, while requests are lost, come late or twice, processes die between any two effects, and people and tenants edit,
//! delete and ask.
//!
//! What may land when, as the design has it: a mint and a write that creates a Secret are sent [`SENT_WITHIN`] the writing of their
//! intent and land [`LANDS_WITHIN`] that, which together is less than the settling time. Everything else may come at any time, hours
//! later: it names what it was decided on.

mod act;
mod checks;
mod choices;
mod cluster;
mod issue;
mod people;
mod replicas;
mod rules;
mod run;
mod scenes;
mod starts;
mod teeth;
mod tfc;

use self::checks::Ledger;
use self::choices::{Choice, Fault, History};
use self::cluster::{ApiSecret, Change, Cluster, Reply, Session, Write};
use self::replicas::Hand;
use self::rules::{Rule, Rules};
use self::tfc::{Caller, Tfc};
use super::build::{Build, HOUR};
use crate::plan::observed::Observed;
use crate::plan::step::Order;

/// A mint, or a write that creates a Secret, is sent this long after its intent at most, and lands this long after that.
const SENT_WITHIN: i64 = 30;
const LANDS_WITHIN: i64 = 60;
/// How long everything is calm, in the end.
const CALM: i64 = 4 * HOUR;

/// What was sent, and has not arrived.
#[derive(Clone, Debug)]
enum Late {
    Write(Write),
    Mint(Caller, String, Box<Order>),
    Revoke(Caller, String),
}

struct World {
    template: Observed,
    /// TFC's clock.
    clock: i64,
    /// What the wall clock and the API server's are off by.
    wall_off: i64,
    api_off: i64,
    tfc: Tfc,
    cluster: Cluster,
    sessions: Vec<Session>,
    /// The first replica's hands, then the second's, one for each role.
    hands: Vec<Hand>,
    late: Vec<(i64, Late)>,
    /// Secrets as they were some time ago, for whoever puts an old one back.
    former_secrets: Vec<Option<ApiSecret>>,
    choice: Choice,
    rules: Rules,
    ledger: Ledger,
    is_slot: bool,
    /// Calls to TFC.
    calls: usize,
    count: u64,
    /// Whether a server refuses was last switched after so many decisions.
    refusing_since: u64,
    broken: Option<String>,
    story: Option<Vec<String>>,
}

impl World {
    fn new(roles: &[Build]) -> World {
        let mut template = roles[0].clone().o;
        let original = template.config.take().expect("built");
        let session = Session { config: Some(original.clone()), original, epoch: 0, clock_known: true };
        let mut cluster = Cluster::default();
        for (at, role) in roles.iter().enumerate() {
            cluster.add(role, at, 0);
        }
        let hands = (0..2).flat_map(|_| (0..roles.len()).map(Hand::new)).collect();
        let spec = &roles[0].o.role.spec;
        let is_slot = spec.organization.is_some()
            || spec
                .team
                .as_ref()
                .is_some_and(|t| t.credential_type == crate::api::role::TeamCredentialType::TeamLegacy);
        World {
            template,
            clock: 0,
            wall_off: 0,
            api_off: 0,
            tfc: Tfc::default(),
            former_secrets: vec![None; roles.len()],
            cluster,
            sessions: vec![session],
            hands,
            late: Vec::new(),
            choice: Choice::CALM,
            rules: Rules::default(),
            ledger: Ledger::default(),
            is_slot,
            calls: 0,
            count: 0,
            refusing_since: 0,
            broken: None,
            story: None,
        }
    }

    /// The whole history, up to the deletion of its last role. `Err`: what did not hold.
    fn run(&mut self, history: &History) -> Result<(), String> {
        for choice in &history.choices {
            self.happen(if history.allows(choice.what) {
                *choice
            } else {
                Choice { what: choices::What::Turn, ..*choice }
            });
            self.check();
            if self.broken.is_some() {
                break;
            }
        }
        self.end();
        self.broken.take().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.calm();
        self.settle_down(CALM);
        self.expect_served();
        for role in 0..self.cluster.roles.len() {
            self.say(|| format!("role {role} is deleted"));
            self.cluster.delete_role(role);
            let waits = self.cluster.roles[role].status().is_some_and(checks::waits_for_expiry);
            self.settle_down(HOUR / 2);
            if waits {
                self.advance(366 * 24 * HOUR);
                self.settle_down(HOUR / 2);
            }
            self.expect_gone(role);
        }
    }

    /// The last fault is over, and whoever changed something has put it back.
    fn calm(&mut self) {
        self.choice = Choice::CALM;
        self.say(|| "the faults are over".into());
        for session in &mut self.sessions {
            let original = session.original.clone();
            (session.config, session.clock_known) = (Some(original), true);
            session.epoch += 1;
        }
        (self.tfc.away, self.tfc.refuses, self.tfc.longest) = (false, false, None);
        self.tfc.blind.clear();
        (self.cluster.refuses_data, self.cluster.refuses_secrets) = (false, false);
        for role in 0..self.cluster.roles.len() {
            self.cluster.edit_spec(role, |role| role.spec.suspend = false);
            let foreign =
                self.cluster.view(role, &self.cluster.roles[role].uid, 0) == crate::plan::observed::Secret::Foreign;
            if foreign {
                self.cluster.secrets[role] = None;
            }
        }
        self.hands.iter_mut().for_each(|hand| *hand = Hand::new(hand.role));
    }

    /// One replica works without faults, and sleeps no longer than it says. A sweep comes each hour.
    fn settle_down(&mut self, how_long: i64) {
        let end = self.clock + how_long;
        let mut swept = self.clock;
        while self.clock < end && self.broken.is_none() {
            for role in 0..self.cluster.roles.len() {
                self.serve(role);
            }
            let roles = self.cluster.roles.len();
            let woken = self.hands[..roles].iter().filter_map(|hand| hand.wake).min().unwrap_or(end);
            let next = woken.clamp(self.clock + 1, end).min(swept + HOUR);
            self.advance(next - self.clock);
            if self.clock >= swept + HOUR {
                swept = self.clock;
                self.sweep();
            }
        }
    }

    /// Rounds of one role, until one comes to a rest and has changed nothing that would wake it.
    fn serve(&mut self, hand: usize) {
        for _ in 0..400 {
            let before = self.cluster.roles[hand].rv;
            self.finish_round(hand);
            if self.cluster.roles[hand].object.is_none() {
                self.hands[hand].wake = None;
                return;
            }
            if self.hands[hand].rested && self.cluster.roles[hand].rv == before || self.broken.is_some() {
                return;
            }
        }
        self.must(false, || format!("{hand} does not come to a rest"));
    }

    fn advance(&mut self, seconds: i64) {
        let until = self.clock + seconds;
        self.late.sort_by_key(|(at, _)| *at);
        while self.late.first().is_some_and(|(at, _)| *at <= until) {
            let (at, late) = self.late.remove(0);
            self.clock = self.clock.max(at);
            self.tfc.expire(self.clock);
            self.arrive(late);
            self.check();
        }
        self.clock = until;
        self.tfc.expire(until);
        // Pods use what stands in their Secrets.
        for at in 0..self.cluster.secrets.len() {
            let value = self.cluster.secrets[at].as_ref().and_then(|secret| secret.value.clone());
            if let Some(token) = value.and_then(|id| self.tfc.token_mut(&id)) {
                token.used = true;
            }
        }
        self.cluster.collect_garbage();
        self.former_secrets.clone_from(&self.cluster.secrets);
        self.say(|| format!("{seconds} s pass"));
    }

    fn arrive(&mut self, late: Late) {
        match late {
            Late::Write(write) => {
                let reply = self.land(&write);
                self.say(|| format!("a late write: {reply:?} {:?}", write.change));
            }
            Late::Mint(caller, role, order) => {
                let id = self.tfc.mint(&caller, &role, &order, self.clock);
                self.say(|| format!("a late mint makes {id} for {}", order.attempt));
            }
            Late::Revoke(caller, id) => {
                let there = self.tfc.revoke(&caller, &id);
                self.say(|| format!("a late revocation of {id}: {there}"));
            }
        }
    }

    fn land(&mut self, write: &Write) -> Reply {
        let old = self.cluster.roles[write.role].status().cloned();
        let mut write = write.clone();
        if let (Change::Status(status), true) = (&mut write.change, self.breaks(Rule::Unsettled)) {
            status.unsettled.clear();
        }
        let before = self.value_of(write.role);
        let reply = self.cluster.land(&write);
        if reply == Reply::Done {
            self.check_value(write.role, before);
        }
        if let (Change::Status(status), Reply::Done) = (&write.change, reply) {
            self.check_status(write.role, old.as_ref(), status);
        }
        reply
    }

    fn send_late(&mut self, write: Write, creates: bool) {
        let at = self.clock + self.lateness(creates);
        self.late.push((at, Late::Write(write)));
    }

    fn send_late_mint(&mut self, caller: Caller, role: String, order: Order) {
        let at = self.clock + self.lateness(true);
        self.late.push((at, Late::Mint(caller, role, Box::new(order))));
    }

    fn lateness(&self, bounded: bool) -> i64 {
        let detail = i64::from(self.choice.detail);
        if bounded || detail % 2 == 0 { detail % LANDS_WITHIN } else { detail % (2 * HOUR) }
    }

    fn fault(&self) -> Fault {
        self.choice.fault
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.rules.breaks(rule)
    }

    fn name_attempt(&self, hand: usize) -> String {
        if self.breaks(Rule::RandomAttempts) {
            let status = self.hands[hand].round.as_ref().and_then(|round| round.role.status.as_ref());
            let known = status.map_or(0, |s| s.unsettled.len() + s.predecessors.len() + s.current.iter().len());
            return format!("n{known}");
        }
        format!("n{}", self.count)
    }

    fn config_of(&self, hand: usize) -> &Session {
        &self.sessions[self.cluster.roles[self.hands[hand].role].config]
    }

    fn config_of_mut(&mut self, hand: usize) -> &mut Session {
        &mut self.sessions[self.cluster.roles[self.hands[hand].role].config]
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        let clock = self.clock;
        if let Some(story) = &mut self.story {
            story.push(format!("{clock:>6} {}", what()));
        }
    }

    /// The first thing that does not hold ends the history.
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(what());
        }
    }
}

/// A slot, as the Leases are named.
fn slot_key(host: &str, subject: &str) -> String {
    format!("{host} {subject}")
}
