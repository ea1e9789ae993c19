//! The cluster's DNS server. It knows the names that it is given; everything else does not exist.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

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
    /// Answers for `names` on `address`, in the tokio runtime in which it was started.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr, names: BTreeMap<String, Ipv4Addr>) -> Result<Self, Error> {
        let socket = UdpSocket::bind(address)
            .await
            .map_err(|error| Error::new(format!("could not serve DNS on {address}: {error}")))?;
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                if let Some(reply) = answer(&buffer[..length], &names) {
                    // Who asks and has gone asks again.
                    let _ = socket.send_to(&reply, peer).await;
                }
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

/// The reply to a query; none to what is not one.
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let query = Packet::parse(query).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
    let question = query.questions.first()?.clone();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    match names.get(&question.qname.to_string().to_ascii_lowercase()) {
        None => *reply.rcode_mut() = RCODE::NameError,
        // A name without an IPv6 address exists all the same.
        Some(address) if matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) => {
            let data = RData::A(A::from(*address));
            reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 5, data));
        }
        Some(_) => {}
    }
    reply.questions.push(question);
    reply.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, QCLASS, Question};

    use super::*;

    fn ask(name: &str, kind: TYPE) -> (RCODE, Vec<Ipv4Addr>) {
        let names = BTreeMap::from([("tfe.example.test".to_owned(), Ipv4Addr::new(192, 0, 2, 1))]);
        let mut query = Packet::new_query(7);
        let name = Name::new_unchecked(name);
        query.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        let reply = answer(&query.build_bytes_vec().expect("a query"), &names).expect("a reply");
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
        assert_eq!(ask("tfe.example.test", TYPE::A), (RCODE::NoError, vec![Ipv4Addr::new(192, 0, 2, 1)]));
        assert_eq!(ask("TFE.example.test", TYPE::A), (RCODE::NoError, vec![Ipv4Addr::new(192, 0, 2, 1)]));
        assert_eq!(ask("tfe.example.test", TYPE::AAAA), (RCODE::NoError, vec![]));
        assert_eq!(ask("tfe.example.test.svc.cluster.local", TYPE::A), (RCODE::NameError, vec![]));
    }

    #[test]
    fn noise_is_not_answered() {
        assert!(answer(b"noise", &BTreeMap::new()).is_none());
    }
}
