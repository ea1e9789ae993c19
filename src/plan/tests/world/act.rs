//! What a replica does with its turn: one read, or one effect, as the table of steps has it.

use super::super::build::{HOST, time};
use super::MarkedToken;
use super::{ApiSecret, At, LANDS_WITHIN, Late, SENT_WITHIN, STEPS_A_ROUND, World, Write};
use crate::api::{Held, Pending, SecretRecord, TerraformCloudRole};
use crate::plan::book;
use crate::plan::observed::{Observed, OurSecret, Reservation, Secret, Shown, TroubleKind, Walk};
use crate::plan::step::{Inspection, Order, Revocation, Step, Withdrawal};

impl World {
    pub(super) fn turn(&mut self, one: usize) {
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
            Step::Begin(status) => {
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
                    Some(token) => token.attempt.clone().map_or(Shown::Foreign, |attempt| {
                        Shown::Ours(MarkedToken {
                            id: id.clone(),
                            attempt,
                            used: token.used,
                            issued_at: super::super::build::t(token.created),
                            expires_at: Some(super::super::build::t(token.expires)),
                        })
                    }),
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
        self.check_slot(one);
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
            record.held = Some(Held::from(&current));
        });
    }

    fn revoke(&mut self, one: usize, revocation: &Revocation) {
        if self.holds(&revocation.attempt) && !revocation.stray {
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
        if revocation.stray {
            facts.strays_gone.insert(revocation.token_id.clone());
            return;
        }
        let answer = if alive { &mut facts.gone } else { &mut facts.hidden };
        answer.insert(revocation.attempt.clone());
    }
}

fn observed(o: &Observed) -> Option<(String, String)> {
    match &o.secret {
        Secret::Ours(secret) => Some((secret.uid.clone(), secret.resource_version.clone())),
        _ => None,
    }
}
