//! Whom a token belongs to, and which paths that makes.

use super::error::Error;

/// A place for exactly one token: a mint there kills the token before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Slot {
    /// An organization's token (API page "Organization Tokens").
    Organization {
        /// The organization's name; TFC addresses organizations by it.
        name: String,
    },
    /// A team's token without a description (API page "Team Tokens", its legacy part).
    TeamLegacy {
        /// `team-…`
        team_id: String,
    },
}

/// An owner of any number of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A user; TFC mints for the calling user alone (API page "User Tokens").
    User {
        /// `user-…`
        id: String,
    },
    /// A team (API page "Team Tokens").
    Team {
        /// `team-…`
        id: String,
    },
}

/// What one listing covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListScope {
    /// The tokens of a user. Empty, with 200, for anyone but that user.
    User {
        /// `user-…`
        id: String,
    },
    /// The team tokens of an organization, all teams; TFC has no list for one team.
    Organization {
        /// The organization's name.
        name: String,
    },
}

/// A request's path below the base path: what a metric or a log names, and the segments that are sent.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// The template; the same for all ids, so it can be a metric's label.
    pub route: &'static str,
    /// The segments, ids filled in, each of harmless characters.
    pub segments: Vec<String>,
}

impl Path {
    /// Fills `ids` into the `:` places of `route`.
    ///
    /// # Errors
    /// `Rejected`, if an id has other characters than TFC's have. An id may come from a Secret that tenants write: one with a slash or
    /// dots (or their percent encodings, which proxies decode) would be another path.
    pub fn new(route: &'static str, ids: &[&str]) -> Result<Path, Error> {
        let mut ids = ids.iter();
        let mut segments = Vec::new();
        for part in route.split('/').filter(|part| !part.is_empty()) {
            if !part.starts_with(':') {
                segments.push(part.to_owned());
            } else if let Some(id) = ids.next() {
                if !is_id(id) {
                    return Err(Error::rejected(format!(
                        "{} in {route} is to be of letters, digits, - and _, at most 255 of them",
                        &part[1..]
                    )));
                }
                segments.push((*id).to_owned());
            }
        }
        Ok(Path { route, segments })
    }
}

/// Names of organizations and ids of everything else are of these characters (API page "Organizations", attribute `name`).
fn is_id(id: &str) -> bool {
    (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl Slot {
    pub(super) fn path(&self) -> Result<Path, Error> {
        match self {
            Slot::Organization { name } => Path::new("/organizations/:organization/authentication-token", &[name]),
            Slot::TeamLegacy { team_id } => Path::new("/teams/:team/authentication-token", &[team_id]),
        }
    }
}

impl Owner {
    pub(super) fn path(&self) -> Result<Path, Error> {
        match self {
            Owner::User { id } => Path::new("/users/:user/authentication-tokens", &[id]),
            Owner::Team { id } => Path::new("/teams/:team/authentication-tokens", &[id]),
        }
    }
}

impl ListScope {
    pub(super) fn path(&self) -> Result<Path, Error> {
        match self {
            ListScope::User { id } => Path::new("/users/:user/authentication-tokens", &[id]),
            ListScope::Organization { name } => Path::new("/organizations/:organization/team-tokens", &[name]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_their_places() {
        let path = Slot::Organization { name: "acme".to_owned() }.path().expect("a path");
        assert_eq!(path.segments, ["organizations", "acme", "authentication-token"]);
        assert_eq!(path.route, "/organizations/:organization/authentication-token");
    }

    #[test]
    fn an_id_can_make_no_other_path() {
        for id in ["", ".", "..", "a/b", "a%2Fb", "a?b", "a#b", "a b", "a\nb", "ä", "at-1/../../organizations/acme"] {
            let error = Owner::User { id: id.to_owned() }.path().expect_err("refused");
            assert_eq!(error.kind, super::super::Kind::Rejected, "{id:?}");
        }
    }
}
