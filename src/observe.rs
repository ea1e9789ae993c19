//! Gathers what the planner decides on. Reads only, and keeps what the round finds out on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::accounts::Session;
use crate::act::World;
use crate::api::TerraformCloudRole;
use crate::boottime::BootInstant;
use crate::cluster::{ClusterError, Refusal};
use crate::marker::attempt;
use crate::plan::observed::{Facts, Nonce, Observed, Secret, Trouble, TroubleKind};
use crate::secret;
use crate::tfc::Turn;

/// One pass over one role: from a fresh read of it to a rest.
pub struct Round {
    /// The role, from the last read or write.
    pub role: TerraformCloudRole,
    /// Its config, as it was known when the round began; none where it was not read. One round asks one host, as one account: what
    /// one says is nothing to go by at another.
    pub session: Option<Arc<Session>>,
    /// Its Secret, from the last read or write after the role's first read.
    pub secret: Secret,
    /// What the round found out or did.
    pub facts: Facts,
    /// What went wrong, in this round or, until its retry, before.
    pub trouble: Option<Trouble>,
    /// The trouble is this round's own.
    pub failed: bool,
    /// Rounds of this role that failed in a row before this one.
    pub failures: u32,
    /// Right before the intent was written that this round may send.
    pub begun_at: Option<BootInstant>,
    /// The turn for the mint of the intent that this round wrote.
    pub turn: Option<Arc<Turn>>,
    /// The token that this round minted, for the case that its role turns out to be gone.
    pub minted_token_id: Option<String>,
    /// The resourceVersion at which the Secret was read whole and found in order.
    pub verified: Option<String>,
    /// A sweep pointed at this role.
    pub swept: bool,
    namespace: Namespace,
}

/// A role that could not be observed.
pub struct Unread {
    /// Why not.
    pub error: ClusterError,
    /// The role was read, its Secret was not: there is nothing to decide on, but something to tell.
    pub round: Option<Box<Round>>,
}

/// What is known of a role's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// It is being deleted.
    pub going: bool,
    /// Its labels; `None` where the operator may not read them.
    pub labels: Option<BTreeMap<String, String>>,
    /// The operator may not read namespaces at all.
    pub hidden: bool,
}

impl Round {
    /// Reads the role and then its Secret, both from the API server; `None` where the role is gone.
    ///
    /// The order counts: a Secret that is read before its role could be taken for one that an attempt recorded since has not reached.
    pub async fn begin(
        world: &World,
        (namespace, name): (&str, &str),
        verified: Option<String>,
        place: Namespace,
    ) -> Result<Option<Round>, Unread> {
        let role = world.cluster.get::<TerraformCloudRole>(namespace, name).await;
        let Some(role) = role.map_err(|error| Unread { error, round: None })? else { return Ok(None) };
        let mut round = Round::of(world, role, verified, place);
        match round.read_secret(world).await {
            Ok(()) => Ok(Some(round)),
            Err(error) => Err(Unread { error, round: Some(Box::new(round)) }),
        }
    }

    fn of(world: &World, role: TerraformCloudRole, verified: Option<String>, place: Namespace) -> Round {
        let session = world.accounts.session(&role.config_key());
        Round {
            role,
            session,
            secret: Secret::Absent,
            facts: Facts::default(),
            trouble: None,
            failed: false,
            failures: 0,
            begun_at: None,
            turn: None,
            minted_token_id: None,
            verified,
            swept: false,
            namespace: place,
        }
    }

    /// The same, of a role and a Secret that lists showed: good to see whether the role rests, and for nothing else.
    pub fn listed(world: &World, role: TerraformCloudRole, secret: &ObjectMeta, place: Namespace) -> Round {
        let mut round = Round::of(world, role, None, place);
        round.see_secret(world, Some(secret));
        round
    }

    /// Reads the Secret's metadata anew.
    pub async fn read_secret(&mut self, world: &World) -> Result<(), ClusterError> {
        let meta = world.cluster.secret(self.namespace(), &self.role.secret_name()).await?;
        self.see_secret(world, meta.as_ref().map(|m| &m.metadata));
        Ok(())
    }

    /// Takes the Secret's metadata, from a read or from a write's reply.
    pub fn see_secret(&mut self, world: &World, meta: Option<&ObjectMeta>) {
        let verified = meta.is_some_and(|m| m.resource_version.is_some() && m.resource_version == self.verified);
        self.secret = secret::view(meta, &self.role, &world.installation, verified);
    }

    /// The Secret is known to be in order as it stands there now.
    pub fn see_own_write(&mut self, world: &World, meta: &ObjectMeta) {
        self.verified = meta.resource_version.clone();
        self.see_secret(world, Some(meta));
    }

    /// Notes a failure of this round.
    pub fn fail(&mut self, kind: TroubleKind, words: String) {
        self.failed = true;
        self.trouble = Some(Trouble::new(kind, words));
    }

    /// Notes a refusal of the API server.
    pub fn refused(&mut self, kind: TroubleKind, words: String, refusal: &Refusal) {
        self.failed = true;
        let missing_permission = refusal.missing.is_some();
        self.trouble = Some(Trouble { missing_permission, ..Trouble::new(kind, words) });
    }

    /// All that the planner looks at.
    pub fn observed(&self, world: &World) -> Observed {
        let session = self.session.as_ref();
        let mut random = [0; 20];
        // Without randomness no attempt can be named: the zeros would be used twice. The kernel's source does not fail once it is up.
        let random_is_there = (world.random)(&mut random);
        let mut trouble = self.trouble.clone();
        if !random_is_there {
            trouble = Some(Trouble::new(TroubleKind::Cluster, "the machine's source of randomness failed".into()));
        }
        let (name, seconds) = random.split_at(16);
        let seconds = seconds.iter().fold(0_i64, |sum, byte| (sum << 8 | i64::from(*byte)) % 3600);
        Observed {
            role: self.role.clone(),
            namespace_going: self.namespace.going,
            namespace_labels: self.namespace.labels.clone(),
            namespaces_hidden: self.namespace.hidden,
            config: session.map(|session| session.observed(&self.role.config_key())),
            secret: self.secret.clone(),
            facts: self.facts.clone(),
            trouble,
            now: session.and_then(|session| session.now()),
            api_now: world.cluster.now(),
            wall: Timestamp::now(),
            nonce: Nonce { attempt: attempt(name.try_into().unwrap_or_default()), seconds },
            installation: world.installation.clone(),
            settling_time: world.settling_time,
            restarts: world.rollout_restart,
            swept: self.swept,
        }
    }

    /// Namespace of the role.
    pub fn namespace(&self) -> &str {
        self.role.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Name of the role.
    pub fn name(&self) -> &str {
        self.role.metadata.name.as_deref().unwrap_or_default()
    }

    /// UID of the role.
    pub fn uid(&self) -> &str {
        self.role.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The role's resourceVersion as last seen.
    pub fn resource_version(&self) -> &str {
        self.role.metadata.resource_version.as_deref().unwrap_or_default()
    }
}
