//! What people do to the role, its Secret, the config and TFC, at any moment.

use serde_json::{Value, json};
use tfc_token_operator::api::ConfigReason;
use tfc_token_operator::api::names::{
    ANNOTATION_RECORD, ANNOTATION_RENEW, ANNOTATION_REVOKE, ANNOTATION_ROTATE, LABEL_MANAGED_BY, LABEL_ROLE,
};
use tfc_token_operator::plan::observed::{Account, AccountKind, Unready};

use crate::history::History;
use crate::replica::now;
use crate::servers::{ROLE, SECRET};
use crate::time::at;

impl History {
    /// One deed.
    pub fn people(&mut self, what: u16, how: u16) {
        self.serial += 1;
        let value = format!("{}", self.serial);
        match what % 26 {
            0 | 1 => self.wish(ANNOTATION_ROTATE, &value),
            2 | 3 => self.wish(ANNOTATION_REVOKE, &value),
            4 => self.wish(ANNOTATION_RENEW, &value),
            5 | 6 => {
                self.servers.api.remove(SECRET, "");
                self.person_changed(SECRET, "deletes the Secret");
            }
            7 => {
                self.servers.api.edit(SECRET, |secret| secret["data"]["token"] = "ZWRpdGVk".into());
                self.person_changed(SECRET, "edits the value");
            }
            8 | 9 => {
                self.servers.api.edit(SECRET, |secret| drop(annotations(secret).map(|a| a.remove(ANNOTATION_RECORD))));
                self.person_changed(SECRET, "removes the record");
            }
            10 => {
                self.servers.api.edit(SECRET, |secret| {
                    if let Some(labels) = secret["metadata"]["labels"].as_object_mut() {
                        labels.retain(|name, _| name != LABEL_MANAGED_BY && name != LABEL_ROLE);
                    }
                    secret["metadata"]["annotations"]["note"] = value.clone().into();
                });
                self.person_changed(SECRET, "relabels the Secret");
            }
            11 => {
                self.servers.api.edit(SECRET, |secret| {
                    drop(secret["metadata"].as_object_mut().map(|m| m.remove("ownerReferences")))
                });
                self.person_changed(SECRET, "takes the owner off the Secret");
            }
            12 if how.is_multiple_of(3) => {
                self.wiped = true;
                self.servers.api.edit(ROLE, |role| drop(role.as_object_mut().map(|role| role.remove("status"))));
                self.person_changed(ROLE, "wipes the status");
            }
            13 => {
                self.servers.api.edit(ROLE, |role| {
                    let suspended = role["spec"]["suspend"] == true;
                    role["spec"]["suspend"] = (!suspended).into();
                });
                self.person_changed(ROLE, "switches suspend");
            }
            14 if !self.is_slot() => {
                let ttl = ["1h", "48h", "20m"][usize::from(how % 3)];
                self.servers.api.edit(ROLE, |role| role["spec"]["ttl"] = ttl.into());
                self.person_changed(ROLE, "changes the ttl");
            }
            15 => {
                self.servers.api.edit(ROLE, |role| role["spec"]["secret"] = json!({"labels": {"a": value}}));
                self.person_changed(ROLE, "changes the Secret's labels");
            }
            16 => {
                let allow = &mut self.config.terms.allow;
                *allow = if allow.is_some() { None } else { Some(Vec::new()) };
                self.say(|| "admission changes".into());
                self.config_changed();
            }
            17 => {
                self.config.account = match &self.config.account {
                    Ok(_) => Err(Unready { reason: Some(ConfigReason::Unreachable) }),
                    Err(_) => Ok(Account {
                        id: "user-ci".into(),
                        kind: AccountKind::User,
                        token_id: Some("at-config".into()),
                    }),
                };
                self.say(|| "the account is away, or back".into());
                self.config_changed();
            }
            18 => {
                let going = !self.config.namespace_going;
                (self.config.namespace_going, self.servers.api.namespace_going) = (going, going);
                self.say(|| format!("the namespace is going: {going}"));
                self.config_changed();
            }
            19 | 20 => {
                self.servers.api.remove(ROLE, &at(now()).to_string());
                self.person_changed(ROLE, "deletes the role");
            }
            21 if self.servers.api.object(ROLE).is_none() => {
                self.apply_role(how.is_multiple_of(2));
                self.say(|| "a person applies the role anew".into());
            }
            22 if how.is_multiple_of(4) => {
                self.orphaned = true;
                self.servers.api.edit(ROLE, |role| role["metadata"]["finalizers"] = json!([]));
                self.person_changed(ROLE, "strips the finalizers");
            }
            23 if self.is_slot() && how.is_multiple_of(2) => {
                self.servers.person_regenerates_slot();
                self.say(|| "a person regenerates the slot".into());
            }
            24 => {
                self.servers.pod_uses_secret();
                self.say(|| "a pod uses the token".into());
            }
            25 if self.is_slot() => {
                let id = self.servers.id_in_secret().unwrap_or_default();
                self.servers.tfc.set_now(at(now()));
                self.servers.tfc.person_deletes(&id);
                self.say(|| format!("a person deletes {id} in TFC"));
            }
            _ => {}
        }
    }

    fn wish(&mut self, name: &str, value: &str) {
        self.servers.told_to |= name != ANNOTATION_RENEW;
        self.servers.api.edit(ROLE, |role| role["metadata"]["annotations"][name] = value.into());
        self.person_changed(ROLE, name);
    }

    fn person_changed(&mut self, path: &str, what: &str) {
        self.say(|| format!("a person {what}"));
        self.changed(path);
    }
}

fn annotations(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object["metadata"]["annotations"].as_object_mut()
}
