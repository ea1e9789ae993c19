//! Finds out whether a config can be used. TFC is asked only where something has changed since its last good answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Kept, PROBE, admin_token, connection};
use crate::accounts::{ConfigKey, Session};
use crate::act::World;
use crate::api::config::{AdminToken, CABundleKind, ResolvedTeam, Server};
use crate::api::{ConfigReason, TerraformCloudConfig};
use crate::args::Scope;
use crate::cluster::ClusterError;
use crate::plan::observed::{Account, AccountKind};
use crate::tfc::{self, Budget, Class, Client, Error, RateCap, TokenValue};

/// What a check is made with.
#[derive(Clone, Copy)]
pub struct Checker<'a> {
    /// The API server, and the accounts at TFC.
    pub world: &'a World,
    /// Which addresses a config may name.
    pub scope: &'a Scope,
    /// Salt of the digests by which a changed admin token is noticed.
    pub salt: &'a str,
}

/// What a check came to.
pub struct Checked {
    /// The account behind the token, or the reason why there is none.
    pub account: Result<Confirmed, ConfigReason>,
    /// What is wrong, in words that say the mend.
    pub problem: Option<Problem>,
    /// The client; it may be there though the account is out of reach.
    pub client: Option<Client>,
    /// The host of the address; empty where it has none.
    pub host: String,
    /// Teams that TFC showed.
    pub teams: Vec<ResolvedTeam>,
    /// Names in `spec.allow` that TFC does not show.
    pub hidden_teams: Vec<String>,
    /// What the answer was to.
    pub fingerprint: Option<Fingerprint>,
    /// TFC was not asked, since it has just failed to answer the same: when it may be.
    pub ask_in: Option<Duration>,
}

/// An account that TFC confirmed.
#[derive(Clone)]
pub struct Confirmed {
    /// As roles see it.
    pub observed: Account,
    /// Its name; `None` where TFC was not asked again.
    pub details: Option<Details>,
}

/// What only TFC's answer shows.
#[derive(Clone)]
pub struct Details {
    /// Name of the account.
    pub name: String,
    /// The server.
    pub server: Server,
    /// The admin token itself.
    pub token: AdminToken,
}

/// Why a config can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In one word.
    pub reason: ConfigReason,
    /// In a sentence that says the mend.
    pub message: String,
}

/// What TFC's last good answer was to: where, and with which token. A salted hash, never the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Problem {
    fn new(reason: ConfigReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Checks a config.
///
/// # Errors
/// If the API server could not be asked.
pub async fn check(
    checker: Checker<'_>,
    key: &ConfigKey,
    config: &TerraformCloudConfig,
    before: Option<&Session>,
    kept: &Kept,
) -> Result<Checked, ClusterError> {
    let host = connection(config, None, true).host().unwrap_or_default();
    let mut checked = Checked::of(config, before, host);
    let (token, ca) = match prerequisites(checker, key, config, &checked.host).await? {
        Ok(found) => found,
        Err(problem) => return Ok(checked.fail(problem)),
    };
    let fingerprint = fingerprint(checker, config, &token, ca.as_deref());
    checked.fingerprint = Some(fingerprint.clone());
    if let (Some(Ok(account)), Some(client)) = (before.map(|b| &b.account), before.and_then(|b| b.client.clone()))
        && kept.confirmed.as_ref() == Some(&fingerprint)
        && !kept.doubted
    {
        checker.world.accounts.budget(&checked.host, &account.id, cap(config));
        checked.account = Ok(Confirmed { observed: account.clone(), details: None });
        checked.client = Some(client.clone());
        resolve_allowed(&client, config, &mut checked).await;
        return Ok(checked);
    }
    let accounts = &checker.world.accounts;
    let named = config.status.as_ref().and_then(|s| s.account.as_ref()).map(|account| account.id.clone());
    let probed = named.unwrap_or_else(|| format!("{}/{}", key.0, key.1));
    if let Some((failed, problem)) = &kept.failed
        && *failed == fingerprint
    {
        let left = accounts.probe_in(&checked.host, &probed, PROBE);
        if !left.is_zero() {
            checked.ask_in = Some(left);
            checked.client = before.and_then(|b| b.client.clone());
            return Ok(checked.fail(problem.clone()));
        }
    }
    let clock = accounts.clock(&checked.host);
    let observer = Arc::new(checker.world.metrics.clone());
    let wanted = connection(config, ca, checker.scope.insecure_allow_http);
    let client = match Client::new(&wanted, token, Arc::new(Budget::new(cap(config))), clock, observer) {
        Ok(client) => client,
        Err(error) => {
            let reason =
                if wanted.ca_pem.is_some() { ConfigReason::InvalidCABundle } else { ConfigReason::AddressNotAllowed };
            return Ok(checked.fail(Problem::new(reason, error.to_string())));
        }
    };
    let answer = client.account(Class::Asked).await;
    accounts.probed(&checked.host, &probed, answer.is_ok());
    let info = match answer {
        Ok(info) => info,
        Err(error) => {
            checked.client = Some(client);
            let problem = refused(config, &checked.host, &error);
            return Ok(checked.fail(problem));
        }
    };
    let client = client.with_budget(accounts.budget(&checked.host, &info.id, cap(config)));
    let kind = match (info.kind, info.owner_id.clone()) {
        (tfc::AccountKind::User, _) => AccountKind::User,
        (tfc::AccountKind::Team, owner) => AccountKind::Team(owner.unwrap_or_default()),
        (tfc::AccountKind::Organization, owner) => AccountKind::Organization(owner.unwrap_or_default()),
    };
    let expires_at = admin_token_expiry(&client, config, info.token_id.as_deref()).await;
    let token = AdminToken {
        id: info.token_id.clone().unwrap_or_default(),
        expires_at: expires_at.map(crate::plan::time),
        secret: Some(config.spec.token_secret_ref.name.clone()),
    };
    let server =
        Server { product: info.server.product, version: info.server.version, api_version: info.server.api_version };
    checked.account = Ok(Confirmed {
        observed: Account { id: info.id, kind, token_id: info.token_id },
        details: Some(Details { name: info.name, server, token }),
    });
    resolve_allowed(&client, config, &mut checked).await;
    checked.client = Some(client);
    Ok(checked)
}

impl Checked {
    /// A check that could not be made for want of a permission.
    pub fn missing_permission(config: &TerraformCloudConfig, before: Option<&Session>, words: &str) -> Self {
        let host = connection(config, None, true).host().unwrap_or_default();
        let mut checked = Self::of(config, before, host);
        checked.client = before.and_then(|before| before.client.clone());
        checked.fail(Problem::new(ConfigReason::MissingPermission, words))
    }

    fn of(config: &TerraformCloudConfig, before: Option<&Session>, host: String) -> Self {
        let known_teams = before.map(Session::teams).filter(|teams| !teams.is_empty());
        Checked {
            account: Err(ConfigReason::Unreachable),
            problem: None,
            client: None,
            host,
            teams: known_teams.unwrap_or_else(|| config.status.clone().unwrap_or_default().teams),
            hidden_teams: Vec::new(),
            fingerprint: None,
            ask_in: None,
        }
    }

    fn fail(mut self, problem: Problem) -> Self {
        self.account = Err(problem.reason);
        self.problem = Some(problem);
        self
    }
}

/// The token and the CA bundle, or what is missing.
async fn prerequisites(
    checker: Checker<'_>,
    (namespace, _): &ConfigKey,
    config: &TerraformCloudConfig,
    host: &str,
) -> Result<Result<(TokenValue, Option<Vec<u8>>), Problem>, ClusterError> {
    let settings = checker.scope;
    if !settings.allowed_addresses.permits(host) {
        let message = format!(
            "--allowed-addresses of the operator does not allow {host}: use another address, or ask who runs the operator to allow it"
        );
        return Ok(Err(Problem::new(ConfigReason::AddressNotAllowed, message)));
    }
    if config.spec.address.starts_with("http://") && !settings.insecure_allow_http {
        let message = "spec.address is http, which shows tokens to the network: use https, or run the operator with --insecure-allow-http in a test";
        return Ok(Err(Problem::new(ConfigReason::InsecureAddress, message)));
    }
    let reference = &config.spec.token_secret_ref;
    let (name, key) = (&reference.name, &reference.key);
    let Some(secret) = checker.world.cluster.secret_value(namespace, name).await? else {
        let message = format!(
            "Secret {name} does not exist in namespace {namespace}: create it with the admin token under key {key}"
        );
        return Ok(Err(Problem::new(ConfigReason::SecretNotFound, message)));
    };
    let Some(bytes) = secret.get(key) else {
        let keys: Vec<&str> = secret.keys().take(8).collect();
        let message = format!(
            "Secret {name} has no key {key} (it has: {}): put the admin token there, or name its key in spec.tokenSecretRef.key",
            keys.join(", ")
        );
        return Ok(Err(Problem::new(ConfigReason::KeyNotFound, message)));
    };
    let token = match admin_token(&bytes) {
        Ok(token) => token,
        Err(why) => {
            let message = format!("key {key} of Secret {name} holds no TFC token: {why}");
            return Ok(Err(Problem::new(ConfigReason::KeyNotFound, message)));
        }
    };
    let ca = match &config.spec.ca_bundle_ref {
        None => None,
        Some(ca) => {
            let found = match ca.kind {
                CABundleKind::ConfigMap => {
                    let text = checker.world.cluster.config_map_key(namespace, &ca.name, &ca.key).await?;
                    text.map(String::into_bytes)
                }
                CABundleKind::Secret => {
                    let secret = checker.world.cluster.secret_value(namespace, &ca.name).await?;
                    secret.and_then(|secret| secret.get(&ca.key)).map(|bytes| bytes.to_vec())
                }
                CABundleKind::Unknown => None,
            };
            let Some(bundle) = found else {
                let message = format!(
                    "{:?} {} or its key {} does not exist in namespace {namespace}: spec.caBundleRef names it",
                    ca.kind, ca.name, ca.key
                );
                return Ok(Err(Problem::new(ConfigReason::InvalidCABundle, message)));
            };
            Some(bundle)
        }
    };
    Ok(Ok((token, ca)))
}

fn cap(config: &TerraformCloudConfig) -> Option<RateCap> {
    config.spec.rate_limit.as_ref().map(|limit| {
        let number = |n: i32| u32::try_from(n).unwrap_or(1).max(1);
        let per_second = number(limit.requests_per_second);
        RateCap { per_second, burst: limit.burst.map_or(per_second, number) }
    })
}

fn fingerprint(
    checker: Checker<'_>,
    config: &TerraformCloudConfig,
    token: &TokenValue,
    ca: Option<&[u8]>,
) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [config.spec.address.as_bytes(), config.spec.base_path.as_bytes(), ca.unwrap_or_default()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(token.digest(checker.salt).as_bytes());
    Fingerprint(data_encoding::BASE32_NOPAD.encode(&hash.finalize()))
}

fn refused(config: &TerraformCloudConfig, host: &str, error: &Error) -> Problem {
    let reference = &config.spec.token_secret_ref;
    match error.kind {
        tfc::Kind::Unauthorized => {
            let message = format!(
                "{host} refuses the token in Secret {} ({}): put a live one there",
                reference.name, error.words
            );
            Problem::new(ConfigReason::Unauthorized, message)
        }
        tfc::Kind::Hidden | tfc::Kind::Forbidden | tfc::Kind::Rejected => {
            let message =
                format!("{host} does not show the account of the token in Secret {}: {}", reference.name, error.words);
            Problem::new(ConfigReason::Unauthorized, message)
        }
        _ => Problem::new(ConfigReason::Unreachable, format!("{host} is out of reach: {}", error.words)),
    }
}

/// Asked for once a token: its id stands in the status beside its expiry.
async fn admin_token_expiry(
    client: &Client,
    config: &TerraformCloudConfig,
    token_id: Option<&str>,
) -> Option<Timestamp> {
    let known = config.status.as_ref().and_then(|s| s.token.as_ref());
    match (token_id, known) {
        (None, _) => None,
        (Some(id), Some(known)) if known.id == id => known.expires_at.as_ref().map(|t| t.0),
        (Some(id), _) => client.show(Class::First, id).await.ok()?.expired_at,
    }
}

/// Looks up the teams that `spec.allow` names by name, each once.
async fn resolve_allowed(client: &Client, config: &TerraformCloudConfig, checked: &mut Checked) {
    let named = config.spec.allow.iter().flatten().flat_map(|entry| &entry.teams);
    for (text, (organization, name)) in named.filter_map(|text| Some((text, text.split_once('/')?))) {
        let known = checked.teams.iter().any(|team| team.organization == organization && team.name == name);
        if known || name == "*" {
            continue;
        }
        match client.team_named(Class::First, organization, name).await {
            Ok(team) => {
                checked.teams.push(ResolvedTeam { id: team.id, organization: organization.into(), name: team.name })
            }
            Err(_) => checked.hidden_teams.push(text.clone()),
        }
    }
}
