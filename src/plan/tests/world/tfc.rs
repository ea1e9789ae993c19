//! TFC, as far as tokens go: what it makes, shows and revokes, and to whom.

use super::super::build::t;
use crate::plan::observed::{Account, AccountKind, MarkedToken, Shown, SlotLook, SlotToken, Walk};
use crate::plan::step::Order;
use crate::plan::subject::Subject;

/// How a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its expiry. TFC's clock may be set back afterwards: it stays dead.
    Expired,
    /// The operator revoked it, by its id.
    Revoked,
    /// A later mint on its slot killed it.
    Replaced,
    /// A person revoked it.
    ByHand,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    pub host: String,
    pub subject: String,
    /// Role and attempt that it was minted for: what its marker says, if its kind has one. `None`: a person's.
    pub maker: Option<(String, String)>,
    pub account: String,
    pub created: i64,
    pub expires: i64,
    pub end: Option<End>,
    pub used: bool,
    /// A request that was carried out twice made it, and another: only a list tells of both.
    pub twin: bool,
    /// Its Secret was let go with it.
    pub retained: bool,
}

impl Token {
    pub fn lives(&self) -> bool {
        self.end.is_none()
    }

    pub fn is_of(&self, attempt: &str) -> bool {
        self.maker.as_ref().is_some_and(|(_, name)| name == attempt)
    }
}

#[derive(Debug, Default)]
pub struct Tfc {
    pub tokens: Vec<Token>,
    /// No token lives longer.
    pub longest: Option<i64>,
    /// Out of reach.
    pub away: bool,
    /// It refuses each mint.
    pub refuses: bool,
    /// Accounts that lost their right to see teams and organizations.
    pub blind: Vec<String>,
    /// Slots' tokens can't be revoked by id: 404.
    pub by_slot_only: bool,
}

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Caller {
    pub host: String,
    pub account: Account,
}

impl Tfc {
    pub fn sees(&self, caller: &Caller, subject: &str) -> bool {
        match Subject::parse(subject) {
            Some(Subject::User(id)) => caller.account.kind == AccountKind::User && caller.account.id == id,
            _ => !self.blind.contains(&caller.account.id),
        }
    }

    pub fn token(&self, id: &str) -> Option<&Token> {
        self.at(id).map(|at| &self.tokens[at])
    }

    pub fn token_mut(&mut self, id: &str) -> Option<&mut Token> {
        self.at(id).map(|at| &mut self.tokens[at])
    }

    fn at(&self, id: &str) -> Option<usize> {
        id.strip_prefix("at-")?.parse().ok().filter(|at| *at < self.tokens.len())
    }

    fn shown(&self, caller: &Caller, id: &str) -> Option<&Token> {
        self.token(id).filter(|token| token.lives() && token.host == caller.host && self.sees(caller, &token.subject))
    }

    pub fn expire(&mut self, clock: i64) {
        for token in &mut self.tokens {
            if token.lives() && token.expires <= clock {
                token.end = Some(End::Expired);
            }
        }
    }

    pub fn slot(&self, host: &str, subject: &str) -> Option<&Token> {
        self.tokens.iter().rev().find(|token| token.lives() && token.host == host && token.subject == subject)
    }

    /// Makes a token; on a slot the former one dies. Gives its id.
    pub fn make(&mut self, mut token: Token) -> String {
        let is_slot = Subject::parse(&token.subject).is_some_and(|subject| subject.is_slot());
        for former in self.tokens.iter_mut().filter(|_| is_slot) {
            if former.lives() && former.host == token.host && former.subject == token.subject {
                former.end = Some(End::Replaced);
            }
        }
        token.id = format!("at-{}", self.tokens.len());
        self.tokens.push(token.clone());
        token.id
    }

    pub fn mint(&mut self, caller: &Caller, role: &str, order: &Order, clock: i64) -> String {
        let asked = order.expires_at.as_second() - t(0).as_second();
        self.make(Token {
            id: String::new(),
            host: caller.host.clone(),
            subject: order.subject.to_string(),
            maker: Some((role.to_owned(), order.attempt.clone())),
            account: caller.account.id.clone(),
            created: clock,
            expires: self.longest.map_or(asked, |longest| asked.min(clock + longest)),
            end: None,
            used: false,
            twin: false,
            retained: false,
        })
    }

    pub fn look(&self, caller: &Caller, subject: &Subject) -> SlotLook {
        let token = self.slot(&caller.host, &subject.to_string()).map(|token| SlotToken {
            id: token.id.clone(),
            created_at: t(token.created),
            last_used_at: None,
            expires_at: Some(t(token.expires)),
            created_by: Some(token.account.clone()),
        });
        SlotLook { token }
    }

    /// All tokens of the subject with this role's marker. TFC gives another user's list as an empty one.
    pub fn walk(&self, caller: &Caller, role: &str, subject: &Subject) -> Walk {
        let sees = self.sees(caller, &subject.to_string());
        if !sees && !matches!(subject, Subject::User(_)) {
            return Walk::default();
        }
        let there = self.tokens.iter().filter(|token| sees && token.lives() && token.host == caller.host);
        let its = there.filter(|token| token.subject == subject.to_string());
        Walk { tokens: its.filter_map(|token| marked(token, role)).collect(), complete: true }
    }

    pub fn show(&self, caller: &Caller, role: &str, own_user: bool, id: &str) -> Shown {
        match self.shown(caller, id) {
            Some(token) => marked(token, role).map_or(Shown::Foreign, Shown::Ours),
            None if own_user => Shown::Gone,
            None => Shown::Hidden,
        }
    }

    /// Whether there was something to revoke, as far as the caller is told.
    pub fn revoke(&mut self, caller: &Caller, id: &str) -> bool {
        let is_slot = |token: &Token| Subject::parse(&token.subject).is_some_and(|subject| subject.is_slot());
        let there = self.shown(caller, id).is_some_and(|token| !(self.by_slot_only && is_slot(token)));
        if let Some(token) = self.token_mut(id).filter(|_| there) {
            token.end = Some(End::Revoked);
        }
        there
    }
}

fn marked(token: &Token, role: &str) -> Option<MarkedToken> {
    let is_slot = Subject::parse(&token.subject).is_some_and(|subject| subject.is_slot());
    let (_, attempt) = token.maker.as_ref().filter(|(maker, _)| maker == role && !is_slot)?;
    Some(MarkedToken {
        id: token.id.clone(),
        attempt: attempt.clone(),
        used: token.used,
        issued_at: t(token.created),
        expires_at: Some(t(token.expires)),
    })
}
