//! The simulator as a process, to play with: `tfc-simulator --world seed.json --listen 127.0.0.1:8180`.
//!
//! `/_simulator/log`, `/_simulator/tokens`, `/_simulator/faults`, `/_simulator/clock` and `/_simulator/outage` look at it and
//! change it. It trusts whoever can reach it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tfc_harness::simulator::{Config, Identity, Product, RateLimit, Simulator, World, standard_world};

/// A simulator of the token API of HCP Terraform and Terraform Enterprise.
#[derive(Debug, Parser)]
struct Flags {
    /// Where to listen; port 0 is a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// JSON file with organizations, teams, users and admin tokens; without it the standard world of the tests, with
    /// fresh admin tokens.
    #[arg(long)]
    world: Option<PathBuf>,
    /// File, made readable by its owner alone, for the admin token of the standard world's user `ci`.
    #[arg(long, conflicts_with = "world")]
    admin_token_file: Option<PathBuf>,
    /// Serve https with a fresh certificate for 127.0.0.1 and localhost, and write what clients have to trust to this file.
    #[arg(long)]
    tls_ca_file: Option<PathBuf>,
    /// Requests per second and user; 0 is no limit.
    #[arg(long, default_value_t = 30)]
    rate_limit: u32,
    /// Milliseconds between acting and replying.
    #[arg(long, default_value_t = 0)]
    reply_delay: u64,
    /// Answer as a Terraform Enterprise of this monthly version, such as v202505-1.
    #[arg(long)]
    tfe_version: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    let world = match &flags.world {
        Some(path) => World::from_json(&std::fs::read_to_string(path)?)?,
        None => {
            let standard = standard_world();
            if let Some(path) = &flags.admin_token_file {
                write_private(path, standard.ids.ci_token.expose())?;
            }
            standard.world
        }
    };
    let mut config = Config::from(world);
    config.listen = flags.listen;
    config.reply_delay = Duration::from_millis(flags.reply_delay);
    config.rate_limit = if flags.rate_limit == 0 { RateLimit::Off } else { RateLimit::FixedWindow(flags.rate_limit) };
    if let Some(path) = &flags.tls_ca_file {
        let identity = Identity::self_signed(&["127.0.0.1", "localhost"])?;
        std::fs::write(path, identity.ca_pem())?;
        config.tls = Some(identity);
    }
    if let Some(version) = flags.tfe_version {
        config.product = Product::Tfe(version);
    }
    let simulator = Simulator::start(config)?;
    // Read by whoever started this process and asked for a free port.
    println!("{}", simulator.address());
    std::io::stdout().flush()?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
