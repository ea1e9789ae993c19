//! What people, tenants and machines do to the world, one event a choice.

use super::super::build::{HOUR, MINUTE, time};
use super::choices::{Choice, What};
use super::cluster::ApiSecret;
use super::replicas::{At, Hand};
use super::tfc::{End, Token};
use super::{LANDS_WITHIN, SENT_WITHIN, World};
use crate::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::api::role::{Rotation, SecretTemplate};
use crate::api::{ConfigReason, Pending};
use crate::plan::observed::Unready;

impl World {
    /// One event.
    pub fn happen(&mut self, choice: Choice) {
        self.choice = choice;
        let detail = choice.detail;
        let roles = self.cluster.roles.len();
        let role = usize::from(detail) % roles;
        match choice.what {
            What::Turn => self.turn(role),
            What::Round => self.finish_round(role),
            What::OtherTurn => self.turn(roles + role),
            What::OtherRound => self.finish_round(roles + role),
            What::Think => self.think(usize::from(detail) % self.hands.len()),
            What::Sleep => self.advance(sleep(detail)),
            What::Crash => self.crash(usize::from(detail) % 2),
            What::Sweep => self.sweep(),
            What::Clock => self.set_clock(detail),
            What::Wish => self.wish(role, detail),
            What::Spec => self.edit(role, detail),
            What::Value => self.touch_value(role, detail / 8),
            What::Annotation => self.tamper(role, detail / 8),
            What::Wipe => self.wipe(role),
            What::Config => self.change_config(role, detail / 8),
            What::Page => self.use_pages(role, detail / 8),
            What::Outage => self.outage(detail),
            What::Delete => self.delete(role, detail / 8),
        }
        self.choice = Choice::CALM;
    }

    /// Turns of a hand, until its round is over.
    pub fn finish_round(&mut self, hand: usize) {
        for _ in 0..400 {
            self.turn(hand);
            self.check();
            self.choice = Choice::CALM;
            if matches!(self.hands[hand].at, At::Idle) || self.broken.is_some() {
                return;
            }
        }
    }

    fn crash(&mut self, replica: usize) {
        self.say(|| format!("replica {replica} dies"));
        let roles = self.cluster.roles.len();
        for role in 0..roles {
            self.hands[replica * roles + role] = Hand::new(role);
        }
    }

    pub fn sweep(&mut self) {
        self.say(|| "a sweep".into());
        self.hands.iter_mut().for_each(|hand| hand.swept = true);
    }

    fn set_clock(&mut self, detail: u16) {
        let span = i64::from(detail / 4) % HOUR;
        match detail % 4 {
            0 => {
                // Whatever is on its way lands by the clock that it was sent by.
                self.advance(SENT_WITHIN + LANDS_WITHIN + 1);
                self.hands.iter_mut().filter(|hand| !hand.is_idle()).for_each(|hand| *hand = Hand::new(hand.role));
                self.clock -= span;
                self.say(|| format!("TFC's clock is set back by {span} s"));
            }
            1 => self.wall_off = (i64::from(detail) - 30_000) * HOUR,
            2 => self.api_off = span / 2 - HOUR / 4,
            _ => {
                let known = !self.sessions[0].clock_known;
                self.sessions[0].clock_known = known;
                self.say(|| format!("TFC's time is known: {known}"));
            }
        }
    }

    fn wish(&mut self, role: usize, detail: u16) {
        self.count += 1;
        let value = format!("wish {}", self.count);
        let names = [ANNOTATION_ROTATE, ANNOTATION_REVOKE, ANNOTATION_RENEW];
        let Some(name) = names.get(usize::from(detail / 8) % 4) else {
            self.say(|| "a wish on the config".into());
            return self.edit_config(role, |config| config.revoke_wish = Some(value));
        };
        self.say(|| format!("{name}={value} on {role}"));
        self.cluster.edit_role(role, |role| {
            drop(role.metadata.annotations.get_or_insert_default().insert((*name).into(), value));
        });
    }

    fn edit(&mut self, role: usize, detail: u16) {
        self.say(|| format!("the spec of {role} is edited ({})", detail / 8 % 6));
        let is_slot = self.is_slot;
        self.cluster.edit_spec(role, |role| match detail / 8 % 6 {
            0 | 1 => role.spec.suspend = !role.spec.suspend,
            2 if !is_slot => role.spec.ttl = Some(["1h", "30m", "48h"][usize::from(detail / 64) % 3].into()),
            3 if !is_slot => role.spec.overlap = Some(["0s", "5m"][usize::from(detail / 64) % 2].into()),
            2 => role.spec.rotation = Some(Rotation { interval: "24h".into() }),
            3 => role.spec.rotation = None,
            _ => {
                let mut secret = SecretTemplate::default();
                secret.labels.insert("team".into(), detail.to_string());
                role.spec.secret = Some(secret);
            }
        });
    }

    fn touch_value(&mut self, role: usize, detail: u16) {
        let what = detail % 4;
        self.say(|| format!("a user {} Secret {role}", ["deletes", "edits", "empties", "replaces"][usize::from(what)]));
        match what {
            0 => self.cluster.secrets[role] = None,
            1 => self.cluster.edit_secret(role, |secret| secret.value = Some("junk".into())),
            2 => self.cluster.edit_secret(role, |secret| secret.value = None),
            _ => self.cluster.put_foreign(role),
        }
    }

    /// Tenants can write Secrets, their own words into the annotations and another's.
    fn tamper(&mut self, role: usize, detail: u16) {
        let other = self.tfc.tokens.get(usize::from(detail / 16) % self.tfc.tokens.len().max(1)).cloned();
        let clock = self.clock;
        let old = self.former_secrets[role].clone();
        let what = detail % 12;
        self.say(|| format!("a tenant writes into Secret {role} ({what})"));
        self.ledger.forged.insert(role);
        let held_by = |secret: &mut ApiSecret, change: &dyn Fn(&mut crate::api::Held)| {
            secret.record.as_mut().and_then(|record| record.held.as_mut()).map(change);
        };
        self.cluster.edit_secret(role, |secret| match what {
            0 => secret.record = None,
            1 => secret.pending = None,
            2 => held_by(secret, &|held| held.issued_at = Some(time(clock + 999 * HOUR))),
            3 => held_by(secret, &|held| held.expires_at = Some(time(clock - HOUR))),
            4 => held_by(secret, &|held| held.expires_at = Some(time(clock + 9999 * HOUR))),
            5 => secret.owner = None,
            6 => {
                // Another token's id, and with it perhaps another role's.
                secret.tampered = true;
                if let Some(Token { id, subject, .. }) = &other {
                    held_by(secret, &|held| (held.token_id, held.subject) = (id.clone(), subject.clone()));
                }
            }
            7 => {
                secret.tampered = true;
                held_by(secret, &|held| held.attempt = "forged".into());
            }
            8 => {
                secret.tampered = true;
                if let Some((_, attempt)) = other.as_ref().and_then(|token| token.maker.as_ref()) {
                    held_by(secret, &|held| held.attempt.clone_from(attempt));
                }
            }
            9 => {
                secret.tampered = true;
                if let Some(record) = &mut secret.record {
                    record.held = None;
                }
            }
            10 => {
                let expiry = other.as_ref().map(|token| time(token.expires));
                secret.pending = Some(Pending {
                    attempt: "forged".into(),
                    requested_expiry: expiry,
                    since: Some(time(clock - HOUR)),
                    ..Pending::default()
                });
            }
            // Value and record of an earlier day.
            _ => {
                secret.tampered = true;
                if let Some(old) = &old {
                    secret.restored = old.value.clone().filter(|value| secret.value.as_ref() != Some(value));
                    (secret.record, secret.value) = (old.record.clone(), old.value.clone());
                }
            }
        });
    }

    fn wipe(&mut self, role: usize) {
        self.say(|| format!("the status of {role} is wiped"));
        self.ledger.forget(role);
        self.cluster.edit_role(role, |role| role.status = None);
    }

    fn edit_config(&mut self, role: usize, change: impl FnOnce(&mut crate::plan::observed::Config)) {
        let at = self.cluster.roles[role].config;
        let session = &mut self.sessions[at];
        session.epoch += 1;
        session.config.as_mut().map(change);
    }

    fn change_config(&mut self, role: usize, detail: u16) {
        let what = detail % 9;
        self.say(|| format!("the config of {role} changes ({what})"));
        let at = self.cluster.roles[role].config;
        let original = self.sessions[at].original.clone();
        match what {
            0 => self.edit_config(role, |config| {
                config.account = Err(Unready { reason: Some(ConfigReason::Unauthorized) });
            }),
            1 => self.edit_config(role, |config| {
                if let Ok(account) = &mut config.account {
                    account.id = "user-7".into();
                }
            }),
            2 => self.edit_config(role, |config| config.host = "tfe.example.com".into()),
            3 => self.edit_config(role, |config| {
                config.allow = if config.allow == original.allow { Some(Vec::new()) } else { original.allow };
            }),
            4 => self.edit_config(role, |config| config.deleting = !config.deleting),
            5 => self.edit_config(role, |config| config.abandon_unproven = !config.abandon_unproven),
            6 => {
                self.sessions[at].config = None;
                self.sessions[at].epoch += 1;
            }
            7 => {
                let id = original.account.as_ref().map(|account| account.id.clone()).unwrap_or_default();
                if let Some(at) = self.tfc.blind.iter().position(|blind| *blind == id) {
                    self.tfc.blind.remove(at);
                } else {
                    self.tfc.blind.push(id);
                }
            }
            _ => {
                self.sessions[at].config = Some(original);
                self.sessions[at].epoch += 1;
            }
        }
    }

    fn use_pages(&mut self, role: usize, detail: u16) {
        let what = detail % 4;
        self.say(|| format!("at TFC, for {role} ({what})"));
        match what {
            0 if self.is_slot => self.regenerate(role),
            0 | 1 => {
                let value = self.cluster.secrets[role].as_ref().and_then(|secret| secret.value.clone());
                if let Some(token) = value.and_then(|id| self.tfc.token_mut(&id)).filter(|token| token.lives()) {
                    token.end = Some(End::ByHand);
                }
            }
            2 => self.tfc.longest = if self.tfc.longest.is_some() { None } else { Some(20 * HOUR) },
            _ => self.tfc.by_slot_only = !self.tfc.by_slot_only,
        }
    }

    fn regenerate(&mut self, role: usize) {
        let object = &self.cluster.roles[role].object;
        let spec = object.as_ref().map(|role| role.spec.clone()).unwrap_or_default();
        let subject = match spec.organization {
            Some(organization) => format!("organizations/{}", organization.name),
            None => "teams/team-1/legacy".into(),
        };
        self.tfc.make(Token {
            id: String::new(),
            host: super::super::build::HOST.into(),
            subject,
            maker: None,
            account: "user-9".into(),
            created: self.clock,
            expires: self.clock + 9999 * HOUR,
            end: None,
            used: true,
            twin: false,
            retained: false,
        });
    }

    fn outage(&mut self, detail: u16) {
        let switch = [
            &mut self.tfc.away,
            &mut self.tfc.refuses,
            &mut self.cluster.refuses_data,
            &mut self.cluster.refuses_secrets,
        ];
        let what = usize::from(detail % 4);
        self.refusing_since = self.count;
        for (at, on) in switch.into_iter().enumerate() {
            *on ^= at == what;
        }
        self.say(|| format!("switched: {}", ["TFC is away", "mints refused", "data refused", "Secrets refused"][what]));
    }

    fn delete(&mut self, role: usize, detail: u16) {
        match detail % 4 {
            0 if self.cluster.roles.len() > 1 || detail & 0x40 != 0 => {
                self.say(|| format!("role {role} is deleted by force"));
                self.ledger.forget(role);
                self.cluster.roles[role].object = None;
            }
            1 => {
                self.say(|| "the namespace is deleted".into());
                self.cluster.namespace_going = true;
                for role in 0..self.cluster.roles.len() {
                    self.cluster.delete_role(role);
                }
                if detail & 0x40 != 0 {
                    self.cluster.secrets.iter_mut().for_each(|secret| *secret = None);
                }
            }
            _ => {
                self.say(|| format!("role {role} is deleted"));
                self.cluster.delete_role(role);
            }
        }
    }
}

fn sleep(detail: u16) -> i64 {
    let spans = [1, 5, 15, MINUTE, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR];
    spans[usize::from(detail) % spans.len()] + i64::from(detail >> 8) % 5
}
