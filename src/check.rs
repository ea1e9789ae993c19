//! The `check` subcommand: asks a URL, as a probe would. For tests in an image that holds nothing else.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::redirect::Policy;

/// What is shown of an answer.
const SHOWN: usize = 256;

/// Why a URL does not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No answer came.
    #[error("{url} gives no answer: {words}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        words: String,
    },
    /// It is not the one that counts.
    #[error("{url} answers {status}: {body}")]
    Status {
        /// What was asked.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// The beginning of its body.
        body: String,
    },
}

/// Asks `url`, which must answer 200 within `timeout`; gives the answer's beginning. No proxy is asked, and no redirect followed.
///
/// # Errors
/// Any other answer, or none.
pub async fn check(url: &str, timeout: Duration) -> Result<String, CheckError> {
    let failed = |error: reqwest::Error| CheckError::NoAnswer { url: url.to_owned(), words: words(&error) };
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(timeout).build();
    let answer = client.map_err(failed)?.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    let body = answer.text().await.map_err(failed)?.chars().take(SHOWN).collect();
    if status == StatusCode::OK { Ok(body) } else { Err(CheckError::Status { url: url.to_owned(), status, body }) }
}

/// All that an error says: the outermost words alone leave out why.
fn words(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_200_passes_and_what_else_comes_is_said() {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redirect = || async { (StatusCode::FOUND, [("location", "/ready")], "elsewhere") };
        let router = Router::new()
            .route("/ready", get(|| async { "ok: leading" }))
            .route("/starting", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "not ready") }))
            .route("/moved", get(redirect));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = |path: &str| format!("http://{address}{path}");
        let timeout = Duration::from_secs(30);
        assert_eq!(check(&ask("/ready"), timeout).await.expect("200"), "ok: leading");
        for (path, says) in [("/starting", "503 Service Unavailable: not ready"), ("/moved", "302"), ("/", "404")] {
            let error = check(&ask(path), timeout).await.expect_err(path).to_string();
            assert!(error.contains(says), "{error}");
        }
        let nobody = check("http://127.0.0.1:1/", timeout).await.expect_err("nobody listens").to_string();
        assert!(nobody.contains("gives no answer") && nobody.to_lowercase().contains("refused"), "{nobody}");
        check("no URL", timeout).await.expect_err("that is none");
    }
}
