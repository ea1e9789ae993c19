//! The calls of the token API.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::budget::{Budget, Class, Turn};
use super::carrier::{Carrier, Https, LIMITS, Limits};
use super::connection::{ConnectError, Connection};
use super::error::{Effect, Error, Kind};
use super::exchange::{Exchange, Gate, Permits, document};
use super::model::{AccountInfo, Deleted, Listing, Minted, OrganizationInfo, TeamInfo, TokenInfo};
use super::observer::Observer;
use super::subject::{ListScope, Owner, Path, Slot};
use super::token::TokenValue;
use super::transport::{Call, OBJECT_BYTES, PAGE_BYTES, Reply, Transport};
use super::wire::{AccountResource, Document, OrganizationResource, TeamResource, TokenResource, TokenSecret};
use crate::clock::ServerClock;

/// TFC's largest page (API page "API Overview", "Pagination").
const PAGE_SIZE: u32 = 100;

/// No list is followed further: a server that never ends would hold a role for ever.
const MAX_PAGES: u32 = 2000;

/// A client of one server with one token. Clones share their connections.
///
/// Each call waits for its budget. Every error of a call tells by its kind what may have happened; see [`Kind`].
#[derive(Clone)]
pub struct Client {
    exchange: Arc<Exchange>,
    budget: Arc<Budget>,
    gate: Option<Gate>,
    turn: Option<Arc<Turn>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(..)")
    }
}

impl Client {
    /// Makes a client; nothing is sent yet. `clock` learns TFC's time from the replies.
    ///
    /// # Errors
    /// If the connection's address, base path or CA bundle is none, or http is not allowed.
    pub fn new(
        connection: &Connection,
        token: TokenValue,
        budget: Arc<Budget>,
        clock: Arc<ServerClock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Client, ConnectError> {
        Client::with_limits(connection, &token, budget, clock, observer, LIMITS)
    }

    pub(super) fn with_limits(
        connection: &Connection,
        token: &TokenValue,
        budget: Arc<Budget>,
        clock: Arc<ServerClock>,
        observer: Arc<dyn Observer>,
        limits: Limits,
    ) -> Result<Client, ConnectError> {
        let carrier = Arc::new(Https::new(connection, limits)?);
        Client::over(carrier, connection, token, budget, clock, observer)
    }

    /// Makes a client whose requests another carrier takes.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn over(
        carrier: Arc<dyn Carrier>,
        connection: &Connection,
        token: &TokenValue,
        budget: Arc<Budget>,
        clock: Arc<ServerClock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Client, ConnectError> {
        let transport = Transport::new(carrier, connection, token)?;
        Ok(Client { exchange: Arc::new(Exchange { transport, clock, observer }), budget, gate: None, turn: None })
    }

    /// The same client on another budget: once the account is known, all that use it share one.
    #[must_use]
    pub fn with_budget(&self, budget: Arc<Budget>) -> Client {
        Client { budget, ..self.clone() }
    }

    /// The same client with a gate that is asked right before each request, after all waiting. A closed gate ends the call as
    /// `Unavailable`: nothing was sent.
    #[must_use]
    pub fn with_gate(&self, gate: Gate) -> Client {
        Client { gate: Some(gate), ..self.clone() }
    }

    /// A turn among those that are about to send a request; see [`Client::with_turn`].
    pub async fn turn(&self, class: Class) -> Turn {
        self.budget.turn(class).await
    }

    /// The same client; the turn ends once its next request may go.
    #[must_use]
    pub fn with_turn(&self, turn: Option<Arc<Turn>>) -> Client {
        Client { turn, ..self.clone() }
    }

    /// Who the token is (API page "Account").
    ///
    /// # Errors
    /// `Unauthorized` if the token is dead; `Rejected` for a run's token.
    pub async fn account(&self, class: Class) -> Result<AccountInfo, Error> {
        let reply = self.get(class, Path::new("/account/details", &[])?).await?;
        let account: Document<AccountResource> = document(Effect::Read, &reply)?;
        account.data.into_info(reply.head.server).ok_or_else(|| {
            Error::rejected("this is the token of a run and ends with it; use one of a user, a team or an organization")
        })
    }

    /// An organization, by its name (API page "Organizations").
    ///
    /// # Errors
    /// `Hidden` if there is none of that name that the caller may see.
    pub async fn organization(&self, class: Class, name: &str) -> Result<OrganizationInfo, Error> {
        let reply = self.get(class, Path::new("/organizations/:organization", &[name])?).await?;
        Ok(document::<Document<OrganizationResource>>(Effect::Read, &reply)?.data.into_info())
    }

    /// A team, by its id (API page "Teams").
    ///
    /// # Errors
    /// `Hidden` if there is none with that id that the caller may see.
    pub async fn team(&self, class: Class, id: &str) -> Result<TeamInfo, Error> {
        let reply = self.get(class, Path::new("/teams/:team", &[id])?).await?;
        Ok(document::<Document<TeamResource>>(Effect::Read, &reply)?.data.into_info())
    }

    /// A team, by its exact name in an organization.
    ///
    /// # Errors
    /// `Hidden` if no page of the list has it: no such team, a secret one, or an organization out of sight.
    pub async fn team_named(&self, class: Class, organization: &str, name: &str) -> Result<TeamInfo, Error> {
        let path = Path::new("/organizations/:organization/teams", &[organization])?;
        // The filter is a list with commas between, and servers that do not know it send all teams: the names are compared here.
        let filter = (!name.contains(',')).then(|| ("filter[names]", name.to_owned()));
        let mut pages = Pages::new(path, Some(PAGE_SIZE), filter);
        while let Some(call) = pages.next() {
            let page: Document<Vec<TeamResource>> = document(Effect::Read, &self.send(class, &call).await?)?;
            pages.after(&page)?;
            let mut teams = page.data.into_iter().map(TeamResource::into_info);
            if let Some(team) = teams.find(|team| team.name == name) {
                return Ok(TeamInfo {
                    organization: team.organization.or_else(|| Some(organization.to_owned())),
                    ..team
                });
            }
        }
        Err(Error::hidden("no team of that name there that the token may see"))
    }

    /// Makes a token that leaves its owner's others alone. It is sent once (again only after a 429). `expires_at` is cut to the second.
    ///
    /// # Errors
    /// `Ambiguous` if a token may exist that nobody has; the error names its id where the reply did. Also where the description is taken
    /// (a team's tokens have different ones): no two requests have the same, so something on the way sent this one twice.
    pub async fn mint(
        &self,
        class: Class,
        owner: &Owner,
        description: &str,
        expires_at: Timestamp,
    ) -> Result<Minted, Error> {
        let body = json!({ "data": {
            "type": "authentication-tokens",
            "attributes": { "description": description, "expired-at": whole_seconds(expires_at) },
        }});
        self.create(class, owner.path()?, body).await.map_err(|error| match error.kind {
            Kind::Rejected if error.words.contains("already been taken") => Error { kind: Kind::Ambiguous, ..error },
            _ => error,
        })
    }

    /// Makes a slot's token, which kills the one before. Else as [`Client::mint`].
    ///
    /// # Errors
    /// `Ambiguous` if the old token may be dead and a new one exist.
    pub async fn mint_slot(&self, class: Class, slot: &Slot, expires_at: Timestamp) -> Result<Minted, Error> {
        let body = json!({ "data": {
            "type": "authentication-token",
            "attributes": { "expired-at": whole_seconds(expires_at) },
        }});
        self.create(class, slot.path()?, body).await
    }

    /// The token in a slot; `None` if it is empty and the caller is shown to be able to see it: TFC says 404 for an empty slot as for a
    /// hidden one, so the subject is read and must grant the right to its token.
    ///
    /// # Errors
    /// `Hidden` if that is not shown.
    pub async fn slot(&self, class: Class, slot: &Slot) -> Result<Option<TokenInfo>, Error> {
        match self.get(class, slot.path()?).await {
            Ok(reply) => Ok(Some(document::<Document<TokenResource>>(Effect::Read, &reply)?.data.into_info())),
            Err(error) if error.kind == Kind::Hidden => self.shown_empty(class, slot).await.map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// Deletes whatever token is in a slot; read it first. Sent once.
    ///
    /// # Errors
    /// `Hidden` on a 404 if the caller is not shown to be able to see the slot; `Ambiguous` if the token may be gone.
    pub async fn delete_slot(&self, class: Class, slot: &Slot) -> Result<Deleted, Error> {
        match self.delete(class, slot.path()?).await {
            Ok(()) => Ok(Deleted::Done),
            Err(error) if error.kind == Kind::Hidden => self.shown_empty(class, slot).await.map(|()| Deleted::WasEmpty),
            Err(error) => Err(error),
        }
    }

    /// All tokens of a scope, all pages.
    ///
    /// # Errors
    /// `Malformed` also if one token of a page can't be read: a list with a gap would prove an absence that is none.
    pub async fn list(&self, class: Class, scope: &ListScope) -> Result<Listing, Error> {
        let mut seen = HashSet::new();
        let mut tokens = Vec::new();
        let take = |page: Vec<TokenInfo>| tokens.extend(page.into_iter().filter(|token| seen.insert(token.id.clone())));
        let (total, pages) = self.visit(class, scope, take).await?;
        Ok(Listing { tokens, total, pages })
    }

    /// All tokens of a scope, page by page as they come: nothing is kept. A list that shifts meanwhile may show one twice, or miss one.
    /// Gives TFC's count, where its pages agree on one, and the number of pages.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn visit(
        &self,
        class: Class,
        scope: &ListScope,
        mut take: impl FnMut(Vec<TokenInfo>),
    ) -> Result<(Option<u64>, u32), Error> {
        // A user's list is whole unless pages are asked for (API page "User Tokens").
        let size = match scope {
            ListScope::User { .. } => None,
            ListScope::Organization { .. } => Some(PAGE_SIZE),
        };
        let mut pages = Pages::new(scope.path()?, size, None);
        while let Some(call) = pages.next() {
            let page: Document<Vec<TokenResource>> = document(Effect::Read, &self.send(class, &call).await?)?;
            pages.after(&page)?;
            take(page.data.into_iter().map(TokenResource::into_info).collect());
        }
        Ok((pages.total(), pages.walked))
    }

    /// A token, by its id.
    ///
    /// # Errors
    /// `Hidden` if it is gone or the caller may not see it; which of the two takes a proof.
    pub async fn show(&self, class: Class, id: &str) -> Result<TokenInfo, Error> {
        let reply = self.get(class, Path::new("/authentication-tokens/:token", &[id])?).await?;
        Ok(document::<Document<TokenResource>>(Effect::Read, &reply)?.data.into_info())
    }

    /// Revokes a token, by its id. Sent a second time where the first may not have arrived.
    ///
    /// # Errors
    /// `Hidden` if it is gone (perhaps by the first try) or the caller may not see it; `Ambiguous` if it may be gone.
    pub async fn revoke(&self, class: Class, id: &str) -> Result<(), Error> {
        let path = Path::new("/authentication-tokens/:token", &[id])?;
        match self.delete(class, path.clone()).await {
            Err(error) if error.kind == Kind::Ambiguous => {
                self.delete(class, path).await.map_err(|second| match second.kind {
                    // Where nothing of the second arrived the fate of the first is still open.
                    Kind::Unavailable | Kind::Limited { .. } => error,
                    _ => second,
                })
            }
            result => result,
        }
    }

    async fn shown_empty(&self, class: Class, slot: &Slot) -> Result<(), Error> {
        let can_see = match slot {
            Slot::Organization { name } => self.organization(class, name).await?.can_update_token,
            Slot::TeamLegacy { team_id } => self.team(class, team_id).await?.can_update_token,
        };
        if can_see == Some(true) {
            return Ok(());
        }
        Err(Error::hidden("not found, and the caller's token has no right to see the token there if there is one")
            .with_status(404))
    }

    async fn create(&self, class: Class, path: Path, body: Value) -> Result<Minted, Error> {
        let call = Call { method: Method::POST, path, query: Vec::new(), body: Some(body), max_bytes: OBJECT_BYTES };
        let reply = self.send(class, &call).await?;
        let info = document::<Document<TokenResource>>(Effect::Write, &reply)?.data.into_info();
        let secret: Result<Document<TokenSecret>, Error> = document(Effect::Write, &reply);
        match secret.map(|secret| secret.data.into_value()) {
            Ok(Some(value)) => Ok(Minted { info, value }),
            Ok(None) => Err(Error::new(Kind::Ambiguous, "TFC made a token and did not show its value")
                .with_status(reply.status)
                .with_token_id(Some(info.id))),
            Err(error) => Err(error.with_token_id(Some(info.id))),
        }
    }

    async fn delete(&self, class: Class, path: Path) -> Result<(), Error> {
        let call = Call { method: Method::DELETE, path, query: Vec::new(), body: None, max_bytes: OBJECT_BYTES };
        let reply = self.send(class, &call).await?;
        if reply.status == 204 {
            return Ok(());
        }
        // A login page says 200 to everything.
        Err(Error::new(Kind::Ambiguous, "the answer to a delete is not 204; does a proxy answer?")
            .with_status(reply.status))
    }

    async fn get(&self, class: Class, path: Path) -> Result<Reply, Error> {
        let call = Call { method: Method::GET, path, query: Vec::new(), body: None, max_bytes: OBJECT_BYTES };
        self.send(class, &call).await
    }

    async fn send(&self, class: Class, call: &Call) -> Result<Reply, Error> {
        let permits = Permits { budget: &self.budget, gate: self.gate.as_ref(), turn: self.turn.as_deref() };
        self.exchange.call(permits, class, call).await
    }
}

/// go-tfe sends whole seconds and gets the same instant back; nothing documents what becomes of fractions.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// The walk over a list's pages.
struct Pages {
    path: Path,
    size: Option<u32>,
    filter: Option<(&'static str, String)>,
    next: Option<u64>,
    walked: u32,
    total: Option<u64>,
    totals_agree: bool,
}

impl Pages {
    fn new(path: Path, size: Option<u32>, filter: Option<(&'static str, String)>) -> Pages {
        Pages { path, size, filter, next: Some(1), walked: 0, total: None, totals_agree: true }
    }

    /// The request for the next page, until [`Pages::after`] has seen the last.
    fn next(&mut self) -> Option<Call> {
        let number = self.next.take()?;
        let mut query = Vec::new();
        if self.size.is_some() || number > 1 {
            query.push(("page[number]", number.to_string()));
        }
        query.extend(self.size.map(|size| ("page[size]", size.to_string())));
        query.extend(self.filter.clone());
        self.walked += 1;
        Some(Call { method: Method::GET, path: self.path.clone(), query, body: None, max_bytes: PAGE_BYTES })
    }

    /// Takes a page's count and its successor.
    fn after<T>(&mut self, page: &Document<Vec<T>>) -> Result<(), Error> {
        let pagination = page.meta.as_ref().and_then(|meta| meta.pagination.as_ref());
        let total = pagination.and_then(|pagination| pagination.total_count);
        if self.walked > 1 && total != self.total {
            self.totals_agree = false;
        }
        self.total = total;
        let next = pagination.and_then(|pagination| pagination.next_page);
        if next.is_some_and(|next| next != u64::from(self.walked) + 1) || (next.is_some() && self.walked >= MAX_PAGES) {
            return Err(Error::new(Kind::Malformed, "the list's pages do not follow one another"));
        }
        self.next = next;
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        self.total.filter(|_| self.totals_agree)
    }
}
