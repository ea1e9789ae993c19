//! A wire to a server that a test can cut, or have go deaf.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Error;

/// What became of the connections of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Flowing,
    Closed,
    Deaf,
}

/// Passes bytes between clients and one server, in the tokio runtime in which it was started; dropping it closes everything.
pub struct Proxy {
    address: SocketAddr,
    wires: Arc<Mutex<Wires>>,
    listener: JoinHandle<()>,
}

struct Wires {
    /// Of the connections that are made from now on.
    fate: watch::Sender<Fate>,
    /// New ones are closed at once.
    refuses: bool,
    /// Deaf ones stay open until the end.
    deaf: Vec<watch::Sender<Fate>>,
}

impl Proxy {
    /// A proxy before `server` (`127.0.0.1:PORT`).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(server: String) -> Result<Self, Error> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), server).await
    }

    /// The same, listening on a given address.
    ///
    /// # Errors
    /// When it can't be bound.
    pub async fn listen(address: SocketAddr, server: String) -> Result<Self, Error> {
        let failed = || Error::while_trying("could not open a port for the proxy");
        let listener = TcpListener::bind(address).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let fate = watch::Sender::new(Fate::Flowing);
        let wires = Arc::new(Mutex::new(Wires { fate, refuses: false, deaf: Vec::new() }));
        let shared = wires.clone();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let wires = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if !wires.refuses {
                    tokio::spawn(carry(client, server.clone(), wires.fate.subscribe()));
                }
            }
        });
        Ok(Self { address, wires, listener })
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes all connections; new ones are closed at once until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.lock().refuses = true;
        self.close();
    }

    /// Closes all connections; new ones flow.
    pub fn close(&self) {
        let mut wires = self.lock();
        wires.fate.send_replace(Fate::Closed);
        wires.fate = watch::Sender::new(Fate::Flowing);
    }

    /// From now on no byte passes over the connections that there are, and nobody is told, as when a firewall forgets them; new ones
    /// flow.
    pub fn deafen(&self) {
        let mut wires = self.lock();
        wires.fate.send_replace(Fate::Deaf);
        let deaf = std::mem::replace(&mut wires.fate, watch::Sender::new(Fate::Flowing));
        wires.deaf.push(deaf);
    }

    /// New connections flow again.
    pub fn mend(&self) {
        self.lock().refuses = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.close();
        self.lock().deaf.clear();
    }
}

async fn carry(mut client: TcpStream, server: String, mut fate: watch::Receiver<Fate>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        _ = fate.wait_for(|fate| *fate != Fate::Flowing) => {}
    }
    // Both ends stay open, and hear nothing, until the proxy goes.
    while *fate.borrow() == Fate::Deaf && fate.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Sends back what it is told.
    async fn echo() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut wire, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = wire.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn is_echoed(wire: &mut TcpStream) -> bool {
        let mut byte = [0];
        wire.write_all(b"x").await.is_ok() && wire.read_exact(&mut byte).await.is_ok()
    }

    #[tokio::test]
    async fn a_wire_flows_until_it_is_cut_or_deaf_and_the_next_one_flows() {
        let proxy = Proxy::start(echo().await).await.expect("it starts");
        let connect = async || TcpStream::connect(proxy.address()).await.expect("a connection");
        let mut first = connect().await;
        assert!(is_echoed(&mut first).await);
        proxy.deafen();
        let mut second = connect().await;
        assert!(is_echoed(&mut second).await);
        let patience = std::time::Duration::from_millis(200);
        tokio::time::timeout(patience, is_echoed(&mut first)).await.expect_err("it neither answers nor closes");

        proxy.cut();
        assert!(!is_echoed(&mut second).await);
        assert!(!is_echoed(&mut connect().await).await);
        proxy.mend();
        assert!(is_echoed(&mut connect().await).await);
    }
}
