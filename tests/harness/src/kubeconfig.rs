//! Kubeconfig files for the identities that tests play.
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::Error;

/// Writes a kubeconfig for `user`, who shows `token` to the API server at `server` and trusts the certificate file `ca`.
pub(crate) fn write(path: &Path, server: &str, ca: &Path, user: &str, token: &str) -> Result<(), Error> {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
        "current-context": "testbed",
    });
    let text = serde_yaml::to_string(&kubeconfig).map_err(Error::while_trying("could not print a kubeconfig"))?;
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::while_trying(format_args!("could not write {}", path.display())))
}

/// The client configuration in the file `path`. It retries nothing: a test sees what the server answers.
///
/// # Errors
/// When the file is no kubeconfig.
pub async fn load(path: &Path) -> Result<Config, Error> {
    let wrong = || Error::while_trying(format!("{} is no usable kubeconfig", path.display()));
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong())?;
    config.default_retry = false;
    config.proxy_url = None;
    Ok(config)
}
