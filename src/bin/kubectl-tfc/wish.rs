//! `kubectl tfc rotate`, `renew` and `revoke`: a new value of an annotation, which asks once.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tfc_token_operator::api::names::ANNOTATION_REVOKE;
use tfc_token_operator::api::{TerraformCloudConfig, TerraformCloudRole};

use crate::Failure;
use crate::reach::Reach;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Wish {
    /// The annotation that asks.
    pub annotation: &'static str,
    /// In a word.
    pub verb: &'static str,
}

/// Asks it of roles.
pub async fn ask(reach: &Reach, wish: Wish, roles: &[String]) -> Result<(), Failure> {
    let patch = patch(wish.annotation);
    for role in roles {
        reach.here::<TerraformCloudRole>().patch(role, &PatchParams::default(), &patch).await?;
        println!("{} is asked of TerraformCloudRole {}/{role}", wish.verb, reach.namespace);
    }
    Ok(())
}

/// Asks all roles of configs to revoke.
pub async fn ask_configs(reach: &Reach, configs: &[String]) -> Result<bool, Failure> {
    let patch = patch(ANNOTATION_REVOKE);
    for config in configs {
        reach.here::<TerraformCloudConfig>().patch(config, &PatchParams::default(), &patch).await?;
        println!("revoke is asked of every role of TerraformCloudConfig {}/{config}", reach.namespace);
    }
    Ok(true)
}

/// The time makes a value that was not there before.
fn patch(annotation: &str) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"metadata": {"annotations": {annotation: Timestamp::now().to_string()}}}))
}
