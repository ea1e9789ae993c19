//! Where a server is, checked before anything is sent to it.

use reqwest::Url;

/// Where a server of the API is and how it is trusted. Plain data; [`Connection::host`] and [`super::Client::new`] check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `https://HOST[:PORT]`.
    pub address: String,
    /// The API's path at that address, `/api/v2/` for TFC.
    pub base_path: String,
    /// Certificates, PEM, that are trusted besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether `http://` will do: the token then crosses the network in the clear.
    pub allow_http: bool,
}

/// Why no client can be made of a connection; the text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address, or the base path, is none.
    #[error("{0}")]
    Address(String),
    /// `http://` where it is not allowed.
    #[error("the address is http://, which would send tokens in the clear; use https://, or allow http for a test")]
    Http,
    /// The CA bundle has no usable certificate.
    #[error("{0}")]
    Ca(String),
    /// The TLS library could not be set up: mostly, no CA certificates on this system.
    #[error("{0}")]
    Tls(String),
}

impl Connection {
    /// The host as terraform keys its credentials by (svchost's form for comparison): lower case, punycode, the port unless it is 443.
    ///
    /// # Errors
    /// If address or base path are none, or http is not allowed.
    pub fn host(&self) -> Result<String, ConnectError> {
        let url = self.base()?;
        let host = url.host_str().unwrap_or_default();
        Ok(match url.port_or_known_default() {
            Some(443) | None => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
        })
    }

    /// The address with the base path, which ends in a slash.
    pub(super) fn base(&self) -> Result<Url, ConnectError> {
        let bad = |why: &str| ConnectError::Address(format!("the address {why}; write it as https://app.terraform.io"));
        let mut url = Url::parse(self.address.trim()).map_err(|error| bad(&format!("is no URL ({error})")))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(ConnectError::Http),
            _ => return Err(bad("is neither https:// nor http://")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("has a user or a password in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has a query or a fragment"));
        }
        if url.path() != "/" {
            return Err(bad("has a path, which belongs into the base path"));
        }
        let path = self.base_path.trim_matches('/');
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let segments = || path.split('/').filter(|_| !path.is_empty());
        if segments()
            .any(|segment| segment.is_empty() || matches!(segment, "." | "..") || !segment.chars().all(harmless))
        {
            return Err(ConnectError::Address(
                "the base path is not a plain path of letters, digits, - _ . ~ and /; for TFC it is /api/v2/"
                    .to_owned(),
            ));
        }
        url.set_path(&if path.is_empty() { "/".to_owned() } else { format!("/{path}/") });
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(address: &str, base_path: &str, allow_http: bool) -> Connection {
        Connection { address: address.to_owned(), base_path: base_path.to_owned(), ca_pem: None, allow_http }
    }

    #[test]
    fn hosts_are_in_terraforms_form() {
        for (address, host) in [
            ("https://app.terraform.io", "app.terraform.io"),
            ("https://App.Terraform.IO/", "app.terraform.io"),
            ("https://tfe.acme.example:443", "tfe.acme.example"),
            ("https://tfe.acme.example:8443", "tfe.acme.example:8443"),
            ("https://bücher.example", "xn--bcher-kva.example"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://tfe.acme.example", "tfe.acme.example:80"),
        ] {
            assert_eq!(connection(address, "/api/v2/", true).host().as_deref(), Ok(host), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for address in [
            "",
            "app.terraform.io",
            "ftp://app.terraform.io",
            "https://",
            "https://user:pa55@app.terraform.io",
            "https://app.terraform.io/app",
            "https://app.terraform.io?pa55=1",
            "https://app.terraform.io#pa55",
        ] {
            let error = connection(address, "/api/v2/", true).host().expect_err(address);
            assert!(!error.to_string().contains("pa55"), "{error}");
        }
        assert_eq!(connection("http://127.0.0.1", "/api/v2/", false).host(), Err(ConnectError::Http));
    }

    #[test]
    fn a_base_path_is_plain() {
        for (path, whole) in
            [("/api/v2/", "/api/v2/"), ("api/v2", "/api/v2/"), ("", "/"), ("/", "/"), ("/tfe/api/v2", "/tfe/api/v2/")]
        {
            let base = connection("https://tfe.acme.example", path, false).base().expect(path);
            assert_eq!(base.path(), whole);
        }
        for path in ["/api/../v2", "/api//v2", "/api?x", "/api#x", "/a%2Fb", "/a b"] {
            assert!(connection("https://tfe.acme.example", path, false).base().is_err(), "{path}");
        }
    }
}
