//! What lies between a replica and its two servers: each request is parked here until the history says what becomes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use tfc_token_operator::tfc::{Arrived, BodyFault, Carrier, Failure};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Which server a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Api,
    Tfc,
}

/// A request on its way.
#[derive(Clone)]
pub struct Sent {
    pub server: Server,
    pub method: String,
    pub path: String,
    pub query: String,
    pub metadata_only: bool,
    pub bearer: String,
    pub body: Vec<u8>,
    /// Id of a person's token that the replica was shown in the slot: to kill it would be on purpose.
    pub kills_knowingly: Option<String>,
}

/// What a replica hears of its request.
pub enum Heard {
    Reply(Reply),
    /// There was no connection.
    NotSent,
    /// The connection broke.
    Lost,
    /// No answer in time; of the API server's requests the replica itself keeps the time.
    TimedOut,
}

/// A server's reply. No `Debug`: a body may hold a token's value.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub date: String,
    pub json: bool,
    /// Seconds until more is allowed, with a 429.
    pub reset: Option<u64>,
    /// The connection breaks in the middle of the body.
    pub cut: bool,
}

/// A request that waits for its fate.
pub struct Parked {
    pub sent: Sent,
    pub reply: oneshot::Sender<Heard>,
}

/// The end of the wire that one replica holds.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Vec<Parked>>>);

impl Wire {
    /// Takes what was sent since.
    pub fn take(&self) -> Vec<Parked> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Parked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn park(&self, sent: Sent) -> oneshot::Receiver<Heard> {
        let (reply, heard) = oneshot::channel();
        self.lock().push(Parked { sent, reply });
        heard
    }
}

impl Carrier for Wire {
    fn carry(&self, request: reqwest::Request, _max_bytes: usize) -> BoxFuture<'_, Result<Arrived, Failure>> {
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sent = Sent {
            server: Server::Tfc,
            method: request.method().to_string(),
            path: request.url().path().strip_prefix("/api/v2").unwrap_or_default().to_owned(),
            query: request.url().query().unwrap_or_default().to_owned(),
            metadata_only: false,
            bearer: bearer.strip_prefix("Bearer ").unwrap_or_default().to_owned(),
            body: request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec(),
            kills_knowingly: None,
        };
        let heard = self.park(sent);
        async move {
            match heard.await {
                Ok(Heard::Reply(reply)) => Ok(arrived(reply)),
                Ok(Heard::NotSent) => Err(Failure::NotSent("connection refused".into())),
                Ok(Heard::TimedOut) => Err(Failure::TimedOut),
                Ok(Heard::Lost) | Err(_) => Err(Failure::Lost),
            }
        }
        .boxed()
    }
}

fn arrived(reply: Reply) -> Arrived {
    let mut headers = http::HeaderMap::new();
    let mut set = |name: http::HeaderName, value: &str| {
        drop(headers.insert(name, value.parse().expect("a header")));
    };
    set(DATE, &reply.date);
    if reply.status != 204 {
        set(CONTENT_TYPE, if reply.json { "application/vnd.api+json" } else { "text/html" });
    }
    if let Some(seconds) = reply.reset {
        set(http::HeaderName::from_static("x-ratelimit-reset"), &seconds.to_string());
    }
    let body = if reply.cut { Err(BodyFault::CutShort) } else { Ok(Zeroizing::new(reply.body)) };
    Arrived { status: reply.status, headers, body }
}

/// The API server under kube's client.
impl tower::Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        // Whether it may do something: it may. That is no effect of the operator's, and nothing becomes of it.
        if head.uri.path().ends_with("/selfsubjectaccessreviews") {
            let reply = Response::new(Body::from(br#"{"status":{"allowed":true}}"#.to_vec()));
            return async move { Ok(reply) }.boxed();
        }
        // The body is in memory: it is there at once.
        let body = body.collect().now_or_never().and_then(Result::ok).map(|body| body.to_bytes().to_vec());
        let accept = head.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let heard = self.park(Sent {
            server: Server::Api,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            metadata_only: accept.contains("PartialObjectMetadata"),
            bearer: String::new(),
            body: body.unwrap_or_default(),
            kills_knowingly: None,
        });
        async move {
            match heard.await {
                Ok(Heard::Reply(reply)) => Ok(response(reply)),
                _ => Err(std::io::Error::other("connection lost")),
            }
        }
        .boxed()
    }
}

fn response(reply: Reply) -> Response<Body> {
    let body = if reply.cut { reply.body[..reply.body.len() / 2].to_vec() } else { reply.body };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = http::StatusCode::from_u16(reply.status).expect("a status");
    response.headers_mut().insert(DATE, reply.date.parse().expect("a date"));
    response
}
