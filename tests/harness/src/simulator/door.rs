//! The listening socket and the connections, which tests can shut and cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Orders to the listener; each is acknowledged once it holds.
pub(crate) enum Order {
    /// Connections are refused from now on.
    Shut(std::sync::mpsc::Sender<io::Result<()>>),
    /// Connections are accepted again.
    Open(std::sync::mpsc::Sender<io::Result<()>>),
}

/// Listens, unless shut.
pub(crate) struct Door {
    address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the door is shut.
    _reservation: TcpSocket,
    listener: Option<TcpListener>,
    orders: mpsc::UnboundedReceiver<Order>,
    wires: Wires,
    tls: Option<TlsAcceptor>,
    /// Connections whose TLS handshake is done; the sender is for the tasks that do it.
    ready: (mpsc::UnboundedSender<Accepted>, mpsc::UnboundedReceiver<Accepted>),
}

type Accepted = (Connection, Peer);

impl Door {
    /// Binds. Must run inside a runtime.
    pub fn open(
        address: SocketAddr,
        orders: mpsc::UnboundedReceiver<Order>,
        wires: Wires,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        let reservation = bind(address)?;
        let address = reservation.local_addr()?;
        let listener = bind(address)?.listen(1024)?;
        let ready = mpsc::unbounded_channel();
        Ok(Self { address, _reservation: reservation, listener: Some(listener), orders, wires, tls, ready })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn obey(&mut self, order: Order) {
        let (result, answer) = match order {
            Order::Shut(answer) => {
                self.listener = None;
                (Ok(()), answer)
            }
            Order::Open(answer) if self.listener.is_some() => (Ok(()), answer),
            Order::Open(answer) => {
                let opened = bind(self.address).and_then(|socket| socket.listen(1024));
                (opened.map(|listener| self.listener = Some(listener)), answer)
            }
        };
        // Whoever gave the order waits for this; if it has gone, nobody cares.
        let _ = answer.send(result);
    }
}

/// On Linux sockets with `SO_REUSEADDR` share a port as long as none of the others listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            let Some(listener) = &self.listener else {
                match self.orders.recv().await {
                    Some(order) => self.obey(order),
                    None => std::future::pending::<()>().await,
                }
                continue;
            };
            tokio::select! {
                Some(order) = self.orders.recv() => self.obey(order),
                Some(accepted) = self.ready.1.recv() => return accepted,
                accepted = listener.accept() => {
                    // A failed accept (the peer left, or no descriptor is free) concerns that connection alone.
                    let Ok((stream, address)) = accepted else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let wire = self.wires.add();
                    let peer = Peer { address, wire: wire.clone() };
                    let Some(tls) = self.tls.clone() else {
                        return (Connection { stream: Box::new(stream), wire }, peer);
                    };
                    // A client that dawdles over its handshake must not hold up the others.
                    let ready = self.ready.0.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = ready.send((Connection { stream: Box::new(stream), wire }, peer));
                        }
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.address, wire: Arc::default() })
    }
}

/// The other end of a connection, and the handle that cuts it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub address: SocketAddr,
    pub wire: Arc<Wire>,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// All open connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wires(Arc<Mutex<Vec<Weak<Wire>>>>);

impl Wires {
    fn add(&self) -> Arc<Wire> {
        let wire = Arc::new(Wire::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|wire| wire.strong_count() > 0);
        }
        all.push(Arc::downgrade(&wire));
        wire
    }

    pub fn cut_all(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|wire| wire.cut());
    }
}

/// Whether a connection has been cut.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wire {
    /// Closes the connection without another byte.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl Stream for TcpStream {}
impl Stream for tokio_rustls::server::TlsStream<TcpStream> {}

/// A connection that can be cut.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    wire: Arc<Wire>,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.wire.reader.register(cx.waker());
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.writer.register(cx.waker());
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
