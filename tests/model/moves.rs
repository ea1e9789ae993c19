//! What a move does: faults of requests and replicas, and what people do at any moment.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tfc_token_operator::api::ConfigReason;
use tfc_token_operator::api::names::{
    ANNOTATION_RECORD, ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE, LABEL_MANAGED_BY, LABEL_ROLE,
};
use tfc_token_operator::plan::observed::{Account, AccountKind, Unready};

use crate::choices::Move;
use crate::history::{Flight, History};
use crate::replica::now;
use crate::servers::{LANDS_WITHIN, ROLE, SECRET};
use crate::time::{at, date};
use crate::wire::{Heard, Reply, Server};

type Judged = Result<(), String>;

const SPANS: [u64; 8] = [1, 3, 10, 40, 130, 400, 1800, 7200];

impl History {
    /// One move.
    pub async fn tick(&mut self, [what, one, other]: Move) -> Judged {
        match what % 100 {
            0 => return self.ordinary().await,
            1..=29 if !self.flights.is_empty() => {
                let flight = self.flights.remove(usize::from(one) % self.flights.len());
                self.answer(flight);
            }
            30..=47 if !self.flights.is_empty() => {
                let flight = self.flights.remove(usize::from(one) % self.flights.len());
                self.fault(flight, other);
            }
            48..=53 => self.crash(usize::from(one % 2), other),
            54..=57 => self.freeze(usize::from(one % 2)),
            58..=61 => {
                let who = usize::from(one % 2);
                if !self.replicas[who].frozen && !(self.replicas[who].is_busy() && !self.replicas[who].leads()) {
                    self.elect(who);
                }
            }
            62..=66 => {
                let who = usize::from(one % 2);
                if self.replicas[who].is_free() {
                    self.begin(who);
                }
            }
            67..=74 => {
                let span = Duration::from_secs(SPANS[usize::from(one) % SPANS.len()]);
                self.say(|| format!("{span:?} pass"));
                return self.advance(span, other % 3 == 0).await;
            }
            75..=99 => self.people(one, other),
            _ => return self.ordinary().await,
        }
        self.settle().await
    }

    fn fault(&mut self, mut flight: Flight, how: u16) {
        let (is_tfc, is_mint) = (flight.sent.server == Server::Tfc, flight.sent.method == "POST");
        let number = u64::from(how / 32);
        let said = |name: &str, flight: &Flight| {
            format!("   {}: {name}: {} {}", flight.who, flight.sent.method, flight.sent.path)
        };
        let refusal = |status: u16| Reply {
            status,
            body: json!({"message": "refused", "errors": [{"status": status.to_string(), "title": "refused"}]})
                .to_string()
                .into_bytes(),
            date: date(now(), SignedDuration::ZERO),
            json: true,
            reset: None,
            cut: false,
        };
        match how % 16 {
            0 | 1 => {
                self.say(|| said("the request is lost", &flight));
                let heard = if how.is_multiple_of(2) { Heard::NotSent } else { Heard::Lost };
                self.tell(flight.reply.take(), heard);
            }
            2 | 3 => {
                self.say(|| said("the reply is lost", &flight));
                self.act(flight.who, &flight.sent);
                self.tell(flight.reply.take(), Heard::Lost);
            }
            4..=6 => {
                self.say(|| said("it is late", &flight));
                flight.held_until = Some((now() + Duration::from_secs(1 + number % 54)).min(flight.at + LANDS_WITHIN));
                if how % 16 == 6 {
                    self.tell(flight.reply.take(), Heard::Lost);
                }
                self.flights.push(flight);
            }
            7 => {
                self.say(|| said("the reply is late", &flight));
                let reply = self.act(flight.who, &flight.sent);
                flight.acted = Some(reply);
                flight.held_until = Some((now() + Duration::from_secs(1 + number % 40)).min(flight.at + LANDS_WITHIN));
                self.flights.push(flight);
            }
            // A mint that comes twice makes two tokens of one attempt: no proxy repeats a POST.
            8 if !(is_tfc && is_mint) => {
                self.say(|| said("it comes twice", &flight));
                let first = self.act(flight.who, &flight.sent);
                let second = self.act(flight.who, &flight.sent);
                let reply = if number.is_multiple_of(2) { first } else { second };
                self.tell(flight.reply.take(), Heard::Reply(reply));
            }
            9 | 10 => {
                let statuses: &[u16] = match (is_tfc, is_mint) {
                    (true, true) => &[401, 403, 404, 409, 422],
                    (true, false) => &[401, 403, 422],
                    (false, _) => &[403, 422, 409],
                };
                let status = statuses[usize::try_from(number).unwrap_or_default() % statuses.len()];
                self.say(|| said(&format!("refused with {status}"), &flight));
                self.tell(flight.reply.take(), Heard::Reply(refusal(status)));
            }
            11 => {
                self.say(|| said("500, not done", &flight));
                self.tell(flight.reply.take(), Heard::Reply(refusal(500)));
            }
            12 => {
                self.say(|| said("503, done", &flight));
                self.act(flight.who, &flight.sent);
                self.tell(flight.reply.take(), Heard::Reply(refusal(503)));
            }
            13 => {
                self.say(|| said("its reply breaks off", &flight));
                let reply = self.act(flight.who, &flight.sent);
                self.tell(flight.reply.take(), Heard::Reply(Reply { cut: true, ..reply }));
            }
            14 if !self.date_was_wrong => {
                self.say(|| said("a wrong date", &flight));
                let wrong_by = if number.is_multiple_of(2) {
                    SignedDuration::from_hours(1)
                } else {
                    SignedDuration::from_hours(-1)
                };
                let reply = self.act(flight.who, &flight.sent);
                self.date_was_wrong = true;
                self.tell(flight.reply.take(), Heard::Reply(Reply { date: date(now(), wrong_by), ..reply }));
            }
            15 => {
                let reset = [1, 20, 60][usize::try_from(number % 3).unwrap_or_default()];
                self.say(|| said(&format!("429, {reset} s"), &flight));
                self.tell(flight.reply.take(), Heard::Reply(Reply { reset: Some(reset), ..refusal(429) }));
            }
            _ => self.answer(flight),
        }
    }

    fn crash(&mut self, who: usize, how: u16) {
        if self.replicas[who].process.is_none() {
            return;
        }
        self.say(|| format!("{who}: dies"));
        self.replicas[who].crash();
        // What it sent was never sent, lands at once, or late.
        let mut flights = std::mem::take(&mut self.flights);
        flights.retain_mut(|flight| {
            if flight.who != who {
                return true;
            }
            flight.reply = None;
            let wait = Duration::from_secs(u64::from(how / 4) % 54);
            flight.held_until.get_or_insert((now() + wait).min(flight.at + LANDS_WITHIN));
            how % 4 != 0
        });
        self.flights = flights;
    }

    fn freeze(&mut self, who: usize) {
        if self.replicas[who].frozen {
            self.thaw(who);
        } else if self.replicas[who].process.is_some() {
            self.replicas[who].frozen = true;
            self.say(|| format!("{who}: stops"));
        }
    }

    fn people(&mut self, what: u16, how: u16) {
        self.serial += 1;
        let value = format!("{}", self.serial);
        match what % 26 {
            0 | 1 => self.wish(ANNOTATION_ROTATE, &value),
            2 | 3 => self.wish(ANNOTATION_REVOKE, &value),
            4 => self.wish(ANNOTATION_RENEW, &value),
            5 | 6 => {
                self.servers.api.remove(SECRET, "");
                self.person_changed(SECRET, "deletes the Secret");
            }
            7 => {
                self.servers.api.edit(SECRET, |secret| secret["data"]["token"] = "ZWRpdGVk".into());
                self.person_changed(SECRET, "edits the value");
            }
            8 | 9 => {
                self.servers.api.edit(SECRET, |secret| drop(annotations(secret).map(|a| a.remove(ANNOTATION_RECORD))));
                self.person_changed(SECRET, "removes the record");
            }
            10 => {
                self.servers.api.edit(SECRET, |secret| {
                    let labels = secret["metadata"]["labels"].as_object_mut();
                    labels.map(|labels| labels.retain(|name, _| name != LABEL_MANAGED_BY && name != LABEL_ROLE));
                    secret["metadata"]["annotations"]["note"] = value.clone().into();
                });
                self.person_changed(SECRET, "relabels the Secret");
            }
            11 => {
                self.servers.api.edit(SECRET, |secret| {
                    drop(secret["metadata"].as_object_mut().map(|m| m.remove("ownerReferences")))
                });
                self.person_changed(SECRET, "takes the owner off the Secret");
            }
            12 if how % 3 == 0 => {
                self.wiped = true;
                self.servers.api.edit(ROLE, |role| drop(role.as_object_mut().map(|role| role.remove("status"))));
                self.person_changed(ROLE, "wipes the status");
            }
            13 => {
                self.servers.api.edit(ROLE, |role| {
                    let suspended = role["spec"]["suspend"] == true;
                    role["spec"]["suspend"] = (!suspended).into();
                });
                self.person_changed(ROLE, "switches suspend");
            }
            14 if !self.is_slot() => {
                let ttl = ["1h", "48h", "20m"][usize::from(how % 3)];
                self.servers.api.edit(ROLE, |role| role["spec"]["ttl"] = ttl.into());
                self.person_changed(ROLE, "changes the ttl");
            }
            15 => {
                self.servers.api.edit(ROLE, |role| role["spec"]["secret"] = json!({"labels": {"a": value}}));
                self.person_changed(ROLE, "changes the Secret's labels");
            }
            16 => {
                let allow = &mut self.config.terms.allow;
                *allow = if allow.is_some() { None } else { Some(Vec::new()) };
                self.say(|| "admission changes".into());
                self.config_changed();
            }
            17 => {
                self.config.account = match &self.config.account {
                    Ok(_) => Err(Unready { reason: Some(ConfigReason::Unreachable) }),
                    Err(_) => Ok(Account {
                        id: "user-ci".into(),
                        kind: AccountKind::User,
                        token_id: Some("at-config".into()),
                    }),
                };
                self.say(|| "the account is away, or back".into());
                self.config_changed();
            }
            18 => {
                let going = !self.config.namespace_going;
                (self.config.namespace_going, self.servers.api.namespace_going) = (going, going);
                self.say(|| format!("the namespace is going: {going}"));
                self.config_changed();
            }
            19 | 20 => {
                self.servers.api.remove(ROLE, &at(now()).to_string());
                self.person_changed(ROLE, "deletes the role");
            }
            21 => {
                if self.servers.api.object(ROLE).is_none() {
                    self.apply_role(how.is_multiple_of(2));
                    self.say(|| "a person applies the role anew".into());
                }
            }
            22 if how % 4 == 0 => {
                self.orphaned = true;
                self.servers.api.edit(ROLE, |role| role["metadata"]["finalizers"] = json!([]));
                self.person_changed(ROLE, "strips the finalizers");
            }
            23 if self.is_slot() && how % 2 == 0 => {
                self.servers.person_regenerates_slot();
                self.say(|| "a person regenerates the slot".into());
            }
            24 => {
                self.servers.pod_uses_secret();
                self.say(|| "a pod uses the token".into());
            }
            25 if self.is_slot() => {
                let id = self.servers.id_in_secret().unwrap_or_default();
                self.servers.tfc.set_now(at(now()));
                self.servers.tfc.person_deletes(&id);
                self.say(|| format!("a person deletes {id} in TFC"));
            }
            _ => {}
        }
    }

    fn wish(&mut self, name: &str, value: &str) {
        self.servers.told_to |= name != ANNOTATION_RENEW;
        self.servers.api.edit(ROLE, |role| role["metadata"]["annotations"][name] = value.into());
        self.person_changed(ROLE, name);
    }

    fn person_changed(&mut self, path: &str, what: &str) {
        self.say(|| format!("a person {what}"));
        self.changed(path);
    }
}

fn annotations(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object["metadata"]["annotations"].as_object_mut()
}
