//! Three installations on one API server, each of a namespace and an account of its own: their rates add up, and no slot is shared.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};
use tfc_harness::simulator::{Config, RateLimit, Simulator, TokenKind, TokenValue, standard_world};
use tfc_harness::wait::poll_until;
use tfc_harness::{Error, Logs, Operator, OperatorOptions};

use super::Context;
use crate::Result;
use crate::figure::Figure;
use crate::ground::{Ground, ROLES};
use crate::process;
use crate::stage::SOON;

/// TFC's limit for an account, so low that the API server allows three times as much.
const LIMIT: u32 = 15;

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let each = context.flags.roles / 2;
    context.report.progress(format!("three installations, {each} roles each, TFC grants {LIMIT}/s an account"));
    let world = standard_world();
    let accounts = [
        ("first", "user-ci", world.ids.ci_token.clone()),
        ("second", "user-admin", world.ids.admin_token.clone()),
        ("third", "user-dev", world.ids.dev_token.clone()),
    ];
    let mut config = Config::from(world.world);
    config.rate_limit = RateLimit::FixedWindow(LIMIT);
    config.reply_delay = Duration::from_millis(1);
    let tfc = Simulator::start(config).map_err(Error::while_trying("the simulator"))?;
    let ground = Ground::start(&context.flags.testbed).await?;
    for (name, _, token) in &accounts {
        ground.namespace(name).await?;
        install(&ground, name, &tfc, token).await?;
        create(&ground, name, 0..each, &json!({"user": {"me": true}})).await?;
    }
    let mut operators = Vec::new();
    let started = Instant::now();
    for (name, ..) in &accounts {
        operators.push(Operator::start(options(context, &ground, name)?)?);
    }
    for operator in &mut operators {
        operator.wait_ready().await?;
    }
    if !tfc.until(Duration::from_secs(120 + each as u64), |tfc| tfc.minted_count() >= 3 * each).await {
        return Err(Error::new(format!("{} of {} tokens were minted", tfc.minted_count(), 3 * each)));
    }
    let rate = 3.0 * each as f64 / started.elapsed().as_secs_f64();
    let limit = f64::from(3 * LIMIT);
    let megabytes = operators
        .iter()
        .map(|operator| process::memory(operator.pid()).map(|memory| memory.now))
        .sum::<Result<f64>>()?;
    context.report.add(
        Figure::new("installations", "tokens a second of three, of three accounts' limits", rate, "1/s")
            .of(limit)
            .at_least(0.9),
    );
    context.report.add(Figure::new("installations", "memory of the three together", megabytes, "MB"));

    // Two of the accounts own the organization, whose token is a single slot.
    let mut reasons = Vec::new();
    for (name, ..) in &accounts[..2] {
        let spec = json!({"configRef": {"name": "tfc"}, "organization": {"name": "acme"}});
        let role = json!({"apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "metadata": {"name": "slot"}, "spec": spec});
        ground.send(Method::POST, &ROLES.replace("bench", name), Some(&role)).await?;
        reasons.push(verdict(&ground, name).await?);
    }
    let slots = tfc.minted().into_iter().filter(|token| token.kind == TokenKind::Organization).count();
    context.report.progress(format!("  one slot, two installations: {}", reasons.join(", ")));
    context.report.add(
        Figure::new("installations", "tokens minted for one slot by two installations", slots as f64, "").at_most(1.0),
    );
    Ok(())
}

fn options(context: &Context<'_>, ground: &Ground, name: &str) -> Result<OperatorOptions> {
    Ok(OperatorOptions {
        binary: context.flags.operator.clone(),
        kubeconfig: ground.plane.kubeconfig_path(),
        namespaces: vec![name.to_owned()],
        own_namespace: name.to_owned(),
        args: vec!["--insecure-allow-http".into(), format!("--installation-id={name}")],
        env: Vec::new(),
        logs: Logs::default(),
    })
}

async fn install(ground: &Ground, namespace: &str, tfc: &Simulator, token: &TokenValue) -> Result<()> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tfc-admin"},
        "data": {"token": BASE64.encode(token.expose().as_bytes())}});
    ground.send(Method::POST, &format!("/api/v1/namespaces/{namespace}/secrets"), Some(&secret)).await?;
    let config = json!({"apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudConfig",
        "metadata": {"name": "tfc"}, "spec": {"address": tfc.address(), "tokenSecretRef": {"name": "tfc-admin"},
            "defaultTTL": "8760h", "maxTTL": "8760h"}});
    let path = format!("/apis/terraformcloud.dev/v1alpha1/namespaces/{namespace}/terraformcloudconfigs");
    ground.send(Method::POST, &path, Some(&config)).await.map(drop)
}

async fn create(ground: &Ground, namespace: &str, numbers: std::ops::Range<usize>, spec: &Value) -> Result<()> {
    let mut whole = json!({"configRef": {"name": "tfc", "namespace": namespace}});
    if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
        whole.extend(spec.clone());
    }
    ground.create_roles(namespace, "role", numbers, &whole).await
}

/// What the slot's role says once it has come to a rest.
async fn verdict(ground: &Ground, namespace: &str) -> Result<String> {
    let path = format!("{}/slot", ROLES.replace("bench", namespace));
    poll_until("the slot's role to say something", SOON, async || {
        let role = ground.send(Method::GET, &path, None).await.map_err(|error| error.to_string())?;
        let conditions = role["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        let reason = ready["reason"].as_str().unwrap_or_default().to_owned();
        let rests = !matches!(reason.as_str(), "" | "Issuing" | "ConfigNotReady");
        if rests { Ok(format!("{namespace}: {reason}")) } else { Err(reason) }
    })
    .await
}
