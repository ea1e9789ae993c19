//! Two replicas that both believe they lead. Each has a hand on each role; a turn of a hand is one read or one effect, and it can
//! be held up, or die, between any two.

use super::super::build::{secs, t};
use super::choices::Fault;
use super::cluster::{Change, Reply, Write};
use super::rules::Rule;
use super::tfc::Caller;
use super::{SENT_WITHIN, World};
use crate::api::{Answers, SecretRecord, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::plan::observed::{Config, Facts, Observed, Secret, Trouble, TroubleKind};
use crate::plan::step::{Note, Order, Rest, Revocation, Step};
use crate::plan::{plan, wishes};

/// No round of a correct planner needs more steps: a slot's first mint takes nine.
const STEPS_A_ROUND: u32 = 40;
const RETRY: i64 = 15;

/// Where a hand stands. All of it is lost when its replica dies.
#[derive(Clone, Debug)]
pub enum At {
    Idle,
    /// The role was read, its Secret not yet.
    HasRole(Box<TerraformCloudRole>, u64),
    /// The next step is to be decided.
    Ready,
    /// It is decided, and not done.
    Decided(Box<Step>),
    /// The dry run went well; the Secret is to be claimed.
    Rehearsed,
    /// A value is in memory, and nowhere else.
    Minted(Box<Minted>),
    /// The Secret's write met a conflict: another attempt was seen there. Of a slot, it is looked at whether it is still his.
    Beaten(Box<Minted>, Box<Secret>),
    /// The Secret's write lost: this round's own token is to be revoked.
    Lost(Box<Minted>, Option<TroubleKind>),
    /// The last look at the Secret is done, the call is not.
    Looked(Box<Revocation>),
}

/// A token on its way into the Secret.
#[derive(Clone, Debug)]
pub struct Minted {
    pub order: Order,
    pub record: SecretRecord,
    /// Id of the token, standing for its value.
    pub value: String,
    pub on: Option<(String, String)>,
    /// A try got no answer.
    pub doubtful: bool,
    /// The slot was looked at, and holds this token.
    pub his: bool,
}

#[derive(Clone, Debug)]
pub struct Round {
    pub role: TerraformCloudRole,
    pub rv: u64,
    /// Its config, as it was when the round began.
    pub config: Option<Config>,
    pub secret: Secret,
    pub facts: Facts,
    pub trouble: Option<Trouble>,
    pub failed: bool,
    /// The step under way is on the way to a revocation.
    settles: bool,
    /// Token that this round minted and whose Secret it wrote.
    pub minted: Option<String>,
    /// When it wrote its intent down.
    pub begun_at: i64,
    /// How many things had been decided by then.
    pub begun_count: u64,
    pub steps: u32,
    pub walks: u32,
    swept: bool,
    tried: Tried,
}

/// What a failure was met with: a person's change, or the config's, is tried at once.
type Tried = (Option<i64>, Answers, u64, bool);

#[derive(Clone, Debug)]
pub struct Hand {
    pub role: usize,
    pub at: At,
    pub round: Option<Box<Round>>,
    pub verified: u64,
    /// A sweep pointed at its role.
    pub swept: bool,
    /// It sends a mint hours after its intent, against the rule.
    pub dawdles: bool,
    trouble: Option<(i64, Tried, Trouble)>,
    /// Its last round came to a rest.
    pub rested: bool,
    /// When that asked to be woken.
    pub wake: Option<i64>,
}

/// What comes after an effect, as in `act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Plan,
    Observe,
    Done,
}

impl Hand {
    pub fn new(role: usize) -> Hand {
        Hand {
            role,
            at: At::Idle,
            round: None,
            verified: 0,
            swept: false,
            dawdles: false,
            trouble: None,
            rested: false,
            wake: None,
        }
    }

    pub fn round(&mut self) -> &mut Round {
        self.round.as_mut().expect("under way")
    }

    pub fn facts(&mut self) -> &mut Facts {
        &mut self.round().facts
    }

    pub fn is_idle(&self) -> bool {
        self.round.is_none()
    }

    /// What waits to be sent must be sent soon after the intent: a mint, and a write that creates the Secret. Everything else is
    /// safe however late it comes.
    fn is_fenced_off(&self, clock: i64) -> bool {
        let waits = match &self.at {
            At::Minted(minted) => minted.on.is_none(),
            _ => self.round.as_ref().is_some_and(|round| round.facts.begun.is_some()),
        };
        waits && !self.dawdles && self.round.as_ref().is_some_and(|round| clock - round.begun_at > SENT_WITHIN)
    }
}

impl World {
    pub fn turn(&mut self, hand: usize) {
        if self.hands[hand].is_fenced_off(self.clock) {
            self.say(|| format!("{hand}: its Lease is over"));
            self.end_round(hand);
            return;
        }
        let at = std::mem::replace(&mut self.hands[hand].at, At::Ready);
        let after = match at {
            At::Idle => return self.read_role(hand),
            At::HasRole(role, rv) => return self.read_secret(hand, *role, rv),
            // What one host or account said is nothing to go by at another.
            At::Ready if self.hands[hand].round().tried.2 != self.config_of(hand).epoch => {
                return self.end_round(hand);
            }
            At::Ready => match self.decide(hand) {
                Some(step) => self.act(hand, step),
                None => return,
            },
            At::Decided(step) => self.act(hand, *step),
            At::Rehearsed => self.claim(hand),
            At::Minted(minted) => self.store(hand, *minted),
            At::Beaten(minted, seen) => self.look_at_the_slot(hand, *minted, *seen),
            At::Lost(minted, kind) => self.revoke_own(hand, &minted, kind),
            At::Looked(revocation) => self.revoke(hand, &revocation),
        };
        match after {
            After::Plan => {}
            After::Observe | After::Done => self.end_round(hand),
        }
    }

    /// Decides, and is held up before it acts.
    pub fn think(&mut self, hand: usize) {
        if !matches!(self.hands[hand].at, At::Ready) {
            return self.turn(hand);
        }
        if let Some(step) = self.decide(hand) {
            self.hands[hand].at = At::Decided(Box::new(step));
        }
    }

    pub fn end_round(&mut self, hand: usize) {
        let hand = &mut self.hands[hand];
        (hand.at, hand.round) = (At::Idle, None);
    }

    fn read_role(&mut self, hand: usize) {
        (self.hands[hand].at, self.hands[hand].rested) = (At::Idle, false);
        if self.fault() == Fault::Lost {
            return;
        }
        let role = &self.cluster.roles[self.hands[hand].role];
        if let Some(object) = role.object.clone() {
            self.hands[hand].at = At::HasRole(Box::new(object), role.rv);
        }
    }

    fn read_secret(&mut self, hand: usize, role: TerraformCloudRole, rv: u64) {
        let config = self.config_of(hand);
        let tried =
            (role.metadata.generation, Answers::default(), config.epoch, role.metadata.deletion_timestamp.is_some());
        let round = Round {
            role,
            rv,
            config: config.config.clone(),
            secret: Secret::Absent,
            facts: Facts::default(),
            trouble: None,
            failed: false,
            settles: false,
            minted: None,
            begun_at: self.clock,
            begun_count: self.count,
            steps: 0,
            walks: 0,
            swept: std::mem::take(&mut self.hands[hand].swept),
            tried,
        };
        self.hands[hand].round = Some(Box::new(round));
        self.hands[hand].at = At::Ready;
        self.see_secret(hand);
        let wishes = wishes(&self.observe(hand));
        let clock = self.clock;
        let Hand { round: Some(round), trouble, .. } = &mut self.hands[hand] else { return };
        round.tried.1 = wishes;
        let waiting = trouble.as_ref().filter(|(until, tried, _)| *until > clock && *tried == round.tried);
        round.trouble = waiting.map(|(until, _, trouble)| Trouble { retry_in: secs(until - clock), ..trouble.clone() });
    }

    /// Takes the Secret as it stands now: from a read, or from the reply to a write.
    pub fn see_secret(&mut self, hand: usize) {
        let (role, verified) = (self.hands[hand].role, self.hands[hand].verified);
        let uid = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        self.hands[hand].round().secret = self.cluster.view(role, &uid, verified);
    }

    /// The Secret is known to be in order as it stands now.
    pub fn see_own_write(&mut self, hand: usize) {
        let role = self.hands[hand].role;
        self.hands[hand].verified = self.cluster.secrets[role].as_ref().map_or(0, |secret| secret.rv);
        self.see_secret(hand);
    }

    fn observe(&mut self, hand: usize) -> Observed {
        let mut o = self.template.clone();
        o.config = self.hands[hand].round().config.clone();
        let knows_time = o.config.is_some() && self.config_of(hand).clock_known;
        o.now = knows_time.then(|| t(self.clock));
        o.api_now = Some(t(self.clock + self.api_off));
        o.wall = t(self.clock + self.wall_off);
        o.namespace_going = self.cluster.namespace_going;
        self.count += 1;
        o.nonce.attempt = self.name_attempt(hand);
        o.nonce.seconds = (self.count * 7919 % 3600).cast_signed();
        let round = self.hands[hand].round();
        o.role = round.role.clone();
        o.secret = round.secret.clone();
        o.facts = round.facts.clone();
        o.trouble = round.trouble.clone();
        o.swept = round.swept;
        if self.breaks(Rule::Settle) {
            o.settling_time = secs(0);
        }
        o
    }

    fn decide(&mut self, hand: usize) -> Option<Step> {
        let o = self.observe(hand);
        let step = plan(&o);
        let round = self.hands[hand].round();
        round.steps += 1;
        round.settles = step.settles();
        let steps = round.steps;
        self.say(|| format!("{hand}: {}", brief(&step)));
        self.must(steps < STEPS_A_ROUND, || "a round goes in circles".into());
        match step {
            Step::Rest(rest) => {
                self.rest(hand, rest);
                None
            }
            step => Some(step),
        }
    }

    /// Keeps what the round came to, and writes the status that the rest asks for.
    fn rest(&mut self, hand: usize, rest: Rest) {
        let clock = self.clock;
        let this = &mut self.hands[hand];
        let round = this.round.as_mut().expect("under way");
        // A sweep's pointer stands until a round that was not in trouble comes to its rest.
        this.swept |= round.swept && round.trouble.is_some();
        if round.failed {
            this.trouble = round.trouble.take().map(|trouble| (clock + RETRY, round.tried.clone(), trouble));
        } else if round.trouble.is_none() {
            this.trouble = None;
        }
        this.rested = true;
        this.wake = rest.wake_in.map(|wake| clock + wake.as_secs().max(0) + 1);
        if let Some(status) = rest.status
            && self.write_status(hand, &status, &[]) != Reply::Done
        {
            self.hands[hand].rested = false;
        }
        self.end_round(hand);
    }

    pub fn write_status(&mut self, hand: usize, status: &TerraformCloudRoleStatus, notes: &[Note]) -> Reply {
        if self.hands[hand].round().role.status.as_ref() == Some(status) {
            return Reply::Done;
        }
        self.give_up(notes);
        let reply = self.write(hand, Change::Status(Box::new(status.clone())));
        if reply == Reply::Done {
            let role = &self.cluster.roles[self.hands[hand].role];
            let (object, rv) = (role.object.clone().expect("written"), role.rv);
            let round = self.hands[hand].round();
            (round.role, round.rv) = (object, rv);
        }
        reply
    }

    /// Sends a write to the API server.
    pub fn write(&mut self, hand: usize, change: Change) -> Reply {
        let role = self.hands[hand].role;
        let round = self.hands[hand].round();
        let by = (round.role.metadata.uid.clone().unwrap_or_default(), round.rv);
        let may_create = matches!(change, Change::Put { on: None, .. });
        let write = Write { role, by, change };
        match self.fault() {
            Fault::Lost | Fault::Limited => Reply::Unknown,
            Fault::Refused => Reply::Refused,
            Fault::Late => {
                self.send_late(write, may_create);
                Reply::Unknown
            }
            Fault::ReplyLost => {
                self.land(&write);
                Reply::Unknown
            }
            Fault::None | Fault::Doubled => self.land(&write),
        }
    }

    /// A failure of this round.
    pub fn fail(&mut self, hand: usize, kind: TroubleKind) -> After {
        let round = self.hands[hand].round();
        let (retry_in, settling) = (secs(RETRY), round.settles);
        round.failed = true;
        round.trouble =
            Some(Trouble { kind, words: "it said so".into(), retry_in, settling, missing_permission: false });
        After::Plan
    }

    /// What a reply of the API server means to a round, where it is no success.
    pub fn cluster_trouble(&mut self, hand: usize, reply: Reply) -> After {
        match reply {
            Reply::Done | Reply::Conflict | Reply::NotFound => After::Observe,
            Reply::Refused | Reply::Unknown => self.fail(hand, TroubleKind::Cluster),
        }
    }

    /// Who asks TFC for this role; `None` where its config can't be used.
    pub fn caller(&mut self, hand: usize) -> Option<Caller> {
        let config = self.hands[hand].round().config.clone();
        let caller = config.and_then(|config| {
            let account = config.account.ok()?;
            Some(Caller { host: config.host, account })
        });
        if caller.is_none() {
            self.fail(hand, TroubleKind::Unauthorized);
        }
        caller
    }
}

fn brief(step: &Step) -> String {
    match step {
        Step::Begin(status, _) => format!("Begin {:?}", status.intent.as_ref().map(|i| &i.record.attempt)),
        Step::Record(status, notes) => {
            let notes: Vec<String> = notes.iter().map(|note| format!("{note:?}").chars().take(7).collect()).collect();
            format!("Record {} {}", records(status), notes.join(" "))
        }
        Step::Issue(order) => format!("Issue {} on {:?}", order.attempt, order.secret),
        Step::Rest(rest) => {
            let said = rest.status.as_ref().map(|status| {
                let reasons: Vec<&str> = status.conditions.iter().map(|c| c.reason.as_str()).collect();
                format!("{} {}", records(status), reasons.join(" "))
            });
            format!("Rest {} wake {:?}", said.unwrap_or_default(), rest.wake_in.map(|wake| wake.as_secs()))
        }
        other => format!("{other:?}").chars().take(120).collect(),
    }
}

/// The records of a status, in short.
pub fn records(status: &TerraformCloudRoleStatus) -> String {
    let current = status.current.as_ref().map(|c| c.attempt.as_str()).unwrap_or("-");
    let intent = status.intent.as_ref().map(|i| i.record.attempt.as_str()).unwrap_or("-");
    let predecessors: Vec<&str> = status.predecessors.iter().map(|p| p.attempt.as_str()).collect();
    let unsettled: Vec<&str> = status.unsettled.iter().map(|u| u.record.attempt.as_str()).collect();
    format!("[current {current}, intent {intent}, predecessors {predecessors:?}, unsettled {unsettled:?}]")
}
