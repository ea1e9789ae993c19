//! What is granted by a role, and what somebody asked for, by the API server's audit log.

use std::collections::BTreeSet;

use serde_json::Value;
use tfc_harness::audit::AuditEvent;
use tfc_harness::wait_until;

use super::helm::Rendered;
use crate::bed::Bed;
use crate::stage::SOON;

/// A verb on a resource, perhaps on one name alone: what a rule grants, and what a request needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group.
    pub group: String,
    /// With its subresource.
    pub resource: String,
    /// What is done.
    pub verb: String,
    /// None: any.
    pub name: Option<String>,
}

/// What a rule of a Role grants.
pub fn rights_of(rule: &Value) -> BTreeSet<Right> {
    let list = |key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap_or_default() };
    let names: Vec<Option<String>> = match list("resourceNames") {
        all if all.is_empty() => vec![None],
        some => some.into_iter().map(Some).collect(),
    };
    let mut rights = BTreeSet::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            for verb in list("verbs") {
                rights.extend(names.iter().map(|name| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    rights
}

/// All rules of the rendering's roles.
pub fn rules(rendered: &Rendered) -> Vec<&Value> {
    let roles = rendered.of("ClusterRole").chain(rendered.of("Role"));
    roles.flat_map(|role| role["rules"].as_array().expect("rules")).collect()
}

impl Right {
    fn covers(&self, used: &Right) -> bool {
        let bound = self.name.is_none() || self.name == used.name;
        (&self.group, &self.resource, &self.verb) == (&used.group, &used.resource, &used.verb) && bound
    }
}

/// What somebody asked for.
pub struct Asked {
    /// All of it.
    pub all: BTreeSet<Right>,
    /// What the API server refused for want of a right.
    pub refused: BTreeSet<Right>,
}

impl Asked {
    /// By this user, so far.
    pub fn by(bed: &Bed, user: &str) -> Asked {
        let mut asked = Asked { all: BTreeSet::new(), refused: BTreeSet::new() };
        let events = bed.audit_events().expect("the audit log").into_iter();
        // Whoever is authenticated may ask what they may do, and what kinds there are.
        let needs_a_right = |event: &AuditEvent| !event.resource.is_empty() && event.group != "authorization.k8s.io";
        for event in events.filter(|event| event.user == user && needs_a_right(event)) {
            let resource = match event.subresource.as_str() {
                "" => event.resource,
                subresource => format!("{}/{subresource}", event.resource),
            };
            let name = Some(event.name).filter(|name| !name.is_empty());
            let right = Right { group: event.group, resource, verb: event.verb, name };
            if event.code == 403 {
                asked.refused.insert(right.clone());
            }
            asked.all.insert(right);
        }
        asked
    }

    fn and(mut self, other: Asked) -> Asked {
        self.all.extend(other.all);
        self.refused.extend(other.refused);
        self
    }
}

/// Waits until every right was used by one of these users, and sees that none of them asked for anything else. A watch is told of when it is over.
pub async fn all_used(bed: &Bed, users: &[&str], granted: &BTreeSet<Right>) {
    let by_all = || users.iter().map(|user| Asked::by(bed, user)).reduce(Asked::and).expect("a user");
    wait_until("every right to be used", SOON, async || {
        let asked = by_all().all;
        let idle: Vec<&Right> = granted.iter().filter(|right| !asked.iter().any(|used| right.covers(used))).collect();
        if idle.is_empty() { Ok(()) } else { Err(format!("never used: {idle:#?}")) }
    })
    .await;
    let asked = by_all();
    assert!(asked.refused.is_empty(), "refused: {:#?}", asked.refused);
    let beyond: Vec<&Right> = asked.all.iter().filter(|used| !granted.iter().any(|right| right.covers(used))).collect();
    assert!(beyond.is_empty(), "granted by somebody else: {beyond:#?}");
}
