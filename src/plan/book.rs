//! Book-keeping: from the status observed to the status to be written.

use data_encoding::BASE32_NOPAD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::observed::{Observed, OurSecret};
use super::step::{Note, Step};
use super::subject::{self, Subject};
use super::terms::{self, Life, Terms};
use super::{admission, conditions, issued, renew_at};
use crate::api::names::{ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE};
use crate::api::{Answers, Held, Intent, Record, Source, TerraformCloudRoleSpec, TerraformCloudRoleStatus};

/// The API's times are in whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// An instant as the API writes it: whole seconds, so that what is written reads back equal.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The status as observed, with what is only derived from the spec filled in.
pub fn base(o: &Observed) -> TerraformCloudRoleStatus {
    let mut status = o.role.status.clone().unwrap_or_default();
    status.owner = Some(owner(o));
    status.kind = o.role.spec.kind().map(|kind| kind.as_str().to_owned());
    status.subject = Some(subject::words(&o.role.spec));
    status.secret = Some(o.role.secret_name());
    status
}

/// Whose records a status of this role holds.
fn owner(o: &Observed) -> String {
    o.installation.owner(o.role.metadata.uid.as_deref().unwrap_or_default())
}

/// The status without its records, where they are another role's: they came with a copy of that one, and its tokens are not this one's to
/// revoke.
pub fn disclaimed(o: &Observed) -> Option<Step> {
    let foreign = o.role.status.as_ref().and_then(|s| s.owner.as_ref()).is_some_and(|named| *named != owner(o));
    let empty = TerraformCloudRoleStatus { owner: Some(owner(o)), ..TerraformCloudRoleStatus::default() };
    foreign.then(|| Step::Record(Box::new(empty), Vec::new()))
}

/// Something is recorded that may live at TFC.
pub fn has_records(status: &TerraformCloudRoleStatus) -> bool {
    status.current.is_some()
        || status.intent.is_some()
        || !status.predecessors.is_empty()
        || !status.unsettled.is_empty()
}

/// What people ask for at the moment.
pub fn wishes(o: &Observed) -> Answers {
    let annotation = |name: &str| o.role.metadata.annotations.as_ref().and_then(|a| a.get(name)).map(|v| short(v));
    Answers {
        rotate: annotation(ANNOTATION_ROTATE),
        renew: annotation(ANNOTATION_RENEW),
        revoke: annotation(ANNOTATION_REVOKE),
        config_revoke: o.config.as_ref().and_then(|c| c.revoke_wish.as_deref()).map(short),
    }
}

/// A wish as it is written down, several times over: a long one by its hash, so that no annotation can burst a status.
fn short(value: &str) -> String {
    const LONG: usize = 128;
    if value.len() <= LONG { value.to_owned() } else { format!("sha256:{}", hash(value)) }
}

/// Which wishes are new. A value present at first sight counts as handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A successor, with an overlap as usual.
    pub rotate: bool,
    /// The lease starts anew.
    pub renew: bool,
    /// A successor at once, then every predecessor at once: asked of the role or of its config.
    pub revoke: bool,
    /// The same, asked of the config.
    pub config_revoke: bool,
}

/// Which wishes have not been answered.
pub fn asked(o: &Observed) -> Asked {
    let Some(handled) = o.role.status.as_ref().and_then(|s| s.handled.as_ref()) else { return Asked::default() };
    new_wishes(&wishes(o), handled)
}

fn new_wishes(wishes: &Answers, handled: &Answers) -> Asked {
    let new = |wish: &Option<String>, handled: &Option<String>| wish.is_some() && wish != handled;
    let config_revoke = new(&wishes.config_revoke, &handled.config_revoke);
    Asked {
        rotate: new(&wishes.rotate, &handled.rotate),
        renew: new(&wishes.renew, &handled.renew),
        revoke: new(&wishes.revoke, &handled.revoke) || config_revoke,
        config_revoke,
    }
}

/// The status once the Secret's token is recorded as the current one.
pub fn adopt(o: &Observed, secret: &OurSecret, held: &Held, source: Source, now: Timestamp) -> Step {
    let mut status = base(o);
    let terms = match admission::admit(o) {
        admission::Admission::Admitted(grant) => {
            let slot = Subject::parse(&held.subject).is_some_and(|s| s.is_slot());
            terms::terms(&o.role.spec, slot, &grant).ok()
        }
        _ => None,
    };
    // What was written down before the mint goes before what tenants can write.
    let begun = status.intent.as_ref().map(|i| &i.record).filter(|r| r.attempt == held.attempt);
    let (host, account, subject) =
        begun.map_or((&held.host, &held.account, &held.subject), |r| (&r.host, &r.account, &r.subject));
    let mut current = Record {
        attempt: held.attempt.clone(),
        token_id: Some(held.token_id.clone()),
        host: host.clone(),
        account: account.clone(),
        subject: subject.clone(),
        issued_at: held.issued_at.clone(),
        expires_at: held.expires_at.clone(),
        lease_started_at: held.issued_at.clone(),
        source,
        digest: held.digest.clone(),
        // Somebody may have written between our write and this look: what is not verified is read once.
        secret_resource_version: if secret.verified { secret.resource_version.clone() } else { String::new() },
        ..Record::default()
    };
    if let Some(Terms { life: Life::Lease(lease), .. }) = &terms {
        current.lease_expires_at = lease.lease_end(&current, now).map(time);
    }
    let intent = status.intent.take();
    let answers = match &intent {
        Some(intent) if intent.record.attempt == held.attempt => Some(intent.answers.clone()),
        _ => None,
    };
    let recorded = secret.record.as_ref().map(|r| r.answers.clone()).unwrap_or_default();
    let before = status.handled.clone();
    let handled = answers.or(before.clone()).unwrap_or(recorded);
    let incident = before.is_some_and(|before| new_wishes(&handled, &before).revoke);
    status.handled = Some(handled);

    status.taken_over_by = None;
    status.unsettled.retain(|u| u.record.attempt != held.attempt);
    status.unsettled.extend(intent.filter(|i| i.record.attempt != held.attempt));
    status.unsettled.extend(announced(o, secret, held, now));
    let first = status.current.is_none();
    // Minting on a slot has killed its former token; there is nothing left to revoke.
    let replaced = |f: &Record| is_slot(&f.subject) && f.subject == current.subject && f.host == current.host;
    let former = status.current.take().filter(|former| !replaced(former));
    if let Some(mut former) = former.filter(|f| f.expires_at.as_ref().is_none_or(|end| end.0 > now)) {
        let until = match &terms {
            Some(Terms { life: Life::Lease(lease), .. }) => lease.revoke_at(&former, now),
            _ => former.lease_expires_at.as_ref().or(former.expires_at.as_ref()).map(|t| t.0),
        };
        // What an incident cut ends no later than its successor was made: an overlap of nothing is not taken for that.
        let after = current.issued_at.as_ref().filter(|_| o.restarts).map(|at| terms::plus(at.0, SECOND));
        let until = until.unwrap_or(now);
        former.revoke_at = Some(time(after.map_or(until, |after| until.max(after))));
        status.predecessors.push(former);
    }
    status.predecessors.retain(|p| p.attempt != held.attempt);
    if incident {
        for predecessor in &mut status.predecessors {
            // No later than the successor was made: that tells them from an overlap, which waits in a suspension.
            predecessor.revoke_at = current.issued_at.clone().filter(|at| at.0 <= now).or_else(|| Some(time(now)));
        }
    }
    let note = if first { Note::Issued(current.clone()) } else { Note::Rotated(current.clone()) };
    status.renew_at = terms.as_ref().and_then(|t| renew_at(o, t, &current)).map(time);
    status.subject_id = Subject::parse(&current.subject).map(|s| s.id().to_owned());
    status.current = Some(current);
    status.restarting = o.restarts.then(|| time(now));
    let verdict = issued(o, terms.as_ref());
    conditions::put(o, &mut status, Some(verdict.clone()), &verdict);
    Step::Record(Box::new(status), vec![note])
}

/// A slot's mint that the Secret announced, of which a wiped status knows nothing: it may still land, and kill the token in use.
fn announced(o: &Observed, secret: &OurSecret, held: &Held, now: Timestamp) -> Option<Intent> {
    let wiped = o.role.status.as_ref().is_none_or(|s| s.handled.is_none() && s.intent.is_none());
    let pending = secret.pending.as_ref().filter(|p| wiped && is_slot(&held.subject) && p.attempt != held.attempt)?;
    Some(Intent {
        record: Record {
            attempt: pending.attempt.clone(),
            host: held.host.clone(),
            account: pending.account.clone(),
            subject: held.subject.clone(),
            ..Record::default()
        },
        since: Some(time(pending.since.as_ref().map_or(now, |since| since.0.min(now)))),
        requested_expiry: pending.requested_expiry.clone(),
        slot_token_id_before: pending.slot_token_id_before.clone(),
        answers: Answers::default(),
    })
}

/// The status once the credential has left the Secret: its token is a predecessor that is due now.
pub fn withdrawn(o: &Observed) -> Step {
    let mut status = base(o);
    let mut notes = Vec::new();
    if let Some(mut former) = status.current.take() {
        former.revoke_at = o.now.or(o.api_now).map(time);
        notes.push(Note::Withdrawn(former.clone()));
        status.predecessors.push(former);
    }
    (status.renew_at, status.taken_over_by) = (None, None);
    // Never `None` from here on: that is what tells a role that was served from a new one.
    status.handled = Some(status.handled.unwrap_or_else(|| wishes(o)));
    Step::Record(Box::new(status), notes)
}

/// The status once an attempt of unknown fate is kept for later.
pub fn give_up_intent(status: &mut TerraformCloudRoleStatus) {
    status.unsettled.extend(status.intent.take());
}

/// What a token that was looked for by its marker is recorded as: due for revocation now.
pub fn found(intent: &Intent, token_id: &str, now: Timestamp) -> Record {
    Record {
        token_id: Some(token_id.to_owned()),
        source: Source::Reply,
        revoke_at: Some(time(now)),
        ..intent.record.clone()
    }
}

/// Hash of what shapes the Secret beside the token.
pub fn layout(spec: &TerraformCloudRoleSpec) -> String {
    /// Raised when the operator itself writes another set of keys.
    const FORM: &str = "1";
    let shape = serde_json::to_string(&spec.secret).unwrap_or_default();
    hash(&format!("{FORM}\0{shape}"))[..16].to_owned()
}

fn hash(text: &str) -> String {
    BASE32_NOPAD.encode(&Sha256::digest(text.as_bytes())).to_ascii_lowercase()
}

/// Whether a record's subject has one token only.
pub fn is_slot(subject: &str) -> bool {
    Subject::parse(subject).is_some_and(|s| s.is_slot())
}
