//! The root certificates of Mozilla's programme, as a bundle where TLS libraries look for it.
use pem::{EncodeConfig, LineEnding, Pem};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where the bundle is in an image (Debian's path, which others look at too).
pub const PATH: &str = "etc/ssl/certs/ca-certificates.crt";

/// The bundle in PEM.
pub fn bundle() -> String {
    let certificates: Vec<Pem> =
        TLS_SERVER_ROOT_CERTS.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref())).collect();
    pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_every_root() {
        let read = pem::parse_many(bundle()).expect("PEM");
        assert_eq!(read.len(), TLS_SERVER_ROOT_CERTS.len());
        assert!(read.len() > 100, "{}", read.len());
        assert!(read.iter().all(|certificate| certificate.tag() == "CERTIFICATE"));
    }
}
