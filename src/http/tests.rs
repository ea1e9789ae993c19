use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

/// A server on a free port of the loopback interface, with what ends it.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

async fn start(router: Router) -> Running {
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = bind("--metrics-bind-address", &address).await.expect("a free port").expect("not off");
    let address = listener.local_addr().expect("it listens");
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(listener, router, async {
        let _ = stopped.await;
    }));
    Running { address, stop, ended }
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("it answers");
    reply
}

#[tokio::test]
async fn metrics_are_served_with_their_type() {
    let metrics = Metrics::new();
    metrics.leading(true);
    let running = start(metrics_router(metrics)).await;
    let reply = fetch(running.address, "/metrics").await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(reply.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{reply}");
    assert!(reply.contains("tfc_token_operator_leader 1"), "{reply}");
    assert!(fetch(running.address, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn readiness_says_how_far_the_process_is() {
    let readiness = Readiness::starting("the API server is not reached yet");
    let running = start(health_router(readiness.clone())).await;
    for (state, code, body) in [
        (None, "503", "not ready: the API server is not reached yet"),
        (Some(ReadyState::Starting("the CRDs are not served".into())), "503", "not ready: the CRDs are not served"),
        (Some(ReadyState::Standby), "200", "ok: standing by"),
        (Some(ReadyState::Leading), "200", "ok: leading"),
        (Some(ReadyState::Stopping), "503", "not ready: stopping"),
        (Some(ReadyState::Leading), "503", "not ready: stopping"),
    ] {
        if let Some(state) = state {
            readiness.set(state);
        }
        let reply = fetch(running.address, "/readyz").await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {code}")) && reply.ends_with(body), "{reply}");
        assert!(fetch(running.address, "/healthz").await.ends_with("\r\n\r\nok"), "alive all the while");
    }
}

#[tokio::test]
async fn ends_when_asked_though_a_client_never_finishes_its_request() {
    let running = start(health_router(Readiness::starting("test"))).await;
    let mut half = TcpStream::connect(running.address).await.expect("it listens");
    // One whole request first: its answer shows that the connection was accepted.
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\nGET /healthz HTTP/1.1\r\nHost:")
        .await
        .expect("it reads");
    half.read_exact(&mut [0; 15]).await.expect("it answers");
    running.stop.send(()).expect("it runs");
    let ended = tokio::time::timeout(Duration::from_secs(60), running.ended).await.expect("it ends");
    ended.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_flag_and_the_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("it listens").to_string();
    let error = bind("--health-probe-bind-address", &address.parse().expect("an address"))
        .await
        .expect_err("taken")
        .to_string();
    assert!(error.starts_with(&format!("--health-probe-bind-address={address} ")), "{error}");
    assert!(error.contains("another process has the port"), "{error}");
}

#[tokio::test]
async fn every_interface_takes_ipv4_and_off_is_off() {
    let listener =
        bind("--metrics-bind-address", &":0".parse().expect("an address")).await.expect("a port").expect("not off");
    let port = listener.local_addr().expect("it listens").port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("IPv4 is taken");
    assert!(bind("--metrics-bind-address", &BindAddress::Off).await.expect("nothing to do").is_none());
}
