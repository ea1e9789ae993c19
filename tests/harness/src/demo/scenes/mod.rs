//! The scenes against the simulator, in the order in which they are played.

mod crash;
mod farewell;
mod leases;
mod refused;
pub(super) mod samples;
mod slots;
mod speed;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::Error;
use crate::simulator::{Simulator, StandardIds};

pub(super) use speed::Speed;

/// The namespace of the scenes' own roles.
const NAMESPACE: &str = "demo";

/// TFC, and whom it knows.
pub(super) struct Tfc {
    pub simulator: Simulator,
    pub ids: StandardIds,
}

/// Plays all scenes. One that breaks off counts as a claim that failed; the next is played all the same.
pub(super) async fn play_all(stage: &mut Stage, tfc: &Tfc) -> Option<Speed> {
    let played = samples::play(stage, tfc).await;
    ended(stage, played);
    let played = refused::play(stage, tfc).await;
    ended(stage, played);
    let played = leases::user(stage).await;
    ended(stage, played);
    let played = leases::team_and_expiry(stage, tfc).await;
    ended(stage, played);
    let played = slots::play(stage, tfc).await;
    ended(stage, played);
    let played = crash::play(stage, tfc).await;
    ended(stage, played);
    let played = speed::play(stage, tfc).await;
    let speed = ended(stage, played);
    let played = farewell::play(stage, tfc).await;
    ended(stage, played);
    speed
}

fn ended<T>(stage: &mut Stage, played: Result<T, Error>) -> Option<T> {
    played.inspect_err(|error| stage.show.claim("the scene came to its end", false, error)).ok()
}

/// A role of the demo's namespace.
fn role(name: &str, spec: Value) -> Value {
    let mut role = json!({
        "apiVersion": "terraformcloud.dev/v1alpha1",
        "kind": "TerraformCloudRole",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"configRef": {"name": "tfc"}},
    });
    if let (Some(all), Value::Object(more)) = (role["spec"].as_object_mut(), spec) {
        all.extend(more);
    }
    role
}
