//! What the scenes stand on: a control plane with the operator installed, and the hands of a person and of a consumer.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::kubectl::Kubectl;
use super::manifests::{self, Manifests};
use super::show::Show;
use super::{OPERATOR_NAMESPACE, Options};
use crate::simulator::TokenValue;
use crate::wait::poll_until;
use crate::{ControlPlane, Error, Logs, Operator, OperatorOptions};

/// How long a step may take that takes a moment.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The operator's flags in the demo: its own defaults, but for times that would keep a person waiting.
const FLAGS: [&str; 4] = [
    "--settling-time=5s",
    "--leader-elect-lease-duration=5s",
    "--leader-elect-renew-deadline=3s",
    "--leader-elect-retry-period=1s",
];

/// A running demo. Dropping it ends everything.
pub(super) struct Stage {
    pub show: Show,
    pub operator: Operator,
    pub kubectl: Kubectl,
    pub client: Client,
    pub manifests: Manifests,
    /// TFC's URL.
    pub address: String,
    http: reqwest::Client,
    operator_options: OperatorOptions,
    /// What operators that were killed had logged.
    past_logs: String,
    /// Every token that was read from a Secret.
    seen: Vec<Token>,
    plane: ControlPlane,
}

/// A token as a consumer has it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub id: String,
    pub value: TokenValue,
}

/// A role's state.
#[derive(Debug)]
pub(super) struct Role(Value);

impl Role {
    /// The condition `Ready`: its status, reason and message.
    pub fn ready(&self) -> (&str, &str, &str) {
        ready_of(&self.0["status"])
    }

    /// In words, for a claim that failed.
    pub fn told(&self) -> String {
        let (ready, reason, message) = self.ready();
        format!("Ready={ready} {reason}: {message}")
    }
}

impl Stage {
    /// Starts a control plane, installs the operator in it and starts it.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn set(mut show: Show, options: &Options, address: String) -> Result<Self, Error> {
        let manifests = Manifests::open(&options.deploy)?;
        show.scene("Install");
        let plane = ControlPlane::start(&options.testbed).await?;
        show.say(format!("a real control plane (etcd, kube-apiserver, kube-controller-manager) at {}", plane.url()));
        let kubectl = Kubectl::new(&options.testbed, plane.kubeconfig_path(), plane.folder().to_owned());
        let crds = output_of(&options.operator, "crds").await?;
        show.say("tfc-token-operator crds | kubectl apply -f -");
        show.quote(&kubectl.run(&["apply", "--server-side", "-f", "-"], &crds).await?);
        kubectl.run(&["wait", "--for=condition=Established", "--timeout=30s", "-f", "-"], &crds).await?;
        show.say("kubectl apply -f deploy/operator.yaml (all but its Deployment: the operator runs as a process)");
        let installed = kubectl.run(&["apply", "-f", "-"], &manifests::print(&manifests.operator()?)?).await?;
        show.say(format!("{} objects: namespace, ServiceAccount, RBAC", installed.lines().count()));
        let mut args: Vec<String> = FLAGS.map(str::to_owned).into();
        if address.starts_with("http://") {
            args.push("--insecure-allow-http".to_owned());
        }
        let operator_options = OperatorOptions {
            binary: options.operator.clone(),
            kubeconfig: plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_NAMESPACE).await?,
            namespaces: Vec::new(),
            own_namespace: OPERATOR_NAMESPACE.to_owned(),
            args,
            env: Vec::new(),
            logs: Logs::default(),
        };
        let mut operator = Operator::start(operator_options.clone())?;
        operator.wait_ready().await?;
        show.say(format!("the operator is ready, with that ServiceAccount's rights and {}", FLAGS.join(" ")));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(Error::while_trying("could not make an HTTP client"))?;
        let client = plane.client();
        let (past_logs, seen) = (String::new(), Vec::new());
        Ok(Self { show, operator, kubectl, client, manifests, address, http, operator_options, past_logs, seen, plane })
    }

    /// Kills the operator with SIGKILL.
    pub fn kill_operator(&mut self) -> Result<(), Error> {
        self.operator.kill();
        self.past_logs.push_str(&self.operator.logs()?);
        Ok(())
    }

    /// Starts another operator in the place of one that was killed.
    pub async fn restart_operator(&mut self) -> Result<(), Error> {
        self.operator = Operator::start(self.operator_options.clone())?;
        self.operator.wait_ready().await
    }

    /// What all operators have logged.
    pub fn operator_logs(&self) -> Result<String, Error> {
        Ok(format!("{}{}", self.past_logs, self.operator.logs()?))
    }

    /// Every token that was read from a Secret so far.
    pub fn seen(&self) -> &[Token] {
        &self.seen
    }

    /// The control plane's kubeconfig.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.plane.kubeconfig_path()
    }

    /// `kubectl` with these words, shown with its output.
    ///
    /// # Errors
    /// When kubectl refuses.
    pub async fn kubectl(&self, words: &[&str]) -> Result<String, Error> {
        self.show.say(format!("kubectl {}", words.join(" ")));
        let out = self.kubectl.run(words, "").await?;
        self.show.quote(&out);
        Ok(out)
    }

    /// `kubectl apply -f NAME`, with the objects given.
    ///
    /// # Errors
    /// When kubectl refuses.
    pub async fn apply(&self, name: &str, objects: &[Value]) -> Result<(), Error> {
        self.show.say(format!("kubectl apply -f {name}"));
        self.show.quote(&self.kubectl.run(&["apply", "-f", "-"], &manifests::print(objects)?).await?);
        Ok(())
    }

    /// The roles of a namespace.
    pub fn roles(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource("TerraformCloudRole"))
    }

    /// The configs of a namespace.
    pub fn configs(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource("TerraformCloudConfig"))
    }

    /// All roles.
    pub fn all_roles(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource("TerraformCloudRole"))
    }

    /// A role; `None` where it has gone.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn role(&self, namespace: &str, name: &str) -> Result<Option<Role>, Error> {
        let role = self.roles(namespace).get_opt(name).await.map_err(Error::while_trying("could not read a role"))?;
        Ok(role.map(|role| Role(role.data)))
    }

    /// Waits until a role's `Ready` has this reason.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub async fn wait_reason(&self, namespace: &str, name: &str, reason: &str, limit: Duration) -> Result<Role, Error> {
        poll_until(&format!("role {namespace}/{name} to be {reason}"), limit, async || {
            match self.role(namespace, name).await {
                Ok(Some(role)) if role.ready().1 == reason => Ok(role),
                Ok(Some(role)) => Err(role.told()),
                Ok(None) => Err("there is no such role".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// The token in a Secret; `None` where there is no Secret, or it holds none.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn token(&self, namespace: &str, secret: &str) -> Result<Option<Token>, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get_opt(secret).await.map_err(Error::while_trying("could not read a Secret"))?;
        Ok(secret.as_ref().and_then(token_in))
    }

    /// Whether a Secret is there at all.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn secret_stands(&self, namespace: &str, secret: &str) -> Result<bool, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get_metadata_opt(secret).await.map_err(Error::while_trying("could not read a Secret"))?;
        Ok(secret.is_some())
    }

    /// Waits until a Secret holds a token, another one than `former`.
    ///
    /// # Errors
    /// When it does not within `limit`: with the role's state.
    pub async fn wait_token(
        &mut self,
        (namespace, role, secret): (&str, &str, &str),
        former: Option<&Token>,
        limit: Duration,
    ) -> Result<Token, Error> {
        let token = poll_until(&format!("a token in Secret {namespace}/{secret}"), limit, async || {
            match self.token(namespace, secret).await.map_err(|error| error.to_string())? {
                Some(token) if former.is_none_or(|former| former.id != token.id) => Ok(token),
                _ => Err(self.role(namespace, role).await.ok().flatten().map(|role| role.told()).unwrap_or_default()),
            }
        })
        .await?;
        self.seen.push(token.clone());
        Ok(token)
    }

    /// What TFC answers to a consumer that shows this token.
    ///
    /// # Errors
    /// When TFC does not answer.
    pub async fn try_token(&self, token: &Token) -> Result<u16, Error> {
        let url = format!("{}/api/v2/account/details", self.address.trim_end_matches('/'));
        let request = self.http.get(&url).bearer_auth(token.value.expose());
        let response = request.send().await.map_err(Error::while_trying(format_args!("GET {url}")))?;
        Ok(response.status().as_u16())
    }

    /// Uses a token and claims what TFC answers.
    ///
    /// # Errors
    /// When TFC does not answer.
    pub async fn claim_use(&mut self, token: &Token, expected: u16, sentence: &str) -> Result<(), Error> {
        let status = self.try_token(token).await?;
        let sentence = format!("{sentence}: {expected} for {}", token.id);
        self.show.claim(&sentence, status == expected, status);
        Ok(())
    }

    /// Uses a token until TFC refuses it, and claims that it does within `limit`.
    ///
    /// # Errors
    /// When TFC does not answer.
    pub async fn claim_dies(&mut self, token: &Token, limit: Duration, sentence: &str) -> Result<(), Error> {
        let end = tokio::time::Instant::now() + limit;
        let mut status = self.try_token(token).await?;
        while status != 401 && tokio::time::Instant::now() < end {
            // Slowly: what a consumer asks counts against the account's limit too.
            tokio::time::sleep(Duration::from_millis(300)).await;
            status = self.try_token(token).await?;
        }
        self.show.claim(&format!("{sentence}: 401 for {}", token.id), status == 401, status);
        Ok(())
    }

    /// Waits until a role has gone and claims that its Secret has too.
    ///
    /// # Errors
    /// When the role is still there after `SOON`.
    pub async fn claim_gone(&mut self, namespace: &str, role: &str, secret: &str) -> Result<(), Error> {
        poll_until(&format!("role {namespace}/{role} to go"), SOON, async || match self.role(namespace, role).await {
            Ok(None) => Ok(()),
            Ok(Some(role)) => Err(role.told()),
            Err(error) => Err(error.to_string()),
        })
        .await?;
        let stands = self.secret_stands(namespace, secret).await?;
        self.show.claim("the Secret is gone with its role", !stands, "the Secret is still there");
        Ok(())
    }
}

/// The condition `Ready` in a status: its status, reason and message; empty where there is none.
pub(super) fn ready_of(status: &Value) -> (&str, &str, &str) {
    let conditions = status["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    let word = |name: &str| ready.and_then(|condition| condition[name].as_str()).unwrap_or_default();
    (word("status"), word("reason"), word("message"))
}

/// The token that a Secret of the operator's holds.
pub(super) fn token_in(secret: &Secret) -> Option<Token> {
    let text = |key: &str| {
        let bytes = &secret.data.as_ref()?.get(key)?.0;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    };
    Some(Token { id: text("token_id")?, value: TokenValue::new(text("token")?) })
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("terraformcloud.dev", "v1alpha1", kind))
}

async fn output_of(program: &Path, word: &str) -> Result<String, Error> {
    let failed = || format!("could not run {} {word}", program.display());
    let mut command = tokio::process::Command::new(program);
    command.arg(word).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(Error::while_trying(failed()))?;
    if !output.status.success() {
        return Err(Error::new(format!("{}: {}", failed(), String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
