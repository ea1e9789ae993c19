//! The demo: a token's life in front of a person, with a real control plane, against the simulator or a real TFC.
//!
//! It ends with a summary of what was claimed and what was seen, and with status 1 where the two differ.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tfc_harness::demo::{Options, RealAccount, run};

/// See tokens issued, used, rotated and revoked.
///
/// With TFC_ADDRESS and TFC_TOKEN in the environment (a user's token) it uses that account instead of the simulator.
#[derive(Debug, Parser)]
struct Flags {
    /// The operator's binary.
    #[arg(long)]
    operator: PathBuf,
    /// The folder of the control plane's programs, as `make testbed-path` prints it.
    #[arg(long)]
    testbed: PathBuf,
    /// The folder of the operator's manifests and the samples.
    #[arg(long, default_value = "deploy")]
    deploy: PathBuf,
    /// Leave everything running until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let account = match account() {
        Ok(account) => account,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
    };
    let Flags { operator, testbed, deploy, keep } = flags;
    run(Options { operator, testbed, deploy, keep, account }).await
}

/// From the environment and not from flags: what stands on a command line can be read by every user of the machine.
fn account() -> Result<Option<RealAccount>, &'static str> {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (given("TFC_ADDRESS"), given("TFC_TOKEN")) {
        (Some(address), Some(token)) => Ok(Some(RealAccount::new(address, token))),
        (None, None) => Ok(None),
        _ => Err("TFC_ADDRESS and TFC_TOKEN go together: give both for a real account, or neither for the simulator"),
    }
}
