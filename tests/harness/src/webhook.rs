//! An admission webhook that a test programs: the API server asks it before it writes, so it can refuse a write or hold it.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::serve::Listener;
use axum::{Router, routing};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Error;
use crate::simulator::{Gate, Identity};

/// How the webhook answers.
#[derive(Clone, Debug)]
enum Verdict {
    Allow,
    Deny(String),
}

/// Asked by the API server, in the tokio runtime in which it was started; dropping it ends it.
pub struct Webhook {
    address: SocketAddr,
    identity: Identity,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    verdict: Mutex<Verdict>,
    /// Stands before the next request alone.
    gate: Mutex<Option<Gate>>,
    asked: watch::Sender<u64>,
}

impl Webhook {
    /// A webhook that allows everything.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self, Error> {
        let failed = || Error::while_trying("could not open a port for the webhook");
        let identity = Identity::self_signed(&["127.0.0.1"]).map_err(failed())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let listener = Tls { listener, acceptor: identity.acceptor().map_err(failed())? };
        let shared = Arc::new(Shared {
            verdict: Mutex::new(Verdict::Allow),
            gate: Mutex::new(None),
            asked: watch::Sender::new(0),
        });
        let router = Router::new().route("/", routing::post(answer)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // Ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, identity, shared, server })
    }

    /// The `ValidatingWebhookConfiguration` that has the API server of a namespace ask it about writes of `resource` (`secrets`) in
    /// `group` (empty for the core's).
    pub fn configuration(&self, namespace: &str, group: &str, resource: &str) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": format!("{namespace}.{}", resource.replace('/', "-"))},
            "webhooks": [{
                "name": "harness.terraformcloud.dev",
                "clientConfig": {
                    "url": format!("https://{}/", self.address),
                    "caBundle": BASE64.encode(self.identity.ca_pem().as_bytes()),
                },
                "rules": [{
                    "apiGroups": [group], "apiVersions": ["*"], "resources": [resource], "operations": ["CREATE", "UPDATE"],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "timeoutSeconds": 30,
            }],
        })
    }

    /// From now on it allows.
    pub fn allow(&self) {
        self.set(Verdict::Allow);
    }

    /// From now on it refuses, with these words.
    pub fn deny(&self, words: &str) {
        self.set(Verdict::Deny(words.to_owned()));
    }

    /// The next request alone is answered only once the gate is open, and then allowed.
    pub fn hold_next(&self, gate: &Gate) {
        *self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        *self.shared.asked.borrow()
    }

    fn set(&self, verdict: Verdict) {
        *self.shared.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, review: String) -> impl IntoResponse {
    let review: Value = serde_json::from_str(&review).unwrap_or_default();
    let gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
    let verdict = match gate {
        Some(_) => Verdict::Allow,
        None => shared.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    };
    shared.asked.send_modify(|asked| *asked += 1);
    if let Some(gate) = gate {
        gate.opened().await;
    }
    let mut response = json!({"uid": review["request"]["uid"], "allowed": matches!(verdict, Verdict::Allow)});
    if let Verdict::Deny(words) = verdict {
        response["status"] = json!({"code": 403, "message": words});
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    ([(CONTENT_TYPE, "application/json")], review.to_string())
}

/// Connections with TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((wire, peer)) = self.listener.accept().await
                && let Ok(wire) = self.acceptor.accept(wire).await
            {
                return (wire, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
