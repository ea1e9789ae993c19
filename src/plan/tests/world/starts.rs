//! Where histories start, and the share that each start has of all.

use super::World;
use super::run::Start;
use crate::api::config::AllowEntry;
use crate::api::role::DeletionPolicy;
use crate::plan::tests::build::{entry, role};

pub const USERS: Start = Start {
    name: "users",
    percent: 25,
    world: |variant| {
        // Short leases for what comes due, long ones so that nothing lost is excused by its expiry.
        let mut role = role().ttl(if variant % 3 == 0 { "1h" } else { "48h" });
        role.o.restarts = variant % 2 == 1;
        World::new(&[if variant % 4 == 3 { role.me() } else { role }])
    },
};

pub const SLOTS: Start = Start {
    name: "slots",
    percent: 25,
    world: |variant| {
        let role = if variant % 3 == 2 { role().legacy_team("team-1") } else { role().organization("acme") };
        let role = if variant % 2 == 0 { role.interval("720h") } else { role };
        World::new(&[if variant % 5 == 4 { role.replaces() } else { role }])
    },
};

pub const TEAMS: Start = Start {
    name: "teams",
    percent: 20,
    world: |variant| {
        let role = role().ttl(if variant % 3 == 0 { "1h" } else { "48h" });
        World::new(&[if variant % 2 == 0 { role.team("team-1") } else { role.team_named("acme", "apps") }])
    },
};

pub const ENDS: Start = Start {
    name: "ends",
    percent: 10,
    world: |variant| {
        let retain = AllowEntry {
            users: vec!["*".into(), "user-1".into()],
            deletion_policies: Some([DeletionPolicy::Retain].into_iter().collect()),
            ..entry()
        };
        let role = role().ttl("1h").allow(&[retain]);
        World::new(&[if variant % 2 == 0 { role.never_renewed() } else { role.retains() }])
    },
};

pub const NEIGHBOURS: Start = Start {
    name: "neighbours",
    percent: 10,
    world: |variant| {
        let role = role().ttl("48h");
        let role = if variant % 2 == 0 { role } else { role.team("team-1") };
        World::new(&[role.clone(), role])
    },
};

pub const RIVALS: Start = Start {
    name: "rivals",
    percent: 10,
    world: |variant| {
        let role = role().organization("acme").interval("720h");
        let replacing = role.clone().replaces();
        match variant % 3 {
            0 => World::new(&[role.clone(), role]),
            1 => World::new(&[role, replacing]),
            _ => World::new(&[replacing.clone(), role, replacing]),
        }
    },
};

#[test]
fn tokens_of_users_survive_every_history() {
    USERS.survives();
}

#[test]
fn tokens_of_teams_survive_every_history() {
    TEAMS.survives();
}

#[test]
fn ends_of_leases_and_retained_tokens_survive_every_history() {
    ENDS.survives();
}

#[test]
fn two_roles_of_one_subject_survive_every_history() {
    NEIGHBOURS.survives();
}

#[test]
fn rivals_for_one_slot_survive_every_history() {
    RIVALS.survives();
}

#[test]
fn slots_survive_every_history() {
    SLOTS.survives();
}
