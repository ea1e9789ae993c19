//! Flags of `uninstall`.

use std::time::Duration;

use super::{ElectionArgs, Scope, ScopeArgs, SettingsError};
use crate::duration::parse_go_duration;
use crate::leader::Timing;
use crate::plan::uninstall::Policy;

/// The flags of `uninstall`, as written by the user.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// What becomes of the tokens. Revoke: each role's are revoked and its Secret goes, as if the role were deleted; the role itself
    /// stays. Release: tokens and Secrets stay, and the tokens die when they expire.
    #[arg(long, value_enum, ignore_case = true, value_name = "POLICY")]
    pub policy: PolicyArg,

    /// How long all of it may take. What has not been proven by then counts as unproven.
    #[arg(long, default_value = "4m30s", value_parser = parse_go_duration, value_name = "DURATION")]
    pub timeout: Duration,

    /// Take the finalizers off also where a token may live on; each is named, in an event too.
    #[arg(long)]
    pub allow_unproven: bool,

    /// What to serve, and as whom: as for `run`, or tokens of the installation are not told from others.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// The election's times, as for `run`.
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// What becomes of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PolicyArg {
    /// They are revoked.
    Revoke,
    /// They stay.
    Release,
}

/// What an uninstall runs with: plain data, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UninstallSettings {
    /// What becomes of the tokens.
    pub policy: Policy,
    /// How long all of it may take.
    pub timeout: Duration,
    /// Finalizers go also where a token may live on.
    pub allow_unproven: bool,
    /// What is served, and as whom.
    pub scope: Scope,
    /// The election's times.
    pub timing: Timing,
}

impl UninstallArgs {
    /// Checks what concerns more than one flag and gives plain data.
    ///
    /// # Errors
    /// Flags that don't go together.
    pub fn settings(self) -> Result<UninstallSettings, SettingsError> {
        if self.timeout < Duration::from_secs(1) {
            return Err(SettingsError::UninstallTimeout(self.timeout));
        }
        let policy = match self.policy {
            PolicyArg::Revoke => Policy::Revoke,
            PolicyArg::Release => Policy::Release,
        };
        Ok(UninstallSettings {
            policy,
            timeout: self.timeout,
            allow_unproven: self.allow_unproven,
            scope: self.scope.scope()?,
            timing: self.election.timing()?,
        })
    }
}
