//! `kubectl tfc wait`

use std::time::Duration;

use futures::future::try_join_all;
use kube::runtime::wait::await_condition;
use tfc_token_operator::api::{Condition, TerraformCloudRole};

use crate::Failure;
use crate::reach::Reach;
use crate::story::{tell, unanswered};

/// Waits until each role holds a live token that answers its spec and all wishes. Says what the others are doing when time is over.
pub async fn until_ready(reach: &Reach, roles: &[String], timeout: Duration) -> Result<bool, Failure> {
    for role in roles {
        reach.one::<TerraformCloudRole>(role).await?;
    }
    let all = roles.iter().map(|role| await_condition(reach.here::<TerraformCloudRole>(), role, is_ready));
    if let Ok(waited) = tokio::time::timeout(timeout, try_join_all(all)).await {
        waited?;
        roles.iter().for_each(|role| println!("TerraformCloudRole {}/{role} is ready", reach.namespace));
        return Ok(true);
    }
    for name in roles {
        let role = reach.one::<TerraformCloudRole>(name).await?;
        if !is_ready(Some(&role)) {
            eprintln!("TerraformCloudRole {}/{name} is not ready: {}", reach.namespace, tell(&role).doing.join("; "));
        }
    }
    Ok(false)
}

fn is_ready(role: Option<&TerraformCloudRole>) -> bool {
    let Some((role, status)) = role.and_then(|role| Some((role, role.status.as_ref()?))) else { return false };
    let ready = Condition::find(&status.conditions, "Ready").is_some_and(|c| c.status == "True");
    ready && status.observed_generation == role.metadata.generation && unanswered(role).is_empty()
}
