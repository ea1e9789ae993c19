//! What a role's spec comes to: its kind, its Secret, its config.

use std::fmt;

use kube::ResourceExt;

use super::role::{
    DeletionPolicy, IfOccupied, Renewal, TeamCredentialType, TerraformCloudRole, TerraformCloudRoleSpec,
};

/// Type of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A user's, one of many.
    User,
    /// A team's, one of many.
    Team,
    /// A team's single token without a description.
    TeamLegacy,
    /// An organization's single token.
    Organization,
}

impl Kind {
    /// All types.
    pub const ALL: &[Self] = &[Self::User, Self::Team, Self::TeamLegacy, Self::Organization];

    /// As in the column Type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Team => "Team",
            Self::TeamLegacy => "TeamLegacy",
            Self::Organization => "Organization",
        }
    }

    /// TFC keeps one such token for each subject: to mint is to revoke the one before.
    pub const fn is_slot(self) -> bool {
        matches!(self, Self::TeamLegacy | Self::Organization)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TerraformCloudRole {
    /// Name of the Secret: the one given, else the role's own.
    pub fn secret_name(&self) -> String {
        let given = self.spec.secret.as_ref().and_then(|secret| secret.name.clone());
        given.unwrap_or_else(|| self.name_any())
    }

    /// Namespace and name of the config.
    pub fn config_key(&self) -> (String, String) {
        let config = &self.spec.config_ref;
        let namespace = config.namespace.clone().or_else(|| self.namespace()).unwrap_or_default();
        (namespace, config.name.clone())
    }
}

impl TerraformCloudRoleSpec {
    /// Type of the token; `None` for a spec that admission would refuse (no subject or several, or a credential type
    /// that this version does not know).
    pub fn kind(&self) -> Option<Kind> {
        match (&self.user, &self.team, &self.organization) {
            (Some(_), None, None) => Some(Kind::User),
            (None, Some(team), None) => match team.credential_type {
                TeamCredentialType::Team => Some(Kind::Team),
                TeamCredentialType::TeamLegacy => Some(Kind::TeamLegacy),
                TeamCredentialType::Unknown => None,
            },
            (None, None, Some(_)) => Some(Kind::Organization),
            _ => None,
        }
    }

    /// A single slot that holds a foreign token may be taken.
    pub fn may_replace(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.if_occupied == IfOccupied::Replace)
    }

    /// At the end of the lease a token is renewed; a value that this version does not know is none of consent to
    /// revoke.
    pub fn renews(&self) -> bool {
        self.renewal != Some(Renewal::Never)
    }

    /// Token and Secret stay when the role is deleted.
    pub fn retains(&self) -> bool {
        self.deletion_policy == DeletionPolicy::Retain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::role::{OrganizationSubject, TeamSubject, UserSubject};

    fn spec() -> TerraformCloudRoleSpec {
        serde_json::from_value(serde_json::json!({"configRef": {"name": "tfc"}})).expect("a spec")
    }

    #[test]
    fn the_kind_is_what_the_subject_says() {
        let user = TerraformCloudRoleSpec { user: Some(UserSubject::default()), ..spec() };
        let team = TerraformCloudRoleSpec { team: Some(TeamSubject::default()), ..spec() };
        let legacy = TeamSubject { credential_type: TeamCredentialType::TeamLegacy, ..TeamSubject::default() };
        let legacy = TerraformCloudRoleSpec { team: Some(legacy), ..spec() };
        let organization = TerraformCloudRoleSpec { organization: Some(OrganizationSubject::default()), ..spec() };
        let kinds = [&user, &team, &legacy, &organization].map(TerraformCloudRoleSpec::kind);
        assert_eq!(kinds, [Some(Kind::User), Some(Kind::Team), Some(Kind::TeamLegacy), Some(Kind::Organization)]);
        assert_eq!(spec().kind(), None);
        assert_eq!(TerraformCloudRoleSpec { user: user.user, ..team }.kind(), None);
    }

    #[test]
    fn names_default_to_the_roles_own() {
        let mut role = TerraformCloudRole::new("shop", spec());
        role.metadata.namespace = Some("apps".into());
        assert_eq!(role.secret_name(), "shop");
        assert_eq!(role.config_key(), ("apps".into(), "tfc".into()));
        role.spec.config_ref.namespace = Some("platform".into());
        assert_eq!(role.config_key(), ("platform".into(), "tfc".into()));
    }

    #[test]
    fn values_of_a_later_version_are_read() {
        let role: TerraformCloudRoleSpec = serde_json::from_value(serde_json::json!({
            "configRef": {"name": "tfc", "later": 1}, "team": {"id": "team-1", "credentialType": "Later"}, "deletionPolicy": "Later"
        }))
        .expect("lax");
        assert_eq!(role.kind(), None);
        assert!(!role.retains());
    }
}
