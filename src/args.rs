//! Flags and environment variables, and the validated [`Settings`] that come of them.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};

use crate::duration::parse_go_duration;
use crate::http::BindAddress;
use crate::leader::Timing;

mod errors;
mod hosts;
mod scope;
mod uninstall;
pub use errors::SettingsError;
pub use hosts::{AllowedAddresses, HostPattern, HostPatternError};
pub use scope::{ElectionArgs, Scope, ScopeArgs};
pub use uninstall::{UninstallArgs, UninstallSettings};

/// Issues HCP Terraform and Terraform Enterprise API tokens into Kubernetes Secrets, rotates and revokes them.
#[derive(Debug, Parser)]
#[command(name = "tfc-token-operator", disable_version_flag = true, max_term_width = 120)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM or SIGINT.
    Run(Box<RunArgs>),
    /// Revoke or release the tokens of every role, and take the operator's finalizers off, before it is removed.
    ///
    /// Takes the Lease from the replicas and holds it; they stand back until it is done, or has failed. Exit code 0: done. 1: failed.
    /// 2: flags that can't be taken. 3: a token may live on whose revocation could not be proven; it is named, and its role keeps
    /// its finalizer.
    Uninstall(Box<UninstallArgs>),
    /// Ask a URL, and exit 0 where it answers 200, else 1: for tests in an image that holds nothing else.
    Check {
        /// What to ask, such as http://tfc-token-operator:8081/readyz.
        #[arg(long, value_name = "URL")]
        url: String,
        /// How long to wait for the whole answer.
        #[arg(long, default_value = "10s", value_parser = parse_go_duration, value_name = "DURATION")]
        timeout: Duration,
    },
    /// Print the CustomResourceDefinitions as YAML, ready for `kubectl apply -f -`.
    Crds {
        /// Write one file for each CRD (NAME.yaml) into this directory instead; it is made where it is missing.
        #[arg(long, value_name = "DIR")]
        output_dir: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

/// The flags of `run`, as written by the user; [`RunArgs::settings`] checks what concerns more than one of them.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// What to serve, and as whom.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Elect one leader among the replicas through a Lease in the operator's own namespace.
    ///
    /// `--leader-elect=false` saves the Lease's renewals where there is never more than one replica (strategy Recreate).
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true", value_name = "BOOL")]
    pub leader_elect: bool,

    /// The election's times.
    #[command(flatten)]
    pub election: ElectionArgs,

    /// Address of /metrics, as HOST:PORT; :PORT is every interface, 0 turns it off.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_METRICS_BIND_ADDRESS", default_value = ":8080", value_name = "ADDRESS")]
    pub metrics_bind_address: BindAddress,

    /// Address of /healthz and /readyz, as HOST:PORT; :PORT is every interface, 0 turns it off.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_HEALTH_PROBE_BIND_ADDRESS", default_value = ":8081", value_name = "ADDRESS")]
    pub health_probe_bind_address: BindAddress,

    /// How many roles are worked on at a time, at least 1. What TFC is asked is limited for each account besides.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_MAX_CONCURRENT_RECONCILES", default_value = "32", value_name = "COUNT")]
    pub max_concurrent_reconciles: NonZeroU16,

    /// How often each account's lists of tokens are walked, to find tokens that no record knows and records whose token is gone.
    ///
    /// The first walk follows --settling-time after this replica began to lead. A walk costs one request for each 100 tokens
    /// in an organization's list, one for a user's, and one for each single slot.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_SWEEP_INTERVAL", default_value = "1h", value_parser = parse_go_duration, value_name = "DURATION")]
    pub sweep_interval: Duration,

    /// Restart Deployments, StatefulSets and DaemonSets that ask for it by the annotation terraformcloud.dev/restart-for=ROLE, with each
    /// new token of that role of their namespace. Needs list and patch on them.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_ROLLOUT_RESTART", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    pub rollout_restart: bool,
}

/// What the operator runs with: plain data, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is served, and as whom.
    pub scope: Scope,
    /// The election's times; `None` where there is no election.
    pub leader_election: Option<Timing>,
    /// Where /metrics is served.
    pub metrics_bind_address: BindAddress,
    /// Where /healthz and /readyz are served.
    pub health_probe_bind_address: BindAddress,
    /// Roles worked on at a time.
    pub max_concurrent_reconciles: NonZeroU16,
    /// How often each account's lists of tokens are walked.
    pub sweep_interval: Duration,
    /// Workloads that ask for it are restarted with each new token.
    pub rollout_restart: bool,
}

impl RunArgs {
    /// Checks what concerns more than one flag and gives plain data.
    ///
    /// # Errors
    /// Flags that don't go together.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        if self.sweep_interval < Duration::from_secs(1) {
            return Err(SettingsError::SweepInterval(self.sweep_interval));
        }
        let leader_election = if self.leader_elect { Some(self.election.timing()?) } else { None };
        Ok(Settings {
            scope: self.scope.scope()?,
            leader_election,
            metrics_bind_address: self.metrics_bind_address,
            health_probe_bind_address: self.health_probe_bind_address,
            max_concurrent_reconciles: self.max_concurrent_reconciles,
            sweep_interval: self.sweep_interval,
            rollout_restart: self.rollout_restart,
        })
    }
}

#[cfg(test)]
mod tests;
