//! The scenes against the simulator, in the order in which they are played.

mod crash;
mod farewell;
mod leases;
mod refused;
pub(super) mod samples;
mod slots;
mod speed;

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::Error;
use crate::simulator::{Simulator, StandardIds};

pub(super) use speed::Speed;

/// The namespace of the scenes' own roles.
const NAMESPACE: &str = "demo";

/// How much of the operator's log is shown where a claim failed.
const LOG_LINES: usize = 30;

/// TFC, and whom it knows.
pub(super) struct Tfc {
    pub simulator: Simulator,
    pub ids: StandardIds,
}

/// Plays all scenes. One that breaks off counts as a claim that failed; the next is played all the same.
pub(super) async fn play_all(stage: &mut Stage, tfc: &Tfc) -> Option<Speed> {
    let scene = Scene::begin(stage, tfc, "The samples: one role of each kind");
    let played = samples::play(stage, tfc).await;
    scene.end(stage, tfc, played, 4..=4);

    let scene = Scene::begin(stage, tfc, "What is refused, and how it is said");
    let played = refused::play(stage, tfc).await;
    scene.end(stage, tfc, played, 0..=0);

    let scene = Scene::begin(stage, tfc, "A user's token: issued, used, rotated on request, revoked");
    let played = leases::user(stage).await;
    scene.end(stage, tfc, played, 2..=2);

    let scene = Scene::begin(stage, tfc, "A team's token, rotated by itself; beside it one that is not renewed");
    let played = leases::team_and_expiry(stage, tfc).await;
    // On a machine that is slow beyond measure the second successor comes before the role is deleted.
    scene.end(stage, tfc, played, 3..=4);

    let scene = Scene::begin(stage, tfc, "Single slots: an organization's token, and a team's legacy token");
    let played = slots::play(stage, tfc).await;
    scene.end(stage, tfc, played, 3..=3);

    let scene = Scene::begin(stage, tfc, "kill -9 between mint and Secret");
    let played = crash::play(stage, tfc).await;
    scene.end(stage, tfc, played, 2..=2);

    let scene = Scene::begin(stage, tfc, "How fast: from apply to Secret");
    let played = speed::play(stage, tfc).await;
    let speed = scene.end(stage, tfc, played, speed::ROLES..=speed::ROLES);

    let scene = Scene::begin(stage, tfc, "The end: everything deleted at once");
    let played = farewell::play(stage, tfc).await;
    scene.end(stage, tfc, played, 0..=0);
    speed
}

/// A scene that is being played.
struct Scene {
    minted: usize,
    failures: usize,
    logged: usize,
}

impl Scene {
    fn begin(stage: &mut Stage, tfc: &Tfc, title: &str) -> Self {
        stage.show.scene(title);
        let logged = stage.operator_logs().map_or(0, |log| log.lines().count());
        Self { minted: tfc.simulator.minted().len(), failures: stage.show.failures(), logged }
    }

    /// Claims that so many tokens were made and no more, and tells what the operator had to say where a claim failed.
    fn end<T>(
        self,
        stage: &mut Stage,
        tfc: &Tfc,
        played: Result<T, Error>,
        tokens: RangeInclusive<usize>,
    ) -> Option<T> {
        let made = tfc.simulator.minted().len() - self.minted;
        match &played {
            Ok(_) => stage.show.claim(
                &format!("TFC made {} tokens for it, and no more", tokens.start()),
                tokens.contains(&made),
                made,
            ),
            Err(error) => stage.show.claim("the scene came to its end", false, error),
        }
        if stage.show.failures() > self.failures {
            let log = stage.operator_logs().unwrap_or_else(|error| error.to_string());
            let lines: Vec<&str> = log.lines().skip(self.logged).collect();
            stage.show.say("the last lines of what the operator logged in this scene:");
            stage.show.quote(&lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
        played.ok()
    }
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
