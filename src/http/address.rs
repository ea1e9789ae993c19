//! Addresses to listen on, in Go's form.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// Nowhere (`0`).
    Off,
    /// `HOST:PORT` or `:PORT`.
    At {
        /// A name or an address, IPv6 without brackets; `None` is every interface.
        host: Option<String>,
        /// The port; 0 lets the system choose.
        port: u16,
    },
}

/// What is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address to listen on; give HOST:PORT, [IPv6]:PORT or :PORT (every interface), or 0 to turn it off")]
pub struct BindAddressError;

impl FromStr for BindAddress {
    type Err = BindAddressError;

    fn from_str(text: &str) -> Result<BindAddress, BindAddressError> {
        if text == "0" {
            return Ok(BindAddress::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or(BindAddressError)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BindAddressError);
        }
        let port = port.parse().map_err(|_| BindAddressError)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or(BindAddressError)?;
                inner.parse::<Ipv6Addr>().map_err(|_| BindAddressError)?;
                Some(inner)
            }
            None if host.is_empty() => None,
            None => Some(host),
        };
        let is_plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        if host.is_some_and(|host| !text.starts_with('[') && !is_plain(host)) {
            return Err(BindAddressError);
        }
        Ok(BindAddress::At { host: host.map(str::to_owned), port })
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Off => f.write_str("0"),
            BindAddress::At { host: None, port } => write!(f, ":{port}"),
            BindAddress::At { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            BindAddress::At { host: Some(host), port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gos_form_and_writes_it_back() {
        for (text, host, port) in [
            (":8080", None, 8080),
            (":0", None, 0),
            ("127.0.0.1:0", Some("127.0.0.1"), 0),
            ("localhost:65535", Some("localhost"), 65535),
            ("[::1]:80", Some("::1"), 80),
        ] {
            let address: BindAddress = text.parse().expect(text);
            assert_eq!(address, BindAddress::At { host: host.map(str::to_owned), port }, "{text}");
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("0".parse(), Ok(BindAddress::Off));
        assert_eq!(BindAddress::Off.to_string(), "0");
    }

    #[test]
    fn refuses_the_rest_and_says_the_form() {
        for text in [
            "",
            "8080",
            ":",
            "a:",
            ":http",
            ":65536",
            ":-1",
            ":+1",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[a]:80",
            "http://a:80",
            "a b:80",
        ] {
            let error = text.parse::<BindAddress>().expect_err(text);
            assert!(error.to_string().contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
