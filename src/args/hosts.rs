//! Hosts that configs may name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The hosts that configs may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedAddresses(pub Vec<HostPattern>);

impl AllowedAddresses {
    /// Whether a config may name `host` (as in a URL: no scheme, no port; an IPv6 address with or without its brackets).
    /// With no pattern at all, every host.
    pub fn permits(&self, host: &str) -> bool {
        let host = normal(host);
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(&host))
    }
}

impl fmt::Display for AllowedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any");
        }
        for (at, pattern) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            pattern.fmt(f)?;
        }
        Ok(())
    }
}

/// One host, or all hosts below a domain (`*.example.com`, at any depth, without `example.com` itself).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host alone.
    Exactly(String),
    /// Every host that ends with a dot and this domain.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exactly(name) => name == host,
            HostPattern::Below(domain) => host
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exactly(name) => f.write_str(name),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// What is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host; give the host alone, like app.terraform.io or *.example.com, without scheme, port or path")]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<HostPattern, HostPatternError> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, normal(domain)),
            None => (false, normal(text)),
        };
        let is_ip = name.parse::<IpAddr>().is_ok();
        match (below, is_ip, is_host_name(&name)) {
            (false, true, _) | (false, _, true) => Ok(HostPattern::Exactly(name)),
            (true, false, true) => Ok(HostPattern::Below(name)),
            _ => Err(HostPatternError),
        }
    }
}

/// Lower case, without the root's dot and an IPv6 address' brackets: two spellings of one host are equal.
fn normal(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.to_ascii_lowercase(),
    }
}

fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> AllowedAddresses {
        AllowedAddresses(patterns.iter().map(|p| p.parse().expect(p)).collect())
    }

    #[test]
    fn none_means_any() {
        assert!(allowed(&[]).permits("anything.example.com"));
        assert_eq!(allowed(&[]).to_string(), "any");
    }

    #[test]
    fn patterns_match_hosts_and_nothing_beside_them() {
        let allowed = allowed(&["app.terraform.io", "*.Example.com", "127.0.0.1", "[::1]"]);
        assert_eq!(allowed.to_string(), "app.terraform.io, *.example.com, 127.0.0.1, ::1");
        for host in [
            "app.terraform.io",
            "APP.terraform.io.",
            "tfe.example.com",
            "a.b.example.com",
            "127.0.0.1",
            "::1",
            "[0::1]",
        ] {
            assert!(allowed.permits(host), "{host}");
        }
        for host in [
            "terraform.io",
            "xapp.terraform.io",
            "app.terraform.io.evil.com",
            "example.com",
            ".example.com",
            "badexample.com",
            "tfe.example.com.evil.com",
            "127.0.0.2",
            "::2",
            "",
        ] {
            assert!(!allowed.permits(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_form() {
        for text in [
            "",
            "*",
            "*.",
            "*.*.com",
            "a.*.com",
            "https://app.terraform.io",
            "app.terraform.io:443",
            "app.terraform.io/api",
            "user@host",
            "-a.com",
            "a..com",
            "*.127.0.0.1",
            "a b",
            "%00",
        ] {
            let error = text.parse::<HostPattern>().expect_err(text);
            assert!(error.to_string().contains("app.terraform.io"), "{error}");
        }
    }
}
