//! The operator between a control plane and a simulator.

use std::ops::Range;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};
use tfc_harness::simulator::{Config, RateLimit, Simulator, StandardIds, TokenView, standard_world};
use tfc_harness::wait::poll_until;
use tfc_harness::{Error, Logs, Operator, OperatorOptions};

use crate::Result;
use crate::flags::Flags;
use crate::ground::{Ground, NAMESPACE};
use crate::process::{self, Memory, Meter};

/// Patience for what takes a moment.
pub const SOON: Duration = Duration::from_secs(60);

/// The operator, and what it stands between.
pub struct Stage {
    /// The API server.
    pub ground: Ground,
    /// TFC.
    pub tfc: Simulator,
    /// Who is who in it.
    pub ids: StandardIds,
    options: OperatorOptions,
    operator: Option<Operator>,
}

/// How a stage is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// TFC's limit.
    pub limit: RateLimit,
    /// TFC's time to reply.
    pub reply: Duration,
    /// Further flags of the operator.
    pub flags: Vec<String>,
    /// Keys of the config's spec.
    pub config: Value,
}

impl Default for Setting {
    /// No limit, replies in a millisecond, tokens that live for a year so that no renewal comes in between.
    fn default() -> Self {
        let config = json!({"defaultTTL": "8760h", "maxTTL": "8760h"});
        Self { limit: RateLimit::Off, reply: Duration::from_millis(1), flags: Vec::new(), config }
    }
}

impl Stage {
    /// A control plane with a config, and no operator yet.
    pub async fn set(flags: &Flags, setting: Setting) -> Result<Self> {
        let ground = Ground::start(&flags.testbed).await?;
        let world = standard_world();
        let mut config = Config::from(world.world);
        config.rate_limit = setting.limit;
        config.reply_delay = setting.reply;
        let tfc = Simulator::start(config).map_err(Error::while_trying("the simulator"))?;
        let mut args = vec!["--insecure-allow-http".to_owned(), "--installation-id=bench".to_owned()];
        args.extend(setting.flags.iter().cloned());
        let options = OperatorOptions {
            binary: flags.operator.clone(),
            kubeconfig: ground.plane.kubeconfig_through(&ground.plane.address())?,
            namespaces: Vec::new(),
            own_namespace: NAMESPACE.to_owned(),
            args,
            env: flags.operator_env.clone(),
            logs: Logs::default(),
        };
        let stage = Self { ground, tfc, ids: world.ids, options, operator: None };
        stage.config(&setting.config).await?;
        Ok(stage)
    }

    async fn config(&self, spec: &Value) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tfc-admin"},
            "data": {"token": BASE64.encode(self.ids.ci_token.expose().as_bytes())},
        });
        self.ground.send(Method::POST, &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), Some(&secret)).await?;
        let mut whole = json!({"address": self.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        let config = json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudConfig",
            "metadata": {"name": "tfc"}, "spec": whole,
        });
        let path = format!("/apis/terraformcloud.dev/v1alpha1/namespaces/{NAMESPACE}/terraformcloudconfigs");
        self.ground.send(Method::POST, &path, Some(&config)).await.map(drop)
    }

    /// Creates roles for tokens of the config's own user.
    pub async fn create_roles(&self, prefix: &str, numbers: Range<usize>) -> Result<()> {
        self.ground.create_roles(NAMESPACE, prefix, numbers, &user()).await
    }

    /// Starts the operator.
    pub async fn start(&mut self) -> Result<()> {
        let mut operator = Operator::start(self.options.clone())?;
        operator.wait_ready().await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// One more operator, with other options.
    pub fn another(&self, change: impl FnOnce(&mut OperatorOptions)) -> Result<Operator> {
        let mut options = self.options.clone();
        change(&mut options);
        Operator::start(options)
    }

    /// Ends the operator in order.
    pub async fn stop(&mut self) -> Result<()> {
        match self.operator.take() {
            Some(mut operator) => operator.sigterm().await.map(drop),
            None => Ok(()),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        drop(self.operator.take());
    }

    /// The operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().ok_or_else(|| Error::new("no operator runs"))
    }

    /// Its memory.
    pub fn memory(&self) -> Result<Memory> {
        process::memory(self.operator()?.pid())
    }

    /// Its CPU time from now on.
    pub fn meter(&self) -> Result<Meter> {
        Meter::start(self.operator()?.pid())
    }

    /// Waits until so many tokens were minted.
    pub async fn minted(&self, count: usize, patience: Duration) -> Result<()> {
        let before = self.tfc.minted_count();
        if self.tfc.until(patience, |tfc| tfc.minted_count() >= count).await {
            return Ok(());
        }
        let now = self.tfc.minted_count();
        Err(Error::new(format!("{now} of {count} tokens were minted in {patience:?}, {before} of them before")))
    }

    /// Waits until so many tokens were minted, and each is recorded.
    pub async fn issued(&self, count: usize, patience: Duration) -> Result<Instant> {
        self.minted(count, patience).await?;
        poll_until("the last records", SOON, async || {
            let open = self.ground.ready_by(NAMESPACE, "Issuing").await.map_err(|error| error.to_string())?;
            if open == 0 { Ok(Instant::now()) } else { Err(format!("{open} are being issued")) }
        })
        .await
    }

    /// Waits until the operator uses next to no CPU: it has come to rest. Gives the moment at which it did.
    pub async fn at_rest(&self, patience: Duration) -> Result<Instant> {
        const STRETCH: Duration = Duration::from_millis(250);
        let pid = self.operator()?.pid();
        let end = Instant::now() + patience;
        let (mut before, mut since) = (process::cpu(pid)?, Instant::now());
        let mut quiet = 0;
        while quiet < 4 {
            if Instant::now() > end {
                return Err(Error::new(format!("the operator is not at rest after {patience:?}")));
            }
            tokio::time::sleep(STRETCH).await;
            let now = process::cpu(pid)?;
            if now.saturating_sub(before) <= Duration::from_millis(10) {
                quiet += 1;
            } else {
                (quiet, since) = (0, Instant::now());
            }
            before = now;
        }
        Ok(since)
    }

    /// Tokens that live, of those that calls have made.
    pub fn alive(&self) -> Vec<TokenView> {
        self.tfc.minted().into_iter().filter(TokenView::is_alive).collect()
    }
}

/// The sum of a metric's samples.
pub fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A role's spec for a token of the config's own user.
pub fn user() -> Value {
    json!({"user": {"me": true}})
}

/// A role's spec for a token of a team.
pub fn team() -> Value {
    json!({"team": {"organization": "acme", "name": "apps"}})
}
