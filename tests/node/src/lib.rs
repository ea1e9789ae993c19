//! A Kubernetes node for tests: kubelet, containerd and runc run real pods in a network of their own. Never shipped.
//!
//! All of it happens inside `tests/testbed/sandbox.sh`; `make test-node` starts it there.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`sandbox`] | the addresses in there, and whether this process is in there |
//! | [`node`] | containerd, kubelet and scheduler |
//! | [`cluster`] | the whole: control plane, node, DNS |
//! | [`dns`] | the cluster's DNS server: names of the tests' servers |
//! | [`images`] | images for pods that play consumers of a token |
//! | [`command`] | programs that are run to their end: helm, kubectl, ctr |
pub mod cluster;
pub mod command;
pub mod dns;
pub mod images;
pub mod node;
pub mod sandbox;
