//! The API server: roles, Secrets, Leases of slots. Every write is plain data, so that it can land late.

use std::collections::BTreeMap;

use super::super::build::{Build, time};
use crate::api::names::FINALIZER_REVOKE;
use crate::api::{Held, Pending, SecretRecord, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::plan::observed::{Config, OurSecret, Secret};

#[derive(Clone, Debug)]
pub struct Role {
    /// `None`: it is gone.
    pub object: Option<TerraformCloudRole>,
    pub rv: u64,
    pub uid: String,
    /// Index of its config.
    pub config: usize,
}

impl Role {
    pub fn status(&self) -> Option<&TerraformCloudRoleStatus> {
        self.object.as_ref()?.status.as_ref()
    }

    pub fn is_going(&self) -> bool {
        self.object.as_ref().is_none_or(|role| role.metadata.deletion_timestamp.is_some())
    }
}

/// The Secret of the role of the same index.
#[derive(Clone, Debug, Default)]
pub struct ApiSecret {
    pub uid: String,
    pub rv: u64,
    /// UID of the role that owns it.
    pub owner: Option<String>,
    pub record: Option<SecretRecord>,
    pub pending: Option<Pending>,
    /// Id of the token whose value stands here.
    pub value: Option<String>,
    /// A tenant put value and record together as they are: what stands here is the tenant's doing.
    pub tampered: bool,
    /// A former value that a tenant put back: it stays the tenant's doing, also where the operator writes the rest around it anew.
    pub restored: Option<String>,
}

/// UID and resourceVersion.
pub type On = (String, String);

#[derive(Clone, Debug)]
pub enum Change {
    /// The role's status.
    Status(Box<TerraformCloudRoleStatus>),
    /// Our finalizer, put on or taken off.
    Finalizer(bool),
    /// The Secret's data and record, on what was observed, or a create.
    Put { on: Option<On>, record: Box<SecretRecord>, value: Option<String> },
    /// The same by way of a repair: the owner is back, too.
    Repair { on: On, record: Box<SecretRecord>, value: Option<String> },
    /// The announcement of a slot's mint; none: a fence.
    Annotate { on: On, pending: Option<Box<Pending>> },
    /// The Secret goes.
    Remove { on: On },
    /// The Secret is nobody's any more.
    Disown { on: On },
}

#[derive(Clone, Debug)]
pub struct Write {
    pub role: usize,
    /// UID of the role that wrote it, and the resourceVersion of the role on which it did.
    pub by: (String, u64),
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Conflict,
    NotFound,
    Refused,
    /// It may or may not have been done.
    Unknown,
}

#[derive(Debug, Default)]
pub struct Cluster {
    version: u64,
    pub roles: Vec<Role>,
    pub secrets: Vec<Option<ApiSecret>>,
    /// The token with which the pods of the role of the same index were restarted last, and when.
    pub stamps: Vec<Option<(String, i64)>>,
    /// Holder's UID by slot.
    pub leases: BTreeMap<String, String>,
    pub namespace_going: bool,
    /// It takes no data into Secrets (an immutable one, a quota).
    pub refuses_data: bool,
    /// Nor annotations.
    pub refuses_secrets: bool,
}

impl Cluster {
    pub fn add(&mut self, role: &Build, at: usize, config: usize) {
        let mut object = role.clone().unfinalized().o.role;
        let uid = format!("role-{at}");
        object.metadata.name = Some(format!("shop-{at}"));
        object.metadata.uid = Some(uid.clone());
        let rv = self.bump();
        self.roles.push(Role { object: Some(object), rv, uid, config });
        self.secrets.push(None);
        self.stamps.push(None);
    }

    fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub fn edit_role(&mut self, at: usize, change: impl FnOnce(&mut TerraformCloudRole)) {
        let rv = self.bump();
        if let Some(role) = self.roles[at].object.as_mut() {
            change(role);
            self.roles[at].rv = rv;
        }
    }

    /// A role without our finalizer goes at once.
    pub fn delete_role(&mut self, at: usize) {
        self.edit_role(at, |role| role.metadata.deletion_timestamp = Some(time(0)));
        let role = &mut self.roles[at];
        if role.object.as_ref().is_some_and(|object| object.metadata.finalizers.is_none()) {
            role.object = None;
        }
    }

    /// A person's change of a spec.
    pub fn edit_spec(&mut self, at: usize, change: impl FnOnce(&mut TerraformCloudRole)) {
        self.edit_role(at, |role| {
            role.metadata.generation = role.metadata.generation.map(|generation| generation + 1);
            change(role);
        });
    }

    pub fn edit_secret(&mut self, at: usize, change: impl FnOnce(&mut ApiSecret)) {
        let rv = self.bump();
        if let Some(secret) = self.secrets[at].as_mut() {
            change(secret);
            secret.rv = rv;
        }
    }

    /// Somebody else's Secret takes the name.
    pub fn put_foreign(&mut self, at: usize) {
        let rv = self.bump();
        let uid = format!("foreign-{rv}");
        self.secrets[at] = Some(ApiSecret { uid, rv, tampered: true, ..ApiSecret::default() });
    }

    /// What the role's Secret is to it, as `secret::view` has it.
    pub fn view(&self, at: usize, uid: &str, verified: u64) -> Secret {
        let Some(secret) = &self.secrets[at] else { return Secret::Absent };
        let record = secret.record.clone().filter(|record| record.role_uid == uid);
        if secret.owner.as_deref() != Some(uid) && record.is_none() {
            return Secret::Foreign;
        }
        Secret::Ours(OurSecret {
            uid: secret.uid.clone(),
            resource_version: secret.rv.to_string(),
            record,
            pending: secret.pending.clone(),
            verified: verified == secret.rv,
        })
    }

    /// What a Secret's record says that it holds.
    pub fn held(&self, at: usize) -> Option<&Held> {
        self.secrets[at].as_ref()?.record.as_ref()?.held.as_ref()
    }

    pub fn land(&mut self, write: &Write) -> Reply {
        let at = write.role;
        match &write.change {
            Change::Status(status) => {
                self.land_on_role(write, |role| role.status = Some(TerraformCloudRoleStatus::clone(status)))
            }
            Change::Finalizer(on) => {
                let list = on.then(|| vec![FINALIZER_REVOKE.to_owned()]);
                let reply = self.land_on_role(write, |role| role.metadata.finalizers = list);
                if reply == Reply::Done && self.roles[at].is_going() && !*on {
                    self.roles[at].object = None;
                }
                reply
            }
            Change::Put { on: None, record, value } => self.create(write, record, value.clone()),
            Change::Put { on: Some(on), record, value } => self.land_on_secret(at, on, self.refuses_data, |secret| {
                (secret.record, secret.value) = (Some(SecretRecord::clone(record)), value.clone());
                (secret.pending, secret.tampered) = (None, false);
            }),
            Change::Repair { on, record, value } => self.land_on_secret(at, on, self.refuses_data, |secret| {
                (secret.record, secret.value) = (Some(SecretRecord::clone(record)), value.clone());
                (secret.pending, secret.tampered) = (None, false);
                secret.owner = Some(write.by.0.clone());
            }),
            Change::Annotate { on, pending } => self.land_on_secret(at, on, false, |secret| {
                if let Some(pending) = pending {
                    secret.pending = Some(Pending::clone(pending));
                }
            }),
            Change::Remove { on } => {
                let reply = self.land_on_secret(at, on, false, |_| ());
                if reply == Reply::Done {
                    self.secrets[at] = None;
                }
                reply
            }
            Change::Disown { on } => self.land_on_secret(at, on, false, |secret| {
                (secret.owner, secret.record, secret.pending) = (None, None, None);
                secret.tampered = true;
            }),
        }
    }

    fn land_on_role(&mut self, write: &Write, change: impl FnOnce(&mut TerraformCloudRole)) -> Reply {
        let role = &self.roles[write.role];
        if role.object.is_none() || role.uid != write.by.0 {
            return Reply::NotFound;
        }
        if role.rv != write.by.1 {
            return Reply::Conflict;
        }
        self.edit_role(write.role, change);
        Reply::Done
    }

    fn land_on_secret(&mut self, at: usize, on: &On, refused: bool, change: impl FnOnce(&mut ApiSecret)) -> Reply {
        match &self.secrets[at] {
            None => Reply::NotFound,
            Some(secret) if secret.uid != on.0 || secret.rv.to_string() != on.1 => Reply::Conflict,
            Some(_) if refused || self.refuses_secrets => Reply::Refused,
            Some(_) => {
                self.edit_secret(at, change);
                Reply::Done
            }
        }
    }

    fn create(&mut self, write: &Write, record: &SecretRecord, value: Option<String>) -> Reply {
        if self.secrets[write.role].is_some() {
            return Reply::Conflict;
        }
        if self.namespace_going || self.refuses_data || self.refuses_secrets {
            return Reply::Refused;
        }
        let rv = self.bump();
        self.secrets[write.role] = Some(ApiSecret {
            uid: format!("secret-{rv}"),
            rv,
            owner: Some(write.by.0.clone()),
            record: Some(record.clone()),
            value,
            ..ApiSecret::default()
        });
        Reply::Done
    }

    /// Secrets whose owner is gone go after it.
    pub fn collect_garbage(&mut self) {
        for (role, secret) in self.roles.iter().zip(&mut self.secrets) {
            let alive = |uid: &String| role.object.is_some() && role.uid == *uid;
            if secret.as_ref().and_then(|secret| secret.owner.as_ref()).is_some_and(|uid| !alive(uid)) {
                *secret = None;
            }
        }
    }

    pub fn role_lives(&self, uid: &str) -> bool {
        self.roles.iter().any(|role| role.uid == uid && role.object.is_some())
    }
}

/// A config, and what its session knows.
#[derive(Clone, Debug)]
pub struct Session {
    /// As it stands; `None`: it does not exist.
    pub config: Option<Config>,
    /// As it began.
    pub original: Config,
    /// Changes with each change.
    pub epoch: u64,
    /// A reply carried TFC's time.
    pub clock_known: bool,
}
