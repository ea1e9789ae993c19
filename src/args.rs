//! Flags and environment variables, and the validated [`Settings`] that come of them.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};

use crate::duration::{format_go_duration, parse_go_duration};
use crate::http::BindAddress;
use crate::leader::Timing;
use crate::log::LogFormat;

mod hosts;
pub use hosts::{AllowedAddresses, HostPattern, HostPatternError};

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
    /// Namespace to serve; repeat it, or separate by commas, for several [default: all namespaces].
    ///
    /// TerraformCloudRoles, TerraformCloudConfigs and Secrets elsewhere are neither read nor written, so that Roles in
    /// these namespaces are enough and no ClusterRole is needed.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_NAMESPACE", value_delimiter = ',', value_parser = namespace_name, value_name = "NAMESPACE")]
    pub namespace: Vec<String>,

    /// Elect one leader among the replicas through a Lease in the operator's own namespace.
    ///
    /// `--leader-elect=false` saves the Lease's renewals where there is never more than one replica (strategy Recreate).
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true", value_name = "BOOL")]
    pub leader_elect: bool,

    /// How long a leader that falls silent stays leader: the others take over after this time, in whole seconds.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_LEASE_DURATION", default_value = "15s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,

    /// How long the leader tries to renew before it gives up and exits; shorter than the lease duration.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_RENEW_DEADLINE", default_value = "10s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,

    /// Time between two tries to become or to stay leader; shorter than the renew deadline.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_RETRY_PERIOD", default_value = "2s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,

    /// Address of /metrics, as HOST:PORT; :PORT is every interface, 0 turns it off.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_METRICS_BIND_ADDRESS", default_value = ":8080", value_name = "ADDRESS")]
    pub metrics_bind_address: BindAddress,

    /// Address of /healthz and /readyz, as HOST:PORT; :PORT is every interface, 0 turns it off.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_HEALTH_PROBE_BIND_ADDRESS", default_value = ":8081", value_name = "ADDRESS")]
    pub health_probe_bind_address: BindAddress,

    /// How many roles are worked on at a time, at least 1. What TFC is asked is limited for each account besides.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_MAX_CONCURRENT_RECONCILES", default_value = "64", value_name = "COUNT")]
    pub max_concurrent_reconciles: NonZeroU16,

    /// Name of this installation, which marks its tokens in TFC [default: made of the UID of the namespace kube-system and of
    /// the operator's namespace and name].
    ///
    /// Give one, and always the same, where a cluster is rebuilt and its roles restored: tokens of another installation are
    /// never touched. Up to 63 letters, digits, '-', '_' and '.', with a letter or digit first.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_INSTALLATION_ID", value_parser = installation_id, value_name = "ID")]
    pub installation_id: Option<String>,

    /// Host that a TerraformCloudConfig may name; repeat it, or separate by commas, for several [default: any].
    ///
    /// A host alone, such as app.terraform.io, without scheme and port. *.example.com stands for every host below
    /// example.com, not for example.com itself. Keeps whoever may write configs from sending credentials elsewhere.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_ALLOWED_ADDRESSES", value_delimiter = ',', value_name = "HOST")]
    pub allowed_addresses: Vec<HostPattern>,

    /// Take addresses with http:// too. Tokens then go over the network in the clear: for tests alone.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_INSECURE_ALLOW_HTTP", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_allow_http: bool,

    /// How long a write that got no answer may still arrive: for so long a token of unknown fate is not revoked.
    ///
    /// The default has room for the Lease, a request's 30s, the API server's 60s and a margin. Shorter is for tests alone.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_SETTLING_TIME", default_value = "2m", value_parser = parse_go_duration, value_name = "DURATION")]
    pub settling_time: Duration,

    /// How often each account's lists of tokens are walked, to find tokens that no record knows and records whose token is gone.
    ///
    /// The first walk follows --settling-time after this replica began to lead. A walk costs one request for each 100 tokens
    /// in an organization's list, one for a user's, and one for each single slot.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_SWEEP_INTERVAL", default_value = "1h", value_parser = parse_go_duration, value_name = "DURATION")]
    pub sweep_interval: Duration,

    /// Form of the log on standard error; RUST_LOG chooses what is logged (default info).
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// The operator's own namespace, which holds its Lease [default: that of the kubeconfig or service account].
    #[arg(long, env = "POD_NAMESPACE", value_parser = namespace_name, hide = true, value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// The name of the operator's pod, which its identity as leader starts with [default: the host's name].
    #[arg(long, env = "POD_NAME", hide = true, value_name = "NAME")]
    pub pod_name: Option<String>,
}

/// What the operator runs with: plain data, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespaces to serve, sorted and without doubles; none means all.
    pub namespaces: Vec<String>,
    /// The election's times; `None` where there is no election.
    pub leader_election: Option<Timing>,
    /// Where /metrics is served.
    pub metrics_bind_address: BindAddress,
    /// Where /healthz and /readyz are served.
    pub health_probe_bind_address: BindAddress,
    /// Roles worked on at a time.
    pub max_concurrent_reconciles: NonZeroU16,
    /// The installation's name where one was given.
    pub installation_id: Option<String>,
    /// Hosts that configs may name.
    pub allowed_addresses: AllowedAddresses,
    /// Whether `http://` is taken.
    pub insecure_allow_http: bool,
    /// How long a write without an answer may still arrive.
    pub settling_time: Duration,
    /// How often each account's lists of tokens are walked.
    pub sweep_interval: Duration,
    /// Form of the log.
    pub log_format: LogFormat,
    /// POD_NAMESPACE; without it the kubeconfig's default namespace is the operator's own.
    pub pod_namespace: Option<String>,
    /// POD_NAME; without it the host's name starts the leader's identity.
    pub pod_name: Option<String>,
}

/// Flags that don't go together; each message names the flags and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A Lease holds whole seconds.
    #[error("--leader-elect-lease-duration is {}, but a Lease counts whole seconds; give at least 1s and no fraction", format_go_duration(*.0))]
    LeaseDuration(Duration),
    /// The leader must give up before the others take over.
    #[error(
        "--leader-elect-renew-deadline ({}) must be shorter than --leader-elect-lease-duration ({}); lower the first or raise the second",
        format_go_duration(*.renew_deadline), format_go_duration(*.lease_duration)
    )]
    RenewDeadline {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        lease_duration: Duration,
    },
    /// At least one retry must fit.
    #[error(
        "--leader-elect-retry-period ({}) must be longer than 0s and shorter than --leader-elect-renew-deadline ({}); lower the first or raise the second",
        format_go_duration(*.retry_period), format_go_duration(*.renew_deadline)
    )]
    RetryPeriod {
        /// As given.
        retry_period: Duration,
        /// As given.
        renew_deadline: Duration,
    },
    /// Without it a token could be revoked that a late write still brings into use.
    #[error("--settling-time must be longer than 0s; leave it away for 2m")]
    SettlingTime,
    /// The sweep would take the whole budget of an account.
    #[error("--sweep-interval is {}: give at least 1s, or leave it away for 1h", format_go_duration(*.0))]
    SweepInterval(Duration),
}

impl RunArgs {
    /// Checks what concerns more than one flag and gives plain data.
    ///
    /// # Errors
    /// Flags that don't go together.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let timing = Timing {
            lease_duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry_period: self.leader_elect_retry_period,
        };
        if self.leader_elect {
            check_timing(timing)?;
        }
        if self.settling_time.is_zero() {
            return Err(SettingsError::SettlingTime);
        }
        if self.sweep_interval < Duration::from_secs(1) {
            return Err(SettingsError::SweepInterval(self.sweep_interval));
        }
        let mut namespaces = self.namespace;
        namespaces.sort();
        namespaces.dedup();
        Ok(Settings {
            namespaces,
            leader_election: self.leader_elect.then_some(timing),
            metrics_bind_address: self.metrics_bind_address,
            health_probe_bind_address: self.health_probe_bind_address,
            max_concurrent_reconciles: self.max_concurrent_reconciles,
            installation_id: self.installation_id,
            allowed_addresses: AllowedAddresses(self.allowed_addresses),
            insecure_allow_http: self.insecure_allow_http,
            settling_time: self.settling_time,
            sweep_interval: self.sweep_interval,
            log_format: self.log_format,
            pod_namespace: self.pod_namespace,
            pod_name: self.pod_name.filter(|name| !name.is_empty()),
        })
    }
}

fn check_timing(timing: Timing) -> Result<(), SettingsError> {
    let Timing { lease_duration, renew_deadline, retry_period } = timing;
    let whole = lease_duration.subsec_nanos() == 0 && i32::try_from(lease_duration.as_secs()).is_ok();
    if lease_duration.is_zero() || !whole {
        return Err(SettingsError::LeaseDuration(lease_duration));
    }
    if renew_deadline >= lease_duration {
        return Err(SettingsError::RenewDeadline { renew_deadline, lease_duration });
    }
    if retry_period.is_zero() || retry_period >= renew_deadline {
        return Err(SettingsError::RetryPeriod { retry_period, renew_deadline });
    }
    Ok(())
}

/// A namespace's name is an RFC 1123 label. An empty one is refused: elsewhere it means all namespaces, which must not come
/// of a variable that happens to be empty.
fn namespace_name(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    if !text.is_empty() && text.len() <= 63 && edges && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err("not a namespace's name (1 to 63 of a-z, 0-9 and '-'); leave it away altogether to serve all".to_owned())
}

fn installation_id(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.len() <= 63 && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err("1 to 63 letters, digits, '-', '_' and '.' are taken, with a letter or digit first".to_owned())
}

#[cfg(test)]
mod tests;
