//! The addresses in the sandbox, which `tests/testbed/sandbox.sh` puts on its loopback device.
use std::net::Ipv4Addr;

use tfc_harness::Error;

/// The Service `kubernetes`: where every pod looks for the API server, on port 443.
pub const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The DNS server, as the kubelet tells the pods.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The node.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The simulator of TFC, as if it were on the internet.
pub const TFC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The pods.
pub const PODS: &str = "10.244.0.0/24";

/// The name of this sandbox, which is also that of the cgroup of its pods.
///
/// # Errors
/// When this process is in no sandbox: a node here would change the machine.
pub fn name() -> Result<String, Error> {
    std::env::var("TFC_SANDBOX").map_err(|_| {
        Error::new("these tests start a Kubernetes node, which would change the machine: run `make test-node`")
    })
}
