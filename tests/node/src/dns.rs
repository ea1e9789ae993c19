//! The cluster's DNS server. It knows the names that it is given, and of Services the pods behind them, as of headless ones: there
//! is no kube-proxy here. Everything else does not exist.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, ListParams};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tfc_harness::Error;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// A running server; dropping it ends it.
pub struct Dns {
    task: JoinHandle<()>,
}

impl Dns {
    /// Answers on `address` for `names` and the Services of `cluster`, in the tokio runtime in which it was started.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr, names: BTreeMap<String, Ipv4Addr>, cluster: Client) -> Result<Self, Error> {
        let socket = UdpSocket::bind(address)
            .await
            .map_err(|error| Error::new(format!("could not serve DNS on {address}: {error}")))?;
        let (socket, names) = (Arc::new(socket), Arc::new(names));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let query = buffer[..length].to_vec();
                let (socket, names, cluster) = (socket.clone(), names.clone(), cluster.clone());
                tokio::spawn(async move {
                    let Some(name) = name_asked(&query) else { return };
                    let known = names.get(&name).copied();
                    let address = if known.is_some() { known } else { pod_behind(cluster, &name).await };
                    if let Some(reply) = answer(&query, address) {
                        // Who asks and has gone asks again.
                        let _ = socket.send_to(&reply, peer).await;
                    }
                });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A ready pod of the Service with that name, `NAME.NAMESPACE.svc.cluster.local`.
async fn pod_behind(cluster: Client, name: &str) -> Option<Ipv4Addr> {
    let (service, namespace) = name.strip_suffix(".svc.cluster.local")?.split_once('.')?;
    let slices: Api<EndpointSlice> = Api::namespaced(cluster, namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = slices.list(&of_service).await.ok()?;
    let endpoints = slices.items.into_iter().filter_map(|slice| slice.endpoints).flatten();
    let ready = endpoints
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    ready.flat_map(|endpoint| endpoint.addresses).find_map(|address| address.parse().ok())
}

/// The name in a query, in lower case; none in what is not one.
fn name_asked(query: &[u8]) -> Option<String> {
    let query = Packet::parse(query).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
    Some(query.questions.first()?.qname.to_string().to_ascii_lowercase())
}

/// The reply to a query for a name that has this address, or does not exist.
fn answer(query: &[u8], address: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let query = Packet::parse(query).ok()?;
    let question = query.questions.first()?.clone();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    match address {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(address) if matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) => {
            let data = RData::A(A::from(address));
            reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 5, data));
        }
        // A name without an IPv6 address exists all the same.
        Some(_) => {}
    }
    reply.questions.push(question);
    reply.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, QCLASS, Question};

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut query = Packet::new_query(7);
        let name = Name::new_unchecked(name);
        query.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        query.build_bytes_vec().expect("a query")
    }

    fn ask(kind: TYPE, address: Option<Ipv4Addr>) -> (RCODE, Vec<Ipv4Addr>) {
        let reply = answer(&query("tfe.example.test", kind), address).expect("a reply");
        let reply = Packet::parse(&reply).expect("DNS");
        assert_eq!(reply.id(), 7);
        let addresses = reply.answers.iter().filter_map(|record| match &record.rdata {
            RData::A(a) => Some(Ipv4Addr::from(a.address)),
            _ => None,
        });
        (reply.rcode(), addresses.collect())
    }

    #[test]
    fn a_name_has_its_address_and_no_other() {
        assert_eq!(ask(TYPE::A, Some(ADDRESS)), (RCODE::NoError, vec![ADDRESS]));
        assert_eq!(ask(TYPE::AAAA, Some(ADDRESS)), (RCODE::NoError, vec![]));
        assert_eq!(ask(TYPE::A, None), (RCODE::NameError, vec![]));
    }

    #[test]
    fn names_are_asked_in_any_case_and_noise_is_not_answered() {
        assert_eq!(name_asked(&query("TFE.example.Test", TYPE::A)).as_deref(), Some("tfe.example.test"));
        assert_eq!(name_asked(b"noise"), None);
    }
}
