//! From the wire to the state and back, with the faults in between.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State as Shares};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::api::Request;
use super::control;
use super::core::{Acted, Core, Incoming, Outcome};
use super::door::Peer;
use super::faults::{Answer, BodyKind, Fault};
use super::jsonapi::{Reply, Shift};
use super::ledger::Stamper;
use super::limit::Verdict;
use super::world::{Product, TokenValue};

/// What handlers and tests share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Number of calls so far: wakes who waits for something to happen.
    pub calls: watch::Sender<u64>,
    stamper: Mutex<Option<Stamper>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub fn new(core: Core) -> Self {
        Self { core: Mutex::new(core), calls: watch::Sender::new(0), stamper: Mutex::new(None) }
    }

    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stamp_with(&self, stamper: Stamper) {
        *self.stamper.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamper);
    }

    /// Stamps a call, when the server has acted and before it replies.
    async fn stamp(&self, serial: u64) {
        let stamper = self.stamper.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(stamper) = stamper else { return };
        if let Some(stamp) = stamper().await {
            self.core().log.stamp(serial, stamp);
        }
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if let Some(path) = uri.path().strip_prefix("/_simulator") {
        return control::serve(&shared, &method, path, &body);
    }
    if uri.path() == "/.well-known/terraform.json" {
        let services = r#"{"tfe.v2":"/api/v2/","tfe.v2.1":"/api/v2/","tfe.v2.2":"/api/v2/"}"#;
        return plain(200, "application/json", services.to_owned());
    }
    let Some(path) = uri.path().strip_prefix("/api/v2") else {
        return plain(404, "text/html", "<html><body>404 not found</body></html>".to_owned());
    };
    let raw_query = uri.query().unwrap_or("").to_owned();
    let incoming = Incoming {
        request: Request {
            method: method.as_str().to_owned(),
            path: path.to_owned(),
            query: parse_query(&raw_query),
            content_type: text_of(&headers, &CONTENT_TYPE),
            body: body.to_vec(),
            shift: Shift::default(),
        },
        raw_query,
        bearer: text_of(&headers, &AUTHORIZATION)
            .and_then(|text| text.strip_prefix("Bearer ").map(|value| TokenValue::new(value.trim()))),
        peer: peer.address.ip().to_string(),
        agent: text_of(&headers, &USER_AGENT),
    };
    match first(&shared, &incoming) {
        First::Away(page) => page,
        First::Struck(fault) => {
            // On a task of its own: what the server does goes on when the client has left.
            let struck = tokio::spawn(struck(shared.clone(), peer.clone(), incoming, fault));
            struck.await.unwrap_or_else(|_| {
                peer.wire.cut();
                Response::new(Body::empty())
            })
        }
        First::Acted(sent, delay) => {
            shared.stamp(sent.serial).await;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            sent.response()
        }
    }
}

/// What happens under the one lock that most requests take.
enum First {
    Away(Response<Body>),
    Struck(Fault),
    Acted(Sent, Duration),
}

fn first(shared: &Shared, incoming: &Incoming) -> First {
    let mut core = shared.core();
    if core.unavailable {
        refuse(shared, &mut core, incoming, Some(503), "outage");
        return First::Away(Head::of(&core, None).page(503));
    }
    match core.strike(incoming) {
        Some(fault) => First::Struck(fault),
        None => First::Acted(act(shared, &mut core, incoming, None), core.reply_delay),
    }
}

/// A request that a fault strikes.
async fn struck(shared: Arc<Shared>, peer: Peer, mut incoming: Incoming, fault: Fault) -> Response<Body> {
    let name = fault.name();
    let cut = || {
        peer.wire.cut();
        Response::new(Body::empty())
    };
    let acted = |incoming: &Incoming| stamped(shared.clone(), incoming.clone(), name.clone());
    let refused = |status: Option<u16>| {
        let mut core = shared.core();
        let calls = refuse(&shared, &mut core, &incoming, status, &name);
        (Head::of(&core, None), calls)
    };
    match fault {
        Fault::RequestLost => {
            refused(None);
            cut()
        }
        Fault::ReplyLost => {
            act_unheard(&shared, &incoming, None, &name).await;
            cut()
        }
        Fault::DelayBefore(wait) => {
            wait.over().await;
            acted(&incoming).await.response()
        }
        Fault::DelayAfter(wait) => {
            let sent = acted(&incoming).await;
            wait.over().await;
            sent.response()
        }
        Fault::Hang(gate) => {
            refused(None);
            gate.opened().await;
            cut()
        }
        Fault::Status(answer) => {
            let head = if answer.acts {
                act_unheard(&shared, &incoming, Some(answer.code), &name).await
            } else {
                let (head, calls) = refused(Some(answer.code));
                // What was said by it may be believed: from when on has to be known.
                shared.stamp(calls - 1).await;
                head
            };
            made_up(head, &answer)
        }
        Fault::Truncated => {
            let sent = acted(&incoming).await;
            let text = sent.text();
            let half = Bytes::from(text.as_bytes()[..text.len() / 2].to_vec());
            let mut response =
                sent.head.build(sent.reply.status, "application/vnd.api+json", Body::from_stream(broken(half)));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len().max(1)));
            response
        }
        Fault::Malformed => {
            let sent = acted(&incoming).await;
            let body = Body::from("{\"data\":{\"id\":\"at-\",,}");
            sent.head.build(sent.reply.status, "application/vnd.api+json", body)
        }
        Fault::Huge(bytes) => {
            let sent = acted(&incoming).await;
            let body = Body::from_stream(padded(&sent.text(), bytes));
            sent.head.build(sent.reply.status, "application/vnd.api+json", body)
        }
        Fault::Slow { bytes, every } => {
            let sent = acted(&incoming).await;
            let chunks: Vec<Bytes> = sent.text().as_bytes().chunks(bytes.max(1)).map(Bytes::copy_from_slice).collect();
            let ticking = stream::iter(chunks).then(move |chunk| async move {
                tokio::time::sleep(every).await;
                Ok::<_, Infallible>(chunk)
            });
            sent.head.build(sent.reply.status, "application/vnd.api+json", Body::from_stream(ticking))
        }
        Fault::Redirect { status, to } => {
            let mut response = refused(Some(status)).0.build(status, "text/html", Body::empty());
            if let Ok(to) = HeaderValue::from_str(&to) {
                response.headers_mut().insert(LOCATION, to);
            }
            response
        }
        Fault::DuplicateDelivery => {
            acted(&incoming).await;
            acted(&incoming).await.response()
        }
        Fault::DropTokenFromReply => {
            let mut sent = acted(&incoming).await;
            if let Some(token) = sent.reply.body.as_mut().and_then(|body| body.pointer_mut("/data/attributes/token")) {
                *token = Value::Null;
            }
            sent.response()
        }
        Fault::ShiftList { skip, count } => {
            incoming.request.shift = Shift { skip, count };
            acted(&incoming).await.response()
        }
    }
}

/// A reply with the headers that go with it.
struct Sent {
    reply: Reply,
    head: Head,
    /// Of the call in the log.
    serial: u64,
}

impl Sent {
    fn text(&self) -> String {
        self.reply.body.as_ref().map(Value::to_string).unwrap_or_default()
    }

    fn response(self) -> Response<Body> {
        self.head.reply(&self.reply)
    }
}

fn act(shared: &Shared, core: &mut Core, incoming: &Incoming, fault: Option<String>) -> Sent {
    let Acted { reply, verdict, caller, changes } = core.act(incoming);
    let reset = (reply.status == 429).then_some(verdict.reset_seconds);
    let outcome = Outcome { status: Some(reply.status), acted: true, reset, fault, changes };
    let calls = core.record(incoming, caller.as_ref(), outcome);
    note(shared, calls);
    Sent { reply, head: Head::of(core, Some(verdict)), serial: calls - 1 }
}

async fn stamped(shared: Arc<Shared>, incoming: Incoming, fault: String) -> Sent {
    let sent = act(&shared, &mut shared.core(), &incoming, Some(fault));
    shared.stamp(sent.serial).await;
    sent
}

/// Acts, where the client gets another reply or none.
async fn act_unheard(shared: &Shared, incoming: &Incoming, status: Option<u16>, fault: &str) -> Head {
    let (head, calls) = {
        let mut core = shared.core();
        let Acted { verdict, caller, changes, .. } = core.act(incoming);
        let outcome = Outcome { status, acted: true, fault: Some(fault.to_owned()), changes, ..Outcome::default() };
        (Head::of(&core, Some(verdict)), core.record(incoming, caller.as_ref(), outcome))
    };
    note(shared, calls);
    shared.stamp(calls - 1).await;
    head
}

/// Writes down a request that never reached the state. Gives how many calls there have been, with this one.
fn refuse(shared: &Shared, core: &mut Core, incoming: &Incoming, status: Option<u16>, fault: &str) -> u64 {
    let caller = core.identify(incoming);
    let outcome = Outcome { status, fault: Some(fault.to_owned()), ..Outcome::default() };
    let calls = core.record(incoming, caller.as_ref(), outcome);
    note(shared, calls);
    calls
}

fn note(shared: &Shared, calls: u64) {
    shared.calls.send_replace(calls);
}

/// What the headers of a reply depend on.
struct Head {
    now: Timestamp,
    product: Product,
    limit: Option<u32>,
    verdict: Option<Verdict>,
}

impl Head {
    fn of(core: &Core, verdict: Option<Verdict>) -> Self {
        Self { now: core.now(), product: core.product.clone(), limit: core.limit.per_second(), verdict }
    }

    fn build(&self, status: u16, content_type: &'static str, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if let Ok(date) = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.now) {
            set("date", &date);
        }
        set("tfp-api-version", "2.6");
        match &self.product {
            Product::Hcp => set("tfp-appname", "HCP Terraform"),
            Product::Tfe(version) => {
                set("tfp-appname", "Terraform Enterprise");
                set("x-tfe-version", version);
            }
        }
        if let Some(limit) = self.limit {
            set("x-ratelimit-limit", &limit.to_string());
            if let Some(verdict) = self.verdict {
                set("x-ratelimit-reset", &format!("{:.3}", verdict.reset_seconds));
            }
        }
        if status != 204 {
            set("content-type", content_type);
        }
        response
    }

    fn reply(&self, reply: &Reply) -> Response<Body> {
        let body = reply.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.build(reply.status, "application/vnd.api+json; charset=utf-8", body)
    }

    /// A proxy's page.
    fn page(&self, status: u16) -> Response<Body> {
        let text = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
        self.build(status, "text/html", Body::from(text))
    }
}

fn made_up(head: Head, answer: &Answer) -> Response<Body> {
    let mut response = match answer.body {
        BodyKind::Empty => head.build(answer.code, "text/plain", Body::empty()),
        BodyKind::Html => head.page(answer.code),
        BodyKind::JsonApi => {
            let reply = match answer.code {
                429 => Reply::too_many_requests(),
                code => {
                    let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
                    Reply::error(code, &reason.unwrap_or("error").to_lowercase(), None)
                }
            };
            head.reply(&reply)
        }
    };
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(crate) fn plain(status: u16, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Some bytes, then a break. The pause lets the bytes reach the wire first.
fn broken(bytes: Bytes) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::iter([Ok(bytes)]).chain(stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::ErrorKind::BrokenPipe.into())
    }))
}

/// The document with a first member of that many bytes.
fn padded(text: &str, bytes: usize) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    const CHUNK: usize = 64 * 1024;
    let rest = text.strip_prefix('{').unwrap_or("}").to_owned();
    let filler = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = (0..bytes.div_ceil(CHUNK)).map(move |i| filler.slice(..CHUNK.min(bytes - i * CHUNK)));
    stream::iter(
        std::iter::once(Bytes::from_static(b"{\"padding\":\""))
            .chain(chunks)
            .chain([Bytes::from_static(b"\","), Bytes::from(rest)])
            .map(Ok),
    )
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(crate) fn parse_query(raw: &str) -> Vec<(String, String)> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
