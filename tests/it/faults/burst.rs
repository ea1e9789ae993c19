//! The operator killed at random moments while it has much to do.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use kube::api::ListParams;
use serde_json::json;
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use super::order::{BOUND, is_in_order};
use crate::stage::Stage;

const ROLES: usize = 200;

/// A number that the environment may set.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// Random numbers that a seed repeats (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Each kill strikes after a random number of calls to TFC and a moment more, while each of the roles is to have its first token or,
/// by an incident at their config, another one and the former one revoked. `SOAK_KILLS` and `SOAK_SEED` set what they say.
#[tokio::test]
async fn killed_at_random_moments_of_a_burst_the_operator_leaks_nothing_and_each_role_has_one_live_token() {
    let kills = setting("SOAK_KILLS", 5);
    let seed = setting("SOAK_SEED", RandomState::new().hash_one(0));
    println!("{kills} kills, SOAK_SEED={seed}");
    let mut random = Random(seed);
    let mut stage = Stage::with(&["--settling-time=2s"]).await;
    stage.kill();
    stream::iter(0..ROLES)
        .for_each_concurrent(16, |n| {
            let stage = &stage;
            async move {
                stage.role(&format!("role-{n:03}"), json!({"user": {"me": true}, "ttl": "24h"})).await;
            }
        })
        .await;
    stage.start().await;
    let mut last = None;
    for kill in 0..kills {
        let calls = stage.tfc.call_count() + random.below(2 * ROLES as u64);
        // Where all is done before, it strikes an operator at rest.
        stage.tfc.until(Duration::from_secs(5), |tfc| tfc.call_count() >= calls).await;
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        stage.kill();
        println!("kill {kill}: {} tokens were made so far, {} live", stage.tfc.minted().len(), stage.alive().len());
        // One more on top of what is not yet done would have each role wait for its former tokens' end.
        if stage.alive().len() < 2 * ROLES {
            let wish = json!({"metadata": {"annotations": {"terraformcloud.dev/revoke": kill.to_string()}}});
            stage.patch_config("tfc", wish).await;
            last = Some(kill.to_string());
        }
        stage.start().await;
    }
    let answered = |role: &TerraformCloudRole| {
        let handled = role.status.as_ref().and_then(|status| status.handled.as_ref());
        handled.is_some_and(|handled| handled.config_revoke == last)
    };
    wait_until("the last incident to be answered by all", BOUND, async || {
        let roles = stage.roles().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let open = roles.iter().filter(|role| !answered(role)).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} have not")) }
    })
    .await;
    is_in_order(&stage).await;
    assert_eq!(stage.alive().len(), ROLES);
}
