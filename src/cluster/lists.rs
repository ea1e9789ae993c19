//! Consistent lists, page by page: nothing is kept.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::roles::Kind;
use super::secrets::SecretMeta;
use super::{Cluster, ClusterError};
use crate::api::names::{LABEL_MANAGED_BY, OPERATOR};

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
        let within = namespace.map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        self.visit(&format!("/apis/terraformcloud.dev/v1alpha1/{within}{}", K::PLURAL), "", visit).await
    }

    /// The same of each Secret of all namespaces that carries the operator's label.
    pub async fn visit_secrets(&self, visit: impl FnMut(ObjectMeta)) -> Result<(), ClusterError> {
        self.visit("/api/v1/secrets", &format!("&labelSelector={LABEL_MANAGED_BY}%3D{OPERATOR}"), visit).await
    }

    async fn visit(&self, path: &str, selector: &str, mut visit: impl FnMut(ObjectMeta)) -> Result<(), ClusterError> {
        self.pages(PAGE, selector, |query| get(path, query).metadata_only(), |item: SecretMeta| visit(item.metadata))
            .await
    }

    /// Shows each object of a list to `visit`, so many at a time. `list` makes the call of a query.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        at_a_time: u32,
        selector: &str,
        list: impl Fn(&str) -> Call<'_>,
        mut visit: impl FnMut(T),
    ) -> Result<(), ClusterError> {
        let mut next = String::new();
        loop {
            let query = match next.as_str() {
                "" => format!("limit={at_a_time}{selector}"),
                next => format!("limit={at_a_time}{selector}&continue={next}"),
            };
            let page: Page<T> = self.call(list(&query).list()).await?;
            page.items.into_iter().flatten().for_each(&mut visit);
            // The API server makes it URL-safe base64.
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The call of a list.
pub(super) fn get<'a>(path: &str, query: &'a str) -> Call<'a> {
    Call::new(Method::GET, path.to_owned()).query(query)
}
