//! The control plane's CA, serving certificate and ServiceAccount key, made anew for every control plane.
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::Error;

/// The files, all PEM.
pub(crate) struct Pki {
    /// The CA's certificate; clients and pods trust it.
    pub ca: PathBuf,
    /// The API server's certificate, valid for 127.0.0.1 and for its names inside a cluster.
    pub certificate: PathBuf,
    /// The key of `certificate`.
    pub key: PathBuf,
    /// Signs ServiceAccounts' tokens.
    pub service_account_key: PathBuf,
    /// Verifies them.
    pub service_account_public_key: PathBuf,
}

impl Pki {
    /// Makes keys and certificates in `folder`.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let made = |what| Error::while_trying::<rcgen::Error>(format!("could not make the {what}"));

        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "test bed CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate().map_err(made("CA's key"))?;
        let ca = CertifiedIssuer::self_signed(ca, ca_key).map_err(made("CA's certificate"))?;

        let names = ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from);
        let mut server = CertificateParams::new(names).map_err(made("API server's certificate"))?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate().map_err(made("API server's key"))?;
        let server = server.signed_by(&server_key, &ca).map_err(made("API server's certificate"))?;

        let service_account_key = KeyPair::generate().map_err(made("ServiceAccount key"))?;

        let write = |name: &str, content: String| {
            let path = folder.join(name);
            std::fs::write(&path, content)
                .map_err(Error::while_trying(format_args!("could not write {}", path.display())))
                .map(|()| path)
        };
        Ok(Self {
            ca: write("ca.crt", ca.pem())?,
            certificate: write("apiserver.crt", server.pem())?,
            key: write("apiserver.key", server_key.serialize_pem())?,
            service_account_key: write("sa.key", service_account_key.serialize_pem())?,
            service_account_public_key: write("sa.pub", service_account_key.public_key_pem())?,
        })
    }
}
