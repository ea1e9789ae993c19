//! Runs the operator.

use crate::args::Settings;
use crate::signals::Shutdown;

/// Why the operator ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs until `shutdown` is requested.
pub async fn run(_settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    shutdown.requested().await;
    Ok(())
}
