//! What must hold: after each effect, with each write of a status, at each mint and revocation, and in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::super::build::{HOST, t};
use super::act::ROLLOUT;
use super::replicas::records;
use super::tfc::{Caller, End, Token};
use super::{Late, World, slot_key};
use crate::api::{Record, RoleReason, Source, TerraformCloudRoleStatus};
use crate::plan::book::is_slot;
use crate::plan::observed::SlotLook;
use crate::plan::step::{Note, Order, Revocation};

/// What the checks remember of a history.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Attempts whose intent was written down, with their role.
    begun: BTreeMap<String, usize>,
    /// Attempts that were recorded as predecessors or as unsettled.
    recorded: BTreeSet<String>,
    /// Attempts whose mint was sent.
    sent: BTreeSet<String>,
    /// Attempts whose records somebody destroyed. What was used of them is left to its expiry.
    lost: BTreeSet<String>,
    /// Attempts that were given up because the config said so.
    abandoned: BTreeSet<String>,
    /// Roles into whose Secrets a tenant wrote.
    pub forged: BTreeSet<usize>,
}

impl Ledger {
    /// Somebody destroys the records of a role.
    pub fn forget(&mut self, role: usize) {
        self.lost.extend(self.begun.iter().filter(|(_, its)| **its == role).map(|(attempt, _)| attempt.clone()));
    }

    /// No record knows of this attempt any more, and that is nobody's mistake.
    fn is_forgotten(&self, attempt: &str) -> bool {
        self.lost.contains(attempt) || self.abandoned.contains(attempt)
    }
}

impl World {
    /// No Secret holds a token that the operator revoked, unless a tenant put it there.
    pub fn check(&mut self) {
        for at in 0..self.cluster.secrets.len() {
            let Some(secret) = self.cluster.secrets[at].as_ref().filter(|secret| !secret.tampered) else { continue };
            // Without an owner it is that role's which its record names; without both it is nobody's.
            let its = secret.owner.as_ref().or(secret.record.as_ref().map(|record| &record.role_uid));
            let owned = its.is_some_and(|uid| self.cluster.role_lives(uid));
            let value = secret.value.as_deref().filter(|_| owned && secret.restored != secret.value);
            let Some(token) = value.and_then(|id| self.tfc.token(id)) else { continue };
            let (revoked, id) = (token.end == Some(End::Revoked), token.id.clone());
            self.must(!revoked, || format!("Secret {at} holds {id}, which was revoked"));
        }
    }

    /// Token whose value stands in a role's Secret.
    pub fn value_of(&self, role: usize) -> Option<Token> {
        self.tfc.token(self.cluster.secrets[role].as_ref()?.value.as_deref()?).cloned()
    }

    /// A Secret was written: a slot's dead value has not taken the place of its live one.
    pub fn check_value(&mut self, role: usize, before: Option<Token>) {
        let (Some(before), Some(after)) = (before, self.value_of(role)) else { return };
        // A value that was held up until it expired is no more than late.
        let worse = before.lives() && after.end == Some(End::Replaced) && before.id != after.id;
        self.must(!worse, || {
            format!("Secret {role} held {}, which lives, and holds {}, which does not", before.id, after.id)
        });
    }

    /// A status was written.
    pub fn check_status(
        &mut self,
        role: usize,
        old: Option<&TerraformCloudRoleStatus>,
        new: &TerraformCloudRoleStatus,
    ) {
        for attempt in attempts(new) {
            self.ledger.lost.remove(attempt);
        }
        if let Some(intent) = &new.intent {
            self.ledger.begun.insert(intent.record.attempt.clone(), role);
        }
        let open = new.unsettled.iter().map(|u| &u.record).chain(&new.predecessors);
        self.ledger.recorded.extend(open.map(|record| record.attempt.clone()));
        let Some(old) = old else { return self.check_adoption(role, None, new) };
        if self.cluster.roles[role].object.as_ref().is_some_and(|object| object.spec.retains()) {
            self.retain(role, old, new);
        }
        self.check_adoption(role, Some(old), new);
        let kept: Vec<&str> = attempts(new).collect();
        for attempt in attempts(old).filter(|attempt| !kept.contains(attempt)) {
            if self.ledger.abandoned.contains(attempt) {
                continue;
            }
            let named = |token: &Token| named(new, &token.id);
            let lives = |token: &&Token| {
                token.lives() && !named(token) && token.is_of(attempt) && !token.twin && !token.retained
            };
            let alive = self.tfc.tokens.iter().find(lives).map(|token| token.id.clone());
            let under_way =
                self.late.iter().any(|(_, late)| matches!(late, Late::Mint(_, _, order) if order.attempt == attempt));
            self.must(alive.is_none() && !under_way, || {
                format!(
                    "{attempt} is forgotten, and {alive:?} lives or is on its way: {} to {}",
                    records(old),
                    records(new)
                )
            });
        }
    }

    /// `Retain`: what is let go with the role stays alive.
    fn retain(&mut self, role: usize, old: &TerraformCloudRoleStatus, new: &TerraformCloudRoleStatus) {
        let let_go = old.current.as_ref().filter(|_| self.cluster.roles[role].is_going() && new.current.is_none());
        if let Some(token) = let_go.and_then(|c| self.tfc.token_mut(c.token_id.as_deref()?)) {
            token.retained = true;
        }
    }

    /// What becomes the current token is what TFC made for this role and attempt, or has been asked about.
    fn check_adoption(&mut self, role: usize, old: Option<&TerraformCloudRoleStatus>, new: &TerraformCloudRoleStatus) {
        let Some(current) = &new.current else { return };
        let before = old.and_then(|old| old.current.as_ref()).map(|c| &c.attempt);
        let begun = old.and_then(|old| old.intent.as_ref()).map(|i| &i.record.attempt);
        if before == Some(&current.attempt) || self.cluster.roles[role].is_going() {
            return;
        }
        let uid = &self.cluster.roles[role].uid;
        let token = current.token_id.as_ref().and_then(|id| self.tfc.token(id));
        let its =
            token.is_some_and(|token| token.maker.as_ref().is_some_and(|(by, a)| by == uid && *a == current.attempt));
        let asked = current.source == Source::Secret && (begun == Some(&current.attempt) || is_slot(&current.subject));
        self.must(its || asked, || format!("adopted what TFC does not confirm: {current:?}"));
    }

    /// The record gives up on these.
    pub fn give_up(&mut self, notes: &[Note]) {
        for note in notes {
            if let Note::Abandoned(record) = note {
                self.ledger.abandoned.insert(record.attempt.clone());
            }
        }
    }

    pub fn check_mint(&mut self, hand: usize, caller: &Caller, order: &Order, before: Option<&SlotLook>) {
        let role = self.hands[hand].role;
        let attempt = &order.attempt;
        let begun = self.ledger.begun.get(attempt) == Some(&role);
        self.must(begun, || format!("{attempt} is minted before its intent is written"));
        let once = self.ledger.sent.insert(attempt.clone());
        self.must(once, || format!("{attempt} is sent a second time"));
        let round = self.hands[hand].round();
        let going = round.role.metadata.deletion_timestamp.is_some();
        let takes = |s: &TerraformCloudRoleStatus| s.current.as_ref().is_none_or(|c| c.host != caller.host);
        let told = round
            .role
            .status
            .as_ref()
            .is_some_and(|s| s.taken_over_by.is_some() || takes(s) && round.role.spec.may_replace());
        let intended = round.role.status.as_ref().and_then(|s| s.intent.as_ref()).map(|i| i.record.host.clone());
        self.must(!going, || format!("{attempt} is minted for a role that goes"));
        self.must(intended.as_ref() == Some(&caller.host), || {
            format!("{attempt} is minted at another host than intended")
        });
        if !order.subject.is_slot() {
            return;
        }
        let subject = order.subject.to_string();
        let uid = &self.cluster.roles[role].uid;
        let key = slot_key(&caller.host, &subject);
        let holds = self.cluster.leases.get(&key) == Some(uid) || !self.cluster.role_lives(uid);
        self.must(holds, || format!("role {role} mints on a slot that another holds"));
        let refuses = self.cluster.refuses_data || self.cluster.refuses_secrets;
        let begun_count = self.hands[hand].round().begun_count;
        let in_vain = refuses && self.refusing_since < begun_count;
        self.must(!in_vain, || "a slot is minted whose Secret has long been refused".into());
        let seen = before.and_then(|look| look.token.as_ref()).map(|token| token.id.as_str());
        let theirs = self
            .tfc
            .slot(&caller.host, &subject)
            .filter(|token| token.maker.is_none() && Some(token.id.as_str()) == seen);
        let innocent = theirs.is_none() || told || self.ledger.forged.contains(&role);
        self.must(innocent, || "minted over a person's token".into());
    }

    pub fn check_revocation(&mut self, hand: usize, revocation: &Revocation) {
        let role = self.hands[hand].role;
        let uid = self.hands[hand].round().role.metadata.uid.clone().unwrap_or_default();
        let Some(token) = self.tfc.token(&revocation.token_id).cloned() else { return };
        // Somebody put it back, by the planner's word: what stands there from now on is that somebody's doing.
        if revocation.put_back {
            let forged = self.ledger.forged.contains(&role);
            self.must(forged, || format!("{} is revoked in the Secret into which nobody wrote", token.id));
            if let Some(secret) = self.cluster.secrets[role].as_mut().filter(|s| s.value.as_ref() == Some(&token.id)) {
                secret.restored = Some(token.id.clone());
            }
        }
        let twice = token.end == Some(End::Revoked) && self.hands[hand].facts().gone.contains(&revocation.attempt);
        self.must(!twice, || format!("{} is revoked twice in one round", token.id));
        if !token.lives() {
            return;
        }
        let own = token.maker.as_ref().is_some_and(|(by, _)| *by == uid);
        self.must(own, || format!("role {role} revokes {}, which is not its own: {token:?}", token.id));
        if revocation.stray {
            return self.must(!token.used, || format!("{} is unknown, in use, and revoked", token.id));
        }
        let recorded = self.ledger.recorded.contains(&revocation.attempt);
        self.must(recorded, || format!("{} is revoked before a record says so", token.id));
        let current = self.cluster.roles[role].status().and_then(|status| status.current.as_ref());
        let is_current =
            current.is_some_and(|c| c.attempt == revocation.attempt && c.token_id.as_ref() == Some(&token.id));
        self.must(
            !is_current || token.maker.as_ref().is_none_or(|(by, _)| *by != self.cluster.roles[role].uid),
            || format!("{} is revoked, and recorded as the current one", token.id),
        );
    }

    /// After the last fault: every role is served, or says why not, and nothing else lives.
    pub fn expect_served(&mut self) {
        for role in 0..self.cluster.roles.len() {
            if self.cluster.roles[role].is_going() {
                continue;
            }
            self.expect_role_served(role);
        }
        self.expect_nothing_unknown();
    }

    fn expect_role_served(&mut self, role: usize) {
        let object = self.cluster.roles[role].object.clone().expect("not going");
        let status = object.status.clone().unwrap_or_default();
        let said = |reason: RoleReason| status.conditions.iter().any(|c| c.reason == reason.as_str());
        let rest = records(&status);
        // A former token is held until the workloads that were restarted have rolled out.
        let now = t(self.clock - 60 - ROLLOUT);
        let overdue = |p: &&Record| p.revoke_at.as_ref().is_none_or(|at| at.0 <= now) && !is_out_of_sight(p);
        let overdue = status.predecessors.iter().find(overdue).map(|p| p.attempt.clone());
        self.must(overdue.is_none(), || format!("role {role}: {overdue:?} is overdue: {rest}"));
        // What stands in the Secret is of another host: nobody can look whether it lives.
        let elsewhere = status.current.as_ref().is_some_and(is_out_of_sight);
        if self.is_stalled_rightly(role, &status) || elsewhere {
            return;
        }
        let open = status.intent.iter().chain(&status.unsettled).find(|attempt| !is_out_of_sight(&attempt.record));
        self.must(open.is_none(), || format!("role {role}: open in the end: {rest}"));
        let unproven = said(RoleReason::RevocationUnproven) && status.predecessors.iter().any(is_out_of_sight);
        if (said(RoleReason::Expired) || unproven) && !object.spec.renews() {
            return;
        }
        let secret = self.cluster.secrets[role].as_ref();
        let value = secret.and_then(|secret| secret.value.clone());
        let alive = value.as_ref().and_then(|id| self.tfc.token(id)).is_some_and(Token::lives);
        let reasons: Vec<&str> = status.conditions.iter().map(|c| c.reason.as_str()).collect();
        self.must(alive, || format!("role {role} holds no live token: {value:?}, {reasons:?}, {rest}"));
        let recorded = status.current.as_ref().and_then(|c| c.token_id.clone());
        self.must(recorded == value, || format!("role {role} holds {value:?} and records {recorded:?}"));
        let ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        self.must(ready, || format!("role {role} is served and does not say so: {reasons:?}"));
    }

    /// Somebody else has the slot, and the role says so.
    fn is_stalled_rightly(&self, role: usize, status: &TerraformCloudRoleStatus) -> bool {
        let said = |reason: RoleReason| status.conditions.iter().any(|c| c.reason == reason.as_str());
        let slot = self.slot_token();
        let theirs = slot.is_some_and(|token| token.maker.is_none());
        let forgotten =
            slot.and_then(|t| t.maker.as_ref()).is_some_and(|(_, attempt)| self.ledger.is_forgotten(attempt));
        // What the Secret says of a slot's token does not tell it from its twin, whose expiry the server cut.
        let cut_twin = status.current.as_ref().is_some_and(|c| {
            let cut = |twin: &&Token| c.expires_at.as_ref().is_some_and(|end| end.0 > t(twin.expires));
            c.source == Source::Secret && slot.filter(|token| token.twin).as_ref().is_some_and(cut)
        });
        let others_now = status.predecessors.iter().any(is_by_another);
        let others = self
            .cluster
            .leases
            .values()
            .any(|uid| *uid != self.cluster.roles[role].uid && self.cluster.role_lives(uid));
        let moved = status.subject_id.as_deref() == Some("user-7");
        said(RoleReason::NotPermitted) && moved
            || said(RoleReason::TakenOver) && (theirs || forgotten || cut_twin)
            || said(RoleReason::SlotOccupied) && (theirs || forgotten || others_now)
            || said(RoleReason::Conflict) && others
    }

    fn slot_token(&self) -> Option<&Token> {
        self.tfc.tokens.iter().rev().find(|token| token.lives() && is_slot(&token.subject) && token.host == HOST)
    }

    /// Whatever lives at TFC is in its Secret, is recorded with its end, was let go, or was used and is known to nobody.
    pub fn expect_nothing_unknown(&mut self) {
        let recorded: BTreeSet<String> = self
            .cluster
            .roles
            .iter()
            .filter_map(|role| role.status())
            .flat_map(|status| attempts(status).map(str::to_owned))
            .collect();
        // An id that came by way of the Secret does not tell a token from its twin.
        let by_word: BTreeSet<String> = self
            .cluster
            .roles
            .iter()
            .filter_map(|role| role.status()?.current.as_ref())
            .filter(|current| current.source == Source::Secret)
            .map(|current| current.attempt.clone())
            .collect();
        let in_secrets: Vec<String> = self
            .cluster
            .roles
            .iter()
            .zip(&self.cluster.secrets)
            .filter(|(role, _)| role.object.is_some())
            .filter_map(|(_, secret)| secret.as_ref()?.value.clone())
            .collect();
        let unknown = |token: &&Token| {
            let Some((by, attempt)) = &token.maker else { return false };
            let excused = token.retained
                || self.ledger.abandoned.contains(attempt)
                || self.ledger.lost.contains(attempt)
                    && (token.used
                        || self.is_in_no_list_of(by, token)
                        || is_slot(&token.subject)
                        || token.host != HOST
                        || token.subject == "users/user-7")
                || token.twin
                    && (by_word.contains(attempt) || !self.cluster.role_lives(by) || token.used || token.host != HOST);
            // What is current stands in the Secret, or nowhere.
            let named = self.cluster.roles.iter().filter_map(|role| role.status()).any(|s| named(s, &token.id));
            token.lives() && !named && !excused && !in_secrets.contains(&token.id) && !recorded.contains(attempt)
        };
        let unknown = self.tfc.tokens.iter().find(unknown).cloned();
        self.must(unknown.is_none(), || format!("it lives, and nobody knows: {unknown:?}"));
    }

    /// The role is gone, or stands for somebody else since its config changed hands: it lists another's tokens.
    fn is_in_no_list_of(&self, role: &str, token: &Token) -> bool {
        let role = self.cluster.roles.iter().find(|known| known.uid == role && known.object.is_some());
        let subject = role.and_then(|role| role.status()?.subject_id.as_deref());
        role.is_none() || subject.is_some_and(|id| !token.subject.ends_with(id))
    }

    pub fn expect_gone(&mut self, role: usize) {
        let status = self.cluster.roles[role].status().map(records);
        self.must(self.cluster.roles[role].object.is_none(), || format!("role {role} does not go: {status:?}"));
        self.expect_nothing_unknown();
    }
}

/// What was minted while the config pointed elsewhere, or for the account that it had then: nobody can prove that it is dead before it
/// expires.
fn is_out_of_sight(record: &Record) -> bool {
    record.host != HOST || record.subject == "users/user-7" || is_by_another(record)
}

/// By what the Secret said, the account that the config had for a while made this slot's token.
fn is_by_another(record: &Record) -> bool {
    record.account == "user-7" && record.source == Source::Secret && is_slot(&record.subject)
}

/// Whether a role waits for an expiry because of those.
pub fn waits_for_expiry(status: &TerraformCloudRoleStatus) -> bool {
    let open = status.intent.iter().chain(&status.unsettled).map(|intent| &intent.record);
    status.current.iter().chain(&status.predecessors).chain(open).any(is_out_of_sight)
}

/// Whether a record names this token, by whatever attempt.
fn named(status: &TerraformCloudRoleStatus, id: &str) -> bool {
    status.current.iter().chain(&status.predecessors).any(|record| record.token_id.as_deref() == Some(id))
}

fn attempts(status: &TerraformCloudRoleStatus) -> impl Iterator<Item = &str> {
    let records = status.current.iter().chain(&status.predecessors);
    let open = status.intent.iter().chain(&status.unsettled).map(|intent| &intent.record);
    records.chain(open).map(|record| record.attempt.as_str())
}
