//! The HTTP servers for metrics (`/metrics`) and probes (`/healthz`, `/readyz`).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{CONTENT_TYPE, Metrics};

mod address;
#[cfg(test)]
mod tests;

pub use address::{BindAddress, BindAddressError};

/// How long a server waits for the requests under way when it is asked to end: a client that never finishes its own must
/// not hold up the process.
const DRAIN: Duration = Duration::from_secs(2);

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{flag}={address} can't be listened on: {source}; {}", mend(.source))]
pub struct BindError {
    /// The flag that gave the address.
    pub flag: &'static str,
    /// The address.
    pub address: BindAddress,
    /// What the system said.
    pub source: io::Error,
}

fn mend(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another process has the port: give another one, or 0 to turn this server off",
        io::ErrorKind::PermissionDenied => "give a port above 1023, or 0 to turn this server off",
        _ => "give an address of this host, or 0 to turn this server off",
    }
}

/// Listens on `address`, which `flag` gave; `None` where it turns the server off. `:PORT` takes IPv6 and IPv4 alike, or IPv4
/// alone where the host has no IPv6.
///
/// # Errors
/// Where the system refuses; the message names the flag and the mend.
pub async fn bind(flag: &'static str, address: &BindAddress) -> Result<Option<TcpListener>, BindError> {
    let listener = match address {
        BindAddress::Off => return Ok(None),
        BindAddress::At { host: Some(host), port } => TcpListener::bind((host.as_str(), *port)).await,
        BindAddress::At { host: None, port } => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).await
            }
            other => other,
        },
    };
    listener.map(Some).map_err(|source| BindError { flag, address: address.clone(), source })
}

/// Serves `router` until `shutdown` resolves, then at most two seconds more for the requests under way.
///
/// # Errors
/// Never in practice: accepting is tried again whatever fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (asked_sender, mut asked) = watch::channel(false);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        asked_sender.send_replace(true);
    });
    tokio::select! {
        ended = async { server.await } => ended,
        () = async {
            // An error means that the server has ended, and with it the other branch.
            let _ = asked.wait_for(|asked| *asked).await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}

/// `/metrics`.
pub fn metrics_router(metrics: Metrics) -> Router {
    let render = move || async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render()) };
    Router::new().route("/metrics", get(render))
}

/// `/healthz`, which says that the process answers, and `/readyz`, which says what `readiness` holds.
pub fn health_router(readiness: Readiness) -> Router {
    let ready = move || async move { readiness.answer() };
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready))
}

/// How far the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// Not ready, and what it waits for.
    Starting(String),
    /// Ready to take over; another replica leads.
    Standby,
    /// Ready to take over once an uninstall has failed; meanwhile nobody serves.
    StandingBack,
    /// Leads.
    Leading,
    /// Asked to end.
    Stopping,
}

/// What `/readyz` answers. Cheap to clone; the clones share one state.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<ReadyState>,
    /// What this process may not do and has to; empty where nothing is missing.
    missing: watch::Sender<String>,
}

impl Readiness {
    /// Not ready, waiting for `reason` (such as "the API server is not reached yet").
    pub fn starting(reason: impl Into<String>) -> Readiness {
        Readiness {
            state: watch::Sender::new(ReadyState::Starting(reason.into())),
            missing: watch::Sender::new(String::new()),
        }
    }

    /// Changes the state. Who has begun to stop does nothing else any more.
    pub fn set(&self, state: ReadyState) {
        self.state.send_if_modified(|now| {
            let change = *now != ReadyState::Stopping && *now != state;
            if change {
                *now = state;
            }
            change
        });
    }

    /// Says what this process may not do and has to, in words; empty: nothing. As long as something is missing it is not ready, whatever
    /// it does meanwhile.
    pub fn lack(&self, missing: String) {
        self.missing.send_replace(missing);
    }

    /// The state at this moment.
    pub fn get(&self) -> ReadyState {
        self.state.borrow().clone()
    }

    fn answer(&self) -> (StatusCode, String) {
        let missing = self.missing.borrow().clone();
        match self.get() {
            ReadyState::Standby | ReadyState::StandingBack | ReadyState::Leading if !missing.is_empty() => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}"))
            }
            ReadyState::Starting(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}")),
            ReadyState::Standby => (StatusCode::OK, "ok: standing by".to_owned()),
            ReadyState::StandingBack => {
                (StatusCode::OK, "ok: standing back: an uninstall has the Lease, or has just had it".to_owned())
            }
            ReadyState::Leading => (StatusCode::OK, "ok: leading".to_owned()),
            ReadyState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping".to_owned()),
        }
    }
}
