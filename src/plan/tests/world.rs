//! Whole histories: two replicas that both believe they lead carry out what the planner says against a small TFC and a small API
//! server, while requests are lost or land late, processes die between any two effects, and people edit, delete and ask.
//!
//! After each effect: the Secret holds no token that the operator revoked, and no round goes in circles. When the faults are
//! over: whatever lives at TFC is in the Secret, and a role that is deleted goes and leaves nothing alive.

use std::collections::BTreeMap;

use super::build::{Build, HOST, HOUR, MINUTE, role, secs, t, time};
use crate::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::api::{Held, Pending, Record, SecretRecord, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::plan::book;
use crate::plan::observed::{
    Facts, MarkedToken, Observed, OurSecret, Reservation, Secret, Shown, SlotLook, SlotToken, Trouble, TroubleKind,
    Walk,
};
use crate::plan::step::{Inspection, Order, Revocation, Step, Withdrawal};

const SEEDS: u64 = 1500;
const EVENTS: u64 = 150;
/// No round of a correct planner needs more steps: a slot's first mint takes nine.
const STEPS_A_ROUND: u32 = 40;
/// A request is sent this long after its round began at most, and lands this long after that: together the settling time.
const SENT_WITHIN: i64 = 30;
const LANDS_WITHIN: i64 = 60;

#[test]
fn many_tokens_survive_every_history() {
    for seed in 0..SEEDS {
        World::new(seed, role()).run();
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
        let trouble = Trouble { kind, words: "refused".into(), retry_in: secs(15) };
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

    // --- a replica's turn: one read, or one effect

    fn turn(&mut self, one: usize) {
        let replica = &mut self.replicas[one];
        // Past the Lease's end nothing is sent: the process has exited.
        if self.clock - replica.round_began > SENT_WITHIN && !matches!(replica.at, At::Idle) {
            replica.end_round();
        }
        match std::mem::replace(&mut replica.at, At::Idle) {
            At::Idle => {
                if replica.steps == 0 || self.clock - replica.round_began > SENT_WITHIN {
                    replica.end_round();
                    replica.round_began = self.clock;
                }
                if let Some((role, rv)) = self.role.clone() {
                    replica.at = At::HasRole(Box::new(role), rv);
                }
            }
            At::HasRole(role, rv) => {
                let o = self.observe(one, *role);
                let step = crate::plan::plan(&o);
                self.replicas[one].at = At::Planned(Box::new(o), Box::new(step), rv);
            }
            At::Planned(o, step, rv) => {
                self.replicas[one].steps += 1;
                let steps = self.replicas[one].steps;
                let brief: String = format!("{step:?}").chars().take(160).collect();
                self.say(format!("{one}: {brief}"));
                assert!(steps < STEPS_A_ROUND, "a round without an end\n{}", self.story());
                self.act(one, &o, *step, rv);
            }
            At::Minted { order, write, ambiguous } => self.store(one, *order, *write, ambiguous),
        }
    }

    fn observe(&mut self, one: usize, role: TerraformCloudRole) -> Observed {
        let build = self.base.clone().at(self.clock);
        let mut o = build.o;
        let replica = &self.replicas[one];
        o.role = role;
        o.facts = replica.facts.clone();
        o.trouble = replica.trouble.clone().filter(|(until, _)| *until > self.clock).map(|(_, trouble)| trouble);
        o.secret = self.secret.as_ref().map_or(Secret::Absent, |secret| {
            Secret::Ours(OurSecret {
                uid: secret.uid.clone(),
                resource_version: secret.rv.to_string(),
                record: secret.record.clone(),
                pending: secret.pending.clone(),
                verified: replica.verified == secret.rv,
            })
        });
        let random = self.random();
        o.nonce.attempt = format!("n{random}");
        o.nonce.seconds = i64::try_from(random % 3600).expect("small");
        o
    }

    fn act(&mut self, one: usize, o: &Observed, step: Step, rv: u64) {
        let asks_tfc = matches!(step, Step::Inspect(_) | Step::Revoke(_));
        if asks_tfc && self.fault(12) {
            return self.replicas[one].fails(self.clock, TroubleKind::Unreachable);
        }
        if !asks_tfc && !matches!(step, Step::Issue(_) | Step::Claim) && self.fault(25) {
            return self.replicas[one].fails(self.clock, TroubleKind::Cluster);
        }
        match step {
            Step::Finalize => self.edit_role(|role| {
                role.metadata.finalizers = Some(vec![crate::api::names::FINALIZER_REVOKE.into()]);
            }),
            Step::Resolve(_) | Step::Disown => panic!("nothing of the kind was built"),
            Step::Inspect(inspection) => self.inspect(one, o, inspection),
            Step::Reserve(_) => self.replicas[one].facts.reservation = Some(Reservation::Held),
            Step::Begin(status, _) => {
                let attempt = status.intent.as_ref().map(|i| i.record.attempt.clone());
                match self.write_status(rv, &status) {
                    true => self.replicas[one].facts.begun = attempt,
                    false => self.replicas[one].end_round(),
                }
            }
            Step::Record(status, _) => {
                if !self.write_status(rv, &status) {
                    self.replicas[one].end_round();
                }
            }
            Step::Rehearse => self.replicas[one].facts.rehearsed = true,
            Step::Claim => self.claim(one, o),
            Step::Issue(order) => self.issue(one, o, *order),
            Step::Render => self.render(one, o),
            Step::Fence => match self.touch(one, o, |_| ()) {
                true => self.replicas[one].facts.fenced = true,
                false => self.replicas[one].end_round(),
            },
            Step::Revoke(revocation) => self.revoke(one, &revocation),
            Step::Withdraw(Withdrawal::Empty) => {
                self.touch(one, o, |secret| {
                    secret.value = None;
                    secret.record.get_or_insert_default().held = None;
                });
            }
            Step::Withdraw(Withdrawal::Delete) => {
                if self.is_on(observed(o).as_ref()) {
                    self.secret = None;
                }
            }
            Step::Release(_) => {
                if self.role.as_ref().is_some_and(|(_, now)| *now == rv) {
                    self.role = None;
                    self.secret = None;
                }
            }
            Step::Rest(rest) => {
                if let Some(status) = rest.status {
                    self.write_status(rv, &status);
                }
                self.replicas[one].end_round();
                self.replicas[one].wake = rest.wake_in.map(|wake| self.clock + wake.as_secs().max(0) + 1);
            }
        }
    }

    /// A write of the Secret's metadata on the version observed.
    fn touch(&mut self, one: usize, o: &Observed, change: impl FnOnce(&mut ApiSecret)) -> bool {
        let ok = self.is_on(observed(o).as_ref());
        if ok {
            self.edit_secret(change);
            self.replicas[one].verified = self.version;
        }
        ok
    }

    fn inspect(&mut self, one: usize, o: &Observed, inspection: Inspection) {
        match inspection {
            Inspection::Slot(_) => self.replicas[one].facts.slot = Some(self.look()),
            Inspection::Walk(_) => {
                let complete = !self.fault(5);
                self.replicas[one].facts.walk = Some(Walk { tokens: self.walk(), complete });
            }
            Inspection::Token(id) => {
                let shown = match self.tokens.get(&id).filter(|_| self.lives(&id)) {
                    Some(token) => token.attempt.clone().map_or(Shown::Foreign, Shown::Ours),
                    None => Shown::Gone,
                };
                self.replicas[one].facts.shown.insert(id, shown);
            }
        }
        // The fence has to be later than the list.
        self.replicas[one].facts.fenced &= !matches!(o.secret, Secret::Ours(_));
    }

    fn claim(&mut self, one: usize, o: &Observed) {
        let intent = o.role.status.as_ref().and_then(|s| s.intent.clone()).expect("begun");
        let pending = Pending {
            attempt: intent.record.attempt.clone(),
            requested_expiry: intent.requested_expiry,
            slot_token_id_before: intent.slot_token_id_before,
            account: intent.record.account,
            since: intent.since,
        };
        let refused = self.fault(10);
        let stands = self.secret.is_some() || matches!(o.secret, Secret::Ours(_));
        if !refused && (!stands || self.touch(one, o, |secret| secret.pending = Some(pending))) {
            self.replicas[one].facts.claimed = true;
        } else {
            // The mint was never sent.
            self.replicas[one].facts.gone.insert(intent.record.attempt);
            self.replicas[one].facts.begun = None;
            self.replicas[one].fails(self.clock, TroubleKind::SecretRefused);
        }
    }

    fn issue(&mut self, one: usize, o: &Observed, order: Order) {
        self.replicas[one].facts.forget_at_issue();
        match if self.faults { self.below(16) } else { 9 } {
            0 => {
                self.say("the mint is refused");
                self.replicas[one].facts.gone.insert(order.attempt);
                return self.replicas[one].fails(self.clock, TroubleKind::Rejected);
            }
            1 => {
                self.say("the mint's reply is lost");
                self.mint(&order);
                return self.replicas[one].fails(self.clock, TroubleKind::Ambiguous);
            }
            2 => {
                self.say("the mint is late");
                let at = self.clock + self.below(LANDS_WITHIN as u64) as i64;
                self.late.push((at, Late::Mint(Box::new(order))));
                return self.replicas[one].fails(self.clock, TroubleKind::Ambiguous);
            }
            3 => {
                self.say("the mint's request is lost");
                return self.replicas[one].fails(self.clock, TroubleKind::Ambiguous);
            }
            _ => {}
        }
        let id = self.mint(&order);
        let token = &self.tokens[&id];
        let held = Held {
            attempt: order.attempt.clone(),
            token_id: id.clone(),
            host: HOST.into(),
            account: "user-1".into(),
            subject: order.subject.to_string(),
            issued_at: Some(time(token.created)),
            expires_at: Some(time(token.expires)),
            digest: id.clone(),
        };
        let answers = o.role.status.as_ref().and_then(|s| s.intent.as_ref()).expect("begun").answers.clone();
        let layout = book::layout(&o.role.spec);
        let record = SecretRecord { v: 1, held: Some(held), answers, layout, ..SecretRecord::default() };
        let write = Write { on: order.secret.clone(), record, value: id };
        self.replicas[one].at = At::Minted { order: Box::new(order), write: Box::new(write), ambiguous: false };
    }

    /// The Secret's write, repeated until its answer is known.
    fn store(&mut self, one: usize, order: Order, write: Write, ambiguous: bool) {
        if self.fault(8) {
            let late = self.below(2) == 0;
            self.say(format!("{one}: the Secret's write gets no answer{}", if late { ", and is late" } else { "" }));
            if late {
                let at = self.clock + self.below(LANDS_WITHIN as u64) as i64;
                self.late.push((at, Late::Write(Box::new(write.clone()))));
            } else {
                self.write(&write);
            }
            self.replicas[one].at = At::Minted { order: Box::new(order), write: Box::new(write), ambiguous: true };
            return;
        }
        if !ambiguous && self.fault(10) {
            self.say(format!("{one}: the Secret's write is refused for good"));
            return self.lose(one, &order, &write, TroubleKind::SecretRefused);
        }
        if self.write(&write) || self.holds(&order.attempt) {
            self.say(format!("{one}: the Secret holds {}", order.attempt));
            self.replicas[one].facts.minted = (!ambiguous).then_some(order.attempt);
            self.replicas[one].verified = self.secret.as_ref().map_or(0, |s| s.rv);
            return;
        }
        if self.is_slot && self.slot.as_ref() == Some(&write.value) {
            let on = self.secret.as_ref().map(|s| (s.uid.clone(), s.rv.to_string()));
            let write = Write { on, ..write };
            self.replicas[one].at = At::Minted { order: Box::new(order), write: Box::new(write), ambiguous };
        } else if ambiguous && (write.on.is_none() || self.secret.as_ref().is_some_and(|s| s.record.is_none())) {
            // A late create can't be ruled out, or the Secret doesn't say what it holds: the attempt stays, and is settled later.
            self.replicas[one].end_round();
        } else {
            self.lose(one, &order, &write, TroubleKind::Cluster);
        }
    }

    fn lose(&mut self, one: usize, order: &Order, write: &Write, kind: TroubleKind) {
        self.say(format!("{one}: {} lost the Secret", order.attempt));
        if !self.is_slot {
            self.tokens.get_mut(&write.value).expect("minted").dead = true;
            self.replicas[one].facts.gone.insert(order.attempt.clone());
        }
        self.replicas[one].fails(self.clock, kind);
    }

    fn holds(&self, attempt: &str) -> bool {
        let held = self.secret.as_ref().and_then(|s| s.record.as_ref()?.held.as_ref());
        held.is_some_and(|held| held.attempt == attempt)
    }

    fn render(&mut self, one: usize, o: &Observed) {
        let current = o.role.status.as_ref().and_then(|s| s.current.clone()).expect("rendered from what is recorded");
        let value = self.secret.as_ref().and_then(|s| s.value.clone());
        if value != current.token_id {
            self.replicas[one].facts.value_lost = true;
            return;
        }
        let layout = book::layout(&o.role.spec);
        self.touch(one, o, |secret| {
            let record = secret.record.get_or_insert_default();
            record.layout = layout;
            record.held = Some(held(&current));
        });
    }

    fn revoke(&mut self, one: usize, revocation: &Revocation) {
        if self.holds(&revocation.attempt) {
            self.say("the Secret holds it");
            return self.replicas[one].end_round();
        }
        let alive = self.lives(&revocation.token_id);
        if alive {
            self.tokens.get_mut(&revocation.token_id).expect("alive").dead = true;
        }
        if self.fault(10) {
            return self.replicas[one].fails(self.clock, TroubleKind::Unreachable);
        }
        let facts = &mut self.replicas[one].facts;
        let answer = if alive { &mut facts.gone } else { &mut facts.hidden };
        answer.insert(revocation.attempt.clone());
    }

    // --- what must hold

    fn check(&mut self) {
        let Some(value) = self.secret.as_ref().and_then(|s| s.value.clone()) else { return };
        let Some(token) = self.tokens.get_mut(&value) else { return };
        token.used = true;
        let dead = token.dead;
        assert!(!dead, "the Secret holds {value}, which was revoked\n{}", self.story());
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

fn observed(o: &Observed) -> Option<(String, String)> {
    match &o.secret {
        Secret::Ours(secret) => Some((secret.uid.clone(), secret.resource_version.clone())),
        _ => None,
    }
}

fn held(record: &Record) -> Held {
    Held {
        attempt: record.attempt.clone(),
        token_id: record.token_id.clone().unwrap_or_default(),
        host: record.host.clone(),
        account: record.account.clone(),
        subject: record.subject.clone(),
        issued_at: record.issued_at.clone(),
        expires_at: record.expires_at.clone(),
        digest: record.digest.clone(),
    }
}
