//! What a move does: faults of requests and of replicas.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use crate::choices::Move;
use crate::history::{Flight, History, Judged};
use crate::replica::now;
use crate::servers::lands_within;
use crate::time::date;
use crate::wire::{Heard, Reply, Server};

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
                let replica = &self.replicas[who];
                if !replica.frozen && (replica.leads() || !replica.is_busy()) {
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
        // What was acted on already was accepted: all that can still be lost is its reply.
        if flight.acted.is_some() {
            self.say(|| said("its late reply is lost", &flight));
            return self.tell(flight.reply.take(), Heard::Lost);
        }
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
                flight.held_until = Some(lands_at(&flight, number));
                if how % 16 == 6 {
                    self.tell(flight.reply.take(), Heard::Lost);
                }
                self.flights.push(flight);
            }
            7 => {
                self.say(|| said("the reply is late", &flight));
                let reply = self.act(flight.who, &flight.sent);
                flight.acted = Some(reply);
                flight.held_until = Some(lands_at(&flight, number));
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
            let at = lands_at(flight, u64::from(how / 4));
            flight.held_until.get_or_insert(at);
            !how.is_multiple_of(4)
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
}

/// When a late request is acted on: soon as a rule.
fn lands_at(flight: &Flight, number: u64) -> Duration {
    let within = lands_within(&flight.sent);
    let span = if number.is_multiple_of(2) { 50 } else { within.as_secs() };
    (now() + Duration::from_secs(1 + number / 2 * 7 % span)).min(flight.at + within)
}
