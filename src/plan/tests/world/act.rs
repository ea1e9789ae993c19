//! The steps, as the table of steps has them; each as `act` does it, one effect a turn.

use super::super::build::t;
use super::choices::Fault;
use super::cluster::{Change, On, Reply};
use super::issue::digest;
use super::replicas::{After, At};
use super::rules::Rule;
use super::{World, slot_key};
use crate::api::config::ResolvedTeam;
use crate::api::secret_record::VERSION;
use crate::api::{Held, Pending, SecretRecord, Workload, WorkloadKind};
use crate::plan::book;
use crate::plan::observed::{AccountKind, Reservation, Secret, TroubleKind, Walk};
use crate::plan::step::{Inspection, Restart, Revocation, Step, Withdrawal};
use crate::plan::subject::{Subject, TeamQuestion};

/// How long a rollout takes.
pub const ROLLOUT: i64 = 90;

impl World {
    pub fn act(&mut self, hand: usize, step: Step) -> After {
        match step {
            Step::Finalize => self.finalize(hand, true),
            Step::Release(slot) => self.release(hand, slot),
            Step::Resolve(question) => self.resolve(hand, &question),
            Step::Inspect(inspection) => self.inspect(hand, &inspection),
            Step::Reserve(subject) => self.reserve(hand, &subject),
            Step::Begin(status, _) => {
                let attempt = status.intent.as_ref().map(|intent| intent.record.attempt.clone());
                let reply = match self.breaks(Rule::Intent) {
                    true => Reply::Done,
                    false => self.write_status(hand, &status, &[]),
                };
                if reply != Reply::Done {
                    return self.cluster_trouble(hand, reply);
                }
                let since = status.intent.as_ref().and_then(|intent| intent.since.as_ref()).map(|since| since.0);
                let begun = since.map_or(self.clock, |since| since.as_second() - t(0).as_second());
                let (count, dawdles) = (self.count, self.breaks(Rule::Prompt));
                self.hands[hand].dawdles = dawdles;
                let round = self.hands[hand].round();
                (round.facts.begun, round.begun_at, round.begun_count) = (attempt, begun, count);
                round.role.status = Some(*status);
                After::Plan
            }
            Step::Record(status, notes) => match self.write_status(hand, &status, &notes) {
                Reply::Done => After::Plan,
                Reply::NotFound => self.undo(hand),
                reply => {
                    if reply == Reply::Conflict && self.breaks(Rule::CommitPoint) {
                        return self.undo(hand);
                    }
                    self.cluster_trouble(hand, reply)
                }
            },
            Step::Rehearse => match self.dry_run(hand) {
                Ok(()) => {
                    self.hands[hand].facts().rehearsed = true;
                    After::Plan
                }
                Err(after) => after,
            },
            Step::Claim => match self.dry_run(hand) {
                Ok(()) => {
                    self.hands[hand].at = At::Rehearsed;
                    After::Plan
                }
                Err(after) => {
                    // Nothing was minted: the attempt is known to have made nothing.
                    let facts = self.hands[hand].facts();
                    facts.begun.take().map(|attempt| facts.gone.insert(attempt));
                    after
                }
            },
            Step::Issue(order) => self.issue(hand, *order),
            Step::Render => self.render(hand),
            Step::Fence => self.fence(hand),
            Step::Revoke(revocation) => self.look_before_revoking(hand, *revocation),
            Step::Withdraw(how) => self.withdraw(hand, how),
            Step::Disown => self.disown(hand),
            Step::Survey => self.survey(hand),
            Step::Restart(restart) => self.restart(hand, &restart),
            Step::Rest(_) => After::Done,
        }
    }

    fn finalize(&mut self, hand: usize, on: bool) -> After {
        match self.write(hand, Change::Finalizer(on)) {
            Reply::Done => {
                let role = &self.cluster.roles[self.hands[hand].role];
                let Some(object) = role.object.clone() else { return After::Done };
                let rv = role.rv;
                let round = self.hands[hand].round();
                (round.role, round.rv) = (object, rv);
                After::Plan
            }
            reply => self.cluster_trouble(hand, reply),
        }
    }

    fn release(&mut self, hand: usize, slot: Option<Subject>) -> After {
        let uid = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        if slot.is_some() {
            self.cluster.leases.retain(|_, holder| *holder != uid);
        }
        self.finalize(hand, false)
    }

    /// A read at TFC: what stands in its way. `None`: nothing does.
    fn unanswered(&mut self, hand: usize) -> Option<After> {
        match self.fault() {
            _ if self.tfc.away => Some(self.fail(hand, TroubleKind::Unreachable)),
            Fault::Lost | Fault::ReplyLost | Fault::Late => Some(self.fail(hand, TroubleKind::Unreachable)),
            Fault::Limited => Some(self.fail(hand, TroubleKind::Limited)),
            Fault::Refused => Some(self.fail(hand, TroubleKind::NotPermitted)),
            Fault::None | Fault::Doubled => None,
        }
    }

    fn resolve(&mut self, hand: usize, question: &TeamQuestion) -> After {
        let Some(caller) = self.caller(hand) else { return After::Plan };
        if let Some(after) = self.unanswered(hand) {
            return after;
        }
        self.calls += 1;
        if !self.tfc.sees(&caller, "teams/team-1") {
            self.hands[hand].facts().hidden_teams.insert(question.to_string());
            return After::Plan;
        }
        let team = ResolvedTeam { id: "team-1".into(), organization: "acme".into(), name: "apps".into() };
        if let Some(config) = &mut self.config_of_mut(hand).config {
            config.teams.push(team.clone());
        }
        if let Some(config) = &mut self.hands[hand].round().config {
            config.teams.push(team);
        }
        After::Plan
    }

    fn inspect(&mut self, hand: usize, inspection: &Inspection) -> After {
        let Some(caller) = self.caller(hand) else { return After::Plan };
        if let Some(after) = self.unanswered(hand) {
            return after;
        }
        self.calls += 1;
        let shifts = self.fault() == Fault::Doubled;
        let now = Some(t(self.clock)).filter(|_| self.config_of(hand).clock_known);
        let round = self.hands[hand].round();
        if !matches!(inspection, Inspection::Token(_)) {
            round.facts.looked_at = now;
        }
        let uid = round.role.metadata.uid.clone().unwrap_or_default();
        match inspection {
            Inspection::Slot(subject) => {
                let look = self.tfc.look(&caller, subject);
                self.hands[hand].facts().slot = Some(look);
            }
            Inspection::Token(id) => {
                let pinned = round.role.status.as_ref().and_then(|s| s.subject_id.clone());
                let own = round.role.spec.user.is_some()
                    && caller.account.kind == AccountKind::User
                    && pinned.is_none_or(|pinned| pinned == caller.account.id);
                let shown = self.tfc.show(&caller, &uid, own, id);
                self.hands[hand].facts().shown.insert(id.clone(), shown);
            }
            Inspection::Walk(subject) => {
                round.walks += 1;
                let walks = round.walks;
                self.must(walks < 2, || "a second walk in one round".into());
                let mut walk = self.tfc.walk(&caller, &uid, subject);
                if shifts {
                    walk = Walk { tokens: walk.tokens.into_iter().skip(1).collect(), complete: false };
                }
                let facts = self.hands[hand].facts();
                (facts.walk, facts.fenced) = (Some(walk), false);
            }
        }
        After::Plan
    }

    fn reserve(&mut self, hand: usize, subject: &Subject) -> After {
        if matches!(self.fault(), Fault::Lost | Fault::ReplyLost | Fault::Late | Fault::Refused) {
            return self.fail(hand, TroubleKind::Cluster);
        }
        let Some(host) = self.hands[hand].round().config.as_ref().map(|config| config.host.clone()) else {
            return After::Observe;
        };
        let me = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        let key = slot_key(&host, &subject.to_string());
        let holder = self.cluster.leases.get(&key).filter(|holder| self.cluster.role_lives(holder)).cloned();
        let reservation = match holder {
            Some(holder) if holder != me => Reservation::HeldBy(holder),
            _ => {
                self.cluster.leases.insert(key, me);
                Reservation::Held
            }
        };
        self.hands[hand].facts().reservation = Some(reservation);
        After::Plan
    }

    fn dry_run(&mut self, hand: usize) -> Result<(), After> {
        if self.breaks(Rule::Rehearse) {
            return Ok(());
        }
        let faulty = self.fault();
        let refuses = self.cluster.refuses_data || self.cluster.refuses_secrets;
        let role = self.hands[hand].role;
        let stands = self.cluster.secrets[role].as_ref().map(|secret| (secret.uid.clone(), secret.rv.to_string()));
        let on = self.on(hand);
        match &self.hands[hand].round().secret {
            Secret::Foreign => return Err(After::Observe),
            Secret::Absent if stands.is_some() => return Err(After::Observe),
            Secret::Ours(_) if stands != on => return Err(After::Observe),
            Secret::Absent if self.cluster.namespace_going => {
                return Err(self.fail(hand, TroubleKind::SecretRefused));
            }
            _ => {}
        }
        match faulty {
            Fault::Refused => Err(self.fail(hand, TroubleKind::SecretRefused)),
            _ if refuses => Err(self.fail(hand, TroubleKind::SecretRefused)),
            Fault::None | Fault::Doubled => Ok(()),
            _ => Err(self.fail(hand, TroubleKind::Cluster)),
        }
    }

    pub fn claim(&mut self, hand: usize) -> After {
        let intent = self.hands[hand].round().role.status.as_ref().and_then(|s| s.intent.clone());
        let (Some(on), Some(intent)) = (self.on(hand), intent) else {
            self.hands[hand].facts().claimed = true;
            return After::Plan;
        };
        let pending = Pending {
            attempt: intent.record.attempt,
            requested_expiry: intent.requested_expiry,
            slot_token_id_before: intent.slot_token_id_before,
            account: intent.record.account,
            since: intent.since,
        };
        match self.annotate(hand, on, Some(pending)) {
            Reply::Done => {
                self.hands[hand].facts().claimed = true;
                After::Plan
            }
            reply => self.cluster_trouble(hand, reply),
        }
    }

    fn fence(&mut self, hand: usize) -> After {
        let Some(on) = self.on(hand) else { return After::Observe };
        if self.breaks(Rule::Fence) {
            self.hands[hand].facts().fenced = true;
            return After::Plan;
        }
        match self.annotate(hand, on, None) {
            Reply::Done => {
                self.hands[hand].facts().fenced = true;
                After::Plan
            }
            reply => self.cluster_trouble(hand, reply),
        }
    }

    fn annotate(&mut self, hand: usize, on: On, pending: Option<Pending>) -> Reply {
        let in_order = self.is_in_order(hand);
        let reply = self.write(hand, Change::Annotate { on, pending: pending.map(Box::new) });
        match reply {
            Reply::Done if in_order => self.see_own_write(hand),
            Reply::Done => self.see_secret(hand),
            _ => {}
        }
        reply
    }

    fn is_in_order(&mut self, hand: usize) -> bool {
        let round = self.hands[hand].round();
        let Secret::Ours(secret) = &round.secret else { return false };
        let current = round.role.status.as_ref().and_then(|s| s.current.as_ref());
        secret.verified || current.is_some_and(|c| c.secret_resource_version == secret.resource_version)
    }

    fn render(&mut self, hand: usize) -> After {
        let current = self.hands[hand].round().role.status.as_ref().and_then(|s| s.current.clone());
        let (Some(current), Some(on)) = (current, self.on(hand)) else { return After::Observe };
        let role = self.hands[hand].role;
        let Some(secret) =
            self.cluster.secrets[role].clone().filter(|secret| (secret.uid.clone(), secret.rv.to_string()) == on)
        else {
            return After::Observe;
        };
        if secret.value.as_ref().is_none_or(|value| digest(&current.attempt, value) != current.digest) {
            self.hands[hand].facts().value_lost = true;
            return After::Plan;
        }
        let uid = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        let record = self.rendered(hand, Some(Held::from(&current)));
        if secret.record.as_ref() == Some(&record) && secret.owner.as_ref() == Some(&uid) {
            self.see_own_write(hand);
            return After::Plan;
        }
        match self.write(hand, Change::Repair { on, record: Box::new(record), value: secret.value }) {
            Reply::Done => {
                self.see_own_write(hand);
                After::Plan
            }
            Reply::Refused => self.fail(hand, TroubleKind::SecretRefused),
            reply => self.cluster_trouble(hand, reply),
        }
    }

    fn rendered(&mut self, hand: usize, held: Option<Held>) -> SecretRecord {
        let role = &self.hands[hand].round().role;
        let answers = role.status.as_ref().and_then(|s| s.handled.clone()).unwrap_or_default();
        let (role_uid, layout) = (role.metadata.uid.clone().unwrap_or_default(), book::layout(&role.spec));
        SecretRecord { v: VERSION, role_uid, held, answers, layout, ..SecretRecord::default() }
    }

    /// Each role has one workload that asks for it.
    fn workload(&self, hand: usize) -> Workload {
        let stamp = self.cluster.stamps[self.hands[hand].role].clone();
        Workload {
            kind: WorkloadKind::Deployment,
            name: "pods".into(),
            uid: "pods".into(),
            resource_version: String::new(),
            rolled_out: stamp.as_ref().is_none_or(|(_, at)| self.clock >= at + ROLLOUT),
            stamp: stamp.map(|(id, _)| id),
        }
    }

    fn survey(&mut self, hand: usize) -> After {
        if matches!(self.fault(), Fault::Lost | Fault::ReplyLost | Fault::Late | Fault::Refused) {
            return self.fail(hand, TroubleKind::Restart);
        }
        let workload = self.workload(hand);
        self.hands[hand].facts().workloads = Some(vec![workload]);
        After::Plan
    }

    fn restart(&mut self, hand: usize, restart: &Restart) -> After {
        if matches!(self.fault(), Fault::Lost | Fault::Refused) {
            return self.fail(hand, TroubleKind::Restart);
        }
        if self.workload(hand).stamp != restart.workload.stamp {
            return After::Observe;
        }
        let role = self.hands[hand].role;
        self.cluster.stamps[role] = Some((restart.token_id.clone(), self.clock));
        if matches!(self.fault(), Fault::ReplyLost | Fault::Late) {
            return self.fail(hand, TroubleKind::Restart);
        }
        let stamped = self.workload(hand);
        self.hands[hand].facts().workloads = Some(vec![stamped]);
        After::Plan
    }

    fn look_before_revoking(&mut self, hand: usize, revocation: Revocation) -> After {
        if self.fault() == Fault::Lost {
            return self.fail(hand, TroubleKind::Cluster);
        }
        self.see_secret(hand);
        if let (Secret::Ours(secret), false) = (&self.hands[hand].round().secret, revocation.put_back) {
            let Some(record) = &secret.record else { return After::Observe };
            let held = record.held.as_ref();
            let same = |attempt: &str| attempt == revocation.attempt && !revocation.stray;
            if held.is_some_and(|h| same(&h.attempt) || h.token_id == revocation.token_id) {
                return After::Observe;
            }
        }
        self.hands[hand].at = At::Looked(Box::new(revocation));
        After::Plan
    }

    fn withdraw(&mut self, hand: usize, how: Withdrawal) -> After {
        let Some(on) = self.on(hand) else { return After::Observe };
        let change = match how {
            Withdrawal::Delete => Change::Remove { on },
            Withdrawal::Empty => Change::Put { on: Some(on), record: Box::new(self.rendered(hand, None)), value: None },
        };
        match self.write(hand, change) {
            Reply::Done => {
                self.see_own_write(hand);
                After::Plan
            }
            reply => self.cluster_trouble(hand, reply),
        }
    }

    fn disown(&mut self, hand: usize) -> After {
        let Some(on) = self.on(hand) else { return After::Observe };
        let role = self.hands[hand].role;
        let value = self.cluster.secrets[role].as_ref().and_then(|secret| secret.value.clone());
        match self.write(hand, Change::Disown { on }) {
            Reply::Done => {
                if let Some(token) = value.and_then(|id| self.tfc.token_mut(&id)) {
                    token.retained = true;
                }
                self.see_secret(hand);
                self.hands[hand].facts().disowned = true;
                After::Plan
            }
            reply => self.cluster_trouble(hand, reply),
        }
    }

    /// UID and resourceVersion of the Secret as the round knows it.
    pub fn on(&mut self, hand: usize) -> Option<On> {
        match &self.hands[hand].round().secret {
            Secret::Ours(secret) => Some((secret.uid.clone(), secret.resource_version.clone())),
            _ => None,
        }
    }
}
