//! Flags that `run` and `uninstall` share: what the operator serves, who it is, and the election's times.

use std::time::Duration;

use clap::ArgAction;

use super::{AllowedAddresses, HostPattern, SettingsError};
use crate::duration::parse_go_duration;
use crate::leader::Timing;
use crate::log::LogFormat;

/// What the operator serves and who it is, as written by the user.
#[derive(Debug, clap::Args)]
pub struct ScopeArgs {
    /// Namespace to serve; repeat it, or separate by commas, for several [default: all namespaces].
    ///
    /// TerraformCloudRoles, TerraformCloudConfigs and Secrets elsewhere are neither read nor written, so that Roles in
    /// these namespaces are enough and no ClusterRole is needed.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_NAMESPACE", value_delimiter = ',', value_parser = namespace_name, value_name = "NAMESPACE")]
    pub namespace: Vec<String>,

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

/// What the operator serves and who it is: plain data, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Namespaces to serve, sorted and without doubles; none means all.
    pub namespaces: Vec<String>,
    /// The installation's name where one was given.
    pub installation_id: Option<String>,
    /// Hosts that configs may name.
    pub allowed_addresses: AllowedAddresses,
    /// Whether `http://` is taken.
    pub insecure_allow_http: bool,
    /// How long a write without an answer may still arrive.
    pub settling_time: Duration,
    /// Form of the log.
    pub log_format: LogFormat,
    /// POD_NAMESPACE; without it the kubeconfig's default namespace is the operator's own.
    pub pod_namespace: Option<String>,
    /// POD_NAME; without it the host's name starts the leader's identity.
    pub pod_name: Option<String>,
}

impl ScopeArgs {
    pub(super) fn scope(self) -> Result<Scope, SettingsError> {
        if self.settling_time.is_zero() {
            return Err(SettingsError::SettlingTime);
        }
        let mut namespaces = self.namespace;
        namespaces.sort();
        namespaces.dedup();
        Ok(Scope {
            namespaces,
            installation_id: self.installation_id,
            allowed_addresses: AllowedAddresses(self.allowed_addresses),
            insecure_allow_http: self.insecure_allow_http,
            settling_time: self.settling_time,
            log_format: self.log_format,
            pod_namespace: self.pod_namespace,
            pod_name: self.pod_name.filter(|name| !name.is_empty()),
        })
    }
}

impl Scope {
    /// Whether objects of this namespace are served.
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace)
    }

    /// The namespaces that are listed or watched one by one; a single `None` where all are at once.
    pub fn watched(&self) -> Vec<Option<String>> {
        match self.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// The election's times, as written by the user.
#[derive(Debug, clap::Args)]
pub struct ElectionArgs {
    /// How long a leader that falls silent stays leader: the others take over after this time, in whole seconds.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_LEASE_DURATION", default_value = "15s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,

    /// How long the leader tries to renew before it gives up and exits; shorter than the lease duration.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_RENEW_DEADLINE", default_value = "10s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,

    /// Time between two tries to become or to stay leader; shorter than the renew deadline.
    #[arg(long, env = "TFC_TOKEN_OPERATOR_LEADER_ELECT_RETRY_PERIOD", default_value = "2s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,
}

impl ElectionArgs {
    /// The times, if they go together.
    pub(super) fn timing(&self) -> Result<Timing, SettingsError> {
        let timing = Timing {
            lease_duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry_period: self.leader_elect_retry_period,
        };
        check_timing(timing).map(|()| timing)
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
