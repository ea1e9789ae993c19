//! The world that tests and the demo start from.

use super::tokens::random_value;
use super::world::{AdminToken, Organization, Subject, Team, TokenValue, User, World};

/// A world, and what is in it.
#[derive(Debug)]
pub struct StandardWorld {
    /// To start a simulator with.
    pub world: World,
    /// Its names, ids and admin tokens.
    pub ids: StandardIds,
}

/// Names, ids and admin tokens of the standard world.
///
/// The organization `acme` has the teams `apps`, `legacy` and `platform` (and `owners`); `globex` has `apps`. `ci` owns acme
/// and is what a config usually authenticates as; `admin` owns both; `dev` is a plain member of acme and of team `apps`.
#[derive(Clone, Debug)]
pub struct StandardIds {
    /// `acme`.
    pub acme: &'static str,
    /// External id of acme.
    pub acme_id: &'static str,
    /// `globex`.
    pub globex: &'static str,
    /// External id of globex.
    pub globex_id: &'static str,
    /// Team `apps` of acme.
    pub apps: &'static str,
    /// Team `legacy` of acme.
    pub legacy: &'static str,
    /// Team `platform` of acme, with `manage-teams`.
    pub platform: &'static str,
    /// Team `owners` of acme.
    pub owners: &'static str,
    /// Team `apps` of globex.
    pub globex_apps: &'static str,
    /// User `ci`, an owner of acme.
    pub ci: &'static str,
    /// User `admin`, an owner of acme and globex.
    pub admin: &'static str,
    /// User `dev`, a member of acme and in team `apps`.
    pub dev: &'static str,
    /// A token of `ci`.
    pub ci_token: TokenValue,
    /// A token of `admin`.
    pub admin_token: TokenValue,
    /// A token of `dev`.
    pub dev_token: TokenValue,
    /// A described token of the team `owners`.
    pub owners_token: TokenValue,
    /// A described token of the team `platform`, which manages teams.
    pub platform_token: TokenValue,
    /// The token of globex itself.
    pub globex_token: TokenValue,
}

/// A fresh standard world; only the admin tokens' values differ from one to the next.
pub fn standard_world() -> StandardWorld {
    let ids = StandardIds {
        acme: "acme",
        acme_id: "org-acme000000000001",
        globex: "globex",
        globex_id: "org-globex0000000001",
        apps: "team-apps",
        legacy: "team-legacy",
        platform: "team-platform",
        owners: "team-owners",
        globex_apps: "team-globex-apps",
        ci: "user-ci",
        admin: "user-admin",
        dev: "user-dev",
        ci_token: random_value(),
        admin_token: random_value(),
        dev_token: random_value(),
        owners_token: random_value(),
        platform_token: random_value(),
        globex_token: random_value(),
    };
    let mut apps = Team::new(ids.apps, "apps", ids.acme);
    apps.members.push(ids.dev.to_owned());
    let mut platform = Team::new(ids.platform, "platform", ids.acme);
    platform.manage_teams = true;
    let mut ci = User::new(ids.ci, "ci");
    ci.owner_of = vec![ids.acme.to_owned()];
    let mut admin = User::new(ids.admin, "admin");
    admin.owner_of = vec![ids.acme.to_owned(), ids.globex.to_owned()];
    let mut dev = User::new(ids.dev, "dev");
    dev.member_of = vec![ids.acme.to_owned()];
    let token = |subject: Subject, value: &TokenValue, description: Option<&str>| AdminToken {
        description: description.map(str::to_owned),
        ..AdminToken::new(subject, value.clone())
    };
    let user = |id: &str| Subject::User(id.to_owned());
    let team = |id: &str| Subject::Team(id.to_owned());
    let world = World {
        organizations: vec![Organization::new(ids.acme, ids.acme_id), Organization::new(ids.globex, ids.globex_id)],
        teams: vec![
            apps,
            Team::new(ids.legacy, "legacy", ids.acme),
            platform,
            Team::new(ids.owners, "owners", ids.acme),
            Team::new(ids.globex_apps, "apps", ids.globex),
        ],
        users: vec![ci, admin, dev],
        admin_tokens: vec![
            token(user(ids.ci), &ids.ci_token, Some("config")),
            token(user(ids.admin), &ids.admin_token, Some("config")),
            token(user(ids.dev), &ids.dev_token, Some("config")),
            token(team(ids.owners), &ids.owners_token, Some("config")),
            token(team(ids.platform), &ids.platform_token, Some("config")),
            token(Subject::Organization(ids.globex.to_owned()), &ids.globex_token, None),
        ],
        ..World::default()
    };
    StandardWorld { world, ids }
}
