//! Steps that ask TFC, or have it revoke.

use super::{After, World, cluster_trouble, tfc_slot, tfc_trouble};
use crate::api::Record;
use crate::api::config::ResolvedTeam;
use crate::failpoint;
use crate::marker::role_hash;
use crate::observe::Round;
use crate::plan::observed::{AccountKind, MarkedToken, Secret, Shown, SlotLook, SlotToken, Walk};
use crate::plan::step::{Inspection, Note, Revocation};
use crate::plan::subject::{Subject, TeamQuestion, organization_of};
use crate::tfc::{self, Class, Client, ListScope, TokenInfo};

/// Looks a team up for the config's directory.
pub async fn resolve(world: &World, round: &mut Round, question: &TeamQuestion) -> After {
    let Some(client) = world.client(round) else { return After::Plan };
    let found = match question {
        TeamQuestion::Id(id) => client.team(Class::First, id).await,
        TeamQuestion::Named { organization, name } => client.team_named(Class::First, organization, name).await,
    };
    match (found, round.session.clone()) {
        (Ok(team), Some(session)) => {
            let asked = match question {
                TeamQuestion::Named { organization, .. } => Some(organization.clone()),
                TeamQuestion::Id(_) => None,
            };
            match team.organization.or(asked) {
                Some(organization) => session.learn_team(ResolvedTeam { id: team.id, organization, name: team.name }),
                None => {
                    round.facts.hidden_teams.insert(question.to_string());
                }
            }
            After::Plan
        }
        (Err(error), _) if error.kind == tfc::Kind::Hidden => {
            round.facts.hidden_teams.insert(question.to_string());
            After::Plan
        }
        (Err(error), _) => failed(round, &error),
        (Ok(_), None) => After::Observe,
    }
}

/// Finds out about tokens. Changes nothing.
pub async fn inspect(world: &World, round: &mut Round, inspection: &Inspection) -> After {
    let Some(client) = world.client(round) else { return After::Plan };
    if !matches!(inspection, Inspection::Token(_)) {
        round.facts.looked_at = round.session.as_ref().and_then(|session| session.now());
    }
    let result = match inspection {
        Inspection::Slot(subject) => look(&client, subject).await.map(|slot| round.facts.slot = Some(slot)),
        Inspection::Token(id) => show(world, round, &client, id).await,
        Inspection::Walk(subject) => match walk(world, round, &client, subject).await {
            // Who may not list can prove nothing; that is an answer too.
            Err(error) if matches!(error.kind, tfc::Kind::Hidden | tfc::Kind::Forbidden | tfc::Kind::Rejected) => {
                round.facts.walk = Some(Walk::default());
                Ok(())
            }
            result => result,
        },
    };
    match result {
        Ok(()) => After::Plan,
        Err(error) => failed(round, &error),
    }
}

async fn look(client: &Client, subject: &Subject) -> Result<SlotLook, tfc::Error> {
    let Some(slot) = tfc_slot(subject) else { return Ok(SlotLook { token: None }) };
    let token = client.slot(Class::Asked, &slot).await?;
    Ok(SlotLook { token: token.map(slot_token) })
}

fn slot_token(info: TokenInfo) -> SlotToken {
    SlotToken {
        id: info.id,
        created_at: info.created_at,
        last_used_at: info.last_used_at,
        expires_at: info.expired_at,
        created_by: info.created_by.map(|by| by.id),
    }
}

async fn show(world: &World, round: &mut Round, client: &Client, id: &str) -> Result<(), tfc::Error> {
    let shown = match client.show(Class::Revocation, id).await {
        Ok(info) => marked(world, round, info).map_or(Shown::Foreign, Shown::Ours),
        // The user sees all its own tokens: what it does not see does not exist.
        Err(error) if error.kind == tfc::Kind::Hidden => match is_its_own_user(round) {
            true => Shown::Gone,
            false => Shown::Hidden,
        },
        Err(error) => return Err(error),
    };
    round.facts.shown.insert(id.to_owned(), shown);
    Ok(())
}

fn is_its_own_user(round: &Round) -> bool {
    let account = round.session.as_ref().and_then(|session| session.account.as_ref().ok());
    let subject = round.role.status.as_ref().and_then(|s| s.subject_id.as_ref());
    round.role.spec.user.is_some()
        && account.is_some_and(|a| a.kind == AccountKind::User && subject.is_none_or(|subject| *subject == a.id))
}

/// All tokens of the subject that carry this role's marker.
async fn walk(world: &World, round: &mut Round, client: &Client, subject: &Subject) -> Result<(), tfc::Error> {
    let account =
        round.session.as_ref().and_then(|s| Some((s.terms.host.clone(), s.account.as_ref().ok()?.id.clone())));
    let (Some((host, account)), Some(scope)) = (account, scope(round, client, subject).await?) else {
        round.facts.walk = Some(Walk::default());
        return Ok(());
    };
    let found = world.accounts.walks.walk((host, account, scope), client, &world.installation).await?;
    let team = match subject {
        Subject::Team(id) => Some(id.as_str()),
        _ => None,
    };
    let role = role_hash(round.uid());
    let ours = found.tokens.iter().filter(|t| t.role == role && (team.is_none() || t.team_id.as_deref() == team));
    let tokens = ours.cloned().map(MarkedToken::from).collect();
    round.facts.walk = Some(Walk { tokens, complete: found.complete });
    Ok(())
}

async fn scope(round: &Round, client: &Client, subject: &Subject) -> Result<Option<ListScope>, tfc::Error> {
    let key = round.role.config_key();
    let id = match subject {
        Subject::User(id) => return Ok(Some(ListScope::User { id: id.clone() })),
        Subject::Team(id) => id,
        Subject::TeamLegacy(_) | Subject::Organization(_) => return Ok(None),
    };
    let Some(session) = &round.session else { return Ok(None) };
    let named = round.role.spec.team.as_ref().and_then(|team| team.organization.clone());
    if let Some(name) = named.or_else(|| organization_of(&session.observed(&key), id).map(str::to_owned)) {
        return Ok(Some(ListScope::Organization { name }));
    }
    let team = client.team(Class::Revocation, id).await?;
    Ok(team.organization.map(|name| {
        session.learn_team(ResolvedTeam { id: team.id, organization: name.clone(), name: team.name });
        ListScope::Organization { name }
    }))
}

fn marked(world: &World, round: &Round, info: TokenInfo) -> Option<MarkedToken> {
    let attempt = world.installation.attempt_of(round.uid(), info.description.as_deref()?)?.to_owned();
    let used = info.last_used_at.is_some();
    Some(MarkedToken { attempt, used, issued_at: info.created_at, expires_at: info.expired_at, id: info.id })
}

/// Revokes one token, after a last look at the Secret: it must hold another.
pub async fn revoke(world: &World, round: &mut Round, revocation: &Revocation) -> After {
    if let Err(error) = round.read_secret(world).await {
        return cluster_trouble(round, "reading the Secret", error);
    }
    if let (Secret::Ours(secret), false) = (&round.secret, revocation.put_back) {
        // A Secret whose record was removed may hold any token, this one too.
        let Some(record) = &secret.record else { return After::Observe };
        let same_attempt = |attempt: &str| attempt == revocation.attempt && !revocation.stray;
        let held = record.held.as_ref();
        if held.is_some_and(|held| same_attempt(&held.attempt) || held.token_id == revocation.token_id) {
            return After::Observe;
        }
    }
    failpoint::pass("Revoke", "looked");
    let Some(client) = world.client(round) else { return After::Plan };
    let attempt = revocation.attempt.clone();
    let revoked = client.revoke(Class::Revocation, &revocation.token_id).await;
    if revoked.is_ok() {
        // The list that showed it is from before, and its record goes: it would be taken for one that nobody knows.
        round.facts.strays_gone.insert(revocation.token_id.clone());
        round.facts.slot = None;
    }
    match revoked {
        Ok(()) if revocation.stray => {
            let record = Record { token_id: Some(revocation.token_id.clone()), attempt, ..Record::default() };
            crate::report::note(world, round, &Note::Revoked(record)).await;
            After::Plan
        }
        Ok(()) => {
            round.facts.gone.insert(attempt);
            After::Plan
        }
        Err(error) if matches!(error.kind, tfc::Kind::Hidden | tfc::Kind::Forbidden) => {
            if revocation.stray {
                round.facts.strays_gone.insert(revocation.token_id.clone());
                return After::Plan;
            }
            match tfc_slot(&revocation.subject) {
                Some(slot) => empty_slot(round, &client, &slot, revocation).await,
                // Forbidden is not gone.
                None if error.kind == tfc::Kind::Forbidden => failed(round, &error),
                None => {
                    round.facts.hidden.insert(attempt);
                    After::Plan
                }
            }
        }
        Err(error) => failed(round, &error),
    }
}

/// Where the server does not take a slot's token by its id it is deleted by the slot, which must hold it at the last look.
async fn empty_slot(round: &mut Round, client: &Client, slot: &tfc::Slot, revocation: &Revocation) -> After {
    let result = match client.slot(Class::Revocation, slot).await {
        Ok(Some(token)) if token.id == revocation.token_id => {
            client.delete_slot(Class::Revocation, slot).await.map(|_| ())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            round.facts.gone.insert(revocation.attempt.clone());
            round.facts.slot = None;
            After::Plan
        }
        Err(error) => failed(round, &error),
    }
}

fn failed(round: &mut Round, error: &tfc::Error) -> After {
    let (kind, words) = tfc_trouble(error);
    round.fail(kind, words);
    After::Plan
}
