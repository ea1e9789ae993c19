//! One HTTP request and its reply: what is sent, and what the headers of the reply say. It knows nothing of tokens but the caller's own.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::carrier::{BodyFault, Carrier, Failure};
use super::connection::{ConnectError, Connection};
use super::error::{Effect, printable};
use super::model::ServerInfo;
use super::subject::Path;
use super::token::TokenValue;
use crate::clock::parse_http_date;

const JSON_API: &str = "application/vnd.api+json";

/// The most bytes of a reply with one object, and of a page.
pub(super) const OBJECT_BYTES: usize = 1 << 20;
pub(super) const PAGE_BYTES: usize = 16 << 20;

pub(super) struct Transport {
    carrier: Arc<dyn Carrier>,
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
    /// Requests to a connection's server, made with a token.
    pub fn new(
        carrier: Arc<dyn Carrier>,
        connection: &Connection,
        token: &TokenValue,
    ) -> Result<Transport, ConnectError> {
        let base = connection.base()?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut authorization = HeaderValue::from_str(&bearer)
            .map_err(|_| ConnectError::Address("the token can't be sent as a header".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Transport { carrier, base, authorization })
    }

    /// Sends a request once.
    pub async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        let arrived = self.carrier.carry(self.request(call), call.max_bytes).await?;
        Ok(Reply { status: arrived.status, head: read_head(&arrived.headers, &self.base), body: arrived.body })
    }

    fn request(&self, call: &Call) -> Request {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&call.path.segments);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let mut request = Request::new(call.method.clone(), url);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(JSON_API));
        if call.effect() == Effect::Write {
            // Without it TFC answers 415, body or not.
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON_API));
        }
        *request.body_mut() = call.body.as_ref().map(|body| body.to_string().into());
        request
    }
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
