//! Reads and writes the Lease.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{PostParams, WatchEvent, WatchParams};

use super::decide::{Action, Purpose, Seen, decide, remember};
use super::mark::{self, Mark};
use super::{Candidate, Clock, Farewell, LEASE_NAME};
use crate::boottime::BootInstant;
use crate::duration::format_go_duration;

/// Seconds that one request of a watch lasts: less than the API server's own bound.
const LONGEST_WATCH: u32 = 290;

/// One candidate and what it last saw.
pub(super) struct Elector {
    api: Api<Lease>,
    candidate: Candidate,
    clock: Clock,
    seen: Option<Seen>,
    /// The Lease behind `seen`, kept whole: a PUT must not drop what others wrote into it.
    lease: Option<Lease>,
    /// Whether `lease` may be behind: then it is read before it is written.
    stale: bool,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The Lease is ours. The others can't have seen this form of it before `since`, when it was sent, so none takes it
    /// over before its duration has passed from there.
    Leads {
        /// When it was sent.
        since: BootInstant,
        /// An uninstall has marked it: it is to be handed over once nothing is under way.
        asked_back: bool,
    },
    /// Another holds it.
    HeldBy(String),
    /// An uninstall works, or has just worked.
    StandsBack,
}

/// Why an attempt came to nothing; what was sent may have arrived.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    #[error("no answer from the API server in {}", format_go_duration(*.0))]
    Timeout(Duration),
    #[error(
        "{0}; the operator's service account needs get, create and update on leases.coordination.k8s.io in its own namespace"
    )]
    Forbidden(String),
    #[error("another write came first")]
    Conflict,
    #[error("{0}")]
    Other(String),
}

impl Elector {
    pub(super) fn new(candidate: Candidate, clock: Clock) -> Elector {
        let api = Api::namespaced(candidate.client.clone(), &candidate.namespace);
        Elector { api, candidate, clock, seen: None, lease: None, stale: true }
    }

    pub(super) fn identity(&self) -> &str {
        &self.candidate.identity
    }

    /// Tries once to become or to stay leader, in at most `timeout`. What was cut off may still arrive; the next try reads
    /// what became of it.
    pub(super) async fn attempt(&mut self, timeout: Duration) -> Result<Attempt, LeaseError> {
        bounded(timeout, self.try_once()).await
    }

    /// Waits for the next try: for `at_most`, or until the Lease as it was last seen is handed over or gone. Where it may not be watched
    /// the time passes.
    pub(super) async fn pause(&self, at_most: Duration) {
        tokio::select! {
            () = tokio::time::sleep(at_most) => {}
            () = self.handed_over(at_most) => {}
        }
    }

    async fn handed_over(&self, at_most: Duration) {
        let version = self.seen.as_ref().map(|seen| seen.version.clone()).unwrap_or_default();
        let seconds = u32::try_from(at_most.as_secs()).unwrap_or(LONGEST_WATCH).clamp(1, LONGEST_WATCH);
        let params = WatchParams::default().fields(&format!("metadata.name={LEASE_NAME}")).timeout(seconds);
        if let Ok(events) = self.api.watch(&params, &version).await {
            let mut events = std::pin::pin!(events);
            while let Some(Ok(event)) = events.next().await {
                let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
                match event {
                    WatchEvent::Deleted(_) => return,
                    WatchEvent::Modified(lease) if holder(&lease).is_none_or(|holder| holder.is_empty()) => return,
                    _ => {}
                }
            }
        }
        std::future::pending().await
    }

    /// Clears the holder where it is this candidate, in at most `timeout`.
    pub(super) async fn release(&mut self, farewell: Farewell, timeout: Duration) -> Result<(), LeaseError> {
        bounded(timeout, self.clear(farewell)).await
    }

    /// Takes this candidate's mark off, and the holder where it is this candidate, in at most `timeout`.
    pub(super) async fn unmark(&mut self, timeout: Duration) -> Result<(), LeaseError> {
        bounded(timeout, async {
            loop {
                self.read().await?;
                let Some(mut lease) = self.lease.clone() else { return Ok(()) };
                if mark::by(&lease.metadata).as_deref() != Some(self.identity()) {
                    return Ok(());
                }
                if self.holder() == self.candidate.identity {
                    lease = self.cleared(Farewell::GivenUp);
                }
                mark::set(&mut lease.metadata, None);
                match self.write(lease).await {
                    Err(LeaseError::Conflict) => {}
                    other => return other,
                }
            }
        })
        .await
    }

    async fn try_once(&mut self) -> Result<Attempt, LeaseError> {
        if self.stale {
            self.read().await?;
        }
        let since = (self.clock)();
        let own_duration = self.candidate.timing.lease_duration;
        match decide(self.seen.as_ref(), (&self.candidate.identity, self.candidate.purpose), own_duration, since) {
            Action::Wait => {
                self.stale = true;
                Ok(Attempt::HeldBy(self.holder()))
            }
            Action::StandBack => {
                self.stale = true;
                Ok(Attempt::StandsBack)
            }
            Action::Mark => {
                let holder = self.holder();
                self.write(self.marked()).await?;
                self.stale = true;
                Ok(Attempt::HeldBy(holder))
            }
            Action::Create | Action::Renew | Action::Take => {
                self.write(self.claimed()).await?;
                let marked = self.seen.as_ref().is_some_and(|seen| seen.stand_back.is_some());
                Ok(Attempt::Leads { since, asked_back: marked && self.candidate.purpose == Purpose::Serve })
            }
        }
    }

    fn holder(&self) -> String {
        self.seen.as_ref().map(|seen| seen.holder.clone()).unwrap_or_default()
    }

    async fn clear(&mut self, farewell: Farewell) -> Result<(), LeaseError> {
        // One try on what is known; where that was behind (a renewal's answer got lost), one on a fresh reading.
        for _ in 0..2 {
            if self.stale {
                self.read().await?;
            }
            if self.seen.as_ref().is_none_or(|seen| seen.holder != self.candidate.identity) {
                return Ok(());
            }
            match self.write(self.cleared(farewell)).await {
                Err(LeaseError::Conflict) => {}
                other => return other,
            }
        }
        Err(LeaseError::Conflict)
    }

    async fn read(&mut self) -> Result<(), LeaseError> {
        let read = self.api.get_opt(LEASE_NAME).await?;
        self.take_in(read);
        Ok(())
    }

    /// Writes on the resourceVersion seen (none: creates); the reply is what is seen next.
    async fn write(&mut self, lease: Lease) -> Result<(), LeaseError> {
        self.stale = true;
        let params = PostParams { field_manager: Some(LEASE_NAME.to_owned()), ..PostParams::default() };
        let written = match lease.metadata.resource_version {
            Some(_) => self.api.replace(LEASE_NAME, &params, &lease).await?,
            None => self.api.create(&params, &lease).await?,
        };
        self.take_in(Some(written));
        Ok(())
    }

    fn take_in(&mut self, lease: Option<Lease>) {
        let now = (self.clock)();
        let read = lease.as_ref().map(|lease| {
            let spec = lease.spec.as_ref();
            let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
            Seen {
                version: lease.metadata.resource_version.clone().unwrap_or_default(),
                holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
                duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
                since: now,
                stand_back: mark::read(&lease.metadata),
            }
        });
        self.seen = remember(self.seen.take(), read);
        self.lease = lease;
        self.stale = false;
    }

    fn claimed(&self) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let before = lease.spec.take().unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(self.identity());
        let seconds = self.candidate.timing.lease_duration.as_secs();
        let transitions = before.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.candidate.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            acquire_time: before.acquire_time.filter(|_| ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            ..before
        });
        match self.candidate.purpose {
            Purpose::Uninstall => mark::set(&mut lease.metadata, Some(self.mark(mark::WORKING))),
            // Whose mark it was is not heard of any more. One that comes while this process leads stays: it is to be heeded.
            Purpose::Serve if !ours => mark::set(&mut lease.metadata, None),
            Purpose::Serve => {}
        }
        lease
    }

    /// The Lease with a mark, and still its holder's.
    fn marked(&self) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_default();
        mark::set(&mut lease.metadata, Some(self.mark(mark::WORKING)));
        lease
    }

    fn mark(&self, stand_back: Duration) -> Mark {
        Mark { by: self.candidate.identity.clone(), stand_back_seconds: stand_back.as_secs() }
    }

    fn cleared(&self, farewell: Farewell) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_default();
        match farewell {
            Farewell::HandOver => {}
            Farewell::Uninstalled => mark::set(&mut lease.metadata, Some(self.mark(mark::DONE))),
            Farewell::GivenUp => mark::set(&mut lease.metadata, None),
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        // As client-go writes it: its candidates, too, take such a Lease at once.
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        lease
    }
}

async fn bounded<T>(timeout: Duration, call: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
    tokio::time::timeout(timeout, call).await.unwrap_or(Err(LeaseError::Timeout(timeout)))
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> LeaseError {
        match error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => LeaseError::Conflict,
            kube::Error::Api(status) if status.is_forbidden() => LeaseError::Forbidden(status.message.clone()),
            error => LeaseError::Other(error.to_string()),
        }
    }
}
