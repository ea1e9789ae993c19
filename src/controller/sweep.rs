//! The sweep: one walk over each list of each account, to find what no record knows and what TFC no longer has.
//!
//! It only points. A role that it points at lists its tokens anew, after it has read its Secret, and decides on that (`plan/sweep.rs`). Only a
//! token whose role does not exist at all is nobody's to look after, and is revoked from here.

mod orphans;
mod survey;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, info, warn};

use self::survey::{Survey, Verdict};
use super::Operator;
use super::slim::Slim;
use crate::accounts::ConfigKey;
use crate::api::config::ResolvedTeam;
use crate::plan::observed::AccountKind;
use crate::plan::subject::Subject;
use crate::tfc::{Class, Client, ListScope};
use crate::walks::Marked;

/// Pause between two slots that are looked at: a look is a request each, and all that work for people goes before.
const SLOT_PACE: Duration = Duration::from_millis(100);

/// Sweeps for as long as this process leads.
pub async fn run(operator: Arc<Operator>) {
    let interval = operator.settings.sweep_interval;
    // What the leader before had in flight can be told from what was lost only once it can't land any more.
    let mut pause = interval.min(operator.settings.scope.settling_time);
    loop {
        tokio::time::sleep(pause).await;
        let again_in = sweep(&operator).await;
        pause = again_in.map_or(interval, |soon| interval.min(soon.max(Duration::from_secs(1))));
    }
}

/// The configs of one account at one host.
struct Holding {
    client: Client,
    user: Option<String>,
    now: Timestamp,
    configs: HashSet<ConfigKey>,
    teams: Vec<ResolvedTeam>,
}

/// One sweep over all accounts. Gives when to sweep again, where something was too young to be judged.
async fn sweep(operator: &Operator) -> Option<Duration> {
    let mut again_in = None;
    for ((host, account), holding) in holdings(operator) {
        let mut unknown = 0;
        let mut complete = true;
        for (scope, subjects) in scopes(operator, &holding).await {
            match walk(operator, &holding, &scope, &subjects).await {
                Ok(verdict) => {
                    debug!(host, account, list = ?scope, listed = verdict.listed, "swept");
                    unknown += verdict.unknown;
                    again_in = again_in.into_iter().chain(verdict.ripe_in).min();
                }
                Err(error) => {
                    warn!(host, account, list = ?scope, %error, "the list could not be walked; at the next sweep again");
                    complete = false;
                }
            }
        }
        look_at_slots(operator, &holding).await;
        operator.world.metrics.swept(&host, &account, complete, unknown);
    }
    again_in
}

fn holdings(operator: &Operator) -> BTreeMap<(String, String), Holding> {
    let mut holdings = BTreeMap::<(String, String), Holding>::new();
    for key in operator.world.accounts.keys() {
        let Some(session) = operator.world.accounts.session(&key) else { continue };
        let (Ok(account), Some(client), Some(now)) = (&session.account, &session.client, session.now()) else {
            continue;
        };
        let user = (account.kind == AccountKind::User).then(|| account.id.clone());
        let client = operator.world.gated(client);
        let place = (session.terms.host.clone(), account.id.clone());
        let empty = || Holding { client, user, now, configs: HashSet::new(), teams: Vec::new() };
        let holding = holdings.entry(place).or_insert_with(empty);
        holding.teams.extend(session.teams());
        holding.configs.insert(key);
    }
    holdings
}

/// The lists to walk, and whose tokens each shows: the account's own, and those of the organizations of its roles' teams.
async fn scopes(operator: &Operator, holding: &Holding) -> Vec<(ListScope, HashSet<String>)> {
    let mut organizations = BTreeMap::<String, HashSet<String>>::new();
    let mut known = HashSet::new();
    for team in &holding.teams {
        let subject = Subject::Team(team.id.clone()).to_string();
        known.insert(subject.clone());
        organizations.entry(team.organization.clone()).or_default().insert(subject);
    }
    let subjects: HashSet<String> = roles_of(operator, holding).filter_map(|role| subject(&role)).collect();
    for unknown in subjects.difference(&known) {
        let Some(Subject::Team(id)) = Subject::parse(unknown) else { continue };
        match holding.client.team(Class::First, &id).await.map(|team| team.organization) {
            Ok(Some(organization)) => drop(organizations.entry(organization).or_default().insert(unknown.clone())),
            answer => debug!(team = id, ?answer, "its organization is not known: its tokens can't be listed"),
        }
    }
    let own = holding
        .user
        .iter()
        .map(|id| (ListScope::User { id: id.clone() }, HashSet::from([Subject::User(id.clone()).to_string()])));
    let teams = organizations.into_iter().map(|(name, subjects)| (ListScope::Organization { name }, subjects));
    own.chain(teams).collect()
}

async fn walk(
    operator: &Operator,
    holding: &Holding,
    scope: &ListScope,
    subjects: &HashSet<String>,
) -> Result<Verdict, crate::tfc::Error> {
    let settling = operator.world.settling_time;
    let known = |id: &str| operator.memory.was_told(id);
    let listed = roles_of(operator, holding).filter(|role| subject(role).is_some_and(|s| subjects.contains(&s)));
    let mut survey = Survey::new(holding.now, settling, operator.roles(), listed);
    let installation = &operator.world.installation;
    let take = |page: Vec<crate::tfc::TokenInfo>| {
        page.into_iter().filter_map(|info| Marked::read(installation, info)).for_each(|token| survey.see(token, known));
    };
    holding.client.visit(Class::First, scope, take).await?;
    let verdict = survey.conclude();
    for role in &verdict.suspects {
        point_at(operator, role);
    }
    if !verdict.orphans.is_empty() {
        orphans::revoke(operator, &holding.client, &verdict.orphans).await;
    }
    Ok(verdict)
}

/// No list shows the slots' tokens: each is looked at by its role.
async fn look_at_slots(operator: &Operator, holding: &Holding) {
    let slots: Vec<Arc<Slim>> = roles_of(operator, holding)
        .filter(|role| role.tokens.as_ref().is_some_and(|tokens| tokens.current.is_some()))
        .filter(|role| subject(role).and_then(|s| Subject::parse(&s)).is_some_and(|s| s.is_slot()))
        .collect();
    for role in slots {
        point_at(operator, &role);
        tokio::time::sleep(SLOT_PACE).await;
    }
}

fn roles_of<'a>(operator: &'a Operator, holding: &'a Holding) -> impl Iterator<Item = Arc<Slim>> + 'a {
    operator.roles().filter(|role| holding.configs.contains(&role.config))
}

fn subject(role: &Slim) -> Option<String> {
    role.tokens.as_ref().map(|tokens| tokens.subject.to_string())
}

fn point_at(operator: &Operator, role: &Slim) {
    let meta = &role.metadata;
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    info!(namespace, role = name, "the sweep points at it");
    operator.memory.point_at(meta.uid.as_deref().unwrap_or_default());
    operator.wakes.send(namespace, name);
}

/// How long until a token of that age can be judged; `None` where it can be now.
fn ripe_in(issued_at: Timestamp, settling: SignedDuration, now: Timestamp) -> Option<Duration> {
    let ripe_at = crate::plan::terms::plus(issued_at, settling);
    (ripe_at > now).then(|| ripe_at.duration_since(now).unsigned_abs())
}
