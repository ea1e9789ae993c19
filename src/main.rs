//! The binary: reads the flags, prepares the process and hands over to the library.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tfc_token_operator::args::{Args, Command, Settings};
use tfc_token_operator::{api, controller, crds, log, signals};

/// The exit code that clap, too, gives for flags that can't be taken.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // Before any client is built: both HTTP clients take the process' one provider, and panic without it.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return failed(&"the TLS provider was installed twice");
    }
    let outcome = match Args::parse().command {
        Command::Run(flags) => match flags.settings() {
            Ok(settings) => run(settings),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(USAGE);
            }
        },
        Command::Crds { output_dir: Some(dir) } => crds::write_files(&api::crds(), &dir).map_err(Into::into),
        Command::Crds { output_dir: None } => crds::print(&api::crds(), &mut io::stdout().lock()).map_err(Into::into),
        Command::Version => {
            println!("tfc-token-operator {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    log::init(settings.log_format)?;
    // One thread: the work is waiting for servers, and each further thread costs memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        tokio::select! {
            ended = controller::run(settings, shutdown.clone()) => ended.map_err(Into::into),
            // Whatever is cut off here is found and finished by the next start.
            () = shutdown.grace_over() => {
                tracing::warn!("ended with work under way, {:?} after it was asked to", signals::GRACE);
                Ok(())
            }
        }
    });
    // Does not wait for a name lookup that hangs in a thread of its own.
    runtime.shutdown_background();
    outcome
}
