//! Gathers a history from a running test, on a thread of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::etcd::Etcd;
use super::history::{History, Person, What};
use super::merge::{self, Mark};
use super::objects::Kind;
use super::watches::{Tape, Watch};
use super::{check, told};
use crate::Error;
use crate::simulator::{Call, Ledger, Stamper};

/// How long the watches may lag behind the store, and it may be away.
const CATCH_UP: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Writes down every version of roles, configs, Secrets, Leases and events in some namespaces, and every call to a simulator. No
/// token's value is kept.
pub struct Recorder {
    tape: Arc<Tape>,
    orders: mpsc::UnboundedSender<Order>,
    etcd: String,
}

/// A span of time in which there is nothing to do.
#[must_use = "it ends when it is told to"]
pub struct Rest {
    _private: (),
}

enum Order {
    CatchUp(blocking::Sender<Result<(), Error>>),
    Mark(What, blocking::Sender<Result<(), Error>>),
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Starts to record; when this returns, nothing more is missed. `etcd` is the URL of the store behind the API server
    /// ([`ControlPlane::etcd_url`](crate::ControlPlane::etcd_url)).
    ///
    /// # Errors
    /// When the store can't be asked.
    pub fn start(ledger: Ledger, etcd: &str, namespaces: &[String]) -> Result<Self, Error> {
        crate::install_tls_provider();
        ledger.stamp_with(stamper(etcd)?);
        let tape = Arc::new(Tape::new(ledger));
        let (orders, taken) = mpsc::unbounded_channel();
        let (ready, started) = blocking::channel();
        let work = Work { tape: tape.clone(), etcd: Etcd::new(etcd)?, namespaces: namespaces.to_vec() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::while_trying("no runtime for the recorder"))?;
        std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || runtime.block_on(work.run(taken, &ready)))
            .map_err(Error::while_trying("no thread for the recorder"))?;
        answer(&started)?;
        Ok(Self { tape, orders, etcd: etcd.to_owned() })
    }

    /// Writes down what another TFC is asked, too.
    ///
    /// # Errors
    /// When there can be no client of the store.
    pub fn hears(&self, ledger: Ledger) -> Result<(), Error> {
        ledger.stamp_with(stamper(&self.etcd)?);
        self.tape.seen().ledgers.push(ledger);
        Ok(())
    }

    /// Says what a person did.
    pub fn declare(&self, act: Person) {
        self.tape.seen().people.push(act);
    }

    /// Looks for tokens' values in a text, such as the operator's log.
    pub fn search(&self, place: &str, text: &str) {
        self.tape.search(place, text);
    }

    /// From here on there is nothing to do, until [`Recorder::rested`].
    ///
    /// # Errors
    /// When the store can't be asked.
    pub fn rests(&self) -> Result<Rest, Error> {
        self.order(|answer| Order::Mark(What::RestBegan, answer))?;
        Ok(Rest { _private: () })
    }

    /// The end of a rest.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub fn rested(&self, _: Rest) -> Result<(), Error> {
        self.order(|answer| Order::Mark(What::RestEnded, answer))
    }

    /// All that happened so far. It blocks for what is still on its way. `settled`: nothing is under way any more.
    ///
    /// # Errors
    /// When the store is away for a minute.
    pub fn history(&self, settled: bool) -> Result<History, Error> {
        self.order(Order::CatchUp)?;
        let seen = self.tape.seen();
        let calls: Vec<Vec<Call>> = seen.ledgers.iter().map(Ledger::calls).collect();
        let tokens = merge::tokens(calls.iter().flatten(), seen.ledgers.iter().flat_map(Ledger::tokens));
        Ok(History {
            events: merge::merge(&calls, &seen.marks, &seen.writes, &tokens),
            tokens,
            spills: seen.spills.clone(),
            people: seen.people.clone(),
            settled,
            ended: self.tape.ledger.now(),
        })
    }

    /// Every invariant held so far. `settled`: nothing is under way any more.
    ///
    /// # Errors
    /// Each violation, and what happened to its token; or that the store was away for a minute.
    pub fn holds(&self, settled: bool) -> Result<(), Error> {
        let history = self.history(settled)?;
        let violations = check(&history);
        if violations.is_empty() { Ok(()) } else { Err(Error::new(told(&history, &violations))) }
    }

    /// Waits until all is in order with nothing under way.
    ///
    /// # Errors
    /// What is not in order at the end of that time, as [`Recorder::holds`].
    pub async fn settles(&self, within: Duration) -> Result<(), Error> {
        let end = Instant::now() + within;
        loop {
            match self.holds(true) {
                Err(_) if Instant::now() < end => tokio::time::sleep(10 * PAUSE).await,
                result => return result,
            }
        }
    }

    /// The same for who can't await it, such as a `drop`.
    ///
    /// # Errors
    /// As [`Recorder::settles`].
    pub fn settles_blocking(&self, within: Duration) -> Result<(), Error> {
        let end = Instant::now() + within;
        loop {
            match self.holds(true) {
                Err(_) if Instant::now() < end => std::thread::sleep(10 * PAUSE),
                result => return result,
            }
        }
    }

    fn order(&self, order: impl FnOnce(blocking::Sender<Result<(), Error>>) -> Order) -> Result<(), Error> {
        let (send, answered) = blocking::channel();
        self.orders.send(order(send)).map_err(|_| Error::new("the recorder has ended"))?;
        answer(&answered)
    }
}

fn answer(answered: &blocking::Receiver<Result<(), Error>>) -> Result<(), Error> {
    answered.recv().map_err(|_| Error::new("the recorder has ended"))?
}

struct Work {
    tape: Arc<Tape>,
    etcd: Etcd,
    namespaces: Vec<String>,
}

impl Work {
    /// Works until the recorder is dropped.
    async fn run(self, mut orders: mpsc::UnboundedReceiver<Order>, ready: &blocking::Sender<Result<(), Error>>) {
        let started = self.start().await;
        let (watches, started) = match started {
            Ok(watches) => (watches, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        // Whoever waits no longer does not want to know.
        let _ = ready.send(started);
        while let Some(order) = orders.recv().await {
            let _ = match order {
                Order::CatchUp(answer) => answer.send(self.catch_up(&watches).await),
                Order::Mark(what, answer) => answer.send(self.mark(what).await),
            };
        }
    }

    async fn start(&self) -> Result<Vec<Arc<Watch>>, Error> {
        let mut watches = Vec::new();
        for namespace in &self.namespaces {
            for kind in Kind::ALL {
                let watch = Arc::new(Watch::new(self.tape.clone(), self.etcd.clone(), kind, namespace));
                let revision = watch.list(0).await?;
                let following = watch.clone();
                tokio::spawn(async move { following.follow(revision).await });
                watches.push(watch);
            }
        }
        Ok(watches)
    }

    async fn catch_up(&self, watches: &[Arc<Watch>]) -> Result<(), Error> {
        let end = Instant::now() + CATCH_UP;
        for watch in watches {
            while !watch.is_up_to_date().await.unwrap_or(false) {
                if Instant::now() > end {
                    return Err(Error::new("the store's writes could not be followed to their end"));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn mark(&self, what: What) -> Result<(), Error> {
        let (calls, at) = (self.tape.ledger.call_count(), self.tape.ledger.now());
        let revision = self.etcd.revision().await.ok_or_else(|| Error::new("the store does not say its revision"))?;
        self.tape.seen().marks.push(Mark { calls, revision, at, what });
        Ok(())
    }
}

/// With a client of its own: its connections live and die with the runtime of the simulator that asks.
fn stamper(etcd: &str) -> Result<Stamper, Error> {
    let etcd = Etcd::new(etcd)?;
    Ok(Arc::new(move || {
        let etcd = etcd.clone();
        Box::pin(async move { etcd.revision().await })
    }))
}
