//! The faults that are survived: what is done, what is true afterwards, within what time, and the tests that show it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Within what time all is back in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Three minutes after the last fault, without a hand.
    ThreeMinutes,
    /// At the next sweep: only a list can show it.
    NextSweep,
    /// Once a person has done what the role says, or at the token's own expiry.
    APersonOrExpiry,
}

use Within::{APersonOrExpiry, NextSweep, ThreeMinutes};

/// One fault.
struct Row {
    fault: &'static str,
    afterwards: &'static str,
    within: Within,
    tests: &'static [&'static str],
}

const ONE_TOKEN: &str = "each role has one live token, the one in its Secret, and no other lives";
const NOBODY_CUT_OFF: &str = "no Secret holds a dead token, and what was replaced is revoked";

#[rustfmt::skip]
const FAULTS: &[Row] = &[
    Row { fault: "reply lost after a mint", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives", "whatever_meets_a_slots_mint_the_slot_holds_what_the_secret_holds",
        "a_slots_lost_reply_is_known_by_the_expiry_that_was_asked_for"] },
    Row { fault: "reply lost after a delete", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "whatever_meets_a_revocation_the_token_is_dead_in_the_end"] },
    Row { fault: "401, 403, 404, 409, 422, 429 with and without a reset, 500, 503, a proxy's page", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives", "whatever_meets_a_slots_mint_the_slot_holds_what_the_secret_holds",
        "whatever_meets_a_revocation_the_token_is_dead_in_the_end", "whatever_meets_a_list_what_was_lost_is_found_in_the_end",
        "a_limit_is_waited_for_and_nothing_is_minted_twice"] },
    Row { fault: "404 for what is hidden", afterwards: "nothing counts as gone that may live; the role says so", within: APersonOrExpiry, tests: &[
        "what_another_account_can_t_prove_revoked_is_given_up_only_when_asked"] },
    Row { fault: "bodies that are truncated, malformed, enormous, slow", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives", "whatever_meets_a_list_what_was_lost_is_found_in_the_end"] },
    Row { fault: "a hang: the reply, or the deed, comes when nobody waits any more", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives", "whatever_meets_a_slots_mint_the_slot_holds_what_the_secret_holds"] },
    Row { fault: "a request delivered twice", afterwards: ONE_TOKEN, within: NextSweep, tests: &[
        "the_twin_of_a_mint_that_was_delivered_twice_is_revoked", "a_teams_mint_that_was_delivered_twice_is_found_without_a_sweep",
        "whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives"] },
    Row { fault: "TLS and names fail, TFC is away", afterwards: "live tokens stay in use; all goes on when it is back", within: ThreeMinutes, tests: &[
        "a_private_ca_is_trusted_by_the_config_that_names_it", "a_host_whose_name_leads_nowhere_stops_its_own_roles_alone",
        "an_outage_is_probed_by_the_config_and_over_at_once_for_all"] },
    Row { fault: "a list that shifts while it is paged", afterwards: "what it hid is found", within: ThreeMinutes, tests: &[
        "a_list_that_shifts_while_it_is_paged_hides_no_token_for_good"] },
    Row { fault: "the Secret's write refused: quota, RBAC, admission, immutable, somebody else's", afterwards: "no token lives but the one in the Secret; the role says why", within: APersonOrExpiry, tests: &[
        "a_quota_keeps_the_role_waiting_and_no_token_alive", "an_operator_that_may_not_create_secrets_leaves_no_token_alive_and_goes_on_once_it_may",
        "a_webhook_that_refuses_the_secret_keeps_the_role_waiting_and_no_token_alive", "an_immutable_secret_keeps_its_token_and_the_successor_dies",
        "a_secret_of_someone_else_is_never_touched"] },
    Row { fault: "the Secret's write without an answer", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "a_secrets_write_without_an_answer_costs_no_token"] },
    Row { fault: "the Secret's write landing when its writer is dead", afterwards: "it has won, and its rival is revoked", within: ThreeMinutes, tests: &[
        "a_secret_that_lands_when_its_writer_is_dead_has_won"] },
    Row { fault: "the status's write lost, refused or in conflict", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "a_status_that_is_refused_or_gets_no_answer_costs_no_token", "kube_apiserver_and_etcd_killed_during_issuance_cost_no_token"] },
    Row { fault: "the status wiped", afterwards: "rebuilt from the Secret, nothing is minted", within: ThreeMinutes, tests: &[
        "a_wiped_status_is_rebuilt_from_the_secret_without_a_new_token"] },
    Row { fault: "status and Secret gone", afterwards: "a new token; the former one revoked if nobody used it, else told of", within: NextSweep, tests: &[
        "one_that_nobody_used_is_revoked", "a_token_in_use_that_no_record_knows_is_told_of_and_left"] },
    Row { fault: "watches dropped, or deaf without a word", afterwards: "what happened meanwhile is made good", within: ThreeMinutes, tests: &[
        "what_happens_while_the_watches_are_dropped_is_made_good_when_they_come_back", "a_wire_that_goes_deaf_without_a_word_is_given_up"] },
    Row { fault: "kube-apiserver and etcd killed and started again", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "kube_apiserver_and_etcd_killed_during_issuance_cost_no_token"] },
    Row { fault: "etcd compacted (410)", afterwards: "what happened meanwhile is made good", within: ThreeMinutes, tests: &[
        "a_watch_whose_place_was_compacted_away_begins_anew"] },
    Row { fault: "etcd restored from an older snapshot", afterwards: "no Secret holds a dead token; what no record knows is revoked if nobody used it, else told of", within: NextSweep, tests: &[
        "after_etcd_was_set_back_no_secret_holds_a_dead_token_and_none_is_leaked"] },
    Row { fault: "roles and Secrets restored into the same cluster", afterwards: ONE_TOKEN, within: APersonOrExpiry, tests: &[
        "a_role_that_is_brought_back_into_its_cluster_gets_a_token_of_its_own"] },
    Row { fault: "roles and Secrets restored into another cluster, which has the same admin token", afterwards: "each has its own token, and touches none of the other's", within: APersonOrExpiry, tests: &[
        "what_is_copied_into_another_cluster_touches_no_token_of_the_first"] },
    Row { fault: "the leader lost in the middle of a mint", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "a_leader_that_is_killed_is_followed_when_its_lease_runs_out", "a_leader_that_stops_hands_over_at_once"] },
    Row { fault: "SIGSTOP anywhere, SIGCONT when another one leads", afterwards: "it mints nothing more; what it had begun is revoked or adopted", within: ThreeMinutes, tests: &[
        "a_leader_that_slept_at_any_step_boundary_mints_nothing_more_and_leaks_nothing", "a_leader_that_slept_past_its_lease_ends_and_leaks_nothing"] },
    Row { fault: "SIGKILL between any two steps, and at any moment", afterwards: ONE_TOKEN, within: ThreeMinutes, tests: &[
        "killed_at_any_step_boundary_the_operator_leaks_nothing_and_finishes_what_was_begun",
        "killed_at_random_moments_of_a_burst_the_operator_leaks_nothing_and_each_role_has_one_live_token", "a_kill_between_mint_and_secret_leaks_nothing"] },
    Row { fault: "clocks that are hours apart, or jump", afterwards: "TFC's time decides; nothing becomes due by a jump", within: ThreeMinutes, tests: &[
        "tfcs_clock_decides_wherever_it_stands", "a_jump_is_followed_when_a_second_reply_confirms_it", "one_wrong_server_among_right_ones_is_never_believed"] },
    Row { fault: "the Secret deleted, emptied, edited, relabelled", afterwards: NOBODY_CUT_OFF, within: ThreeMinutes, tests: &[
        "a_secret_that_was_deleted_comes_back_with_a_new_token", "a_value_that_was_edited_or_emptied_is_replaced", "our_marks_are_restored_without_a_new_token",
        "what_happened_while_no_operator_ran_is_made_good"] },
    Row { fault: "a token deleted or regenerated in TFC's own pages", afterwards: "a deleted one is replaced; a regenerated slot is left alone", within: NextSweep, tests: &[
        "a_token_that_was_revoked_in_tfc_is_replaced_without_being_asked", "a_slot_that_somebody_took_is_noticed_and_one_that_was_emptied_is_filled",
        "whoever_takes_a_slot_keeps_it_until_the_role_is_told"] },
    Row { fault: "config, admin Secret, namespace deleted first, or all at once", afterwards: "all goes, and no token lives", within: ThreeMinutes, tests: &[
        "admin_secret_config_and_role_can_be_deleted_in_any_order_at_once", "a_namespace_with_roles_config_and_admin_secret_goes_and_leaves_no_token",
        "a_namespace_takes_its_roles_tokens_along"] },
    Row { fault: "the finalizer stripped", afterwards: "the token of the role that went is revoked if nobody used it", within: NextSweep, tests: &[
        "the_tokens_of_a_role_that_went_by_force_are_revoked_if_nobody_used_them", "a_config_that_goes_away_without_its_finalizer_is_a_lost_admission_too"] },
    Row { fault: "orphan and foreground deletion", afterwards: "the role goes, and its token before it", within: ThreeMinutes, tests: &[
        "foreground_and_orphan_deletion_take_the_token_too"] },
    Row { fault: "a role deleted while its token is minted", afterwards: "no token lives", within: ThreeMinutes, tests: &[
        "a_role_that_is_deleted_while_its_token_is_minted_leaves_none"] },
    Row { fault: "the config's token rotated, revoked, or another account's while predecessors live", afterwards: "nothing counts as gone that may live", within: APersonOrExpiry, tests: &[
        "a_rotated_admin_token_is_used_at_once_and_another_account_is_noticed", "what_another_account_can_t_prove_revoked_is_given_up_only_when_asked",
        "a_config_whose_token_was_revoked_goes_on_with_the_next_one"] },
    Row { fault: "a tenant writes another token's id into its Secret's annotations", afterwards: "that token lives on", within: ThreeMinutes, tests: &[
        "a_token_id_written_into_a_secrets_record_is_not_revoked"] },
    Row { fault: "two configs on one account", afterwards: "each role has its token, and the limit is kept once", within: ThreeMinutes, tests: &[
        "two_configs_of_one_account_share_what_it_may_ask_and_touch_none_of_each_others_tokens"] },
    Row { fault: "two roles on one slot", afterwards: "one holds it, the others say who", within: ThreeMinutes, tests: &[
        "one_role_holds_a_slot_and_the_next_one_follows_when_it_goes", "the_oldest_of_those_that_wait_for_a_slot_gets_it"] },
];

/// Names of the tests in the sources below a folder.
fn tests_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            names.extend(tests_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let tests = text.split("test]\n").skip(1).filter_map(|rest| rest.split_once("fn "));
            names.extend(tests.filter_map(|(_, rest)| rest.split_once('(')).map(|(name, _)| name.to_owned()));
        }
    }
    names
}

#[test]
fn every_fault_is_shown_to_be_survived() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there: BTreeSet<String> = ["src", "tests/it"].iter().flat_map(|folder| tests_in(&root.join(folder))).collect();
    let mut wrong = Vec::new();
    for row in FAULTS {
        let missing: Vec<&&str> = row.tests.iter().filter(|test| !there.contains(**test)).collect();
        if row.tests.is_empty() || !missing.is_empty() {
            wrong.push(format!("{} ({}, {:?}): no test {missing:?}", row.fault, row.afterwards, row.within));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(FAULTS.iter().map(|row| row.fault).collect::<BTreeSet<_>>().len(), FAULTS.len(), "each fault once");
}
