//! Who may use a config for what: `spec.allow`, after Gateway API's `allowedRoutes`.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::observed::{AccountKind, Config, Observed};
use super::subject::{self, TeamQuestion};
use super::terms::parse;
use crate::api::config::{AllowEntry, AllowedNamespaces, From};
use crate::api::role::DeletionPolicy;

/// What a config says to a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The role may use it, within these bounds.
    Admitted(Grant),
    /// It may not. To a tenant this reads as if the config did not exist.
    Refused,
    /// That depends on a team that TFC has to be asked about.
    Ask(TeamQuestion),
    /// That depends on an account which can't be known at the moment: nobody gains or loses anything.
    Undecided,
}

/// The bounds of one admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Longest life of a token.
    pub max_ttl: SignedDuration,
    /// For a role that sets no `ttl`.
    pub default_ttl: SignedDuration,
    /// The role may say `deletionPolicy: Retain`.
    pub may_retain: bool,
}

/// Whether the config admits the role: one entry that does suffices, the most generous one counts.
pub fn admit(o: &Observed) -> Admission {
    let Some(config) = &o.config else { return Admission::Refused };
    let Some(entries) = &config.allow else {
        // Who can run a pod in the config's namespace can mount the admin Secret anyway.
        let same = role_namespace(o) == config.namespace;
        return if same { Admission::Admitted(grant(config, None)) } else { Admission::Refused };
    };
    let verdicts: Vec<(Verdict, &AllowEntry)> = entries
        .iter()
        .filter(|e| namespace_matches(o, config, e.namespaces.as_ref()))
        .map(|entry| (subject_verdict(o, config, entry), entry))
        .collect();
    let granted = verdicts.iter().filter(|(v, _)| *v == Verdict::Yes).map(|(_, entry)| grant(config, Some(entry)));
    if let Some(best) = granted.max_by_key(|g| (g.max_ttl, g.may_retain)) {
        return Admission::Admitted(best);
    }
    if verdicts.iter().any(|(v, _)| *v == Verdict::Undecided) || config.account.is_err() && asks(&verdicts) {
        return Admission::Undecided;
    }
    let question = verdicts.into_iter().find_map(|(v, _)| match v {
        Verdict::Ask(q) if !o.facts.hidden_teams.contains(&q.to_string()) => Some(q),
        _ => None,
    });
    question.map_or(Admission::Refused, Admission::Ask)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    Ask(TeamQuestion),
    Undecided,
}

fn asks(verdicts: &[(Verdict, &AllowEntry)]) -> bool {
    verdicts.iter().any(|(v, _)| matches!(v, Verdict::Ask(_)))
}

fn grant(config: &Config, entry: Option<&AllowEntry>) -> Grant {
    let cap = entry.and_then(|e| e.max_ttl.as_deref()).and_then(|text| parse(text).ok());
    Grant {
        max_ttl: cap.map_or(config.max_ttl, |cap| cap.min(config.max_ttl)),
        default_ttl: config.default_ttl,
        may_retain: entry
            .and_then(|e| e.deletion_policies.as_ref())
            .is_some_and(|policies| policies.contains(&DeletionPolicy::Retain)),
    }
}

fn role_namespace(o: &Observed) -> &str {
    o.role.metadata.namespace.as_deref().unwrap_or_default()
}

fn namespace_matches(o: &Observed, config: &Config, allowed: Option<&AllowedNamespaces>) -> bool {
    match allowed.map(|a| a.from).unwrap_or_default() {
        From::Same => role_namespace(o) == config.namespace,
        From::All => !o.namespaces_hidden,
        From::Selector => {
            let (Some(selector), Some(labels)) = (allowed.and_then(|a| a.selector.as_ref()), &o.namespace_labels)
            else {
                return false;
            };
            selector.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
                && selector.match_expressions.iter().all(|r| requirement_holds(r, labels))
        }
        From::Unknown => false,
    }
}

fn requirement_holds(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed = |v: &String| requirement.values.as_ref().is_some_and(|values| values.contains(v));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Whether one entry grants the role's subject. What the text alone can say is said first, so that TFC is asked only for
/// what may admit, and a tenant can't learn from the answer which teams exist.
fn subject_verdict(o: &Observed, config: &Config, entry: &AllowEntry) -> Verdict {
    let spec = &o.role.spec;
    if let Some(organization) = &spec.organization {
        let granted = entry.organizations.iter().any(|allowed| allowed == "*" || *allowed == organization.name);
        return if granted { Verdict::Yes } else { Verdict::No };
    }
    if let Some(user) = &spec.user {
        return user_verdict(config, entry, user.id.as_deref());
    }
    let Some(team) = &spec.team else { return Verdict::No };
    let pinned = o.role.status.as_ref().and_then(|s| s.subject_id.as_deref());
    let named = match (&team.organization, &team.name) {
        (Some(organization), Some(name)) => Some((organization.as_str(), name.as_str())),
        _ => None,
    };
    let by_name = named.and_then(|(organization, name)| subject::team_named(config, organization, name));
    let id = team.id.as_deref().or(pinned).or(by_name.as_deref());
    let organization = named.map(|(organization, _)| organization).or_else(|| subject::organization_of(config, id?));
    let mut question = None;
    for allowed in &entry.teams {
        match allowed.split_once('/') {
            None if allowed == "*" => return Verdict::Yes,
            None => match (id, named) {
                (Some(id), _) if id == allowed => return Verdict::Yes,
                (None, Some((organization, name))) => {
                    question = Some(TeamQuestion::Named { organization: organization.into(), name: name.into() });
                }
                _ => {}
            },
            Some((allowed_org, "*")) => match organization {
                Some(organization) if organization == allowed_org => return Verdict::Yes,
                None => question = id.map(|id| TeamQuestion::Id(id.into())),
                Some(_) => {}
            },
            Some((allowed_org, allowed_name)) => match (subject::team_named(config, allowed_org, allowed_name), id) {
                _ if named == Some((allowed_org, allowed_name)) => return Verdict::Yes,
                (Some(allowed_id), Some(id)) if allowed_id == id => return Verdict::Yes,
                (None, Some(_)) if named.is_none() => {
                    let (organization, name) = (allowed_org.into(), allowed_name.into());
                    question = question.or(Some(TeamQuestion::Named { organization, name }));
                }
                _ => {}
            },
        }
    }
    question.map_or(Verdict::No, Verdict::Ask)
}

fn user_verdict(config: &Config, entry: &AllowEntry, id: Option<&str>) -> Verdict {
    let account = config.account.as_ref().ok();
    let me = account.filter(|a| a.kind == AccountKind::User).map(|a| a.id.as_str());
    for allowed in &entry.users {
        let matches = match (allowed.as_str(), id) {
            ("me", None) => return Verdict::Yes,
            ("me", Some(id)) if account.is_some() => me == Some(id),
            (allowed, Some(id)) if allowed != "me" => allowed == id,
            (allowed, None) if account.is_some() => me == Some(allowed),
            _ => return Verdict::Undecided,
        };
        if matches {
            return Verdict::Yes;
        }
    }
    Verdict::No
}
