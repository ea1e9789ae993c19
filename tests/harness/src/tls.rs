//! The one TLS provider of kube and reqwest: neither brings its own, and both panic without one.

/// Installs rustls' ring provider for this process. Every call but the first does nothing.
pub fn install_tls_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
