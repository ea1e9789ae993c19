//! One HTTP request and its reply: TLS, proxy, time limits, size limits, headers. It knows nothing of tokens but the caller's own.
//!
//! HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured. Redirects are not followed, for the token would go along, and nothing is ever sent
//! twice from here.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Method, Url};
use zeroize::Zeroizing;

use super::connection::{ConnectError, Connection};
use super::error::{Effect, printable};
use super::model::ServerInfo;
use super::subject::Path;
use super::token::TokenValue;
use crate::clock::parse_http_date;

const JSON_API: &str = "application/vnd.api+json";

/// Time limits of one request. What waits for a request's fate counts on `total`: after it no part of the request is sent any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// DNS, TCP and TLS.
    pub connect: Duration,
    /// All, from the first step to the last byte of the reply.
    pub total: Duration,
    /// An unused connection is closed after this time: a server that closes it at the moment of a mint makes the mint's fate unknown.
    pub idle: Duration,
}

/// The time limits that are shipped.
pub(super) const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), total: super::REQUEST_TIMEOUT, idle: Duration::from_secs(15) };

/// The most bytes of a reply with one object, and of a page.
pub(super) const OBJECT_BYTES: usize = 1 << 20;
pub(super) const PAGE_BYTES: usize = 16 << 20;

pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

/// A request to make.
pub(super) struct Call {
    pub method: Method,
    pub path: Path,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<serde_json::Value>,
    pub max_bytes: usize,
}

/// A reply whose headers came.
pub(super) struct Reply {
    pub status: u16,
    pub head: Head,
    pub body: Result<Zeroizing<Vec<u8>>, BodyFault>,
}

/// What headers say.
#[derive(Default)]
pub(super) struct Head {
    pub date: Option<Timestamp>,
    pub json: bool,
    pub rate_limit: Option<f64>,
    pub rate_reset: Option<Duration>,
    /// Scheme, host and port of a redirect's target; its path may hold anything.
    pub redirect: Option<String>,
    pub server: ServerInfo,
}

/// Why a reply has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    CutShort,
    TooLarge,
    TimedOut,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// Sent, at least in part, and no reply in time.
    TimedOut,
    /// The connection broke after the request may have gone out.
    Lost,
}

impl Call {
    pub fn effect(&self) -> Effect {
        if self.method == Method::GET { Effect::Read } else { Effect::Write }
    }

    /// The method's name.
    pub fn verb(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            _ => "OTHER",
        }
    }
}

impl Transport {
    pub fn new(connection: &Connection, token: &TokenValue, limits: Limits) -> Result<Transport, ConnectError> {
        // The library panics without a process-wide provider. The first call wins; all of them ask for the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = connection.base()?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tfc-token-operator/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .https_only(base.scheme() == "https")
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .pool_idle_timeout(limits.idle);
        if let Some(pem) = &connection.ca_pem {
            builder = builder.tls_certs_merge(certificates(pem)?);
        } else if base.scheme() == "http" {
            // Nothing to verify, so no need to have any roots.
            builder = builder.tls_certs_only([]);
        }
        #[cfg(test)]
        {
            // Tests are on loopback, whatever their environment says.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            ConnectError::Tls(printable(
                &format!("TLS can't be set up: {}; set spec.caBundleRef, or install CA certificates", causes(&error)),
                256,
            ))
        })?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut authorization = HeaderValue::from_str(&bearer)
            .map_err(|_| ConnectError::Address("the token can't be sent as a header".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Transport { http, base, authorization })
    }

    /// Sends a request once.
    pub async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&call.path.segments);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, JSON_API);
        if call.effect() == Effect::Write {
            // Without it TFC answers 415, body or not.
            request = request.header(CONTENT_TYPE, JSON_API);
        }
        if let Some(body) = &call.body {
            request = request.body(body.to_string());
        }
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let head = read_head(response.headers(), &self.base);
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(4096);
        let body = if expected > call.max_bytes {
            Err(BodyFault::TooLarge)
        } else {
            // Room for all of it from the start: a vector that grows leaves copies behind that nobody wipes.
            read_body(&mut response, Zeroizing::new(Vec::with_capacity(expected)), call.max_bytes).await
        };
        Ok(Reply { status, head, body })
    }
}

async fn read_body(
    response: &mut reqwest::Response,
    mut body: Zeroizing<Vec<u8>>,
    max_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, BodyFault> {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => return Err(BodyFault::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(BodyFault::TimedOut),
            Err(_) => return Err(BodyFault::CutShort),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ConnectError> {
    let bundle = Certificate::from_pem_bundle(pem).map_err(|_| {
        ConnectError::Ca("the CA bundle is not PEM; put -----BEGIN CERTIFICATE----- blocks there".to_owned())
    })?;
    if bundle.is_empty() {
        return Err(ConnectError::Ca(
            "the CA bundle has no certificate; put -----BEGIN CERTIFICATE----- blocks there".to_owned(),
        ));
    }
    Ok(bundle)
}

fn failure(error: &reqwest::Error) -> Failure {
    // A time limit of connecting is both; it counts as not sent.
    if error.is_connect() {
        Failure::NotSent(causes(error))
    } else if error.is_builder() {
        Failure::NotSent("the request could not be built".to_owned())
    } else if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Lost
    }
}

/// The innermost reasons, without the URL that the outermost names.
fn causes(error: &reqwest::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    let inner = causes.len().saturating_sub(2);
    if causes.is_empty() { "no reason given".to_owned() } else { causes[inner..].join(": ") }
}

fn read_head(headers: &HeaderMap, base: &Url) -> Head {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let label = |name: &str| text(name).map(|value| printable(value, 64)).filter(|value| !value.is_empty());
    let seconds = |name: &str| text(name).and_then(|value| value.trim().parse::<f64>().ok());
    Head {
        date: text(DATE.as_str()).and_then(parse_http_date),
        json: text(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("json")),
        rate_limit: seconds("x-ratelimit-limit"),
        rate_reset: seconds("x-ratelimit-reset").and_then(|wait| Duration::try_from_secs_f64(wait).ok()),
        redirect: text(LOCATION.as_str())
            .and_then(|location| base.join(location).ok())
            .map(|url| printable(&url.origin().ascii_serialization(), 128)),
        server: ServerInfo {
            product: label("tfp-appname"),
            api_version: label("tfp-api-version"),
            version: label("x-tfe-current-version").or_else(|| label("x-tfe-version")),
        },
    }
}
