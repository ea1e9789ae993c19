//! The accounts with which tokens are revoked; and in the end, configs and admin Secrets without finalizers.

use std::convert::Infallible;

use futures::future::join_all;
use jiff::SignedDuration;
use tracing::warn;

use super::{Key, PAUSE, Uninstall};
use crate::api::TerraformCloudConfig;
use crate::cluster::ClusterError;
use crate::controller::configs;
use crate::controller::configs::check::{self, Checker};

/// How often what changed meanwhile is tried anew.
const TRIES: usize = 5;

/// Asks TFC once for each config who is behind its token.
pub async fn ask_all(work: &Uninstall, keys: &[Key]) {
    join_all(keys.iter().map(|key| ask(work, key))).await;
}

/// Asks again for those that had no answer, as long as roles wait.
pub async fn keep_asking(work: &Uninstall, keys: &[Key]) -> Infallible {
    loop {
        tokio::time::sleep(PAUSE).await;
        let accounts = &work.world.accounts;
        let open = keys.iter().filter(|key| accounts.session(key).is_none_or(|session| session.account.is_err()));
        join_all(open.map(|key| ask(work, key))).await;
    }
}

async fn ask(work: &Uninstall, key: &Key) {
    if let Err(error) = try_to_ask(work, key).await {
        warn!(namespace = key.0, config = key.1, %error, "the config could not be looked at");
    }
}

async fn try_to_ask(work: &Uninstall, key: &Key) -> Result<(), ClusterError> {
    let world = &work.world;
    let Some(config) = world.cluster.get::<TerraformCloudConfig>(&key.0, &key.1).await? else { return Ok(()) };
    let checker = Checker { world, scope: &work.settings.scope, salt: &work.salt };
    let checked = check::check(checker, key, &config, None, &configs::Kept::default()).await?;
    if let Some(problem) = &checked.problem {
        warn!(namespace = key.0, config = key.1, reason = problem.reason.as_str(), "{}", problem.message);
    }
    configs::publish(world, key, &config, checked);
    Ok(())
}

/// Takes the finalizers off the config and off the Secrets that hold its token, or did.
pub async fn let_go(work: &Uninstall, key: &Key) -> Result<(), ClusterError> {
    let cluster = &work.world.cluster;
    let mut last = Ok(());
    for _ in 0..TRIES {
        let Some(config) = cluster.get::<TerraformCloudConfig>(&key.0, &key.1).await? else { return Ok(()) };
        let former = config.status.as_ref().and_then(|s| s.token.as_ref()).and_then(|token| token.secret.clone());
        let mut secrets = vec![config.spec.token_secret_ref.name.clone()];
        secrets.extend(former.filter(|former| *former != secrets[0]));
        last = configs::let_go(cluster, key, &config, &secrets).await;
        match &last {
            Err(ClusterError::Conflict | ClusterError::NotFound | ClusterError::Unknown(_)) => {
                work.pause(SignedDuration::from_millis(200)).await;
            }
            _ => break,
        }
    }
    last
}
