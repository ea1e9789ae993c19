//! SIGTERM and SIGINT ask the process to end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long the process may take from the signal to its end; well below Kubernetes' default grace period of 30 s.
pub const GRACE: Duration = Duration::from_secs(10);

/// Whether the process has been asked to end. Cheap to clone; each clone sees a signal that came before it was asked.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Takes over SIGTERM and SIGINT for the rest of the process' life. To be called inside the runtime, before any work.
///
/// # Errors
/// Where the system refuses the handlers.
pub fn shutdown() -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (trigger, shutdown) = Shutdown::manual();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to end");
        trigger.request();
    });
    Ok(shutdown)
}

/// Asks for the end by hand: tests, and whoever embeds the operator.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Trigger {
    /// Asks all who hold the [`Shutdown`] to end.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// A shutdown that no signal requests, with its trigger.
    pub fn manual() -> (Trigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Shutdown(receiver))
    }

    /// Resolves once the end has been asked for; never before, also if whoever could ask is gone.
    pub async fn requested(&self) {
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the end has been asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves [`GRACE`] after the end has been asked for.
    pub async fn grace_over(&self) {
        self.requested().await;
        tokio::time::sleep(GRACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_all_who_ask_before_and_after() {
        let (trigger, shutdown) = Shutdown::manual();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());
        trigger.request();
        early.await.expect("the early one hears it");
        drop(trigger);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
