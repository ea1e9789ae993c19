//! One request to the API server, and what can come of it.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Cluster;
use super::permission::Permission;
use crate::clock::parse_http_date;

/// Longest wait for a reply. The API server gives up on a request after 60 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);
/// Largest reply that is read: an object of the API is at most 1.5 MiB (etcd's limit).
const MAX_BYTES: usize = 8 << 20;

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Why a request to the API server did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// 404.
    #[error("it does not exist")]
    NotFound,
    /// 409: the object changed since it was read, or exists already.
    #[error("it changed meanwhile")]
    Conflict,
    /// A definite no: nothing was changed.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// It may or may not have been done.
    #[error("{0}")]
    Unknown(String),
}

/// A definite no of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// The server's words, at most 256 characters.
    pub message: String,
    /// What RBAC does not grant, where that is why.
    pub missing: Option<Permission>,
}

impl ClusterError {
    /// What RBAC does not grant, where that is why.
    pub fn missing(&self) -> Option<&Permission> {
        match self {
            ClusterError::Refused(refusal) => refusal.missing.as_ref(),
            _ => None,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.missing {
            Some(permission) => write!(f, "{permission}"),
            None => write!(f, "{} ({})", self.message, self.code),
        }
    }
}

/// A request of ours.
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: String,
    /// Merge patch for PATCH, the object for POST and PUT, the options for DELETE.
    pub body: Option<Value>,
    /// Whether the reply is to leave out all but the metadata: for Secrets, whose values must not come back.
    pub metadata_only: bool,
    /// The reply is a list.
    pub list: bool,
    pub query: &'a str,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: String) -> Self {
        Self { method, path, body: None, metadata_only: false, list: false, query: "" }
    }

    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    pub fn query(self, query: &'a str) -> Self {
        Self { query, ..self }
    }

    pub fn metadata_only(self) -> Self {
        Self { metadata_only: true, ..self }
    }

    pub fn list(self) -> Self {
        Self { list: true, ..self }
    }

    pub(super) fn request(self) -> Result<Request<Body>, ClusterError> {
        let uri = match self.query {
            "" => self.path,
            query => format!("{}?{query}", self.path),
        };
        let accept = match (self.metadata_only, self.list) {
            (true, true) => METADATA_LIST,
            (true, false) => METADATA_ONLY,
            (false, _) => "application/json",
        };
        let content = if self.method == Method::PATCH { MERGE_PATCH } else { "application/json" };
        let bytes = self.body.map(|body| serde_json::to_vec(&body)).transpose();
        let bytes = bytes.map_err(|_| ClusterError::Unknown("the request could not be written as JSON".into()))?;
        Request::builder()
            .method(self.method)
            .uri(uri)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, content)
            .body(Body::from(bytes.unwrap_or_default()))
            .map_err(|e| ClusterError::Unknown(e.to_string()))
    }
}

impl Cluster {
    /// Sends a request and reads the reply as `T`.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ClusterError> {
        let read = call.method == Method::GET;
        let needed = Permission::of(&call.method, &call.path);
        let request = call.request()?;
        if !read && self.gate.as_ref().is_some_and(|gate| !gate()) {
            return Err(ClusterError::Unknown("not sent: this replica does not lead any more".into()));
        }
        let reply = tokio::time::timeout(DEADLINE, self.exchange(request));
        let reply = reply.await.map_err(|_| ClusterError::Unknown("the API server gave no answer in time".into()))?;
        let bytes = match (reply, needed) {
            // A quota and a webhook refuse with the same status: what RBAC grants is asked, not read out of words.
            (Err(ClusterError::Refused(mut refusal)), Some(needed)) if refusal.code == StatusCode::FORBIDDEN => {
                refusal.missing = self.lacks(&needed).await.then_some(needed);
                return Err(ClusterError::Refused(refusal));
            }
            (reply, _) => reply?,
        };
        // Neither the error nor a log may show the body.
        serde_json::from_slice(&bytes).map_err(|e| {
            let what = if read { "can't be understood" } else { "can't be understood, though it was accepted" };
            ClusterError::Unknown(format!("the API server's reply {what} (line {}, column {})", e.line(), e.column()))
        })
    }

    pub(super) async fn exchange(&self, request: Request<Body>) -> Result<Vec<u8>, ClusterError> {
        let response = self.client.send(request).await.map_err(|e| ClusterError::Unknown(transport_words(&e)))?;
        let status = response.status();
        let date = response.headers().get(header::DATE).and_then(|d| d.to_str().ok());
        if let Some(date) = date.and_then(parse_http_date) {
            self.clock.observe(date);
        }
        let body = http_body_util::Limited::new(response.into_body(), MAX_BYTES);
        let collected = http_body_util::BodyExt::collect(body).await;
        let bytes = collected.map_err(|_| ClusterError::Unknown("the API server's reply broke off".into()))?.to_bytes();
        if status.is_success() { Ok(bytes.to_vec()) } else { Err(failure(status, &bytes)) }
    }
}

fn failure(status: StatusCode, body: &[u8]) -> ClusterError {
    let reply: Option<Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| reply.as_ref().and_then(|v| v.get(name)).and_then(Value::as_str).map(str::to_owned);
    let message: String = field("message").unwrap_or_else(|| status.to_string()).chars().take(256).collect();
    match status {
        StatusCode::NOT_FOUND => ClusterError::NotFound,
        StatusCode::CONFLICT => ClusterError::Conflict,
        // The server sheds load before it looks at the request, but nothing says that a proxy in front of it does so too.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => ClusterError::Unknown(message),
        status if status.is_client_error() => {
            ClusterError::Refused(Box::new(Refusal { code: status.as_u16(), message, missing: None }))
        }
        _ => ClusterError::Unknown(message),
    }
}

/// What kept a request from its reply. kube's errors can hold a part of the body; its kind is enough.
fn transport_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(_) => "the operator could not authenticate to the API server".into(),
        kube::Error::Service(inner) => format!("the API server is out of reach: {inner}"),
        kube::Error::HyperError(inner) => format!("the API server is out of reach: {inner}"),
        _ => "the API server is out of reach".into(),
    }
}
