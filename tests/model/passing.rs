//! Time, and what becomes of requests that nobody answered meanwhile.

use std::time::Duration;

use crate::history::{Flight, History, Judged};
use crate::replica::{now, set_now};
use crate::servers::lands_within;
use crate::wire::{Heard, Server};

/// TFC's client gives up on a request after this time.
const TFC_TIMEOUT: Duration = Duration::from_secs(30);

impl History {
    /// Time goes by: at most so much, and without `through` only until something asks for an answer.
    pub async fn advance(&mut self, span: Duration, through: bool) -> Judged {
        let until = now() + span;
        while now() < until {
            let deadline = |flight: &Flight| {
                let told =
                    (flight.sent.server == Server::Tfc && flight.reply.is_some()).then_some(flight.at + TFC_TIMEOUT);
                told.into_iter()
                    .chain(flight.held_until)
                    .chain([flight.at + lands_within(&flight.sent)])
                    .filter(|at| *at > now())
                    .min()
            };
            let next = self.flights.iter().filter_map(deadline).min().unwrap_or(until).min(until);
            let step = next.saturating_sub(now());
            // A leader renews every few seconds: the last renewal of one that freezes is never old.
            let step = if self.replicas.iter().any(|r| r.is_busy()) { step.min(Duration::from_secs(5)) } else { step };
            set_now(now() + step);
            for replica in &mut self.replicas {
                replica.renew();
            }
            tokio::time::advance(step).await;
            self.land();
            self.settle().await?;
            if !through && self.flights.iter().any(|flight| flight.held_until.is_none() && flight.reply.is_some()) {
                break;
            }
        }
        Ok(())
    }

    /// Requests whose time has come are acted on, given up by their sender, or lost for good.
    fn land(&mut self) {
        let mut flights = std::mem::take(&mut self.flights);
        flights.sort_by_key(|flight| flight.held_until);
        for mut flight in flights {
            if flight.held_until.is_some_and(|at| at <= now()) {
                self.say(|| "   late:".into());
                self.answer(flight);
                continue;
            }
            if flight.sent.server == Server::Tfc && flight.at + TFC_TIMEOUT <= now() {
                let reply = flight.reply.take();
                self.tell(reply, Heard::TimedOut);
            }
            if flight.at + lands_within(&flight.sent) > now() {
                self.flights.push(flight);
            } else if let Some(reply) = flight.reply.take() {
                self.tell(Some(reply), Heard::Lost);
            }
        }
        self.flights.sort_by_key(|flight| flight.at);
    }
}
