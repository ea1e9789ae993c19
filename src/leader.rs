//! Leader election among replicas by a Lease (`coordination.k8s.io/v1`).
//!
//! A candidate takes the Lease when nobody holds it or when it has not seen it change for its whole duration, by its own
//! CLOCK_BOOTTIME: times that another machine wrote are never compared. Each write is a PUT on the resourceVersion that
//! was read, so that of two candidates one wins, and a holder that slept can't overwrite its successor.
//!
//! A Lease is no fence: a request that has left may arrive after its end. What must hold even with two leaders rests on
//! resourceVersions and on the tokens' markers; the Lease makes that rare, and [`Leadership::ensure`] makes sure that no
//! request is *sent* after its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::boottime::BootInstant;
use crate::duration::format_go_duration;

mod decide;
mod lease;
mod mark;
#[cfg(test)]
mod tests;

pub use decide::Purpose;
use lease::{Attempt, Elector};

/// The Lease's name, in the operator's own namespace.
pub const LEASE_NAME: &str = "tfc-token-operator";

/// How long handing over may take when the process ends, well within the grace that it has.
const HANDOVER: Duration = Duration::from_secs(3);

/// The election's times: `retry_period < renew_deadline < lease_duration`, the last in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a leader that falls silent stays leader.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

/// Who stands for election, where and with what times.
#[derive(Clone)]
pub struct Candidate {
    /// Client of the API server. Each request gets its own timeout here.
    pub client: kube::Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// Unlike any other candidate's: see [`identity`].
    pub identity: String,
    /// The election's times.
    pub timing: Timing,
    /// What for.
    pub purpose: Purpose,
    /// Hears what it waits for, at each try.
    pub heard: Arc<dyn Fn(Standing) + Send + Sync>,
}

/// What a candidate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another one leads.
    By,
    /// An uninstall works, or has just worked.
    Back,
}

/// How leadership is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Another one may lead at once; or the uninstall, where one asks for it.
    HandOver,
    /// All is uninstalled: no replica is to begin anew before it is removed.
    Uninstalled,
    /// The uninstall came to nothing: the replicas take their work up again.
    GivenUp,
}

/// What this process knows of its own leadership. Cheap to clone and to ask.
#[derive(Clone)]
pub struct Leadership(Option<Arc<Elected>>);

/// The process does not lead, or no longer; nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not hold the Lease {LEASE_NAME} any more")]
pub struct NotLeading;

struct Elected {
    /// Closed when the renewing task ends.
    state: watch::Receiver<State>,
    /// Set before the task is asked to hand over: from then on this process does not lead.
    released: AtomicBool,
    ask_release: mpsc::Sender<Farewell>,
    /// An uninstall asks for the Lease.
    asked_back: watch::Receiver<bool>,
    clock: Clock,
}

/// Where an election stands for one candidate that has won it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Leads until `end`, unless renewed.
    Leading {
        /// The Lease's end.
        end: BootInstant,
    },
    /// Given up or taken by another.
    Lost,
}

type Clock = Arc<dyn Fn() -> BootInstant + Send + Sync>;

impl Leadership {
    /// For `--leader-elect=false`: leads from the start and for good.
    pub fn always() -> Leadership {
        Leadership(None)
    }

    /// For an election that is held elsewhere, and tells here how it stands.
    pub fn told(state: watch::Receiver<State>) -> Leadership {
        let (ask_release, _) = mpsc::channel(1);
        let (_, asked_back) = watch::channel(false);
        let clock: Clock = Arc::new(BootInstant::now);
        Leadership(Some(Arc::new(Elected { state, released: AtomicBool::new(false), ask_release, asked_back, clock })))
    }

    /// Waits until `candidate` leads, however long, then keeps renewing in a task of its own until [`release`] or until
    /// leadership is [`lost`]. Errors on the way are logged and tried again. Dropping the future ends the candidature.
    ///
    /// [`release`]: Leadership::release
    /// [`lost`]: Leadership::lost
    pub async fn acquire(candidate: Candidate) -> Leadership {
        Leadership::acquire_by(candidate, Arc::new(BootInstant::now)).await
    }

    async fn acquire_by(candidate: Candidate, clock: Clock) -> Leadership {
        let (timing, heard) = (candidate.timing, Arc::clone(&candidate.heard));
        let mut elector = Elector::new(candidate, Arc::clone(&clock));
        let mut last_told = None;
        let since = loop {
            match elector.attempt(timing.renew_deadline / 2).await {
                // A reply may come so late that the Lease of which it tells is over.
                Ok(Attempt::Leads { since, .. }) if clock() < since + timing.renew_deadline => break since,
                Ok(Attempt::Leads { .. }) => {}
                Ok(Attempt::HeldBy(holder)) => {
                    heard(Standing::By);
                    tell_once(&mut last_told, format!("standing by: {holder} leads"), false);
                }
                Ok(Attempt::StandsBack) => {
                    heard(Standing::Back);
                    tell_once(
                        &mut last_told,
                        "standing back: an uninstall has the Lease, or has just had it".into(),
                        false,
                    );
                }
                Err(error) => tell_once(&mut last_told, error.to_string(), true),
            }
            elector.pause(timing.retry_period).await;
        };
        tracing::info!(identity = elector.identity(), "leading");
        let (state_sender, state) = watch::channel(State::Leading { end: since + timing.lease_duration });
        let (ask_release, release_asked) = mpsc::channel(1);
        let (ask_back, asked_back) = watch::channel(false);
        let keeper = Keeper { elector, timing, since, state: state_sender, ask_back, clock: Arc::clone(&clock) };
        tokio::spawn(keeper.keep(release_asked));
        Leadership(Some(Arc::new(Elected { state, released: AtomicBool::new(false), ask_release, asked_back, clock })))
    }

    /// Takes a candidate's mark off the Lease, for which it does not wait any longer. What fails here is logged only: the mark then ends by
    /// itself.
    pub async fn give_up(candidate: Candidate) {
        let mut elector = Elector::new(candidate, Arc::new(BootInstant::now));
        if let Err(error) = elector.unmark(HANDOVER).await {
            tracing::warn!("the mark on the Lease {LEASE_NAME} stays, and ends by itself: {error}");
        }
    }

    /// Whether this process leads at this moment.
    pub fn is_leader(&self) -> bool {
        self.remaining().is_some()
    }

    /// Time until our Lease ends unless it is renewed, by CLOCK_BOOTTIME; `None` when not leading. A request that must not
    /// outlive the Lease takes it as its timeout. [`Duration::MAX`] where there is no election.
    pub fn remaining(&self) -> Option<Duration> {
        let Some(elected) = &self.0 else { return Some(Duration::MAX) };
        if elected.released.load(Ordering::SeqCst) {
            return None;
        }
        match *elected.state.borrow() {
            State::Leading { end } => {
                Some(end.saturating_duration_since((elected.clock)())).filter(|left| !left.is_zero())
            }
            State::Lost => None,
        }
    }

    /// To be asked right before each request that changes something.
    ///
    /// # Errors
    /// When not leading.
    pub fn ensure(&self) -> Result<(), NotLeading> {
        self.remaining().map(|_| ()).ok_or(NotLeading)
    }

    /// Resolves when leadership is lost: the process must then exit at once, with an error. Never resolves after
    /// [`Leadership::release`], nor where there is no election.
    pub async fn lost(&self) {
        if let Some(elected) = &self.0 {
            // An error means that the renewing task is gone, so that nobody renews.
            let _ = elected.state.clone().wait_for(|state| *state == State::Lost).await;
            if !elected.released.load(Ordering::SeqCst) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Resolves when an uninstall asks for the Lease: what is under way is to be finished, and then [`Leadership::release`] called. It
    /// is renewed until then.
    pub async fn asked_back(&self) {
        if let Some(elected) = &self.0
            && elected.asked_back.clone().wait_for(|asked| *asked).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Stops leading at once, then gives the Lease back so that nobody need wait for its end. To be called when no request is under
    /// way. What fails here is logged only: the Lease then ends by itself.
    pub async fn release(&self, farewell: Farewell) {
        let Some(elected) = &self.0 else { return };
        elected.released.store(true, Ordering::SeqCst);
        // Full means that it has been asked already, closed that nobody renews any more.
        let _ = elected.ask_release.try_send(farewell);
        // Until the renewing task ends, which bounds each of its requests.
        let mut state = elected.state.clone();
        while state.changed().await.is_ok() {}
    }
}

/// Renews the Lease.
struct Keeper {
    elector: Elector,
    timing: Timing,
    /// When the write that last got us the Lease was sent.
    since: BootInstant,
    state: watch::Sender<State>,
    ask_back: watch::Sender<bool>,
    clock: Clock,
}

impl Keeper {
    /// Renews until asked to release, or until leadership is lost.
    async fn keep(mut self, mut release_asked: mpsc::Receiver<Farewell>) {
        loop {
            tokio::select! {
                biased;
                asked = release_asked.recv() => {
                    // `None` means that every handle is gone unasked: what was sent may be under way, so the Lease runs out.
                    if let Some(farewell) = asked {
                        hand_over(&mut self.elector, farewell).await;
                    }
                    return;
                }
                () = tokio::time::sleep(self.timing.retry_period.min(self.until_deadline())) => {}
            }
            if let Err(why) = self.renew().await {
                tracing::error!("lost the Lease {LEASE_NAME}: {why}");
                self.state.send_replace(State::Lost);
                return;
            }
        }
    }

    /// Tries once to renew. A try that fails is no loss before the deadline.
    async fn renew(&mut self) -> Result<(), String> {
        let left = self.until_deadline();
        if left.is_zero() {
            return Err(format!("it could not be renewed in {}", format_go_duration(self.timing.renew_deadline)));
        }
        match self.elector.attempt(left.min(self.timing.renew_deadline / 2)).await {
            Ok(Attempt::Leads { since, asked_back }) => {
                self.since = since;
                self.ask_back.send_if_modified(|asked| asked_back && !std::mem::replace(asked, true));
                self.state.send_replace(State::Leading { end: since + self.timing.lease_duration });
                Ok(())
            }
            Ok(Attempt::HeldBy(holder)) => Err(format!("{holder} leads")),
            Ok(Attempt::StandsBack) => Err("an uninstall has it".into()),
            Err(error) => {
                tracing::warn!("the Lease {LEASE_NAME} is not renewed: {error}");
                Ok(())
            }
        }
    }

    fn until_deadline(&self) -> Duration {
        (self.since + self.timing.renew_deadline).saturating_duration_since((self.clock)())
    }
}

async fn hand_over(elector: &mut Elector, farewell: Farewell) {
    match elector.release(farewell, HANDOVER).await {
        Ok(()) => tracing::info!("handed the Lease {LEASE_NAME} over"),
        Err(error) => tracing::warn!("the Lease {LEASE_NAME} is not handed over and ends by itself: {error}"),
    }
}

/// A standby asks every few seconds for months: it says a thing once, until there is another to say.
fn tell_once(last: &mut Option<String>, what: String, problem: bool) {
    if last.as_ref() == Some(&what) {
        return;
    }
    if problem {
        tracing::warn!("the Lease {LEASE_NAME} is out of reach: {what}");
    } else {
        tracing::info!("{what}");
    }
    *last = Some(what);
}

/// This process' name as a candidate: the pod's name, else the host's, and 64 random bits, so that a restarted container is
/// not taken for its predecessor.
///
/// # Errors
/// Where the system has no random numbers.
pub fn identity(pod_name: Option<&str>) -> Result<String, getrandom::Error> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = pod_name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(host.trim());
    let name = if name.is_empty() { "unknown" } else { name };
    Ok(format!("{name}_{:016x}", getrandom::u64()?))
}
