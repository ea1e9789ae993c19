//! What must be so when the faults are over and time has passed.

use serde_json::Value;

use crate::history::{History, Judged};
use crate::servers::SECRET;

impl History {
    pub fn expect_served(&mut self) -> Judged {
        let status = self.servers.status().cloned().unwrap_or_default();
        let reason = ready_reason(&status);
        self.say(|| format!("status: {status}"));
        let held = self.servers.token_in_secret();
        let served =
            held.as_ref().is_some_and(|held| held.is_alive() && status["current"]["tokenID"] == held.id.as_str());
        let left_to_others = matches!(reason.as_str(), "TakenOver" | "SlotOccupied");
        let excused = self.is_slot() && left_to_others;
        if !served && !excused {
            return Err(format!("the role is not served: {reason}, the Secret holds {held:?}"));
        }
        let held = held.map(|held| held.id);
        let known = |id: &str, attempt: &Option<String>| {
            let lists = ["predecessors", "unsettled"].into_iter().flat_map(|name| status[name].as_array()).flatten();
            lists.chain([&status["current"], &status["intent"]]).any(|record| {
                record["tokenID"] == id || attempt.as_deref().is_some_and(|attempt| record["attempt"] == attempt)
            })
        };
        let alive = self.servers.alive();
        let uid = self.servers.role_uid();
        let lost = alive.iter().find(|token| {
            let minted = &self.servers.minted[&token.id];
            let used = self.wiped && token.first_used_at.is_some();
            let of_former = (self.wiped || self.orphaned) && minted.role != uid;
            held.as_ref() != Some(&token.id) && !used && !of_former && !known(&token.id, &minted.attempt)
        });
        match lost.filter(|_| !self.is_slot()) {
            Some(token) => Err(format!("{} lives, and nobody knows", token.id)),
            None => Ok(()),
        }
    }

    pub fn expect_gone(&mut self) -> Judged {
        self.say(|| "the end".into());
        if let Some(status) = self.servers.status() {
            return Err(format!("the role does not go: {status}"));
        }
        if self.servers.api.object(SECRET).is_some() {
            return Err("the Secret does not go".into());
        }
        match self.servers.alive().first().filter(|_| !self.wiped && !self.orphaned) {
            Some(token) => Err(format!("the role went, and {} lives", token.id)),
            None => Ok(()),
        }
    }
}

fn ready_reason(status: &Value) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    ready.and_then(|ready| ready["reason"].as_str()).unwrap_or_default().to_owned()
}
