//! The steps that mint and revoke: a mint and the write of its value are two effects, as are the last look and the revocation.

use super::super::build::{HOST, t, time};
use super::choices::Fault;
use super::cluster::{Change, Reply};
use super::replicas::{After, At, Minted};
use super::rules::Rule;
use super::tfc::{Caller, End};
use super::{Late, World};
use crate::api::secret_record::VERSION;
use crate::api::{Held, SecretRecord};
use crate::plan::book;
use crate::plan::observed::{Secret, TroubleKind};
use crate::plan::step::{Order, Revocation};

/// Salted by the attempt, as the real one.
pub fn digest(attempt: &str, value: &str) -> String {
    format!("{attempt} {value}")
}

impl World {
    pub fn issue(&mut self, hand: usize, order: Order) -> After {
        let before = self.hands[hand].round().facts.slot.clone();
        self.hands[hand].facts().forget_at_issue();
        self.hands[hand].round().walks = 0;
        let Some(caller) = self.caller(hand) else {
            self.hands[hand].facts().gone.insert(order.attempt);
            return After::Plan;
        };
        let role = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        let subject = order.subject.to_string();
        let refusal = match self.fault() {
            _ if self.tfc.away => Some(TroubleKind::Unreachable),
            _ if !self.tfc.sees(&caller, &subject) => Some(TroubleKind::NotPermitted),
            Fault::Refused => Some(TroubleKind::Rejected),
            // No token is made that has expired.
            _ if order.expires_at <= t(self.clock) => Some(TroubleKind::Rejected),
            _ if self.tfc.refuses => Some(TroubleKind::Rejected),
            Fault::Limited => Some(TroubleKind::Limited),
            _ => None,
        };
        if let Some(kind) = refusal {
            self.say(|| format!("{hand}: the mint is refused"));
            self.hands[hand].facts().gone.insert(order.attempt);
            return self.fail(hand, kind);
        }
        self.calls += 1;
        self.check_mint(hand, &caller, &order, before.as_ref());
        let fault = self.fault();
        if fault == Fault::Late {
            self.send_late_mint(caller, role, order);
        } else if fault != Fault::Lost {
            let id = self.tfc.mint(&caller, &role, &order, self.clock);
            self.say(|| format!("{hand}: TFC made {id} for {}", order.attempt));
            match fault {
                // A proxy sent it twice. A team's second token is refused for its description, and it is that reply that arrives.
                Fault::Doubled if subject.starts_with("teams/") && !order.subject.is_slot() => {}
                Fault::Doubled => {
                    let twin = self.tfc.mint(&caller, &role, &order, self.clock);
                    for id in [&id, &twin] {
                        self.tfc.token_mut(id).expect("made").twin = true;
                    }
                    let answered = if self.choice.detail.is_multiple_of(2) { id } else { twin };
                    return self.take_value(hand, order, answered);
                }
                Fault::ReplyLost => {}
                _ => return self.take_value(hand, order, id),
            }
        }
        self.say(|| format!("{hand}: the mint gets no answer: {fault:?}"));
        self.fail(hand, TroubleKind::Ambiguous)
    }

    fn take_value(&mut self, hand: usize, order: Order, id: String) -> After {
        let token = self.tfc.token(&id).expect("made").clone();
        let role = self.hands[hand].round().role.clone();
        let intent = role.status.as_ref().and_then(|s| s.intent.clone()).unwrap_or_default();
        let held = Held {
            attempt: order.attempt.clone(),
            token_id: id.clone(),
            issued_at: Some(time(token.created)),
            expires_at: Some(time(token.expires)),
            digest: digest(&order.attempt, &id),
            ..Held::from(&intent.record)
        };
        let record = SecretRecord {
            v: VERSION,
            role_uid: role.metadata.uid.clone().unwrap_or_default(),
            held: Some(held),
            answers: intent.answers,
            layout: book::layout(&role.spec),
            ..SecretRecord::default()
        };
        let on = order.secret.clone();
        self.hands[hand].at = At::Minted(Box::new(Minted { order, record, value: id, on, doubtful: false, his: true }));
        After::Plan
    }

    /// The Secret's write, repeated until its answer is known.
    pub fn store(&mut self, hand: usize, mut minted: Minted) -> After {
        let (on, record, value) = (minted.on.clone(), Box::new(minted.record.clone()), Some(minted.value.clone()));
        let reply = self.write(hand, Change::Put { on, record, value });
        self.say(|| format!("{hand}: the Secret's write of {}: {reply:?}", minted.value));
        match reply {
            Reply::Done => self.has_won(hand, minted),
            Reply::Refused if !minted.doubtful => match minted.order.subject.is_slot() {
                true => self.fail(hand, TroubleKind::SecretRefused),
                false => self.lose(hand, minted, Some(TroubleKind::SecretRefused)),
            },
            Reply::Refused | Reply::Unknown => {
                minted.doubtful = true;
                self.hands[hand].at = At::Minted(Box::new(minted));
                After::Plan
            }
            Reply::Conflict | Reply::NotFound => self.after_conflict(hand, minted),
        }
    }

    fn has_won(&mut self, hand: usize, minted: Minted) -> After {
        // What was read and not answered may have been edited since it was written.
        if minted.doubtful {
            self.see_secret(hand);
        } else {
            self.see_own_write(hand);
        }
        let round = self.hands[hand].round();
        round.facts.minted = (!minted.doubtful).then_some(minted.order.attempt);
        round.minted = Some(minted.value);
        After::Plan
    }

    fn after_conflict(&mut self, hand: usize, mut minted: Minted) -> After {
        let role = self.hands[hand].role;
        if self.breaks(Rule::LoserReads) {
            return self.lose(hand, minted, None);
        }
        let edited = self.cluster.held(role).is_some_and(|held| held.attempt == minted.order.attempt);
        let its = |held: &Held| held.attempt == minted.order.attempt && held.token_id == minted.value;
        if self.cluster.held(role).is_some_and(its) {
            minted.doubtful = true;
            return self.has_won(hand, minted);
        }
        let seen = self.cluster.view(role, &minted.record.role_uid.clone(), 0);
        if minted.order.subject.is_slot() {
            minted.his = self.breaks(Rule::SecretThenSlot) && self.slot_is_still_his(hand, &minted);
            self.hands[hand].at = At::Beaten(Box::new(minted), Box::new(seen));
            return After::Plan;
        }
        let illegible = matches!(&seen, Secret::Ours(secret) if secret.record.is_none());
        let may_land = minted.doubtful && (minted.order.secret.is_none() || edited) || illegible;
        if may_land && !self.breaks(Rule::SettleCreate) {
            return self.fail(hand, TroubleKind::Ambiguous);
        }
        self.lose(hand, minted, None)
    }

    /// The Secret's resourceVersion was read before: if the slot is still his, the value in hand is the one that lives.
    pub fn look_at_the_slot(&mut self, hand: usize, mut minted: Minted, mut seen: Secret) -> After {
        if self.breaks(Rule::SecretThenSlot) {
            seen = self.cluster.view(self.hands[hand].role, &minted.record.role_uid, 0);
        } else {
            minted.his = self.slot_is_still_his(hand, &minted);
        }
        minted.on = match seen {
            _ if !minted.his && self.breaks(Rule::NoRevoke) => return self.lose(hand, minted, None),
            _ if !minted.his => return self.fail(hand, TroubleKind::Ambiguous),
            Secret::Ours(secret) => Some((secret.uid, secret.resource_version)),
            Secret::Absent => None,
            Secret::Foreign => return self.fail(hand, TroubleKind::Ambiguous),
        };
        self.hands[hand].at = At::Minted(Box::new(minted));
        After::Plan
    }

    fn slot_is_still_his(&mut self, hand: usize, minted: &Minted) -> bool {
        let Some(caller) = self.caller(hand) else { return false };
        if self.tfc.away {
            return false;
        }
        self.calls += 1;
        self.tfc.slot(&caller.host, &minted.order.subject.to_string()).is_some_and(|token| token.id == minted.value)
    }

    fn lose(&mut self, hand: usize, minted: Minted, kind: Option<TroubleKind>) -> After {
        self.hands[hand].at = At::Lost(Box::new(minted), kind);
        After::Plan
    }

    /// The loser revokes the token that it has just minted. Where that fails the attempt stays open, and is settled later.
    pub fn revoke_own(&mut self, hand: usize, minted: &Minted, kind: Option<TroubleKind>) -> After {
        let subject = &minted.order.subject;
        let slot = subject.is_slot().then(|| self.tfc.slot(HOST, &subject.to_string())).flatten();
        // A slot's delete names no token.
        let id = slot.map_or_else(|| minted.value.clone(), |token| token.id.clone());
        if let Some(caller) = self.caller(hand)
            && self.send_revoke(hand, &caller, &id) == Some(true)
        {
            self.hands[hand].facts().gone.insert(minted.order.attempt.clone());
        }
        match kind {
            Some(kind) => self.fail(hand, kind),
            None => After::Observe,
        }
    }

    pub fn revoke(&mut self, hand: usize, revocation: &Revocation) -> After {
        let Some(caller) = self.caller(hand) else { return After::Plan };
        self.check_revocation(hand, revocation);
        let slot = revocation.subject.is_slot();
        let there = self.send_revoke(hand, &caller, &revocation.token_id);
        let Some(there) = there else { return self.fail(hand, TroubleKind::Unreachable) };
        let attempt = revocation.attempt.clone();
        self.hands[hand].facts().strays_gone.insert(revocation.token_id.clone());
        if revocation.stray {
            return After::Plan;
        }
        if !there && !slot {
            self.hands[hand].facts().hidden.insert(attempt);
            return After::Plan;
        }
        if !there {
            // By the slot, which must hold it at the last look.
            let subject = revocation.subject.to_string();
            let held = self.tfc.slot(&caller.host, &subject).is_some_and(|token| token.id == revocation.token_id);
            if !self.tfc.sees(&caller, &subject) {
                return self.fail(hand, TroubleKind::NotPermitted);
            }
            if let Some(token) = self.tfc.token_mut(&revocation.token_id).filter(|_| held) {
                token.end = Some(End::Revoked);
            }
        }
        let facts = self.hands[hand].facts();
        facts.gone.insert(attempt);
        facts.slot = None;
        After::Plan
    }

    /// Whether there was something to revoke; `None`: nobody says.
    fn send_revoke(&mut self, hand: usize, caller: &Caller, id: &str) -> Option<bool> {
        let fault = self.fault();
        if self.tfc.away {
            return None;
        }
        self.calls += 1;
        match fault {
            Fault::Lost | Fault::Limited | Fault::Refused => return None,
            Fault::Late => {
                let at = self.clock + self.lateness(true);
                self.late.push((at, Late::Revoke(caller.clone(), id.to_owned())));
                return None;
            }
            Fault::None | Fault::ReplyLost | Fault::Doubled => {}
        }
        let there = self.tfc.revoke(caller, id);
        self.say(|| format!("{hand}: TFC revokes {id}: {there}"));
        (fault != Fault::ReplyLost).then_some(there)
    }

    /// The role is gone, and with it whoever would revoke what was minted for it.
    pub fn undo(&mut self, hand: usize) -> After {
        let Some(token) = self.hands[hand].round().minted.take() else { return After::Done };
        if let (Some(on), false) = (self.on(hand), self.breaks(Rule::CommitPoint)) {
            self.write(hand, Change::Remove { on });
        }
        if let Some(caller) = self.caller(hand) {
            self.send_revoke(hand, &caller, &token);
        }
        After::Done
    }
}
