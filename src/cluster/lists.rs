//! Consistent lists, page by page: nothing is kept.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::roles::{Kind, Parts};
use super::secrets::SecretMeta;
use super::{Cluster, ClusterError};
use crate::api::names::{LABEL_MANAGED_BY, OPERATOR};
use crate::api::{TerraformCloudRole, TerraformCloudRoleSpec, TerraformCloudRoleStatus};

const GROUP: &str = "/apis/terraformcloud.dev/v1alpha1";

/// Objects a page.
const PAGE: u32 = 250;

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    /// Null where there is none.
    #[serde(default = "Option::default")]
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: String,
}

impl Cluster {
    /// Shows the metadata of each object of a kind to `visit`, of one namespace or of all, as it stood when the list began or later.
    pub async fn visit_kind<K: Kind>(
        &self,
        namespace: Option<&str>,
        visit: impl FnMut(ObjectMeta),
    ) -> Result<(), ClusterError> {
        self.visit(&path(GROUP, namespace, K::PLURAL), "", true, metadata(visit)).await
    }

    /// The same of each Secret that carries the operator's label.
    pub async fn visit_secrets(
        &self,
        namespace: Option<&str>,
        visit: impl FnMut(ObjectMeta),
    ) -> Result<(), ClusterError> {
        let selector = format!("&labelSelector={LABEL_MANAGED_BY}%3D{OPERATOR}");
        self.visit(&path("/api/v1", namespace, "secrets"), &selector, true, metadata(visit)).await
    }

    /// Each role as it is, of one namespace or of all.
    pub async fn visit_whole_roles(
        &self,
        namespace: Option<&str>,
        mut visit: impl FnMut(TerraformCloudRole),
    ) -> Result<(), ClusterError> {
        type Role = Parts<TerraformCloudRoleSpec, TerraformCloudRoleStatus>;
        let whole = |role: Role| visit(role.whole());
        self.visit(&path(GROUP, namespace, TerraformCloudRole::PLURAL), "", false, whole).await
    }

    async fn visit<T: DeserializeOwned>(
        &self,
        path: &str,
        selector: &str,
        metadata_only: bool,
        mut visit: impl FnMut(T),
    ) -> Result<(), ClusterError> {
        let mut next = String::new();
        loop {
            let query = match next.as_str() {
                "" => format!("limit={PAGE}{selector}"),
                next => format!("limit={PAGE}{selector}&continue={next}"),
            };
            let call = Call { metadata_only, ..Call::new(Method::GET, path.to_owned()).query(&query).list() };
            let page: Page<T> = self.call(call).await?;
            page.items.into_iter().flatten().for_each(&mut visit);
            // The API server makes it URL-safe base64.
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(());
            }
        }
    }
}

fn metadata(mut visit: impl FnMut(ObjectMeta)) -> impl FnMut(SecretMeta) {
    move |item| visit(item.metadata)
}

fn path(group: &str, namespace: Option<&str>, plural: &str) -> String {
    match namespace {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    }
}
