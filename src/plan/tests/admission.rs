//! Every form of an `allow` entry, their precedence, and what a role that is not admitted loses when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::build::*;
use crate::api::config::{AllowEntry, AllowedNamespaces, From};
use crate::plan::admission::{Admission, admit};
use crate::plan::observed::AccountKind;
use crate::plan::step::{Step, Withdrawal};
use crate::plan::subject::{Subject, TeamQuestion};

fn teams(names: &[&str]) -> AllowEntry {
    AllowEntry { teams: names.iter().map(|n| (*n).to_owned()).collect(), ..entry() }
}

fn users(names: &[&str]) -> AllowEntry {
    AllowEntry { users: names.iter().map(|n| (*n).to_owned()).collect(), ..entry() }
}

fn organizations(names: &[&str]) -> AllowEntry {
    AllowEntry { organizations: names.iter().map(|n| (*n).to_owned()).collect(), ..entry() }
}

fn named(organization: &str, name: &str) -> TeamQuestion {
    TeamQuestion::Named { organization: organization.into(), name: name.into() }
}

#[derive(Debug, PartialEq)]
enum Is {
    Admitted,
    Refused,
    Undecided,
    Asked(TeamQuestion),
}

fn verdict(role: &Build) -> Is {
    match admit(&role.o) {
        Admission::Admitted(_) => Is::Admitted,
        Admission::Refused => Is::Refused,
        Admission::Undecided => Is::Undecided,
        Admission::Ask(question) => Is::Asked(question),
    }
}

#[test]
fn each_form_of_an_entry_grants_its_own_subjects_and_no_others() {
    let team = || role().team("team-1");
    let by_name = || role().team_named("acme", "apps");
    let org = || role().organization("acme");
    let rows = [
        ("* grants any organization", org().allow(&[organizations(&["*"])]), Is::Admitted),
        ("a name grants that organization", org().allow(&[organizations(&["acme"])]), Is::Admitted),
        ("another name does not", org().allow(&[organizations(&["other"])]), Is::Refused),
        ("an omitted list grants none of its kind", org().allow(&[teams(&["*"])]), Is::Refused),
        ("* grants any team, unasked", team().allow(&[teams(&["*"])]), Is::Admitted),
        ("an id grants that team", team().allow(&[teams(&["team-1"])]), Is::Admitted),
        ("another id does not", team().allow(&[teams(&["team-2"])]), Is::Refused),
        ("a name grants that name, unasked", by_name().allow(&[teams(&["acme/apps"])]), Is::Admitted),
        ("another name does not", by_name().allow(&[teams(&["acme/ops"])]), Is::Refused),
        ("ORG/* grants a name in it, unasked", by_name().allow(&[teams(&["acme/*"])]), Is::Admitted),
        ("ORG/* does not grant another's", by_name().allow(&[teams(&["other/*"])]), Is::Refused),
        ("an id against a name is asked", team().allow(&[teams(&["acme/apps"])]), Is::Asked(named("acme", "apps"))),
        ("a name against an id is asked", by_name().allow(&[teams(&["team-1"])]), Is::Asked(named("acme", "apps"))),
        (
            "an id against ORG/* is asked",
            team().allow(&[teams(&["acme/*"])]),
            Is::Asked(TeamQuestion::Id("team-1".into())),
        ),
        (
            "a resolved name grants its id",
            team().knows_team("acme", "apps", "team-1").allow(&[teams(&["acme/apps"])]),
            Is::Admitted,
        ),
        (
            "a resolved name grants no other id",
            team().knows_team("acme", "apps", "team-2").allow(&[teams(&["acme/apps"])]),
            Is::Refused,
        ),
        (
            "a resolved id grants its name",
            by_name().knows_team("acme", "apps", "team-1").allow(&[teams(&["team-1"])]),
            Is::Admitted,
        ),
        (
            "a resolved id is in its organization",
            team().knows_team("acme", "apps", "team-1").allow(&[teams(&["acme/*"])]),
            Is::Admitted,
        ),
        (
            "a later entry can admit what an earlier asks",
            team().allow(&[teams(&["acme/apps", "team-1"])]),
            Is::Admitted,
        ),
        ("an id grants that user", role().allow(&[users(&["user-1"])]), Is::Admitted),
        ("another id does not", role().allow(&[users(&["user-2"])]), Is::Refused),
        ("me grants the account's own", role().allow(&[users(&["me"])]), Is::Admitted),
        ("me grants no other", role().user("user-2").allow(&[users(&["me"])]), Is::Refused),
        ("me grants me", role().me().allow(&[users(&["me"])]), Is::Admitted),
        ("an id grants me where it is the account", role().me().allow(&[users(&["user-1"])]), Is::Admitted),
        ("another id does not", role().me().allow(&[users(&["user-2"])]), Is::Refused),
        ("* is no user", role().allow(&[users(&["*"])]), Is::Refused),
        (
            "a team's account is no user",
            role().allow(&[users(&["me"])]).account("user-1", AccountKind::Team("team-1".into())),
            Is::Refused,
        ),
        ("an empty list admits nobody", role().allow(&[]), Is::Refused),
        ("no allow admits the config's own namespace", role(), Is::Admitted),
        ("no allow admits no other", role().config(|c| c.namespace = "platform".into()), Is::Refused),
        ("a config that is not there admits nobody", role().no_config(), Is::Refused),
    ];
    for (why, role, want) in rows {
        assert_eq!(verdict(&role), want, "{why}");
    }
}

#[test]
fn namespaces_match_as_kubernetes_selects() {
    let requirement = |operator: &str, values: &[&str]| LabelSelectorRequirement {
        key: "team".into(),
        operator: operator.into(),
        values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
    };
    let rows = [
        ("In", vec!["apps", "ops"], true),
        ("In", vec!["ops"], false),
        ("NotIn", vec!["ops"], true),
        ("NotIn", vec!["apps"], false),
        ("Exists", vec![], true),
        ("DoesNotExist", vec![], false),
        ("Unheard", vec![], false),
    ];
    for (operator, values, admitted) in rows {
        let mut allowed = users(&["me"]);
        let mut namespaces = selector("team", "apps");
        namespaces.selector.as_mut().unwrap().match_expressions = vec![requirement(operator, &values)];
        allowed.namespaces = Some(namespaces);
        let mut role = role().allow(&[allowed]);
        role.o.namespace_labels.as_mut().unwrap().insert("team".into(), "apps".into());
        assert_eq!(verdict(&role) == Is::Admitted, admitted, "{operator} {values:?}");
        role.o.namespace_labels = None;
        assert_eq!(verdict(&role), Is::Refused, "labels that may not be read match nothing");
    }
    let mut all = users(&["me"]);
    all.namespaces = Some(AllowedNamespaces { from: From::All, selector: None });
    let mut role_of_any = role().allow(&[all]);
    assert_eq!(verdict(&role_of_any), Is::Admitted, "All is every namespace");
    (role_of_any.o.namespace_labels, role_of_any.o.namespaces_hidden) = (None, true);
    assert_eq!(verdict(&role_of_any), Is::Refused, "but none where namespaces may not be read");
    let same = AllowEntry { namespaces: None, ..users(&["me"]) };
    assert_eq!(verdict(&role().allow(std::slice::from_ref(&same))), Is::Admitted, "Same is the default");
    assert_eq!(verdict(&role().config(|c| c.namespace = "platform".into()).allow(&[same])), Is::Refused);
}

#[test]
fn the_most_generous_entry_counts_whole() {
    let capped = |max: &str, retain: bool| AllowEntry {
        max_ttl: Some(max.into()),
        deletion_policies: retain.then(|| vec![crate::api::role::DeletionPolicy::Retain]),
        ..users(&["me"])
    };
    let role = role().allow(&[capped("1h", true), capped("8h", false)]);
    let Admission::Admitted(grant) = admit(&role.o) else { panic!() };
    assert_eq!((grant.max_ttl, grant.may_retain), (secs(8 * HOUR), false));
    let Admission::Admitted(grant) = admit(&role.allow(&[capped("9999h", false)]).o) else { panic!() };
    assert_eq!(grant.max_ttl, secs(768 * HOUR), "never over the config's own cap");
}

#[test]
fn an_account_that_is_not_known_takes_nothing_from_anybody() {
    let unready = role().allow(&[users(&["me"])]).unready().current("a1").secret_holds("a1");
    assert_eq!(verdict(&unready), Is::Undecided);
    let status = unready.rests_as();
    assert_eq!(status.current.unwrap().revoke_at, None);
}

#[test]
fn a_config_that_refuses_reads_like_one_that_does_not_exist() {
    let refused = role().allow(&[]).rests_as();
    let absent = role().no_config().rests_as();
    assert_eq!(refused.conditions, absent.conditions);
}

#[test]
fn which_teams_exist_can_not_be_learnt_from_a_refusal() {
    let hidden = |f: &mut crate::plan::observed::Facts| {
        f.hidden_teams.insert("acme/apps".into());
    };
    let asked = role().team("team-1").allow(&[teams(&["acme/apps"])]).facts(hidden);
    let refused = role().team("team-1").allow(&[teams(&["acme/apps"])]).knows_team("acme", "apps", "team-2");
    assert_eq!(asked.rests_as().conditions, refused.rests_as().conditions);
    assert!(asked.rests().wake_in.is_some(), "a team that is made later is found then");
}

fn refused() -> Build {
    role().current("a1").secret_holds("a1").allow(&[])
}

#[test]
fn lost_admission_costs_the_token_after_the_grace_period() {
    let status = refused().records();
    assert_eq!(status.current.as_ref().unwrap().revoke_at, Some(time(10 * MINUTE)));
    assert_eq!(said(&status), ready("True", "Issued", Some(("Stalled", "ConfigNotAvailable"))));
    let waiting = refused().status(|s| *s = status);
    assert_eq!(waiting.rests().wake_in, Some(secs(10 * MINUTE)));
    assert_eq!(waiting.at(10 * MINUTE).plan(), Step::Withdraw(Withdrawal::Empty));
}

#[test]
fn a_role_that_lost_admission_is_not_renewed() {
    assert!(matches!(refused().at(50 * MINUTE).plan(), Step::Record(..)));
    let waiting = refused().status(|s| s.current.as_mut().unwrap().revoke_at = Some(time(HOUR)));
    assert!(matches!(waiting.at(50 * MINUTE).plan(), Step::Rest(_)));
}

#[test]
fn a_label_that_flaps_cuts_nobody_off() {
    let back = role().current("a1").secret_holds("a1");
    let back = back.status(|s| s.current.as_mut().unwrap().revoke_at = Some(time(10 * MINUTE)));
    assert_eq!(back.records().current.unwrap().revoke_at, None);
}

#[test]
fn a_withdrawn_token_is_revoked_though_the_role_is_not_admitted() {
    let withdrawn = role().allow(&[]).served().secret_emptied().predecessor("a1", 0);
    assert_eq!(withdrawn.revokes().token_id, "at-a1");
}

#[test]
fn a_refused_role_of_which_nothing_is_left_lets_its_slot_and_its_finalizer_go() {
    let refused = || role().organization("acme").allow(&[]).served();
    assert_eq!(refused().plan(), Step::Release(Some(Subject::Organization("acme".into()))));
    refused().unfinalized().rests();
    assert!(!matches!(refused().predecessor("a1", 0).plan(), Step::Release(_)));
}

#[test]
fn tfc_is_asked_nothing_about_the_secret_of_a_role_that_was_never_served() {
    role().allow(&[]).unfinalized().secret_holds("a1").rests();
}

#[test]
fn a_label_that_must_not_exist_admits_where_it_does_not() {
    let mut namespaces = selector("team", "apps");
    let closed = LabelSelectorRequirement { key: "closed".into(), operator: "DoesNotExist".into(), values: None };
    namespaces.selector.as_mut().unwrap().match_expressions = vec![closed];
    let mut role = role().allow(&[AllowEntry { namespaces: Some(namespaces), ..users(&["me"]) }]);
    role.o.namespace_labels.as_mut().unwrap().insert("team".into(), "apps".into());
    assert_eq!(verdict(&role), Is::Admitted);
}

#[test]
fn while_the_account_is_not_known_only_what_it_could_decide_is_left_open() {
    let team = |allowed: &str| role().team("team-1").allow(&[teams(&[allowed])]).unready();
    assert_eq!(verdict(&team("acme/apps")), Is::Undecided);
    assert_eq!(verdict(&team("team-2")), Is::Refused);
    assert_eq!(verdict(&role().me().allow(&[users(&["user-2"])]).unready()), Is::Undecided);
}
