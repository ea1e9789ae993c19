//! The two servers, and what must hold at each effect on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tfc_harness::simulator::{Fate, InProcess, Revocation, Slot, StandardIds, TokenView, standard_world};

use tfc_token_operator::api::names::ANNOTATION_RECORD;

use crate::apiserver::{ApiServer, Call};
use crate::replica::now;
use crate::time::{at, date};
use crate::wire::{Reply, Sent, Server};

/// Path of the role.
pub const ROLE: &str = "/apis/terraformcloud.dev/v1alpha1/namespaces/apps/terraformcloudroles/shop";
/// Path of its Secret.
pub const SECRET: &str = "/api/v1/namespaces/apps/secrets/shop";

/// A token that the operator minted.
pub struct Minted {
    pub value: String,
    pub attempt: Option<String>,
    /// UID of the role that it was minted for.
    pub role: String,
}

/// TFC, the API server, and what is remembered of both to judge the operator by.
pub struct Servers {
    pub api: ApiServer,
    pub tfc: InProcess,
    pub ids: StandardIds,
    pub slot: Option<Slot>,
    /// By id.
    pub minted: BTreeMap<String, Minted>,
    /// Attempts that were ever written down as intents, and the expiries that they named.
    intents: BTreeSet<String>,
    expiries: BTreeSet<Timestamp>,
    /// A person's token in the slot, and which replicas were shown it since.
    foreign: Option<(String, [bool; 2])>,
    /// A person has asked for a mint whatever the slot holds.
    pub told_to: bool,
    /// What went against the rules.
    pub wrong: Option<String>,
}

impl Servers {
    pub fn new(slot: Option<Slot>) -> Self {
        let world = standard_world();
        Servers {
            api: ApiServer::default(),
            tfc: InProcess::new(world.world, at(now())),
            ids: world.ids,
            slot,
            minted: BTreeMap::new(),
            intents: BTreeSet::new(),
            expiries: BTreeSet::new(),
            foreign: None,
            told_to: false,
            wrong: None,
        }
    }

    /// Notes the first thing that went against the rules.
    pub fn accuse(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert_with(|| what.into());
    }

    /// A request leaves a replica. `late`: its Lease is over.
    pub fn sends(&mut self, sent: &mut Sent, who: usize, late: bool) {
        if late && (sent.server == Server::Tfc || sent.method != "GET") {
            self.accuse(format!("{} {} was sent after the Lease's end", sent.method, sent.path));
        }
        let is_secret = sent.server == Server::Api && sent.path.contains("/secrets");
        if !is_secret && self.names_a_value(&String::from_utf8_lossy(&sent.body)) {
            self.accuse(format!("{} {} holds a token's value", sent.method, sent.path));
        }
        if sent.server == Server::Tfc && sent.method == "POST" {
            self.sends_mint(sent);
            sent.kills_knowingly =
                self.foreign.as_ref().filter(|(_, seen)| seen[who] && !self.told_to).map(|f| f.0.clone());
        }
    }

    /// Whether a text holds the value of a token, as it is or in base64.
    pub fn names_a_value(&self, text: &str) -> bool {
        let admin = self.ids.ci_token.expose();
        self.minted
            .values()
            .map(|minted| minted.value.as_str())
            .chain([admin])
            .any(|value| text.contains(value) || text.contains(&BASE64.encode(value.as_bytes())))
    }

    fn sends_mint(&mut self, sent: &Sent) {
        let body: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
        let attributes = &body["data"]["attributes"];
        let Some(expiry) = attributes["expired-at"].as_str().and_then(|text| text.parse().ok()) else {
            return self.accuse("a mint without an expiry");
        };
        let known = match attributes["description"].as_str() {
            Some(description) => self.intents.contains(attempt_in(description).unwrap_or_default()),
            None => self.slot.is_some() && self.expiries.contains(&expiry),
        };
        if !known {
            self.accuse("a mint without an intent before it");
        }
    }

    /// Acts on a request.
    pub fn act(&mut self, sent: &Sent, who: usize) -> (Reply, Option<String>) {
        let (status, body, changed) = match sent.server {
            Server::Api => self.act_api(sent),
            Server::Tfc => self.act_tfc(sent, who),
        };
        let date = date(now(), SignedDuration::ZERO);
        (Reply { status, body, date, json: true, reset: None, cut: false }, changed)
    }

    fn act_api(&mut self, sent: &Sent) -> (u16, Vec<u8>, Option<String>) {
        let before = self.token_in_secret();
        let call = Call {
            method: &sent.method,
            path: &sent.path,
            query: &sent.query,
            metadata_only: sent.metadata_only,
            body: &sent.body,
        };
        let done = self.api.answer(&call);
        match done.changed.as_deref() {
            Some(ROLE) => self.read_intent(),
            Some(SECRET) => self.secret_written(before),
            _ => {}
        }
        (done.status, serde_json::to_vec(&done.body).expect("JSON"), done.changed)
    }

    fn read_intent(&mut self) {
        let Some(intent) = self.api.object(ROLE).map(|role| &role["status"]["intent"]) else { return };
        if let Some(attempt) = intent["attempt"].as_str() {
            self.intents.insert(attempt.to_owned());
        }
        self.expiries.extend(intent["requestedExpiry"].as_str().and_then(|text| text.parse::<Timestamp>().ok()));
    }

    fn secret_written(&mut self, before: Option<TokenView>) {
        let Some(after) = self.token_in_secret() else { return };
        if before.as_ref().is_some_and(|before| before.id == after.id) {
            return;
        }
        let revoked = match &after.fate {
            Fate::Revoked { how: Revocation::Delete, .. } => true,
            // A slot's minter may find its token replaced; but it must not write over the one that lives.
            Fate::Revoked { how: Revocation::SlotReplaced, .. } => before.is_some_and(|before| before.is_alive()),
            _ => false,
        };
        if revoked {
            self.accuse(format!("the Secret came to hold {}, which was revoked", after.id));
        }
    }

    fn act_tfc(&mut self, sent: &Sent, who: usize) -> (u16, Vec<u8>, Option<String>) {
        self.tfc.set_now(at(now()));
        let target = if sent.query.is_empty() { sent.path.clone() } else { format!("{}?{}", sent.path, sent.query) };
        let slot_path = sent.path.ends_with("/authentication-token");
        let in_slot = self.slot.as_ref().and_then(|slot| self.tfc.slot(slot)).map(|token| token.id);
        let answered = self.tfc.answer(&sent.method, &target, &sent.bearer, &sent.body);
        let ok = answered.status < 300;
        match sent.method.as_str() {
            "GET" if slot_path && ok => {
                if let Some((_, seen)) = &mut self.foreign {
                    seen[who] = true;
                }
            }
            "DELETE" if ok => {
                let id = if slot_path { in_slot } else { sent.path.rsplit('/').next().map(str::to_owned) };
                self.revoked(&id.unwrap_or_default());
            }
            "POST" if ok => {
                if let (true, Some(id)) = (slot_path, &sent.kills_knowingly)
                    && in_slot.as_ref() == Some(id)
                {
                    self.accuse(format!("a mint killed {id}, a person's token that the slot was seen to hold"));
                }
                let body: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let attributes = &body["data"]["attributes"];
                let minted = Minted {
                    role: self.role_uid(),
                    value: text(&attributes["token"]).unwrap_or_default(),
                    attempt: attributes["description"].as_str().and_then(attempt_in).map(str::to_owned),
                };
                self.minted.insert(text(&body["data"]["id"]).unwrap_or_default(), minted);
                if slot_path {
                    self.foreign = None;
                }
            }
            _ => {}
        }
        (answered.status, answered.body, None)
    }

    fn revoked(&mut self, id: &str) {
        if !self.minted.contains_key(id) {
            return self.accuse(format!("{id} was revoked, which the operator did not make"));
        }
        if self.id_in_secret().as_deref() == Some(id) && self.secret_is_the_roles() {
            self.accuse(format!("{id} was revoked while the Secret holds it"));
        }
    }

    /// The value in the Secret.
    pub fn value_in_secret(&self) -> Option<String> {
        let text = self.api.object(SECRET)?["data"]["token"].as_str()?;
        String::from_utf8(BASE64.decode(text.as_bytes()).ok()?).ok()
    }

    /// Id of the token in the Secret.
    pub fn id_in_secret(&self) -> Option<String> {
        self.tfc.token_id_of_value(&self.value_in_secret()?)
    }

    /// The token in the Secret.
    pub fn token_in_secret(&mut self) -> Option<TokenView> {
        self.tfc.set_now(at(now()));
        self.tfc.token(&self.id_in_secret()?)
    }

    /// Tokens of the operator's that live.
    pub fn alive(&mut self) -> Vec<TokenView> {
        self.tfc.set_now(at(now()));
        self.minted.keys().filter_map(|id| self.tfc.token(id)).filter(TokenView::is_alive).collect()
    }

    /// A pod uses the value in the Secret.
    pub fn pod_uses_secret(&mut self) {
        if let Some(value) = self.value_in_secret() {
            self.tfc.set_now(at(now()));
            self.tfc.answer("GET", "/account/details", &value, &[]);
        }
    }

    /// A person makes a new token in the slot.
    pub fn person_regenerates_slot(&mut self) {
        self.tfc.set_now(at(now()));
        let slot = self.slot.clone();
        if let Some(id) = slot.and_then(|slot| self.tfc.person_regenerates_slot(&slot)) {
            self.foreign = Some((id, [false; 2]));
            self.told_to = false;
        }
    }

    /// Owner or record say so; a person who takes both off has made the Secret their own.
    pub fn secret_is_the_roles(&self) -> bool {
        let (Some(secret), uid) = (self.api.object(SECRET), self.role_uid()) else { return false };
        let meta = &secret["metadata"];
        let owned = meta["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["uid"] == uid.as_str());
        let record = meta["annotations"][ANNOTATION_RECORD].as_str().and_then(|text| serde_json::from_str(text).ok());
        owned || record.is_some_and(|record: Value| record["roleUID"] == uid.as_str())
    }

    /// UID of the role; empty where there is none.
    pub fn role_uid(&self) -> String {
        let role = self.api.object(ROLE);
        role.and_then(|role| role["metadata"]["uid"].as_str()).unwrap_or_default().to_owned()
    }

    /// The role's status.
    pub fn status(&self) -> Option<&Value> {
        self.api.object(ROLE).map(|role| &role["status"])
    }
}

/// The attempt that a marker names.
fn attempt_in(description: &str) -> Option<&str> {
    description.split(' ').next()?.split('.').nth(3)
}

/// How long after it was sent a request may still be acted on. The settling time covers all of them; a change of a Secret that stands
/// is fenced, whenever it lands.
pub fn lands_within(sent: &Sent) -> Duration {
    let fenced = sent.method == "PATCH" && sent.path == SECRET;
    Duration::from_secs(if fenced { 1200 } else { 55 })
}
