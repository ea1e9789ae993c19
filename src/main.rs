//! The binary: reads the flags, prepares the process and hands over to the library.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tfc_token_operator::args::{Args, Command, Settings, UninstallSettings};
use tfc_token_operator::uninstall::Outcome;
use tfc_token_operator::{api, check, controller, crds, log, signals, uninstall};

/// The exit code that clap, too, gives for flags that can't be taken.
const USAGE: u8 = 2;
/// The exit code of an uninstall that leaves a token behind which may live.
const UNPROVEN: u8 = 3;

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
        Command::Uninstall(flags) => match flags.settings() {
            Ok(settings) => return uninstall(settings),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(USAGE);
            }
        },
        Command::Check { url, timeout } => on_one_thread(async {
            println!("{}", check::check(&url, timeout).await?);
            Ok(())
        }),
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
    log::init(settings.scope.log_format)?;
    on_one_thread(async {
        let shutdown = signals::shutdown()?;
        tokio::select! {
            ended = controller::run(settings, shutdown.clone()) => ended.map_err(Into::into),
            // Whatever is cut off here is found and finished by the next start.
            () = shutdown.grace_over() => {
                tracing::warn!("ended with work under way, {:?} after it was asked to", signals::GRACE);
                Ok(())
            }
        }
    })
}

fn uninstall(settings: UninstallSettings) -> ExitCode {
    let outcome = log::init(settings.scope.log_format).map_err(Into::into).and_then(|()| {
        on_one_thread(async {
            let shutdown = signals::shutdown()?;
            Ok(uninstall::run(settings, shutdown).await?)
        })
    });
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unproven) => {
            eprintln!(
                "error: tokens may live on, see above; mend what hides them, wait for their expiry, or give --allow-unproven"
            );
            ExitCode::from(UNPROVEN)
        }
        Err(error) => failed(&error),
    }
}

/// One thread: the work is waiting for servers, and each further thread costs memory.
fn on_one_thread<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Does not wait for a name lookup that hangs in a thread of its own.
    runtime.shutdown_background();
    outcome
}
