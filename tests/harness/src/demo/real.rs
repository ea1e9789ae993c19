//! The life of a user's token at a real TFC. Nothing is provoked; whatever happens, the role is deleted and its token's
//! revocation awaited.

use std::process::ExitCode;
use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::json;

use super::show::Show;
use super::stage::{Stage, Token, ready_of};
use super::{Options, RealAccount, keep_up, save_log};
use crate::Error;
use crate::wait::poll_until;

const NAMESPACE: &str = "tfc-demo";
const ROLE: &str = "demo";
const PLACE: (&str, &str, &str) = (NAMESPACE, ROLE, ROLE);

/// TFC is on the other side of a network.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(options: &Options, account: &RealAccount) -> Result<ExitCode, Error> {
    let show = Show::new();
    show.say(format!(
        "the account of TFC_TOKEN at {}; two tokens are made, which live 10 minutes at most",
        account.address
    ));
    let mut stage = Stage::set(show, options, account.address.clone()).await?;
    let mut made = Vec::new();
    let played = tokio::select! {
        played = play(&mut stage, account, &mut made) => played,
        _ = tokio::signal::ctrl_c() => Err(Error::new("Ctrl-C")),
    };
    if let Err(error) = &played {
        stage.show.claim("the demo came to its end", false, error);
    }
    if options.keep && played.is_ok() {
        keep_up(&stage, NAMESPACE, ROLE).await?;
    }
    stage.show.scene("Everything is taken back");
    stage.show.say("from here on Ctrl-C is not heeded: first the tokens are revoked");
    let taken = take_back(&mut stage, &made).await;
    if let Err(error) = taken {
        let sentence = "the role is gone and its tokens are revoked; else delete by hand what begins with `tto1.` in \
                        the account's settings under Tokens (it expires within 10 minutes)";
        stage.show.claim(sentence, false, error);
    }
    stage.show.heading("Summary");
    stage.show.list_claims();
    stage.show.verdict();
    if stage.show.all_held() {
        return Ok(ExitCode::SUCCESS);
    }
    save_log(&stage)?;
    Ok(ExitCode::FAILURE)
}

async fn play(stage: &mut Stage, account: &RealAccount, made: &mut Vec<Token>) -> Result<(), Error> {
    stage.show.scene("A user's token: issued, used, rotated");
    stage.kubectl(&["create", "namespace", NAMESPACE]).await?;
    stage.apply("config.yaml", &config(account)).await?;
    let name = poll_until("the config to know its account", PATIENCE, async || account_of(stage).await).await??;
    stage.show.say(format!("the account is {name}"));
    stage.apply("role.yaml (ttl: 10m, overlap: 10s)", &[role()]).await?;
    let first = stage.wait_token(PLACE, None, PATIENCE).await?;
    made.push(first.clone());
    stage.claim_use(&first, 200, "the token works").await?;
    stage.wait_reason(NAMESPACE, ROLE, "Issued", PATIENCE).await?;
    stage.kubectl(&["get", "tfcconfig,tfcrole", "-A"]).await?;
    stage.kubectl(&["-n", NAMESPACE, "annotate", "tfcrole", ROLE, "terraformcloud.dev/rotate=1"]).await?;
    let second = stage.wait_token(PLACE, Some(&first), PATIENCE).await?;
    made.push(second.clone());
    stage.claim_use(&second, 200, "the Secret holds a successor, and it works").await?;
    stage.claim_use(&first, 200, "the old one still works in its overlap").await?;
    stage.claim_dies(&first, PATIENCE, "after the overlap the old one is revoked").await?;
    stage.claim_use(&second, 200, "the successor lives on").await
}

/// The namespace is deleted last: with it goes the admin token that revokes.
async fn take_back(stage: &mut Stage, made: &[Token]) -> Result<(), Error> {
    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "--all", "--timeout=180s"]).await?;
    for token in made {
        stage.claim_dies(token, PATIENCE, "the role is deleted, its token is revoked").await?;
    }
    stage.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"]).await?;
    Ok(())
}

/// The account that the config found behind its token; what it says instead, where TFC refuses the token.
async fn account_of(stage: &Stage) -> Result<Result<String, Error>, String> {
    let config: DynamicObject = stage.configs(NAMESPACE).get("tfc").await.map_err(|error| error.to_string())?;
    let status = &config.data["status"];
    let account = &status["account"];
    let ready = ready_of(status);
    match (account["id"].as_str(), account["name"].as_str(), account["kind"].as_str()) {
        (Some(id), Some(name), Some(kind)) if !id.is_empty() => {
            Ok(Ok(format!("{name} ({id}); its token is of kind {kind}")))
        }
        _ if ready.1 == "Unauthorized" => Ok(Err(Error::new(ready.2))),
        _ => Err(format!("Ready={} {}: {}", ready.0, ready.1, ready.2)),
    }
}

fn config(account: &RealAccount) -> [serde_json::Value; 2] {
    [
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "tfc-admin", "namespace": NAMESPACE},
            "stringData": {"token": account.token.expose()},
        }),
        json!({
            "apiVersion": "terraformcloud.dev/v1alpha1",
            "kind": "TerraformCloudConfig",
            "metadata": {"name": "tfc", "namespace": NAMESPACE},
            "spec": {
                "address": account.address.trim_end_matches('/'),
                "tokenSecretRef": {"name": "tfc-admin"},
                "maxTTL": "10m",
                "defaultTTL": "10m",
            },
        }),
    ]
}

fn role() -> serde_json::Value {
    json!({
        "apiVersion": "terraformcloud.dev/v1alpha1",
        "kind": "TerraformCloudRole",
        "metadata": {"name": ROLE, "namespace": NAMESPACE},
        "spec": {
            "configRef": {"name": "tfc"},
            "user": {"me": true},
            "description": "demo of tfc-token-operator",
            "ttl": "10m",
            "overlap": "10s",
        },
    })
}
