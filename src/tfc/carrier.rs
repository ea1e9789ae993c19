//! What carries a request to TFC and its reply back: in production HTTPS, in a model of the world a function.
//!
//! HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured. Redirects are not followed, for the token would go along, and nothing is ever sent
//! twice from here.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Request};
use zeroize::Zeroizing;

use super::connection::{ConnectError, Connection};
use super::error::printable;

/// Carries requests to one server.
pub trait Carrier: Send + Sync {
    /// Sends a finished request once, and reads a reply of at most that many bytes.
    fn carry(&self, request: Request, max_bytes: usize) -> BoxFuture<'_, Result<Arrived, Failure>>;
}

/// A reply whose headers came.
pub struct Arrived {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, wiped when dropped.
    pub body: Result<Zeroizing<Vec<u8>>, BodyFault>,
}

/// Why a reply has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// The connection broke before its end.
    CutShort,
    /// It is larger than was asked for.
    TooLarge,
    /// Its end did not come in time.
    TimedOut,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// Sent, at least in part, and no reply in time.
    TimedOut,
    /// The connection broke after the request may have gone out.
    Lost,
}

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

/// Carries them over HTTP, with TLS but where plain text is allowed.
pub(super) struct Https(reqwest::Client);

impl Https {
    pub fn new(connection: &Connection, limits: Limits) -> Result<Https, ConnectError> {
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
        Ok(Https(http))
    }
}

impl Carrier for Https {
    fn carry(&self, request: Request, max_bytes: usize) -> BoxFuture<'_, Result<Arrived, Failure>> {
        async move {
            let mut response = self.0.execute(request).await.map_err(|error| failure(&error))?;
            let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
            let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(4096);
            let body = if expected > max_bytes {
                Err(BodyFault::TooLarge)
            } else {
                // Room for all of it from the start: a vector that grows leaves copies behind that nobody wipes.
                read_body(&mut response, Zeroizing::new(Vec::with_capacity(expected)), max_bytes).await
            };
            Ok(Arrived { status, headers, body })
        }
        .boxed()
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
