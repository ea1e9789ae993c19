//! Everything is deleted at once: roles, configs, admin Secrets and namespaces.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::super::stage::Stage;
use super::super::tally::tally;
use super::{Tfc, samples};
use crate::Error;

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    let before = tally(stage, tfc).await?;
    let leaked = before.leaked();
    stage.show.claim(
        &format!(
            "each of the {} tokens that live is the one in a Secret, or recorded with its time of revocation",
            before.alive()
        ),
        leaked.is_empty() && before.alive() > 0,
        format!("unknown to the cluster: {}", leaked.join(", ")),
    );
    claim_silence(stage).await?;
    stage.show.say("the namespaces with roles, configs and admin Secrets in them:");
    samples::take_down(stage).await?;
    let after = tally(stage, tfc).await?;
    let sentence = format!("the namespaces are gone, and none of the {} tokens ever made lives", after.made());
    stage.show.claim(&sentence, after.alive() == 0, format!("{} live", after.alive()));
    let mut working = Vec::new();
    for token in stage.seen().to_vec() {
        if stage.try_token(&token).await? != 401 {
            working.push(token.id);
        }
    }
    let sentence = format!("TFC answers 401 to every token that this demo has used ({})", stage.seen().len());
    stage.show.claim(&sentence, working.is_empty(), working.join(", "));
    Ok(())
}

/// No value of a token that the demo has seen stands anywhere but in its Secret.
async fn claim_silence(stage: &mut Stage) -> Result<(), Error> {
    let events = Api::<Event>::all(stage.client.clone()).list(&ListParams::default()).await;
    let events = events.map_err(Error::while_trying("could not list the events"))?;
    let roles = stage.all_roles().list(&ListParams::default()).await;
    let roles = roles.map_err(Error::while_trying("could not list the roles"))?;
    let json = |what: serde_json::Result<String>| what.map_err(Error::while_trying("could not print JSON"));
    let texts = [
        stage.operator_logs()?,
        json(serde_json::to_string(&events.items))?,
        json(serde_json::to_string(&roles.items))?,
    ];
    let told = stage.seen().iter().filter(|token| texts.iter().any(|text| text.contains(token.value.expose()))).count();
    stage.show.claim(
        &format!(
            "no token stands in the operator's log ({} lines), an event ({}) or a role's status ({})",
            texts[0].lines().count(),
            events.items.len(),
            roles.items.len()
        ),
        told == 0,
        format!("{told} do"),
    );
    Ok(())
}
