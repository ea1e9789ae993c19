//! `kubectl tfc`: what the operator's roles and configs are doing, why, and what comes next; and the wishes that people have.
//!
//! Reads roles, configs, pods and metadata of Secrets, by the rights of whoever calls it. It never reads a Secret's data, so it can't
//! show a token.

mod doctor;
mod reach;
mod status;
mod story;
mod table;
mod tree;
mod wait;
mod wish;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tfc_token_operator::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use tfc_token_operator::duration::parse_go_duration;

use self::reach::{Reach, ReachArgs};
use self::wish::Wish;

/// Looks at the tokens that the operator issues for HCP Terraform and Terraform Enterprise, and asks for something.
#[derive(Debug, Parser)]
#[command(name = "kubectl-tfc", bin_name = "kubectl tfc", version, max_term_width = 120)]
struct Args {
    /// Which cluster, and which namespaces.
    #[command(flatten)]
    reach: ReachArgs,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a role is doing, why, and what comes next and when; without a name a line for each role.
    Status {
        /// The role.
        role: Option<String>,
        /// Form of what is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Ask for a successor; the former token lives on for the overlap.
    Rotate(Asked),
    /// Ask for the lease to start anew; no token is minted.
    Renew(Asked),
    /// Ask, in an incident, for a successor at once and for the end of every former token at once.
    Revoke {
        /// The roles, or with --config the configs, all of whose roles are meant.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// The names are those of configs.
        #[arg(long, conflicts_with = "wait")]
        config: bool,
        /// Wait until it is done.
        #[arg(long)]
        wait: bool,
        /// How long to wait.
        #[arg(long, default_value = "2m", value_parser = parse_go_duration, value_name = "DURATION")]
        timeout: Duration,
    },
    /// Wait until roles hold a live token that answers their spec and all wishes.
    Wait {
        /// The roles.
        #[arg(required = true, value_name = "ROLE")]
        roles: Vec<String>,
        /// How long to wait.
        #[arg(long, default_value = "2m", value_parser = parse_go_duration, value_name = "DURATION")]
        timeout: Duration,
    },
    /// Show which roles use a config, which Secrets hold their tokens, and which pods read those.
    Tree {
        /// The config; all by default.
        config: Option<String>,
        /// Form of what is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Look for what is wrong: the API server, CRDs, your rights, the operator, clocks, configs, roles and finalizers.
    Doctor {
        /// Namespace of the operator.
        #[arg(long, default_value = "tfc-token-operator", value_name = "NAMESPACE")]
        operator_namespace: String,
        /// Form of what is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// The roles.
    #[arg(required = true, value_name = "ROLE")]
    roles: Vec<String>,
    /// Wait until it is done.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "2m", value_parser = parse_go_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What ends the program: words for a person.
pub type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::Completion { shell } = args.command {
        // kubectl finds a plugin by its file's name, so that is what is completed.
        clap_complete::generate(shell, &mut Args::command(), "kubectl-tfc", &mut io::stdout());
        return ExitCode::SUCCESS;
    }
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `Ok(false)`: what was to be said has been said, and is not well.
fn run(args: Args) -> Result<bool, Failure> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err("the TLS provider was installed twice".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reach = Reach::find(&args.reach).await?;
        match args.command {
            Command::Status { role, output } => status::print(&reach, role.as_deref(), output).await,
            Command::Rotate(asked) => ask(&reach, Wish { annotation: ANNOTATION_ROTATE, verb: "rotate" }, asked).await,
            Command::Renew(asked) => ask(&reach, Wish { annotation: ANNOTATION_RENEW, verb: "renew" }, asked).await,
            Command::Revoke { names, config: true, .. } => wish::ask_configs(&reach, &names).await,
            Command::Revoke { names, wait, timeout, .. } => {
                let asked = Asked { roles: names, wait, timeout };
                ask(&reach, Wish { annotation: ANNOTATION_REVOKE, verb: "revoke" }, asked).await
            }
            Command::Wait { roles, timeout } => wait::until_ready(&reach, &roles, timeout).await,
            Command::Tree { config, output } => tree::print(&reach, config.as_deref(), output).await,
            Command::Doctor { operator_namespace, output } => doctor::print(&reach, &operator_namespace, output).await,
            Command::Completion { .. } => Ok(true),
        }
    })
}

async fn ask(reach: &Reach, wish: Wish, asked: Asked) -> Result<bool, Failure> {
    wish::ask(reach, wish, &asked.roles).await?;
    if asked.wait { wait::until_ready(reach, &asked.roles, asked.timeout).await } else { Ok(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_help_and_every_shell_a_completion() {
        Args::command().debug_assert();
        for sub in Args::command().get_subcommands() {
            for arg in sub.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", sub.get_name(), arg.get_id());
            }
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "kubectl-tfc", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("kubectl-tfc") && script.contains("doctor"), "{shell}");
        }
    }
}
