//! A client with no help: what it sends is what the test says.

use reqwest::Method;
use serde_json::{Value, json};
use tfc_harness::simulator::{Config, RateLimit, Simulator, StandardIds, TokenValue, standard_world};

pub const JSON_API: &str = "application/vnd.api+json";

pub struct Bed {
    pub sim: Simulator,
    pub ids: StandardIds,
    pub http: reqwest::Client,
}

pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Got {
    pub fn id(&self) -> String {
        self.body["data"]["id"].as_str().expect("the reply has an id").to_owned()
    }

    pub fn token(&self) -> TokenValue {
        TokenValue::new(self.body["data"]["attributes"]["token"].as_str().expect("the reply has a token"))
    }

    pub fn error(&self, field: &str) -> &Value {
        &self.body["errors"][0][field]
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).expect("the reply has the header").to_str().expect("it is text")
    }
}

/// The standard world without a rate limit.
pub fn bed() -> Bed {
    bed_with(|_| {})
}

pub fn bed_with(change: impl FnOnce(&mut Config)) -> Bed {
    // The first test to get here installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let standard = standard_world();
    let mut config = Config::from(standard.world);
    config.rate_limit = RateLimit::Off;
    change(&mut config);
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    Bed { sim: Simulator::start(config).expect("starts"), ids: standard.ids, http: http.expect("a client") }
}

impl Bed {
    pub fn request(&self, method: Method, path: &str, token: &TokenValue) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/v2{path}", self.sim.address())).bearer_auth(token.expose())
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Got {
        let reply = request.send().await.expect("a reply");
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let text = reply.text().await.expect("a whole body");
        Got { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub async fn get(&self, path: &str, token: &TokenValue) -> Got {
        self.send(self.request(Method::GET, path, token)).await
    }

    pub async fn delete(&self, path: &str, token: &TokenValue) -> Got {
        self.send(self.request(Method::DELETE, path, token).header("content-type", JSON_API)).await
    }

    pub async fn post(&self, path: &str, token: &TokenValue, attributes: Value) -> Got {
        self.send(self.post_request(path, token, &attributes)).await
    }

    pub fn post_request(&self, path: &str, token: &TokenValue, attributes: &Value) -> reqwest::RequestBuilder {
        let body = json!({"data": {"type": "authentication-tokens", "attributes": attributes}});
        self.request(Method::POST, path, token).header("content-type", JSON_API).body(body.to_string())
    }

    /// A consumer's use of a token: the status it gets.
    pub async fn used(&self, token: &TokenValue) -> u16 {
        self.get("/account/details", token).await.status
    }
}
