//! Another client on the operator's account: a steady rate, whatever it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tfc_harness::Error;
use tfc_harness::simulator::TokenValue;
use tokio::task::JoinHandle;

use crate::Result;

/// What its calls are known by in the simulator's log.
pub const AGENT: &str = "neighbour";

/// A client that asks until it is dropped.
pub struct Neighbour {
    task: JoinHandle<()>,
    refused: Arc<AtomicUsize>,
}

impl Neighbour {
    /// Asks so often a second who it is.
    pub fn start(address: &str, token: &TokenValue, per_second: u32) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .user_agent(AGENT)
            .build()
            .map_err(Error::while_trying("the other client"))?;
        let request = http.get(format!("{address}/api/v2/account/details")).bearer_auth(token.expose());
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            loop {
                ticks.tick().await;
                let Some(request) = request.try_clone() else { return };
                let counted = counted.clone();
                tokio::spawn(async move {
                    if request.send().await.is_ok_and(|reply| reply.status().as_u16() == 429) {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(Self { task, refused })
    }

    /// How many of its requests were refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}
