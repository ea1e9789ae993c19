//! One call: leave from the budget, leave from the gate, the request, and what its reply means. Reads are repeated a little, 429s after
//! the wait that they ask for; a mint never is.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::debug;

use super::budget::{Budget, Class, Turn};
use super::carrier::{BodyFault, Failure};
use super::error::{Effect, Error, Kind, judge};
use super::observer::{CallOutcome, Observer};
use super::transport::{Call, Reply, Transport};
use super::wire;
use crate::boottime::BootInstant;
use crate::clock::ServerClock;

/// How often a call goes back to the budget after a 429, and a read after a broken connection or a 5xx.
const LIMITED_AGAIN: u32 = 5;
const READ_AGAIN: u32 = 2;

/// Pause before a read is repeated; doubled each time, and up to half of it more at random.
const PAUSE: Duration = Duration::from_millis(200);

/// Asked right before each request is sent, after all waiting; `Err` holds the reason why nothing may be sent any more (a lost lease).
pub type Gate = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is asked before a request is sent.
#[derive(Clone, Copy)]
pub(super) struct Permits<'a> {
    /// The account's.
    pub budget: &'a Budget,
    /// Whether anything may be sent.
    pub gate: Option<&'a Gate>,
    /// The turn that ends once the request may go.
    pub turn: Option<&'a Turn>,
}

/// All that requests of one connection share.
pub(super) struct Exchange {
    pub transport: Transport,
    pub clock: Arc<ServerClock>,
    pub observer: Arc<dyn Observer>,
}

impl Exchange {
    /// Makes a call; the reply is a success (2xx) whose body is there.
    pub async fn call(&self, permits: Permits<'_>, class: Class, call: &Call) -> Result<Reply, Error> {
        let Permits { budget, gate, turn } = permits;
        let (mut limited, mut repeated) = (0, 0);
        loop {
            budget.acquire(class).await;
            if let Some(turn) = turn {
                turn.end();
            }
            if let Some(gate) = gate {
                gate().map_err(|why| Error::new(Kind::Unavailable, format!("not sent: {why}")))?;
            }
            let error = match self.once(budget, call).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if matches!(error.kind, Kind::Limited { .. }) && limited < LIMITED_AGAIN {
                // The budget is silent until then; the next grant comes after.
                limited += 1;
            } else if error.again && call.effect() == Effect::Read && repeated < READ_AGAIN {
                tokio::time::sleep(pause(repeated)).await;
                repeated += 1;
            } else {
                return Err(error);
            }
        }
    }

    async fn once(&self, budget: &Budget, call: &Call) -> Result<Reply, Error> {
        let (sent, started) = (BootInstant::now(), Instant::now());
        let result = self.transport.send(call).await;
        let took = started.elapsed();
        let outcome = match &result {
            Ok(reply) => CallOutcome::Status(reply.status),
            Err(Failure::NotSent(_)) => CallOutcome::NotSent,
            Err(Failure::TimedOut) => CallOutcome::TimedOut,
            Err(Failure::Lost) => CallOutcome::Lost,
        };
        let (route, method) = (call.path.route, call.verb());
        debug!(method, route, outcome = outcome.label(), took_ms = took.as_millis(), "call to TFC");
        self.observer.call(route, method, outcome, took);

        let effect = call.effect();
        let reply = result.map_err(|failure| match failure {
            Failure::NotSent(why) => Error::new(Kind::Unavailable, format!("no connection: {why}")),
            Failure::TimedOut => Error::new(effect.unknown(), "no answer in time"),
            Failure::Lost => Error::new(effect.unknown(), "the connection broke before an answer came").once_more(),
        })?;
        self.learn(budget, &reply, sent);
        self.outcome(effect, reply)
    }

    fn learn(&self, budget: &Budget, reply: &Reply, sent: BootInstant) {
        // A proxy's own error page has the proxy's time.
        if let Some(date) = reply.head.date.filter(|_| reply.head.json || reply.status == 204) {
            self.clock.observe_between(date, sent, BootInstant::now());
        }
        if let Some(limit) = reply.head.rate_limit {
            budget.learn_limit(limit);
        }
        if reply.status == 429 {
            budget.learn_refusal(reply.head.rate_reset);
        }
    }

    fn outcome(&self, effect: Effect, reply: Reply) -> Result<Reply, Error> {
        let status = reply.status;
        match (status, &reply.body) {
            (200..=299, Ok(_)) => Ok(reply),
            (200..=299, Err(fault)) => Err(match fault {
                BodyFault::CutShort => Error::new(effect.undecodable(), "the answer was cut short").once_more(),
                BodyFault::TimedOut => Error::new(effect.unknown(), "the answer did not come to its end in time"),
                BodyFault::TooLarge => Error::new(effect.undecodable(), "the answer is larger than any of the API's"),
            }
            .with_status(status)),
            (301 | 302 | 307 | 308, _) => {
                let target = reply.head.redirect.as_deref().unwrap_or("another place");
                Err(Error::rejected(format!("the address redirects to {target}; set spec.address to where the API is"))
                    .with_status(status))
            }
            (_, body) => {
                let words = body.as_ref().ok().and_then(|body| wire::error_words(body));
                Err(judge(effect, status, words, reply.head.rate_reset.unwrap_or(Duration::from_secs(1))))
            }
        }
    }
}

/// Reads the document of a successful reply.
pub(super) fn document<T: DeserializeOwned>(effect: Effect, reply: &Reply) -> Result<T, Error> {
    let body = reply.body.as_ref().map(|body| body.as_slice()).unwrap_or_default();
    wire::parse(body).map_err(|why| {
        let why =
            if reply.head.json { why } else { format!("{why}, and is not said to be JSON; does a proxy answer?") };
        Error::new(effect.undecodable(), why).with_status(reply.status)
    })
}

fn pause(repeated: u32) -> Duration {
    let pause = PAUSE * 2u32.saturating_pow(repeated);
    // Without randomness the pause is merely the same for all.
    let random = getrandom::u32().unwrap_or(0);
    pause + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}
