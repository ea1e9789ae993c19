//! The samples of `deploy/samples`, applied as their own comments say.

use serde_json::json;

use super::super::stage::{SOON, Stage};
use super::{NAMESPACE, Tfc};
use crate::Error;

/// The namespace of the sample config.
const PLATFORM: &str = "tfc-platform";
/// The namespace of the application team.
const SHOP: &str = "shop";

/// File, namespace, role, Secret.
const ROLES: [(&str, &str, &str, &str); 4] = [
    ("role-user.yaml", PLATFORM, "robot", "robot"),
    ("role-team-legacy.yaml", PLATFORM, "apps-legacy", "apps-legacy"),
    ("role-organization.yaml", PLATFORM, "acme", "acme"),
    ("role-team.yaml", SHOP, "shop-ci", "shop-ci-tfc"),
];

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    put_up_config(stage, tfc).await?;
    stage.kubectl(&["create", "namespace", SHOP]).await?;
    for (file, namespace, name, secret) in ROLES {
        stage.apply(&format!("deploy/samples/{file}"), &stage.manifests.sample(file)?).await?;
        if namespace == SHOP {
            let role = stage.wait_reason(namespace, name, "ConfigNotAvailable", SOON).await?;
            stage.show.claim("a namespace without the label that the config asks for gets no token", true, "");
            stage.show.quote(role.ready().2);
            stage.kubectl(&["label", "namespace", SHOP, "tfc-tokens=allowed"]).await?;
        }
        let token = stage.wait_token((namespace, name, secret), None, SOON).await?;
        stage.claim_use(&token, 200, &format!("the token in Secret {namespace}/{secret} works")).await?;
        stage.wait_reason(namespace, name, "Issued", SOON).await?;
    }
    stage.apply("deploy/samples/pod.yaml", &stage.manifests.sample("pod.yaml")?).await?;
    stage.kubectl(&["get", "tfcconfig,tfcrole", "-A"]).await?;
    stage.kubectl(&["-n", SHOP, "describe", "secret", "shop-ci-tfc"]).await?;
    Ok(())
}

/// Applies the config and the roles once more, for [`keep`](super::super::Options::keep).
pub(crate) async fn put_up(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    put_up_config(stage, tfc).await?;
    stage.kubectl(&["create", "namespace", SHOP]).await?;
    stage.kubectl(&["label", "namespace", SHOP, "tfc-tokens=allowed"]).await?;
    for (file, namespace, name, _) in ROLES {
        stage.apply(&format!("deploy/samples/{file}"), &stage.manifests.sample(file)?).await?;
        stage.wait_reason(namespace, name, "Issued", SOON).await?;
    }
    Ok(())
}

async fn put_up_config(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    stage.show.say(format!(
        "in config.yaml two values are changed: address: {}, and the token of the simulator's user `ci`",
        stage.address
    ));
    let config = stage.manifests.config(&stage.address, &tfc.ids.ci_token)?;
    stage.apply("deploy/samples/config.yaml", &config).await
}

/// A namespace of the demo's own, with a config that any role in it may use for any subject.
pub(super) async fn put_up_namespace(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    stage.kubectl(&["create", "namespace", NAMESPACE]).await?;
    let config = json!({
        "apiVersion": "terraformcloud.dev/v1alpha1",
        "kind": "TerraformCloudConfig",
        "metadata": {"name": "tfc", "namespace": NAMESPACE},
        "spec": {"address": stage.address, "tokenSecretRef": {"name": "tfc-admin"}},
    });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tfc-admin", "namespace": NAMESPACE},
        "stringData": {"token": tfc.ids.ci_token.expose()},
    });
    stage.apply("demo-config.yaml", &[secret, config]).await
}

/// Deletes what the samples made, the namespaces with everything in them.
pub(super) async fn take_down(stage: &mut Stage) -> Result<(), Error> {
    stage.kubectl(&["delete", "namespace", SHOP, PLATFORM, NAMESPACE, "--timeout=60s"]).await.map(|_| ())
}
