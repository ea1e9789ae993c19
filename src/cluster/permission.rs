//! What the operator may not do: named by verb, resource and namespace, with the value of the chart that grants it.

use std::fmt;

use http::Method;
use serde_json::{Value, json};

use super::Cluster;
use super::call::Call;

/// Where one asks what oneself may do. Everybody may ask that, by Kubernetes' own role `system:basic-user`.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Something that RBAC grants or does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// `get`, `list`, `watch`, `create`, `patch`, `update` or `delete`.
    pub verb: String,
    /// API group; empty for the core's.
    pub group: String,
    /// Plural of the kind.
    pub resource: String,
    /// `status`, say; empty for the object itself.
    pub subresource: String,
    /// Where; `None`: everywhere, or a resource without namespaces.
    pub namespace: Option<String>,
    /// Of one object; empty: of any.
    pub name: String,
}

impl Permission {
    /// To do this with any object of a resource.
    pub fn new(verb: &str, (group, resource): (&str, &str), namespace: Option<&str>) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: String::new(),
            namespace: namespace.map(str::to_owned),
            name: String::new(),
        }
    }

    /// What a request needs; `None` for paths that are no resource's.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (resource, named) = rest.split_first()?;
        let verb = match (method.as_str(), named.is_empty()) {
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => return None,
        };
        let mut permission = Self::new(verb, (group, resource), namespace);
        permission.name = named.first().copied().unwrap_or_default().to_owned();
        permission.subresource = named.get(1).copied().unwrap_or_default().to_owned();
        Some(permission)
    }

    /// The chart's value that grants it.
    fn value(&self) -> &'static str {
        match (self.group.as_str(), self.resource.as_str()) {
            ("apps", _) => "rolloutRestart.enabled",
            ("", "namespaces") => "namespaceLabels",
            ("coordination.k8s.io", _) => "rbac.create",
            _ if self.namespace.is_some() => "rbac.create and, where it is set, watchNamespaces",
            _ => "rbac.create",
        }
    }

    fn review(&self) -> Value {
        let attributes = json!({
            "verb": self.verb, "group": self.group, "resource": self.resource, "subresource": self.subresource,
            "namespace": self.namespace.as_deref().unwrap_or_default(), "name": self.name,
        });
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operator may not {} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        match (&self.namespace, self.resource.as_str()) {
            (Some(namespace), _) => write!(f, " in namespace {namespace}")?,
            (None, "namespaces") => {}
            (None, _) => f.write_str(" in all namespaces")?,
        }
        write!(f, ": grant it to its ServiceAccount (the chart does by {})", self.value())
    }
}

impl Cluster {
    /// Whether this process lacks a permission, by the API server's own word; `false` where it can't be asked.
    pub async fn lacks(&self, permission: &Permission) -> bool {
        let ask = Call::new(Method::POST, REVIEWS.to_owned()).body(permission.review());
        let Ok(request) = ask.request() else { return false };
        let Ok(Ok(reply)) = tokio::time::timeout(super::call::DEADLINE, self.exchange(request)).await else {
            return false;
        };
        serde_json::from_slice::<Value>(&reply).is_ok_and(|review| review["status"]["allowed"] == false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_what_it_needs_and_the_words_name_the_chart_s_value() {
        for (method, path, words) in [
            (
                Method::PATCH,
                "/api/v1/namespaces/shop/secrets/shop-tfc",
                "may not patch secrets in namespace shop: grant it to its ServiceAccount (the chart does by rbac.create and, where it is set, watchNamespaces)",
            ),
            (Method::POST, "/api/v1/namespaces/shop/secrets", "may not create secrets in namespace shop:"),
            (
                Method::GET,
                "/apis/terraformcloud.dev/v1alpha1/terraformcloudroles",
                "may not list terraformcloudroles.terraformcloud.dev in all namespaces: grant it to its ServiceAccount (the chart does by rbac.create)",
            ),
            (
                Method::PATCH,
                "/apis/terraformcloud.dev/v1alpha1/namespaces/a/terraformcloudroles/r/status",
                "may not patch terraformcloudroles.terraformcloud.dev/status in namespace a:",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/kube-system",
                "may not get namespaces: grant it to its ServiceAccount (the chart does by namespaceLabels)",
            ),
            (
                Method::GET,
                "/apis/apps/v1/namespaces/shop/deployments",
                "may not list deployments.apps in namespace shop: grant it to its ServiceAccount (the chart does by rolloutRestart.enabled)",
            ),
            (
                Method::DELETE,
                "/apis/coordination.k8s.io/v1/namespaces/ops/leases/x",
                "may not delete leases.coordination.k8s.io in namespace ops: grant it to its ServiceAccount (the chart does by rbac.create)",
            ),
        ] {
            let said = Permission::of(&method, path).expect(path).to_string();
            assert!(said.contains(words), "{path}: {said}");
        }
        assert_eq!(Permission::of(&Method::GET, "/version"), None);
    }
}
