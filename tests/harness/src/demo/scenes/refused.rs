//! Roles that are refused, each with a message that says what to mend.

use serde_json::{Value, json};

use super::super::manifests;
use super::super::stage::{SOON, Stage};
use super::{NAMESPACE, Tfc, role, samples};
use crate::Error;

/// What is wrong, the spec, and what the message must name.
fn mistakes() -> [(&'static str, Value, &'static str); 6] {
    let me = json!({"me": true});
    [
        (
            "two subjects",
            json!({"user": me, "organization": {"name": "globex"}}),
            "exactly one of user, team and organization",
        ),
        ("a ttl that is no duration", json!({"user": me, "ttl": "1 day"}), "spec.ttl"),
        ("a ttl above maxTTL", json!({"user": me, "ttl": "2h", "maxTTL": "1h"}), "spec.ttl"),
        (
            "an overlap longer than renewBefore",
            json!({"user": me, "ttl": "1h", "renewBefore": "10m", "overlap": "20m"}),
            "spec.overlap",
        ),
        ("a ttl on a single slot", json!({"organization": {"name": "globex"}, "ttl": "1h"}), "rotation.interval"),
        ("a field with a slip", json!({"user": me, "tll": "1h"}), "spec.tll"),
    ]
}

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    samples::put_up_namespace(stage, tfc).await?;
    for (mistake, spec, named) in mistakes() {
        let text = manifests::print(&[role("refused", spec)])?;
        let answer = stage.kubectl.ask(&["apply", "-f", "-"], &text).await?;
        stage.show.claim(
            &format!("{mistake}: refused by the API server, naming `{named}`"),
            !answer.ok && answer.err.contains(named),
            format!("{}{}", answer.out, answer.err),
        );
        stage.show.quote(&message_of(&answer.err));
    }

    let patch = r#"{"spec":{"user":{"me":null,"id":"user-other"}}}"#;
    let words = ["-n", "tfc-platform", "patch", "tfcrole", "robot", "--type=merge", "-p", patch];
    let answer = stage.kubectl.ask(&words, "").await?;
    let refused = !answer.ok && answer.err.contains("user is immutable");
    stage.show.claim(
        "another subject in place: refused, naming `user`",
        refused,
        format!("{}{}", answer.out, answer.err),
    );
    stage.show.quote(&message_of(&answer.err));

    let minted = tfc.simulator.minted().len();
    let stranger = [role("stranger", json!({"user": {"id": tfc.ids.dev}}))];
    stage.apply("stranger.yaml (a user who is not the config's account)", &stranger).await?;
    let told = stage.wait_reason(NAMESPACE, "stranger", "NotPermitted", SOON).await?;
    stage.show.claim("what only TFC can know stands in the role's condition: NotPermitted", true, "");
    stage.show.quote(told.ready().2);
    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "stranger"]).await?;
    let more = tfc.simulator.minted().len() - minted;
    stage.show.claim("no token was made for any of them", more == 0, more);
    Ok(())
}

/// The part of kubectl's words that says what is wrong.
fn message_of(text: &str) -> String {
    let text = text.split_once(" is invalid: ").map_or(text, |(_, message)| message);
    text.lines().map(|line| line.trim_start_matches(['*', ' '])).collect::<Vec<_>>().join("\n")
}
