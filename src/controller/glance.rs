//! The first look after a start: at two lists, instead of at each role and its Secret. A role that rests by them needs no read, and after a
//! restart nearly all do.
//!
//! Nothing but a rest without a word comes of it. What a list is too old to show comes by the watches: a rest names the versions that it was
//! decided on, and the watch of Secrets begins later.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use tracing::debug;

use super::Operator;
use super::memory::{Entry, Key, Rested};
use crate::api::TerraformCloudRole;
use crate::api::names::ANNOTATION_RECORD;
use crate::boottime::BootInstant;
use crate::cluster::ClusterError;
use crate::observe::Round;
use crate::plan::plan;
use crate::plan::step::Step;

/// How long the configs' answers are waited for: what a role may do hangs on them.
const ANSWERS: Duration = Duration::from_secs(3);

/// As much of a Secret as a rest hangs on.
struct Listed {
    uid: Box<str>,
    version: Box<str>,
    controller: Box<str>,
    record: Box<str>,
}

/// Looks at the roles of a namespace, or of all. Whoever does not rest by it has its round.
pub async fn look(operator: &Operator, namespace: Option<&str>) {
    // Who does not answer in time is asked by each role's round.
    let _ = tokio::time::timeout(ANSWERS, operator.world.accounts.answered()).await;
    match glance(operator, namespace).await {
        Ok((all, rest)) => debug!(roles = all, rest, "looked at the lists"),
        Err(error) => debug!(%error, "the lists could not be looked at: each role is read"),
    }
}

async fn glance(operator: &Operator, namespace: Option<&str>) -> Result<(usize, usize), ClusterError> {
    let cluster = &operator.world.cluster;
    let mut secrets = HashMap::new();
    cluster.visit_secrets(namespace, |meta| secrets.extend(listed(meta))).await?;
    let (mut all, mut rest) = (0, 0);
    cluster
        .visit_whole_roles(namespace, |role| {
            all += 1;
            rest += usize::from(rests(operator, role, &secrets));
        })
        .await?;
    Ok((all, rest))
}

/// What is out of the ordinary is not kept: its role is read.
fn listed(meta: ObjectMeta) -> Option<(Key, Listed)> {
    if meta.deletion_timestamp.is_some() {
        return None;
    }
    let controller = meta.owner_references?.into_iter().find(|owner| owner.controller == Some(true))?;
    let record = meta.annotations?.remove(ANNOTATION_RECORD)?;
    let listed = Listed {
        uid: meta.uid?.into(),
        version: meta.resource_version?.into(),
        controller: controller.uid.into(),
        record: record.into(),
    };
    Some(((meta.namespace?, meta.name?), listed))
}

/// Whether the role rests; then that is kept.
fn rests(operator: &Operator, role: TerraformCloudRole, secrets: &HashMap<Key, Listed>) -> bool {
    let (Some(uid), Some(namespace)) = (role.metadata.uid.clone(), role.metadata.namespace.clone()) else {
        return false;
    };
    let key = (namespace, role.secret_name());
    let Some(listed) = secrets.get(&key) else { return false };
    let place = operator.namespaces.get(&key.0);
    let round = Round::listed(&operator.world, role, &listed.meta(), place);
    let Some(session) = round.session.clone().filter(|session| session.account.is_ok()) else { return false };
    let Step::Rest(rest) = plan(&round.observed(&operator.world)) else { return false };
    if rest.status.is_some() || !rest.strays.is_empty() {
        return false;
    }
    let wake = rest.wake_in.map(|span| span.unsigned_abs());
    let rested = Rested {
        role: round.resource_version().to_owned(),
        secret: key,
        secret_version: Some(listed.version.to_string()),
        epoch: Some(session.epoch),
        until: wake.map(|wake| BootInstant::now() + wake),
    };
    operator.memory.put(&uid, Entry { rested: Some(rested), ..Entry::default() })
}

impl Listed {
    fn meta(&self) -> ObjectMeta {
        let owner =
            OwnerReference { uid: self.controller.to_string(), controller: Some(true), ..OwnerReference::default() };
        ObjectMeta {
            uid: Some(self.uid.to_string()),
            resource_version: Some(self.version.to_string()),
            owner_references: Some(vec![owner]),
            annotations: Some(BTreeMap::from([(ANNOTATION_RECORD.to_owned(), self.record.to_string())])),
            ..ObjectMeta::default()
        }
    }
}
