//! Small builders: `role().user("user-1").current("a1").secret_holds("a1").plan()`. What is not said is the ordinary case: an
//! admitted role with its finalizer, a config whose account may mint for it, at [`t`]`(0)`, with nothing gone wrong.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::config::{AllowEntry, AllowedNamespaces, From, ResolvedTeam, Selector};
use crate::api::names::FINALIZER_REVOKE;
use crate::api::role::{
    DeletionPolicy, IfOccupied, OrganizationSubject, Renewal, Rotation, SlotPolicy, TeamCredentialType, TeamSubject,
    UserSubject,
};
use crate::api::{Answers, Held, Intent, Pending, Record, SecretRecord, Source, TerraformCloudRole};
use crate::api::{TerraformCloudRoleSpec, TerraformCloudRoleStatus};
use crate::marker::Installation;
use crate::plan::observed::{
    Account, AccountKind, Config, Facts, MarkedToken, Nonce, Observed, OurSecret, Reservation, Secret, Shown, SlotLook,
    SlotToken, Trouble, TroubleKind, Unready, Walk,
};
use crate::plan::step::{Note, Rest, Revocation, Step, Urgency};

pub const HOST: &str = "app.terraform.io";
pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3600;
/// UID of the role. Its place in the cycle of renewals lies so that a token of the tests' beginning is renewed as late as can be.
pub const ROLE: &str = "role-uid-16";
const BEGINNING: i64 = 1_800_000_720;

/// The instant that many seconds after the tests' beginning of time.
pub fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(BEGINNING + seconds).expect("in range")
}

pub fn time(seconds: i64) -> Time {
    Time(t(seconds))
}

pub fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A role for `user-1`, and all that bears on it.
#[derive(Clone)]
pub struct Build {
    pub o: Observed,
    now: i64,
}

pub fn role() -> Build {
    let mut role = TerraformCloudRole::new("shop", TerraformCloudRoleSpec::default());
    role.metadata.namespace = Some("apps".into());
    role.metadata.uid = Some(ROLE.into());
    role.metadata.generation = Some(1);
    role.metadata.finalizers = Some(vec![FINALIZER_REVOKE.into()]);
    role.spec.config_ref.name = "tfc".into();
    role.spec.ttl = Some("1h".into());
    let account = Account { id: "user-1".into(), kind: AccountKind::User, token_id: Some("at-admin".into()) };
    let config = Config {
        namespace: "apps".into(),
        name: "tfc".into(),
        deleting: false,
        host: HOST.into(),
        allow: None,
        teams: Vec::new(),
        default_ttl: secs(24 * HOUR),
        max_ttl: secs(768 * HOUR),
        grace: secs(10 * MINUTE),
        revoke_wish: None,
        abandon_unproven: false,
        account: Ok(account),
    };
    let o = Observed {
        role,
        namespace_going: false,
        namespace_labels: Some(BTreeMap::new()),
        namespaces_hidden: false,
        config: Some(config),
        secret: Secret::Absent,
        facts: Facts::default(),
        trouble: None,
        now: Some(t(0)),
        api_now: Some(t(0)),
        wall: t(0),
        nonce: Nonce { attempt: "new".into(), seconds: 42 },
        installation: Installation::new("test"),
        settling_time: secs(2 * MINUTE),
        restarts: false,
        swept: false,
    };
    Build { o, now: 0 }.user("user-1")
}

impl Build {
    pub fn user(mut self, id: &str) -> Self {
        self.o.role.spec.user = Some(UserSubject { id: Some(id.into()), me: None });
        self
    }

    pub fn me(mut self) -> Self {
        self.o.role.spec.user = Some(UserSubject { id: None, me: Some(true) });
        self
    }

    pub fn team(self, id: &str) -> Self {
        self.team_subject(TeamSubject { id: Some(id.into()), ..Default::default() })
    }

    pub fn team_named(self, organization: &str, name: &str) -> Self {
        let team =
            TeamSubject { organization: Some(organization.into()), name: Some(name.into()), ..Default::default() };
        self.team_subject(team)
    }

    pub fn legacy_team(mut self, id: &str) -> Self {
        self.o.role.spec.ttl = None;
        let credential_type = TeamCredentialType::TeamLegacy;
        self.team_subject(TeamSubject { id: Some(id.into()), credential_type, ..Default::default() })
    }

    fn team_subject(mut self, team: TeamSubject) -> Self {
        self.o.role.spec.user = None;
        self.o.role.spec.team = Some(team);
        self
    }

    pub fn organization(mut self, name: &str) -> Self {
        self.o.role.spec.user = None;
        self.o.role.spec.ttl = None;
        self.o.role.spec.organization = Some(OrganizationSubject { name: name.into() });
        self
    }

    pub fn spec(mut self, change: impl FnOnce(&mut TerraformCloudRoleSpec)) -> Self {
        change(&mut self.o.role.spec);
        self
    }

    pub fn ttl(self, ttl: &str) -> Self {
        self.spec(|s| s.ttl = Some(ttl.into()))
    }

    pub fn max_ttl(self, max: &str) -> Self {
        self.spec(|s| s.max_ttl = Some(max.into()))
    }

    pub fn overlap(self, overlap: &str) -> Self {
        self.spec(|s| s.overlap = Some(overlap.into()))
    }

    pub fn never_renewed(self) -> Self {
        self.spec(|s| s.renewal = Some(Renewal::Never))
    }

    pub fn interval(self, interval: &str) -> Self {
        self.spec(|s| s.rotation = Some(Rotation { interval: interval.into() }))
    }

    pub fn replaces(self) -> Self {
        self.spec(|s| s.slot = Some(SlotPolicy { if_occupied: IfOccupied::Replace }))
    }

    pub fn retains(self) -> Self {
        self.spec(|s| s.deletion_policy = DeletionPolicy::Retain)
    }

    pub fn suspended(self) -> Self {
        self.spec(|s| s.suspend = true)
    }

    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(self.o.config.as_mut().expect("a config stands"));
        self
    }

    pub fn no_config(mut self) -> Self {
        self.o.config = None;
        self
    }

    pub fn unready(self) -> Self {
        self.config(|c| c.account = Err(Unready { reason: None }))
    }

    pub fn account(self, id: &str, kind: AccountKind) -> Self {
        self.config(|c| c.account = Ok(Account { id: id.into(), kind, token_id: None }))
    }

    pub fn allow(self, entries: &[AllowEntry]) -> Self {
        self.config(|c| c.allow = Some(entries.to_vec()))
    }

    pub fn knows_team(self, organization: &str, name: &str, id: &str) -> Self {
        let team = ResolvedTeam { id: id.into(), organization: organization.into(), name: name.into() };
        self.config(|c| c.teams.push(team))
    }

    pub fn abandons(self) -> Self {
        self.config(|c| c.abandon_unproven = true)
    }

    pub fn annotated(mut self, name: &str, value: &str) -> Self {
        self.o.role.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    pub fn unfinalized(mut self) -> Self {
        self.o.role.metadata.finalizers = None;
        self
    }

    pub fn deleted(mut self) -> Self {
        self.o.role.metadata.deletion_timestamp = Some(time(0));
        self
    }

    pub fn at(mut self, seconds: i64) -> Self {
        self.now = seconds;
        self.o.now = Some(t(seconds));
        self.o.api_now = Some(t(seconds));
        self.o.wall = t(seconds);
        self.o.facts.looked_at = self.o.facts.looked_at.map(|_| t(seconds));
        self
    }

    pub fn clockless(mut self) -> Self {
        self.o.now = None;
        self
    }

    pub fn status(mut self, change: impl FnOnce(&mut TerraformCloudRoleStatus)) -> Self {
        change(self.o.role.status.get_or_insert_default());
        self
    }

    /// A role that was served before: wishes from now on count.
    pub fn served(self) -> Self {
        self.status(|s| s.handled = Some(Answers::default()))
    }

    /// The token of an hour that was minted at `t(0)` is recorded as the one in use.
    pub fn current(self, attempt: &str) -> Self {
        let record = self.record(attempt);
        self.served().status(|s| s.current = Some(record))
    }

    pub fn predecessor(self, attempt: &str, revoke_at: i64) -> Self {
        let record = self.record(attempt);
        let record = Record { revoke_at: Some(time(revoke_at)), issued_at: Some(time(-HOUR)), ..record };
        self.served().status(|s| s.predecessors.push(record))
    }

    /// An attempt of unknown fate that was begun at that time.
    pub fn unsettled(self, attempt: &str, since: i64) -> Self {
        let intent = self.attempt(attempt, since);
        self.status(|s| s.unsettled.push(intent))
    }

    pub fn intent(self, attempt: &str, since: i64) -> Self {
        let intent = self.attempt(attempt, since);
        self.status(|s| s.intent = Some(intent))
    }

    /// The same, begun in this round: its mint has not been sent.
    pub fn begun(self, attempt: &str) -> Self {
        let now = self.now;
        self.intent(attempt, now).facts(|f| f.begun = Some(attempt.into()))
    }

    pub fn facts(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.o.facts);
        self
    }

    pub fn trouble(mut self, kind: TroubleKind) -> Self {
        let words = "TFC said so".into();
        self.o.trouble = Some(Trouble { kind, words, retry_in: secs(30), settling: false, missing_permission: false });
        self
    }

    pub fn secret_holds(self, attempt: &str) -> Self {
        let record = self.record(attempt);
        let held = Held::from(&record);
        self.secret(Some(held))
    }

    pub fn secret_emptied(self) -> Self {
        self.secret(None)
    }

    fn secret(mut self, held: Option<Held>) -> Self {
        let layout = crate::plan::book::layout(&self.o.role.spec);
        self.o.secret = Secret::Ours(OurSecret {
            uid: "secret-uid".into(),
            resource_version: "7".into(),
            record: Some(SecretRecord { v: 1, role_uid: ROLE.into(), held, layout, ..Default::default() }),
            pending: None,
            verified: true,
        });
        self
    }

    pub fn ours(mut self, change: impl FnOnce(&mut OurSecret)) -> Self {
        let Secret::Ours(secret) = &mut self.o.secret else { panic!("no Secret of ours was built") };
        change(secret);
        self
    }

    pub fn held(self, change: impl FnOnce(&mut Held)) -> Self {
        self.ours(|s| change(s.record.as_mut().unwrap().held.as_mut().unwrap()))
    }

    pub fn secret_foreign(mut self) -> Self {
        self.o.secret = Secret::Foreign;
        self
    }

    pub fn reserved(self) -> Self {
        self.facts(|f| f.reservation = Some(Reservation::Held))
    }

    /// The slot was looked at and holds that token, which expires when a recorded one would.
    pub fn slot(self, token_id: &str) -> Self {
        let record = self.record("any");
        let token = SlotToken {
            id: token_id.into(),
            created_at: t(0),
            last_used_at: None,
            expires_at: record.expires_at.map(|e| e.0),
            created_by: Some("user-1".into()),
        };
        self.looked().facts(|f| f.slot = Some(SlotLook { token: Some(token) }))
    }

    pub fn slot_token(self, change: impl FnOnce(&mut SlotToken)) -> Self {
        self.facts(|f| change(f.slot.as_mut().unwrap().token.as_mut().unwrap()))
    }

    pub fn slot_empty(self) -> Self {
        self.looked().facts(|f| f.slot = Some(SlotLook { token: None }))
    }

    pub fn pending(self, pending: Pending) -> Self {
        self.ours(|s| s.pending = Some(pending))
    }

    /// This round's own mint, whose reply came.
    pub fn minted(self, attempt: &str) -> Self {
        self.facts(|f| f.minted = Some(attempt.to_owned()))
    }

    pub fn shown(self, token_id: &str, shown: Shown) -> Self {
        self.facts(|f| {
            f.shown.insert(token_id.into(), shown);
        })
    }

    /// The subject's tokens were walked: those attempts' were found, unused.
    pub fn walked(self, attempts: &[&str]) -> Self {
        let tokens = attempts.iter().map(|a| MarkedToken {
            id: format!("at-{a}"),
            attempt: (*a).to_owned(),
            used: false,
            issued_at: t(0),
            expires_at: None,
        });
        let walk = Walk { tokens: tokens.collect(), complete: true };
        self.looked().facts(|f| f.walk = Some(walk))
    }

    fn looked(self) -> Self {
        let now = self.o.now;
        self.facts(|f| f.looked_at = now)
    }

    /// A whole list shows this token too.
    pub fn lists(self, attempt: &str, issued_at: i64, used: bool) -> Self {
        self.lists_as(attempt, &format!("at-{attempt}"), issued_at, used)
    }

    pub fn lists_as(self, attempt: &str, id: &str, issued_at: i64, used: bool) -> Self {
        let (id, attempt) = (id.to_owned(), attempt.to_owned());
        self.looked().facts(|f| {
            let walk = f.walk.get_or_insert(Walk { tokens: Vec::new(), complete: true });
            walk.tokens.push(MarkedToken { id, attempt, used, issued_at: t(issued_at), expires_at: None });
        })
    }

    pub fn gone(self, attempt: &str) -> Self {
        self.facts(|f| {
            f.gone.insert(attempt.into());
        })
    }

    pub fn hidden(self, attempt: &str) -> Self {
        self.facts(|f| {
            f.hidden.insert(attempt.into());
        })
    }

    fn subject(&self) -> String {
        let spec = &self.o.role.spec;
        let team = |t: &TeamSubject| {
            let id = t.id.clone().unwrap_or_else(|| "team-1".into());
            let slot = if t.credential_type == TeamCredentialType::TeamLegacy { "/legacy" } else { "" };
            format!("teams/{id}{slot}")
        };
        let user = || format!("users/{}", spec.user.as_ref().and_then(|u| u.id.as_deref()).unwrap_or("user-1"));
        let organization = spec.organization.as_ref().map(|o| format!("organizations/{}", o.name));
        organization.or_else(|| spec.team.as_ref().map(team)).unwrap_or_else(user)
    }

    pub fn record(&self, attempt: &str) -> Record {
        Record {
            attempt: attempt.into(),
            token_id: Some(format!("at-{attempt}")),
            host: HOST.into(),
            account: "user-1".into(),
            subject: self.subject(),
            issued_at: Some(time(0)),
            expires_at: Some(time(HOUR)),
            lease_started_at: Some(time(0)),
            lease_expires_at: Some(time(HOUR)),
            revoke_at: None,
            source: Source::Reply,
            digest: format!("digest of {attempt}"),
            secret_resource_version: "7".into(),
        }
    }

    fn attempt(&self, attempt: &str, since: i64) -> Intent {
        let record = self.record(attempt);
        let named = Record {
            attempt: record.attempt,
            host: record.host,
            account: record.account,
            subject: record.subject,
            ..Record::default()
        };
        Intent {
            record: named,
            since: Some(time(since)),
            requested_expiry: Some(time(since + HOUR)),
            ..Intent::default()
        }
    }

    pub fn plan(&self) -> Step {
        crate::plan::plan(&self.o)
    }

    /// The step must write the status; what it writes.
    pub fn records(&self) -> TerraformCloudRoleStatus {
        self.records_with_notes().0
    }

    pub fn records_with_notes(&self) -> (TerraformCloudRoleStatus, Vec<Note>) {
        match self.plan() {
            Step::Record(status, notes) => (*status, notes),
            step => panic!("expected Record, got {step:?}"),
        }
    }

    pub fn begins(&self) -> TerraformCloudRoleStatus {
        match self.plan() {
            Step::Begin(status, _) => *status,
            step => panic!("expected Begin, got {step:?}"),
        }
    }

    /// How urgent the mint is that begins here.
    pub fn urgency(&self) -> Urgency {
        let status = self.begins();
        let begun = status.intent.as_ref().map(|intent| intent.record.attempt.clone());
        let mut next = self.clone().status(|s| *s = status);
        next.o.facts.begun = begun;
        match next.plan() {
            Step::Issue(order) => order.urgency,
            step => panic!("expected Issue, got {step:?}"),
        }
    }

    pub fn rests(&self) -> Rest {
        match self.plan() {
            Step::Rest(rest) => rest,
            step => panic!("expected Rest, got {step:?}"),
        }
    }

    /// The step must be a rest; its status, written or standing.
    pub fn rests_as(&self) -> TerraformCloudRoleStatus {
        let rest = self.rests();
        rest.status.map(|s| *s).or_else(|| self.o.role.status.clone()).unwrap_or_default()
    }

    pub fn revokes(&self) -> Revocation {
        match self.plan() {
            Step::Revoke(revocation) => *revocation,
            step => panic!("expected Revoke, got {step:?}"),
        }
    }

    /// What the conditions of a rest say: (Ready's status, Ready's reason, the other condition's type and reason).
    pub fn says(&self) -> (String, String, Option<(String, String)>) {
        said(&self.rests_as())
    }
}

pub fn said(status: &TerraformCloudRoleStatus) -> (String, String, Option<(String, String)>) {
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").expect("Ready is always there");
    let other = status.conditions.iter().find(|c| c.type_ != "Ready");
    (ready.status.clone(), ready.reason.clone(), other.map(|c| (c.type_.clone(), c.reason.clone())))
}

pub fn ready(status: &str, reason: &str, other: Option<(&str, &str)>) -> (String, String, Option<(String, String)>) {
    (status.into(), reason.into(), other.map(|(t, r)| (t.into(), r.into())))
}

/// An entry of `allow` for every namespace.
pub fn entry() -> AllowEntry {
    AllowEntry { namespaces: Some(AllowedNamespaces { from: From::All, selector: None }), ..Default::default() }
}

pub fn selector(key: &str, value: &str) -> AllowedNamespaces {
    let match_labels = BTreeMap::from([(key.into(), value.into())]);
    AllowedNamespaces { from: From::Selector, selector: Some(Selector { match_labels, match_expressions: vec![] }) }
}

/// TFC shows a token with this role's marker; it lives for the hour that all tokens of these tables live.
pub fn shown_ours(attempt: &str) -> Shown {
    let id = format!("at-{attempt}");
    Shown::Ours(MarkedToken { id, attempt: attempt.into(), used: false, issued_at: t(0), expires_at: Some(t(HOUR)) })
}
