//! Histories that chance would take ages to find, told step by step.

use std::time::Duration;

use crate::history::{Flight, History, Kind, tell};
use crate::servers::SECRET;
use crate::wire::{Heard, Reply};

impl History {
    /// The ordinary course of things until such a request is under way, which is taken out.
    async fn until(&mut self, method: &str, path: &str) -> Flight {
        for _ in 0..1000 {
            let asked = |flight: &Flight| {
                flight.sent.method == method && flight.sent.path.ends_with(path) && flight.held_until.is_none()
            };
            if let Some(index) = self.flights.iter().position(asked) {
                return self.flights.remove(index);
            }
            self.ordinary().await.expect("in order");
        }
        panic!("no {method} {path}")
    }

    async fn refuse_for_a_minute(&mut self, mut flight: Flight) {
        let reply = Reply {
            status: 429,
            body: Vec::new(),
            date: crate::time::date(crate::replica::now(), Default::default()),
            json: true,
            reset: Some(60),
            cut: false,
        };
        self.tell(flight.reply.take(), Heard::Reply(reply));
        self.settle().await.expect("in order");
        self.advance(Duration::from_secs(61), false).await.expect("in order");
    }
}

/// What the settling time counts from is the intent; so a mint that waited for its budget must not be sent long after it.
#[test]
fn a_mint_that_had_to_wait_is_not_sent_when_others_may_have_given_it_up() {
    let told = tell(Kind::User, 0, true, async |history| {
        for _ in 0..3 {
            let mint = history.until("POST", "/authentication-tokens").await;
            history.refuse_for_a_minute(mint).await;
        }
        let create = history.until("POST", "/secrets").await;
        // Another replica takes over. Whatever it makes of the attempt, a user deletes its Secret, and the first one's create lands.
        history.elect(1 - create.who);
        history.pass(Duration::from_secs(10)).await?;
        history.servers.api.remove(SECRET, "");
        history.answer(create);
        history.settle().await
    });
    if let Err(story) = told {
        panic!("{story}");
    }
}
