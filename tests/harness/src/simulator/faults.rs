//! Faults that a test programs: which request they strike and what they do to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::api::segments;

/// Which requests a fault strikes. Without further words: every request of that method and path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct When {
    /// The method; none is any.
    #[serde(default)]
    pub method: Option<String>,
    /// A path below `/api/v2`, without query. A segment `*` or one that begins with `:` stands for any one segment, a last
    /// segment `**` for any rest.
    #[serde(default = "anything")]
    pub path: String,
    /// Part of the query as it was sent (`page%5Bnumber%5D=2`), or after decoding (`page[number]=2`).
    #[serde(default)]
    pub query: Option<String>,
    /// Account id, or id of the user, the team, or the organization (external id), of the caller; none is any.
    #[serde(default)]
    pub caller: Option<String>,
    /// How many matching requests are let through first.
    #[serde(default)]
    pub skip: u64,
    /// How many are struck after that; none is all.
    #[serde(default)]
    pub times: Option<u64>,
}

fn anything() -> String {
    "**".to_owned()
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        Self { method: None, path: anything(), query: None, caller: None, skip: 0, times: None }
    }

    /// Requests of that method and path.
    pub fn request(method: &str, path: &str) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), ..Self::any() }
    }

    /// A GET of that path.
    pub fn get(path: &str) -> Self {
        Self::request("GET", path)
    }

    /// A POST to that path.
    pub fn post(path: &str) -> Self {
        Self::request("POST", path)
    }

    /// A DELETE of that path.
    pub fn delete(path: &str) -> Self {
        Self::request("DELETE", path)
    }

    /// Any create of a token: no other POST has three segments.
    pub fn mint() -> Self {
        Self::post("/*/*/:create")
    }

    /// Only with this in the query.
    pub fn query(mut self, part: &str) -> Self {
        self.query = Some(part.to_owned());
        self
    }

    /// Only from this caller.
    pub fn caller(mut self, id: &str) -> Self {
        self.caller = Some(id.to_owned());
        self
    }

    /// Only the nth matching request, from 1.
    pub fn nth(mut self, n: u64) -> Self {
        self.skip = n.saturating_sub(1);
        self.times = Some(1);
        self
    }

    /// Only the first so many matching requests.
    pub fn times(mut self, n: u64) -> Self {
        self.times = Some(n);
        self
    }

    /// Only the next matching request.
    pub fn once(self) -> Self {
        self.times(1)
    }

    pub(crate) fn matches(&self, met: &Met<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(met.method))
            && path_matches(&self.path, met.path)
            && self.query.as_deref().is_none_or(|part| met.raw_query.contains(part) || met.query.contains(part))
            && self.caller.as_deref().is_none_or(|id| met.account == Some(id) || met.subject == Some(id))
    }
}

/// Whether a path fits a pattern of the kind that [`When::path`] describes.
pub(crate) fn path_matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (segments(pattern), segments(path));
    for (i, want) in pattern.iter().enumerate() {
        if *want == "**" {
            return true;
        }
        match path.get(i) {
            Some(have) if want.starts_with(':') || *want == "*" || want == have => {}
            _ => return false,
        }
    }
    pattern.len() == path.len()
}

/// What a fault is matched against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub raw_query: &'a str,
    pub query: &'a str,
    pub account: Option<&'a str>,
    pub subject: Option<&'a str>,
}

/// What happens to a request that is struck.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes before the server acts.
    RequestLost,
    /// The server acts, then the connection closes without a byte of the reply.
    ReplyLost,
    /// The server acts only after the wait, even if the client has left by then.
    DelayBefore(Wait),
    /// The server acts at once and replies after the wait.
    DelayAfter(Wait),
    /// The server never acts; the connection stays open until the gate opens, then closes.
    Hang(Gate),
    /// Another reply than the server's own.
    Status(Answer),
    /// The server acts; the reply announces its whole body and breaks off in its middle.
    Truncated,
    /// The server acts; the reply's body is not JSON.
    Malformed,
    /// The server acts; the reply is valid JSON with that many bytes of padding in front of what matters.
    Huge(usize),
    /// The server acts; the reply comes so many bytes at a time.
    Slow {
        /// Bytes per tick.
        bytes: usize,
        /// Length of a tick.
        every: Duration,
    },
    /// The server doesn't act and points elsewhere.
    Redirect {
        /// 307, 302, …
        status: u16,
        /// The `Location`.
        to: String,
    },
    /// The server acts twice, as when a proxy repeats a request; the second reply is sent.
    DuplicateDelivery,
    /// The server acts; `token` is null in the reply.
    DropTokenFromReply,
    /// The list has moved since the page before: so many entries are skipped (or, negative, shown again), and `total-count`
    /// differs by so many.
    ShiftList {
        /// Entries skipped.
        skip: i64,
        /// Change of `total-count`.
        count: i64,
    },
}

impl Fault {
    /// A JSON:API error before the server acts.
    pub fn status(code: u16) -> Self {
        Self::Status(Answer::new(code))
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::RequestLost => "request-lost".to_owned(),
            Self::ReplyLost => "reply-lost".to_owned(),
            Self::DelayBefore(_) => "delay-before".to_owned(),
            Self::DelayAfter(_) => "delay-after".to_owned(),
            Self::Hang(_) => "hang".to_owned(),
            Self::Status(answer) => format!("status-{}", answer.code),
            Self::Truncated => "truncated".to_owned(),
            Self::Malformed => "malformed".to_owned(),
            Self::Huge(_) => "huge".to_owned(),
            Self::Slow { .. } => "slow".to_owned(),
            Self::Redirect { status, .. } => format!("redirect-{status}"),
            Self::DuplicateDelivery => "duplicate-delivery".to_owned(),
            Self::DropTokenFromReply => "drop-token".to_owned(),
            Self::ShiftList { .. } => "shift-list".to_owned(),
        }
    }
}

impl From<Answer> for Fault {
    fn from(answer: Answer) -> Self {
        Self::Status(answer)
    }
}

/// A reply of a test's making.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) code: u16,
    pub(crate) body: BodyKind,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) acts: bool,
}

/// Bodies of made-up replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyKind {
    /// JSON:API errors.
    JsonApi,
    /// A proxy's page.
    Html,
    /// Nothing.
    Empty,
}

impl Answer {
    /// A JSON:API error of that status, before the server acts.
    pub fn new(code: u16) -> Self {
        Self { code, body: BodyKind::JsonApi, headers: Vec::new(), acts: false }
    }

    /// With that body.
    pub fn body(mut self, body: BodyKind) -> Self {
        self.body = body;
        self
    }

    /// With a header, such as `X-RateLimit-Reset` or `Retry-After`. It replaces the simulator's own.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sent after the server has acted, as a proxy's 504.
    pub fn after_acting(mut self) -> Self {
        self.acts = true;
        self
    }
}

/// How long a delay lasts.
#[derive(Clone, Debug)]
pub enum Wait {
    /// Until a test opens the gate.
    Until(Gate),
    /// That long.
    For(Duration),
}

impl Wait {
    pub(crate) async fn over(&self) {
        match self {
            Self::Until(gate) => gate.opened().await,
            Self::For(length) => tokio::time::sleep(*length).await,
        }
    }
}

impl From<&Gate> for Wait {
    fn from(gate: &Gate) -> Self {
        Self::Until(gate.clone())
    }
}

/// Holds requests until it is opened. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self.0.borrow() { "Gate(open)" } else { "Gate(shut)" })
    }
}

impl Gate {
    /// A shut gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything through that waits and that will come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn opened(&self) {
        // The sender is held by self, so this ends only with the gate open.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A programmed fault, as the list keeps it.
#[derive(Debug)]
struct Armed {
    id: u64,
    when: When,
    fault: Fault,
    met: u64,
    hits: Arc<watch::Sender<u64>>,
}

/// The programmed faults; the first that matches strikes.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u64,
    armed: Vec<Armed>,
}

impl Faults {
    pub fn add(&mut self, when: When, fault: Fault) -> (u64, Arc<watch::Sender<u64>>) {
        let hits = Arc::new(watch::Sender::new(0));
        let id = self.next;
        self.next += 1;
        self.armed.push(Armed { id, when, fault, met: 0, hits: hits.clone() });
        (id, hits)
    }

    pub fn remove(&mut self, id: u64) {
        self.armed.retain(|armed| armed.id != id);
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// The fault that strikes a request, if any.
    pub fn strike(&mut self, met: &Met<'_>) -> Option<Fault> {
        for armed in &mut self.armed {
            if !armed.when.matches(met) {
                continue;
            }
            armed.met += 1;
            let turn = armed.met.saturating_sub(armed.when.skip);
            if turn == 0 || armed.when.times.is_some_and(|times| turn > times) {
                continue;
            }
            armed.hits.send_modify(|hits| *hits += 1);
            return Some(armed.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met<'a>(method: &'a str, path: &'a str) -> Met<'a> {
        Met { method, path, raw_query: "", query: "", account: Some("user-api-team-a"), subject: Some("team-a") }
    }

    #[test]
    fn patterns_stand_for_one_segment_or_for_the_rest() {
        assert!(path_matches("/teams/:team/authentication-tokens", "/teams/team-a/authentication-tokens"));
        assert!(path_matches("/teams/*", "/teams/team-a"));
        assert!(!path_matches("/teams/*", "/teams/team-a/authentication-tokens"));
        assert!(path_matches("/teams/**", "/teams/team-a/authentication-tokens"));
        assert!(path_matches("**", "/"));
        assert!(!path_matches("/teams", "/users"));
    }

    #[test]
    fn the_nth_request_is_struck_and_no_other() {
        let mut faults = Faults::default();
        let (_, hits) = faults.add(When::get("/teams/*").nth(2), Fault::ReplyLost);
        let struck: Vec<bool> = (0..4).map(|_| faults.strike(&met("GET", "/teams/team-a")).is_some()).collect();
        assert_eq!(struck, [false, true, false, false]);
        assert_eq!(*hits.borrow(), 1);
    }

    #[test]
    fn a_used_up_fault_makes_room_for_the_next_one() {
        let mut faults = Faults::default();
        faults.add(When::any().once(), Fault::RequestLost);
        faults.add(When::any().caller("team-a").once(), Fault::ReplyLost);
        let names: Vec<_> = (0..3).map(|_| faults.strike(&met("GET", "/ping")).map(|fault| fault.name())).collect();
        assert_eq!(names, [Some("request-lost".to_owned()), Some("reply-lost".to_owned()), None]);
    }
}
