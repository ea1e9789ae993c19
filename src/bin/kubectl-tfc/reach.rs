//! Which cluster, as whom, and which namespaces.

use std::fmt::Debug;
use std::path::PathBuf;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::Failure;

/// Flags as kubectl's own.
#[derive(Debug, clap::Args)]
pub struct ReachArgs {
    /// Namespace [default: the context's].
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, or ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// The cluster, and the namespaces that are meant.
pub struct Reach {
    /// The client of whoever calls.
    pub client: Client,
    /// The namespace that is meant, where it is one.
    pub namespace: String,
    /// All are meant.
    pub everywhere: bool,
}

impl Reach {
    /// Reads the kubeconfig.
    pub async fn find(args: &ReachArgs) -> Result<Reach, Failure> {
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&args.kubeconfig, &args.context) {
            (Some(path), _) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            (None, Some(_)) => Config::from_kubeconfig(&options).await?,
            (None, None) => Config::infer().await?,
        };
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Reach { client: Client::try_from(config)?, namespace, everywhere: args.all_namespaces })
    }

    /// Objects of the one namespace that is meant.
    pub fn here<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of all namespaces that are meant.
    pub async fn all<K>(&self) -> Result<Vec<K>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = if self.everywhere { Api::all(self.client.clone()) } else { self.here() };
        list(&api).await
    }

    /// The object of that name, or an error that says where it was looked for.
    pub async fn one<K>(&self, name: &str) -> Result<K, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let found = self.here::<K>().get_opt(name).await?;
        found.ok_or_else(|| format!("{} {name} does not exist in namespace {}", K::kind(&()), self.namespace).into())
    }
}

/// Objects a page.
const PAGE: u32 = 500;

/// All objects, page by page.
pub async fn list<K: Clone + Debug + DeserializeOwned>(api: &Api<K>) -> Result<Vec<K>, Failure> {
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
