//! What the tests and the demo stand on. Never shipped.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`control_plane`] | a real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager |
//! | [`operator`] | the operator's real binary as a child process |
//! | [`audit`] | what the API server was asked, by whom: for tests that count writes |
//! | [`invariants`] | whether the invariants of a token's life held, decided after the fact |
//! | [`kubeconfig`] | kubeconfig files for the identities that tests play |
//! | [`pki`] | the control plane's CA, serving certificate and ServiceAccount key |
//! | [`process`] | child processes that never outlive this one |
//! | [`proxy`] | a wire that a test can cut |
//! | [`simulator`] | TFC's token API, strict and programmable |
//! | [`port`] | free loopback ports |
//! | [`wait`] | waiting for a condition, with a deadline |
//! | [`webhook`] | the API server's writes refused or held |
//! | [`demo`] | the demo: a token's life in front of a person |
//! | [`tls`] | the one TLS provider |
//! | [`error`] | the harness' error: a sentence |
pub mod audit;
pub mod control_plane;
pub mod demo;
pub mod error;
pub mod invariants;
pub mod kubeconfig;
pub mod operator;
pub mod pki;
pub mod port;
pub mod process;
pub mod proxy;
pub mod simulator;
pub mod tls;
pub mod wait;
pub mod webhook;

pub use control_plane::ControlPlane;
pub use error::Error;
pub use operator::{Logs, Operator, OperatorOptions};
pub use tls::install_tls_provider;
pub use wait::wait_until;
