//! What a role is doing, why, and what comes next and when. Pure: out of the role and the time.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use tfc_token_operator::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use tfc_token_operator::api::role::Renewal;
use tfc_token_operator::api::{Condition, TerraformCloudRole};

/// What a role is doing, why, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Type and subject, such as `Team acme/apps`.
    pub subject: String,
    /// The Secret.
    pub secret: String,
    /// `True`, `False`, or `Unknown` where the operator has not looked yet.
    pub ready: String,
    /// In a word.
    pub reason: String,
    /// What it is doing, and why, in sentences.
    pub doing: Vec<String>,
    /// TFC's id of the token in the Secret.
    #[serde(rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// When TFC lets that one die.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What comes, the soonest first.
    pub next: Vec<Next>,
}

/// Something that comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What.
    pub what: String,
    /// When; absent where that is not known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// The story of a role.
pub fn tell(role: &TerraformCloudRole) -> Story {
    let status = role.status.clone().unwrap_or_default();
    let ready = Condition::find(&status.conditions, "Ready");
    let current = status.current.as_ref();
    let kind = role.spec.kind().map_or("unknown", |kind| kind.as_str());
    Story {
        namespace: role.metadata.namespace.clone().unwrap_or_default(),
        name: role.metadata.name.clone().unwrap_or_default(),
        subject: format!("{kind} {}", status.subject.as_deref().unwrap_or("not looked at yet")),
        secret: role.secret_name(),
        ready: ready.map_or_else(|| "Unknown".into(), |c| c.status.clone()),
        reason: ready.map_or_else(|| "NotSeen".into(), |c| c.reason.clone()),
        doing: doing(role),
        token_id: current.and_then(|current| current.token_id.clone()),
        expires_at: current.and_then(|current| at(current.expires_at.as_ref())),
        next: next(role),
    }
}

fn at(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn doing(role: &TerraformCloudRole) -> Vec<String> {
    let Some(status) = &role.status else {
        return vec!["nobody has looked at it yet: does the operator run, and does it serve this namespace?".into()];
    };
    let mut said = Vec::new();
    if role.metadata.deletion_timestamp.is_some() {
        said.push("it is being deleted".to_owned());
    }
    if status.observed_generation != role.metadata.generation {
        said.push("its spec has changed, and the operator has not looked at that yet".into());
    }
    for condition in &status.conditions {
        let sentence = format!("{}: {}", condition.reason, condition.message);
        let news = condition.type_ == "Ready"
            || status.conditions.iter().all(|c| c.type_ != "Ready" || !c.same_words(condition));
        if news {
            said.push(match condition.type_.as_str() {
                "Stalled" => format!("{sentence} (somebody has to act)"),
                "Reconciling" => format!("{sentence} (it goes on by itself)"),
                _ => sentence,
            });
        } else if condition.type_ == "Stalled" {
            said.push("somebody has to act".into());
        }
    }
    if let Some(intent) = &status.intent {
        said.push(format!("attempt {} to mint is under way", intent.record.attempt));
    }
    if !status.unsettled.is_empty() {
        said.push(format!("{} attempts of unknown fate are being settled", status.unsettled.len()));
    }
    said
}

/// Words of a condition, compared.
trait SameWords {
    fn same_words(&self, other: &Self) -> bool;
}

impl SameWords for Condition {
    fn same_words(&self, other: &Self) -> bool {
        self.type_ != other.type_ && self.reason == other.reason && self.message == other.message
    }
}

fn next(role: &TerraformCloudRole) -> Vec<Next> {
    let mut next: Vec<Next> = unanswered(role)
        .into_iter()
        .map(|wish| Next { what: format!("the wish {wish} is answered"), at: None })
        .collect();
    let Some(status) = &role.status else { return next };
    let mut timed = Vec::new();
    let mut add = |what: String, time: Option<&Time>| {
        if let Some(time) = at(time) {
            timed.push(Next { what, at: Some(time) });
        }
    };
    let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "of unknown id".into());
    let kept = role.spec.suspend;
    if !kept {
        add("a successor is minted".into(), status.renew_at.as_ref());
    }
    if let Some(current) = &status.current {
        add(
            format!("token {} is revoked: the config does not admit the role any more", name(&current.token_id)),
            current.revoke_at.as_ref(),
        );
        if role.spec.renewal == Some(Renewal::Never) {
            add(
                format!("the lease ends, and token {} is revoked", name(&current.token_id)),
                current.lease_expires_at.as_ref(),
            );
        }
        add(format!("token {} expires at TFC", name(&current.token_id)), current.expires_at.as_ref());
    }
    for former in &status.predecessors {
        add(format!("former token {} is revoked", name(&former.token_id)), former.revoke_at.as_ref());
    }
    timed.sort_by_key(|next| next.at);
    next.extend(timed);
    next
}

/// Wishes that nobody has answered yet.
pub fn unanswered(role: &TerraformCloudRole) -> Vec<&'static str> {
    let Some(handled) = role.status.as_ref().and_then(|status| status.handled.as_ref()) else { return Vec::new() };
    let wish = |name: &str| role.metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
    let wishes = [
        ("rotate", wish(ANNOTATION_ROTATE), &handled.rotate),
        ("renew", wish(ANNOTATION_RENEW), &handled.renew),
        ("revoke", wish(ANNOTATION_REVOKE), &handled.revoke),
    ];
    // The operator writes a long one down as its hash; kubectl-tfc's own are short.
    let open = |(_, wish, handled): &(_, Option<&String>, &Option<String>)| {
        wish.is_some_and(|wish| wish.len() <= 128 && handled.as_ref() != Some(wish))
    };
    wishes.iter().filter(|wish| open(wish)).map(|(name, ..)| *name).collect()
}

/// `in 43m`, or `3m ago`: how far a time is from now.
pub fn away(at: Timestamp, now: Timestamp) -> String {
    let span = at.duration_since(now);
    let words = coarse(span.abs());
    if span.is_negative() { format!("{words} ago") } else { format!("in {words}") }
}

fn coarse(span: SignedDuration) -> String {
    let (minutes, hours) = (span.as_mins(), span.as_hours());
    match (hours, minutes) {
        (_, 0) => format!("{}s", span.as_secs()),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) if hours < 48 => format!("{hours}h{:02}m", minutes % 60),
        (hours, _) => format!("{}d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn role(status: Value) -> TerraformCloudRole {
        serde_json::from_value(json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "metadata": {"name": "ci", "namespace": "shop", "generation": 2,
                         "annotations": {"terraformcloud.dev/rotate": "2", "terraformcloud.dev/renew": "1"}},
            "spec": {"configRef": {"name": "tfc"}, "user": {"me": true}},
            "status": status,
        }))
        .expect("a role")
    }

    #[test]
    fn a_role_tells_what_it_does_and_what_comes_the_soonest_first() {
        let told = tell(&role(json!({
            "observedGeneration": 2, "subject": "me", "handled": {"rotate": "1", "renew": "1"},
            "renewAt": "2026-03-01T10:40:00Z",
            "current": {"attempt": "a", "tokenID": "at-2", "expiresAt": "2026-03-01T11:00:00Z"},
            "predecessors": [{"attempt": "b", "tokenID": "at-1", "revokeAt": "2026-03-01T10:15:00Z"}],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Issued", "message": "the Secret holds a live token"},
                {"type": "Stalled", "status": "True", "reason": "NotPermitted", "message": "TFC: no"},
            ],
        })));
        assert_eq!((told.ready.as_str(), told.reason.as_str(), told.subject.as_str()), ("True", "Issued", "User me"));
        assert_eq!(
            told.doing,
            ["Issued: the Secret holds a live token", "NotPermitted: TFC: no (somebody has to act)"]
        );
        let next: Vec<&str> = told.next.iter().map(|next| next.what.as_str()).collect();
        assert_eq!(
            next,
            [
                "the wish rotate is answered",
                "former token at-1 is revoked",
                "a successor is minted",
                "token at-2 expires at TFC"
            ]
        );
    }

    #[test]
    fn one_failure_is_told_once_and_an_unseen_role_says_so() {
        let failed = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": "Rejected", "message": "TFC: no"});
        let told = tell(&role(
            json!({"observedGeneration": 2, "conditions": [failed("Ready", "False"), failed("Stalled", "True")]}),
        ));
        assert_eq!(told.doing, ["Rejected: TFC: no", "somebody has to act"]);
        let unseen = tell(&role(Value::Null));
        assert_eq!((unseen.ready.as_str(), unseen.next.len()), ("Unknown", 0));
        assert!(unseen.doing[0].contains("does the operator run"), "{unseen:?}");
    }

    #[test]
    fn times_are_told_by_how_far_they_are() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a time");
        for (at, words) in [
            ("2026-03-01T10:00:20Z", "in 20s"),
            ("2026-03-01T09:43:00Z", "17m ago"),
            ("2026-03-01T12:05:00Z", "in 2h05m"),
            ("2026-03-11T10:00:00Z", "in 10d"),
        ] {
            assert_eq!(away(at.parse().expect("a time"), now), words);
        }
    }
}
