//! From a check to the config's status. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::check::Checked;
use crate::api::config::{Account, From, TerraformCloudConfigStatus};
use crate::api::{Condition, ConfigReason, Kind, TerraformCloudConfig, merge_conditions};
use crate::cluster::Severity;
use crate::plan::observed::AccountKind;

/// What an operator without the right to read namespaces says of a config that is for more than its own.
const NAMESPACES_HIDDEN: &str = "entries of spec.allow with from: Selector or All admit nobody: the operator may not list \
     namespaces; grant it to its ServiceAccount (the chart does by namespaceLabels)";
/// Holders that a message names.
const NAMED: usize = 5;

/// The status that the check comes to.
pub fn status(
    config: &TerraformCloudConfig,
    checked: &Checked,
    holders: &[String],
    namespaces_hidden: bool,
    now: Timestamp,
) -> TerraformCloudConfigStatus {
    let mut status = config.status.clone().unwrap_or_default();
    let generation = config.metadata.generation;
    let condition = |type_: &str, value: &str, reason: ConfigReason, message: &str| Condition {
        type_: type_.into(),
        status: value.into(),
        reason: reason.as_str().into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: None,
    };
    let mut conditions = Vec::new();
    match (&checked.account, &checked.problem) {
        (Ok(confirmed), _) => {
            let mut message = format!("{} accepts the token", checked.host);
            if !checked.hidden_teams.is_empty() {
                let names = checked.hidden_teams.join(", ");
                message = format!("{message}, but shows no team {names}: that entry of spec.allow admits nobody");
            }
            conditions.push(condition("Ready", "True", ConfigReason::Authenticated, &message));
            if namespaces_hidden && looks_beyond_its_own(config) {
                conditions.push(condition("Stalled", "True", ConfigReason::MissingPermission, NAMESPACES_HIDDEN));
            }
            if let Some(details) = &confirmed.details {
                status.account = Some(account(&confirmed.observed.id, &details.name, &confirmed.observed.kind));
                status.token = Some(details.token.clone());
                status.server = Some(details.server.clone());
            }
        }
        (Err(reason), problem) => {
            let message = problem.as_ref().map_or("", |p| p.message.as_str());
            conditions.push(condition("Ready", "False", *reason, message));
            let type_ = if *reason == ConfigReason::Unreachable { "Reconciling" } else { "Stalled" };
            conditions.push(condition(type_, "True", *reason, message));
        }
    }
    if !holders.is_empty() {
        let more = holders.len().saturating_sub(NAMED);
        let named = holders[..holders.len().min(NAMED)].join(", ");
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!(
            "it is being deleted and waits for its roles: {named}{rest}; delete those, or point them to another config"
        );
        conditions.retain(|c| c.type_ != "Reconciling");
        conditions.push(condition("Reconciling", "True", ConfigReason::InUse, &message));
    }
    status.conditions = merge_conditions(&status.conditions, conditions, &Time(now));
    status.observed_generation = generation;
    status.teams.clone_from(&checked.teams);
    status
}

/// Whether an entry of `allow` is for other namespaces than the config's own.
fn looks_beyond_its_own(config: &TerraformCloudConfig) -> bool {
    let entries = config.spec.allow.iter().flatten();
    entries.filter_map(|entry| entry.namespaces.as_ref()).any(|namespaces| namespaces.from != From::Same)
}

/// What a person would want to know of the difference: severity, reason, words.
pub fn news(
    before: &TerraformCloudConfigStatus,
    after: &TerraformCloudConfigStatus,
) -> Vec<(Severity, &'static str, String)> {
    let mut news = Vec::new();
    let reason =
        |status: &TerraformCloudConfigStatus| Condition::find(&status.conditions, "Ready").map(|c| c.reason.clone());
    if reason(before) != reason(after)
        && let Some(ready) = Condition::find(&after.conditions, "Ready")
    {
        let severity = if ready.status == "True" { Severity::Normal } else { Severity::Warning };
        let known = ConfigReason::ALL.iter().map(|r| r.as_str()).find(|r| *r == ready.reason);
        news.push((severity, known.unwrap_or("Checked"), ready.message.clone()));
    }
    let hindered = |status: &TerraformCloudConfigStatus| {
        let stalled = Condition::find(&status.conditions, "Stalled")?.clone();
        let missing = ConfigReason::MissingPermission.as_str();
        (reason(status).as_deref() != Some(missing) && stalled.reason == missing).then_some(stalled.message)
    };
    if let Some(words) = hindered(after).filter(|_| hindered(before).is_none()) {
        news.push((Severity::Warning, ConfigReason::MissingPermission.as_str(), words));
    }
    if let (Some(was), Some(is)) = (&before.account, &after.account)
        && was.id != is.id
    {
        let words = format!(
            "the token is now of account {} ({}), before of {} ({}): tokens that only the former account can see can't be proven revoked any more",
            is.name, is.id, was.name, was.id
        );
        news.push((Severity::Warning, "AccountChanged", words));
    }
    news
}

fn account(id: &str, name: &str, kind: &AccountKind) -> Account {
    let (kind, can_mint): (&str, &[Kind]) = match kind {
        AccountKind::User => ("User", &[Kind::User, Kind::Team, Kind::TeamLegacy, Kind::Organization]),
        AccountKind::Team(_) => ("Team", &[Kind::Team, Kind::TeamLegacy, Kind::Organization]),
        AccountKind::Organization(_) => ("Organization", &[Kind::Team, Kind::TeamLegacy, Kind::Organization]),
    };
    let can_mint = can_mint.iter().map(|kind| kind.as_str().to_owned()).collect();
    Account { id: id.to_owned(), name: name.to_owned(), kind: kind.to_owned(), can_mint }
}
