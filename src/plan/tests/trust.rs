//! What tenants can write is believed only as far as TFC confirms it.

use super::build::*;
use crate::api::{Answers, Source};
use crate::plan::observed::Shown;
use crate::plan::step::{Inspection, Step, Urgency};

fn wiped() -> Build {
    role().secret_holds("a1")
}

#[test]
fn a_wiped_status_is_rebuilt_from_the_secret_and_one_inspection() {
    assert_eq!(wiped().plan(), Step::Inspect(Inspection::Token("at-a1".into())));
    let status = wiped().shown("at-a1", shown_ours("a1")).records();
    assert_eq!(status.current.as_ref().unwrap().source, Source::Secret);
    assert_eq!(status.handled, Some(Answers::default()), "never taken for a new role");
}

#[test]
fn an_attempt_that_tfc_does_not_confirm_is_not_adopted() {
    for shown in [Shown::Foreign, Shown::Gone, Shown::Hidden, shown_ours("another")] {
        let edited = role().current("a0").secret_holds("a1").shown("at-a1", shown.clone());
        assert_eq!(edited.urgency(), Urgency::Dying, "{shown:?}");
    }
}

#[test]
fn a_former_token_does_not_become_the_open_attempts_by_its_name() {
    let renamed = || role().current("a0").intent("a1", 0).secret_holds("a1").held(|h| h.token_id = "at-a0".into());
    let begun = renamed().begins();
    assert!(begun.unsettled.iter().any(|u| u.record.attempt == "a1"), "its own fate is still open: {begun:?}");
}

#[test]
fn another_subjects_token_in_the_annotation_is_not_asked_for() {
    for subject in ["organizations/other", "teams/team-1/legacy", "users/user-2", "nonsense"] {
        let edited = role().current("a0").secret_holds("a1").held(|h| h.subject = subject.into());
        assert_eq!(edited.urgency(), Urgency::Dying, "{subject}: {:?}", edited.plan());
    }
}

#[test]
fn an_edited_annotation_does_not_make_the_operator_forget_the_token_in_use() {
    let edited = role().current("a0").secret_holds("a1").held(|h| h.subject = "organizations/other".into()).deleted();
    let withdrawn = match edited.plan() {
        Step::Record(status, _) => *status,
        Step::Withdraw(_) => return,
        step => panic!("{step:?}"),
    };
    assert!(withdrawn.predecessors.iter().any(|p| p.attempt == "a0"), "{withdrawn:?}");
}

#[test]
fn a_slots_token_in_use_survives_an_edited_annotation_when_the_role_goes() {
    let edited = role().organization("acme").current("a0").secret_holds("a1").deleted();
    let kept = match edited.plan() {
        Step::Record(status, _) => status.predecessors.iter().any(|p| p.attempt == "a0"),
        Step::Inspect(_) | Step::Withdraw(_) => true,
        step => panic!("{step:?}"),
    };
    assert!(kept);
}

#[test]
fn what_the_intent_says_goes_before_what_the_secret_says() {
    let edited = role().intent("a1", 0).secret_holds("a1").held(|h| {
        h.subject = "organizations/other".into();
        h.host = "evil.example".into();
        h.account = "user-9".into();
    });
    let current = edited.records().current.unwrap();
    assert_eq!((current.subject.as_str(), current.host.as_str()), ("users/user-1", HOST));
    assert_eq!(current.account, "user-1");
}

#[test]
fn an_id_that_came_by_way_of_the_secret_is_revoked_only_after_tfc_showed_our_marker_on_it() {
    let due = role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE);
    let due = due.status(|s| s.predecessors[0].source = Source::Secret);
    assert_eq!(due.plan(), Step::Inspect(Inspection::Token("at-a1".into())));
    assert_eq!(due.clone().shown("at-a1", shown_ours("a1")).revokes().token_id, "at-a1");
    let foreign = due.shown("at-a1", Shown::Foreign).records();
    assert!(foreign.predecessors.is_empty());
    let looked_for = &foreign.unsettled[0].record;
    assert_eq!((looked_for.attempt.as_str(), looked_for.token_id.as_ref()), ("a1", None), "by its marker");
    assert_eq!(foreign.unsettled[0].since, Some(time(-HOUR)));
    assert_eq!(foreign.unsettled[0].requested_expiry, Some(time(HOUR)), "the search ends with the token");
}

#[test]
fn an_id_from_a_reply_is_revoked_without_another_look() {
    assert_eq!(role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE).revokes().token_id, "at-a1");
}

#[test]
fn nothing_is_revoked_while_the_secret_does_not_say_what_it_holds() {
    let illegible = role().current("a2").secret_holds("a2").ours(|s| s.record = None).predecessor("a1", 0).at(MINUTE);
    assert!(matches!(illegible.plan(), Step::Rest(_)), "{:?}", illegible.plan());
    let refused = role().served().predecessor("a1", 0).secret_emptied().ours(|s| s.record = None).allow(&[]);
    assert_eq!(refused.plan(), Step::Withdraw(crate::plan::step::Withdrawal::Empty));
}

#[test]
fn a_value_is_read_once_before_it_is_believed_to_be_what_the_record_says() {
    let rebuilt = wiped().ours(|s| s.verified = false).shown("at-a1", shown_ours("a1"));
    let status = rebuilt.records();
    assert_eq!(rebuilt.status(|s| *s = status).plan(), Step::Render);
}

#[test]
fn a_secret_that_holds_nobody_knows_what_is_emptied_where_nothing_can_be_minted_into_it() {
    let mut blocked = role().current("a2").secret_holds("a2").ours(|s| s.record = None).facts(|f| f.value_lost = true);
    for n in 0..5 {
        blocked = blocked.unsettled(&format!("u{n}"), 0);
    }
    assert_eq!(blocked.plan(), Step::Withdraw(crate::plan::step::Withdrawal::Empty));
}

#[test]
fn records_that_were_copied_from_another_role_count_for_nothing() {
    let owner = role().o.installation.owner("another-uid");
    let copied = role().current("a1").predecessor("a0", 0).status(|s| s.owner = Some(owner));
    let status = copied.records();
    assert!(status.current.is_none() && status.predecessors.is_empty() && status.handled.is_none());
    assert_eq!(status.owner, Some(copied.o.installation.owner(ROLE)));
    let own = role().current("a1").secret_holds("a1").rests_as();
    assert_eq!(own.owner, status.owner);
}

#[test]
fn the_times_of_a_token_that_came_by_way_of_the_secret_are_tfcs() {
    let edited = wiped().held(|h| (h.issued_at, h.expires_at) = (Some(time(-9 * HOUR)), Some(time(9 * HOUR))));
    let current = edited.shown("at-a1", shown_ours("a1")).records().current.unwrap();
    assert_eq!((current.issued_at, current.expires_at), (Some(time(0)), Some(time(HOUR))));
}

#[test]
fn an_id_that_is_another_of_this_roles_own_tokens_is_not_taken_for_the_one_recorded() {
    let misnamed = role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE);
    let misnamed = misnamed.status(|s| s.predecessors[0].source = Source::Secret);
    let status = misnamed.shown("at-a1", shown_ours("another")).records();
    assert!(status.predecessors.is_empty());
    assert_eq!(status.unsettled[0].record.attempt, "a1", "its marker finds the real one");
}

#[test]
fn a_record_whose_token_the_list_shows_under_another_id_is_looked_for_by_its_marker() {
    let misnamed = || {
        let role = role().team("team-1").current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE);
        role.status(|s| s.predecessors[0].source = Source::Secret).shown("at-a1", Shown::Hidden)
    };
    let status = misnamed().walked(&["a2"]).lists_as("a1", "at-real", 0, false).records();
    assert!(status.predecessors.is_empty());
    assert_eq!((status.unsettled[0].record.attempt.as_str(), &status.unsettled[0].record.token_id), ("a1", &None));
    let right = misnamed().walked(&["a1", "a2"]);
    assert_ne!(right.plan(), Step::Record(Box::new(status), Vec::new()), "the list shows that very id");
}

#[test]
fn what_is_found_under_the_open_attempts_name_was_issued_between_its_beginning_and_now() {
    for (said, recorded) in [(Some(-HOUR), 5), (Some(7), 7), (Some(999 * HOUR), MINUTE), (None, 5)] {
        let found = role().at(MINUTE).intent("a1", 5).secret_holds("a1").held(|h| h.issued_at = said.map(time));
        assert_eq!(found.records().current.unwrap().issued_at, Some(time(recorded)), "{said:?}");
    }
}

#[test]
fn a_token_that_was_found_in_use_has_won_once_the_secret_turns_out_to_hold_it() {
    let late = || role().served().secret_holds("a1").predecessor("a1", 0).at(HOUR / 2);
    let found = || late().status(|s| s.predecessors[0].issued_at = None);
    assert_eq!(found().plan(), Step::Inspect(Inspection::Token("at-a1".into())));
    let won = found().shown("at-a1", shown_ours("a1")).records();
    assert_eq!((won.current.unwrap().attempt.as_str(), won.predecessors.len()), ("a1", 0));
    for (issued, wins) in [(-HOUR, true), (0, false), (HOUR / 4, false)] {
        let beside = found().current("a2").status(|s| s.current.as_mut().unwrap().issued_at = Some(time(issued)));
        let step = beside.shown("at-a1", shown_ours("a1")).plan();
        let adopts = matches!(&step, Step::Record(status, _) if status.current.as_ref().unwrap().attempt == "a1");
        assert_eq!(adopts, wins, "the other was issued at {issued}: {step:?}");
    }
    assert!(matches!(late().shown("at-a1", shown_ours("a1")).plan(), Step::Begin(..)), "it was the current one before");
}

#[test]
fn what_the_secret_names_by_its_id_alone_is_not_revoked_either() {
    let due = || role().current("a2").secret_holds("a2").predecessor("a1", 0).at(MINUTE);
    assert!(matches!(due().plan(), Step::Revoke(_)));
    let named = due().held(|h| h.token_id = "at-a1".into());
    assert!(!matches!(named.plan(), Step::Revoke(_)), "{:?}", named.plan());
}

#[test]
fn a_slots_token_under_a_former_attempts_name_is_not_adopted() {
    let renamed = role().organization("acme").reserved().current("a2").slot("at-a2").secret_holds("a1");
    let renamed = renamed.held(|h| h.token_id = "at-a2".into());
    assert!(!matches!(renamed.plan(), Step::Record(..)), "{:?}", renamed.plan());
}
