//! Whole histories: two replicas that both believe they lead carry out what the planner says against a small TFC and a small API
//! server, while requests are lost or land late, processes die between any two effects, and people edit, delete and ask.
//!
//! After each effect: the Secret holds no token that the operator revoked, and no round goes in circles. When the faults are
//! over: whatever lives at TFC is in the Secret, and a role that is deleted goes and leaves nothing alive.

mod act;

use std::collections::BTreeMap;

use super::build::{Build, HOUR, MINUTE, role, secs, t, time};
use crate::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::api::{Pending, SecretRecord, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::plan::observed::{Facts, MarkedToken, Observed, SlotLook, SlotToken, Trouble, TroubleKind};
use crate::plan::step::{Order, Step};

const SEEDS: u64 = 4000;
const EVENTS: u64 = 150;
/// No round of a correct planner needs more steps: a slot's first mint takes nine.
const STEPS_A_ROUND: u32 = 40;
/// A request is sent this long after its round began at most, and lands this long after that: together the settling time.
const SENT_WITHIN: i64 = 30;
const LANDS_WITHIN: i64 = 60;

#[test]
fn many_tokens_survive_every_history() {
    for seed in 0..SEEDS {
        // Short leases for what comes due, long ones so that nothing lost is excused by its expiry.
        World::new(seed, role().ttl(if seed % 3 == 0 { "1h" } else { "48h" })).run();
    }
}

#[test]
fn slots_survive_every_history() {
    for seed in 0..SEEDS {
        World::new(seed, role().organization("acme").interval("720h")).run();
    }
}

#[test]
fn leases_that_are_not_renewed_survive_every_history() {
    for seed in 0..SEEDS / 3 {
        World::new(seed, role().never_renewed()).run();
    }
}

/// A token at TFC. A slot's has no attempt that TFC would show.
#[derive(Clone, Debug)]
struct Token {
    attempt: Option<String>,
    created: i64,
    expires: i64,
    dead: bool,
    used: bool,
    by_us: bool,
}

#[derive(Clone, Debug)]
struct ApiSecret {
    uid: String,
    rv: u64,
    record: Option<SecretRecord>,
    pending: Option<Pending>,
    /// Id of the token whose value stands here.
    value: Option<String>,
}

/// A write of the Secret: on that UID and resourceVersion, or a create.
#[derive(Clone, Debug)]
struct Write {
    on: Option<(String, String)>,
    record: SecretRecord,
    value: String,
}

#[derive(Clone, Debug)]
enum Late {
    Mint(Box<Order>),
    Write(Box<Write>),
}

/// Where a replica stands. All of it is lost in a crash.
#[derive(Clone, Debug)]
enum At {
    Idle,
    HasRole(Box<TerraformCloudRole>, u64),
    Planned(Box<Observed>, Box<Step>, u64),
    Minted { order: Box<Order>, write: Box<Write>, ambiguous: bool },
}

#[derive(Clone, Debug)]
struct Replica {
    at: At,
    facts: Facts,
    steps: u32,
    round_began: i64,
    verified: u64,
    trouble: Option<(i64, Trouble)>,
    wake: Option<i64>,
}

impl Replica {
    fn new() -> Self {
        let (facts, at) = (Facts::default(), At::Idle);
        Replica { at, facts, steps: 0, round_began: 0, verified: 0, trouble: None, wake: None }
    }

    fn end_round(&mut self) {
        (self.at, self.facts, self.steps) = (At::Idle, Facts::default(), 0);
    }

    fn fails(&mut self, clock: i64, kind: TroubleKind) {
        let trouble =
            Trouble { kind, words: "refused".into(), retry_in: secs(15), settling: kind == TroubleKind::Unreachable };
        self.trouble = Some((clock + 15, trouble));
        self.at = At::Idle;
    }
}

struct World {
    seed: u64,
    rng: u64,
    base: Build,
    clock: i64,
    version: u64,
    role: Option<(TerraformCloudRole, u64)>,
    secret: Option<ApiSecret>,
    tokens: BTreeMap<String, Token>,
    slot: Option<String>,
    is_slot: bool,
    late: Vec<(i64, Late)>,
    replicas: [Replica; 2],
    faults: bool,
    /// Records were lost: what pods used and nobody knows is left to its expiry, the rest to the sweep.
    wiped: bool,
    person: bool,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64, base: Build) -> Self {
        let is_slot = base.o.role.spec.organization.is_some();
        let role = base.clone().unfinalized().o.role;
        World {
            seed,
            rng: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            base,
            clock: 0,
            version: 1,
            role: Some((role, 1)),
            secret: None,
            tokens: BTreeMap::new(),
            slot: None,
            is_slot,
            late: Vec::new(),
            replicas: [Replica::new(), Replica::new()],
            faults: true,
            wiped: false,
            person: false,
            trace: Vec::new(),
        }
    }

    fn run(mut self) {
        for _ in 0..EVENTS {
            match self.below(12) {
                0 => self.something_happens(),
                1..=7 => self.turn(0),
                _ => self.turn(1),
            }
            self.check();
        }
        self.faults = false;
        self.calm();
        self.settle_down(3 * HOUR);
        self.expect_served();
        self.edit_role(|role| role.metadata.deletion_timestamp = Some(time(0)));
        self.say("the role is deleted");
        self.settle_down(HOUR / 2);
        self.expect_gone();
    }

    // --- chance

    fn random(&mut self) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random() % n
    }

    fn fault(&mut self, one_in: u64) -> bool {
        self.faults && self.below(one_in) == 0
    }

    // --- what people and machines do to it

    fn something_happens(&mut self) {
        let value = self.random().to_string();
        match self.below(15) {
            0..=1 => {
                let seconds = 1 + self.below(20) as i64;
                self.advance(seconds);
            }
            2 => {
                let seconds = [2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR][self.below(4) as usize];
                self.replicas = [Replica::new(), Replica::new()];
                self.advance(seconds);
            }
            3 => self.annotate(ANNOTATION_ROTATE, &value),
            4 => self.annotate(ANNOTATION_REVOKE, &value),
            5 => self.annotate(ANNOTATION_RENEW, &value),
            6 | 7 => {
                let one = self.below(2) as usize;
                self.replicas[one] = Replica::new();
                self.say(format!("{one} crashes"));
            }
            8 if self.below(3) == 0 => {
                self.wiped = true;
                self.edit_role(|role| role.status = None);
                self.say("the status is wiped");
            }
            9 => {
                self.secret = None;
                self.say("a user deletes the Secret");
            }
            10 => {
                self.edit_secret(|secret| secret.value = Some("junk".into()));
                self.say("a user edits the value");
            }
            11 => {
                self.edit_secret(|secret| secret.record = None);
                self.say("a user removes the record");
            }
            12 => {
                self.edit_role(|role| role.spec.suspend = !role.spec.suspend);
                self.say("suspend is switched");
            }
            13 => {
                let allow = &mut self.base.o.config.as_mut().expect("built").allow;
                *allow = if allow.is_some() { None } else { Some(Vec::new()) };
                self.say("admission changes");
            }
            14 if self.is_slot && self.below(4) == 0 => {
                self.person = true;
                let expires = self.clock + 9999 * HOUR;
                self.make(None, expires, false);
                self.say("a person regenerates the slot");
            }
            _ => {}
        }
    }

    fn calm(&mut self) {
        self.base.o.config.as_mut().expect("built").allow = None;
        self.edit_role(|role| role.spec.suspend = false);
        self.replicas = [Replica::new(), Replica::new()];
        self.say("the faults are over");
    }

    fn advance(&mut self, seconds: i64) {
        let until = self.clock + seconds;
        self.late.sort_by_key(|(at, _)| *at);
        while self.late.first().is_some_and(|(at, _)| *at <= until) {
            let (at, request) = self.late.remove(0);
            self.clock = at;
            self.say(format!("lands late: {request:?}"));
            match request {
                Late::Mint(order) => drop(self.mint(&order)),
                Late::Write(write) => drop(self.write(&write)),
            }
            self.check();
        }
        self.clock = until;
        self.say(format!("{seconds} s pass"));
    }

    fn annotate(&mut self, name: &str, value: &str) {
        self.edit_role(|role| {
            drop(role.metadata.annotations.get_or_insert_default().insert(name.into(), value.into()))
        });
        self.say(format!("{name}={value}"));
    }

    // --- TFC

    fn lives(&self, id: &str) -> bool {
        self.tokens.get(id).is_some_and(|token| !token.dead && token.expires > self.clock)
    }

    fn make(&mut self, attempt: Option<String>, expires: i64, by_us: bool) -> String {
        let id = format!("at-{}", self.tokens.len());
        let token = Token { attempt, created: self.clock, expires, dead: false, used: false, by_us };
        self.tokens.insert(id.clone(), token);
        if self.is_slot {
            self.slot = Some(id.clone());
        }
        id
    }

    fn mint(&mut self, order: &Order) -> String {
        self.make(Some(order.attempt.clone()), order.expires_at.as_second() - t(0).as_second(), true)
    }

    fn look(&self) -> SlotLook {
        let token = self.slot.as_ref().filter(|id| self.lives(id)).map(|id| {
            let token = &self.tokens[id];
            SlotToken {
                id: id.clone(),
                created_at: t(token.created),
                last_used_at: None,
                expires_at: Some(t(token.expires)),
                created_by: Some(if token.by_us { "user-1" } else { "user-9" }.into()),
            }
        });
        SlotLook { token }
    }

    fn walk(&self) -> Vec<MarkedToken> {
        let alive = self.tokens.iter().filter(|(id, _)| self.lives(id));
        let marked = alive.filter_map(|(id, token)| {
            Some(MarkedToken {
                id: id.clone(),
                attempt: token.attempt.clone()?,
                used: token.used,
                issued_at: t(token.created),
                expires_at: Some(t(token.expires)),
            })
        });
        marked.collect()
    }

    // --- API server

    fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn edit_role(&mut self, change: impl FnOnce(&mut TerraformCloudRole)) {
        let version = self.bump();
        if let Some((role, rv)) = &mut self.role {
            change(role);
            *rv = version;
        }
    }

    fn edit_secret(&mut self, change: impl FnOnce(&mut ApiSecret)) {
        let version = self.bump();
        if let Some(secret) = &mut self.secret {
            change(secret);
            secret.rv = version;
        }
    }

    /// `false`: a conflict.
    fn write_status(&mut self, on: u64, status: &TerraformCloudRoleStatus) -> bool {
        let ok = self.role.as_ref().is_some_and(|(_, rv)| *rv == on);
        if ok {
            self.edit_role(|role| role.status = Some(status.clone()));
        }
        ok
    }

    fn is_on(&self, on: Option<&(String, String)>) -> bool {
        let stands = self.secret.as_ref().map(|s| (s.uid.clone(), s.rv.to_string()));
        stands.as_ref() == on
    }

    fn write(&mut self, write: &Write) -> bool {
        let ok = self.is_on(write.on.as_ref()) && (self.role.is_some() || write.on.is_some());
        if ok {
            let rv = self.bump();
            let uid = self.secret.as_ref().map_or_else(|| format!("uid-{rv}"), |s| s.uid.clone());
            let (record, value) = (Some(write.record.clone()), Some(write.value.clone()));
            self.secret = Some(ApiSecret { uid, rv, record, pending: None, value });
        }
        ok
    }

    // --- what must hold

    fn check(&mut self) {
        let Some(value) = self.secret.as_ref().and_then(|s| s.value.clone()) else { return };
        let Some(token) = self.tokens.get_mut(&value) else { return };
        token.used = true;
        let dead = token.dead;
        assert!(!dead, "the Secret holds {value}, which was revoked\n{}", self.story());
    }

    /// A person's token that stood there when this round began dies only if the role had said so, and was told to go on.
    fn check_slot(&self, one: usize) {
        let theirs = self.slot.as_ref().filter(|id| self.lives(id) && !self.tokens[*id].by_us);
        let stood = theirs.is_some_and(|id| self.tokens[id].created < self.replicas[one].round_began);
        let conditions = self.role.iter().filter_map(|(role, _)| role.status.as_ref()).flat_map(|s| &s.conditions);
        let mut reasons = conditions.map(|c| c.reason.as_str());
        assert!(!stood || reasons.any(|r| r == "TakenOver"), "minted over a person's token\n{}", self.story());
    }

    /// No more faults: one replica works, and sleeps no longer than it says.
    fn settle_down(&mut self, how_long: i64) {
        let end = self.clock + how_long;
        while self.clock < end {
            for _ in 0..2000 {
                self.turn(0);
                self.check();
                if matches!(self.replicas[0].at, At::Idle) && self.replicas[0].steps == 0 {
                    break;
                }
            }
            // What it wrote at the end of the round is an event that wakes it again.
            let wake = self.replicas[0].wake.unwrap_or(end).clamp(self.clock + 1, self.clock + 10 * MINUTE);
            self.advance(wake - self.clock);
        }
    }

    fn expect_served(&mut self) {
        let status = self.role.as_ref().expect("not deleted").0.status.clone().expect("written");
        let never = self.base.o.role.spec.renewal.is_some();
        let stalled = status.conditions.iter().any(|c| ["TakenOver", "SlotOccupied"].contains(&c.reason.as_str()));
        if stalled && (self.person || self.wiped) {
            return;
        }
        let value = self.secret.as_ref().and_then(|s| s.value.clone());
        if !never {
            let alive = value.as_ref().is_some_and(|id| self.lives(id));
            assert!(alive, "the role has no live token\n{}", self.story());
        }
        if self.is_slot {
            // What a wiped status knew of a late mint at first issuance is found by the sweep alone.
            assert!(self.slot == value || self.person || self.wiped, "the slot holds another token\n{}", self.story());
        } else {
            let known: Vec<_> = status.predecessors.iter().map(|p| p.attempt.clone()).collect();
            self.expect_nothing_else_alive(value.as_deref(), &known);
        }
        assert!(status.intent.is_none() && status.unsettled.is_empty(), "something stays open\n{}", self.story());
    }

    fn expect_gone(&mut self) {
        assert!(self.role.is_none(), "the role does not go\n{}", self.story());
        if self.is_slot {
            let ours = self.slot.clone().filter(|id| self.lives(id) && self.tokens[id].by_us);
            assert!(ours.is_none() || self.wiped, "the slot holds {ours:?} still\n{}", self.story());
        } else {
            self.expect_nothing_else_alive(None, &[]);
        }
    }

    fn expect_nothing_else_alive(&self, in_secret: Option<&str>, known: &[String]) {
        for (id, token) in &self.tokens {
            let recorded = token.attempt.as_ref().is_some_and(|attempt| known.contains(attempt));
            let is_fine = !self.lives(id) || in_secret == Some(id) || recorded || self.wiped;
            assert!(is_fine, "{id} lives, and nobody knows: {token:?}\n{}", self.story());
        }
    }

    fn say(&mut self, what: impl Into<String>) {
        self.trace.push(format!("{:>6} {}", self.clock, what.into()));
    }

    fn story(&self) -> String {
        let role = self.role.as_ref().map(|(role, _)| &role.status);
        let from = self.trace.len().saturating_sub(70);
        format!("seed {}\n{}\n{role:?}\n{:?}\n{:?}", self.seed, self.trace[from..].join("\n"), self.secret, self.tokens)
    }
}
