//! JSON:API as TFC writes it: read leniently (unknown members ignored, absent and null alike), since replies differ by product and age.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::printable;
use super::model::{AccountInfo, AccountKind, OrganizationInfo, Principal, ServerInfo, TeamInfo, TokenInfo};
use super::token::TokenValue;

/// A document with one resource, or a page of them.
#[derive(Deserialize)]
pub(super) struct Document<T> {
    pub data: T,
    #[serde(default)]
    pub meta: Option<Meta>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub pagination: Option<Pagination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Pagination {
    #[serde(default)]
    pub next_page: Option<u64>,
    #[serde(default)]
    pub total_count: Option<u64>,
}

/// Reads a document; the error says where it fails, never what stands there.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            serde_json::error::Category::Data => "lacks what the API documents",
            _ => "is no JSON",
        };
        format!("the answer {what} (line {}, column {})", error.line(), error.column())
    })
}

#[derive(Deserialize)]
pub(super) struct TokenResource {
    id: Id,
    attributes: TokenAttributes,
    #[serde(default)]
    relationships: Option<TokenRelationships>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TokenAttributes {
    created_at: Timestamp,
    #[serde(default)]
    last_used_at: Option<Timestamp>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    expired_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TokenRelationships {
    #[serde(default)]
    created_by: Option<Relation>,
    #[serde(default)]
    team: Option<Relation>,
}

#[derive(Deserialize, Default)]
struct Relation {
    #[serde(default)]
    data: Option<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    id: Id,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

impl TokenResource {
    pub fn into_info(self) -> TokenInfo {
        let relationships = self.relationships;
        let (created_by, team) = relationships.map_or((None, None), |both| (both.created_by, both.team));
        TokenInfo {
            id: self.id.0,
            description: self.attributes.description,
            created_at: self.attributes.created_at,
            last_used_at: self.attributes.last_used_at.filter(is_set),
            expired_at: self.attributes.expired_at.filter(is_set),
            created_by: created_by
                .and_then(|relation| relation.data)
                .map(|data| Principal { kind: data.kind.unwrap_or_default(), id: data.id.0 }),
            team_id: team.and_then(|relation| relation.data).map(|data| data.id.0),
        }
    }
}

/// Some servers write "never" as the year 1.
fn is_set(time: &Timestamp) -> bool {
    time.as_second() > 0
}

/// Only the value of a new token, read apart so that it is copied nowhere else.
#[derive(Deserialize)]
pub(super) struct TokenSecret {
    attributes: SecretAttributes,
}

#[derive(Deserialize)]
struct SecretAttributes {
    #[serde(default)]
    token: Option<WireValue>,
}

/// `None` inside: a string that is no token, as the empty one.
struct WireValue(Option<TokenValue>);

impl TokenSecret {
    pub fn into_value(self) -> Option<TokenValue> {
        self.attributes.token.and_then(|value| value.0)
    }
}

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireValue, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = WireValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token")
            }

            fn visit_str<E>(self, text: &str) -> Result<WireValue, E> {
                Ok(WireValue(TokenValue::new(text).ok()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A string, or a number that stands for one: documented samples have both.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, id: &str) -> Result<Id, E> {
                Ok(Id(id.to_owned()))
            }

            fn visit_u64<E>(self, id: u64) -> Result<Id, E> {
                Ok(Id(id.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[derive(Deserialize)]
pub(super) struct OrganizationResource {
    id: Id,
    #[serde(default)]
    attributes: OrganizationAttributes,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct OrganizationAttributes {
    name: Option<String>,
    external_id: Option<String>,
    max_ttl_enabled: Option<bool>,
    user_tokens_enabled: Option<bool>,
    permissions: Option<TokenPermissions>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct TokenPermissions {
    can_update_api_token: Option<bool>,
    can_update_authentication_token: Option<bool>,
}

impl TokenPermissions {
    /// Either name grants it: documentation and specification differ.
    fn may_update(&self) -> Option<bool> {
        match (self.can_update_api_token, self.can_update_authentication_token) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(false) || other.unwrap_or(false)),
        }
    }
}

impl OrganizationResource {
    pub fn into_info(self) -> OrganizationInfo {
        OrganizationInfo {
            name: self.attributes.name.unwrap_or(self.id.0),
            external_id: self.attributes.external_id,
            can_update_token: self.attributes.permissions.and_then(|permissions| permissions.may_update()),
            max_ttl_enabled: self.attributes.max_ttl_enabled,
            user_tokens_enabled: self.attributes.user_tokens_enabled,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TeamResource {
    id: Id,
    attributes: TeamAttributes,
    #[serde(default)]
    relationships: Option<TeamRelationships>,
}

#[derive(Deserialize)]
struct TeamAttributes {
    name: String,
    #[serde(default)]
    permissions: Option<TokenPermissions>,
}

#[derive(Deserialize)]
struct TeamRelationships {
    #[serde(default)]
    organization: Option<Relation>,
}

impl TeamResource {
    pub fn into_info(self) -> TeamInfo {
        TeamInfo {
            id: self.id.0,
            name: self.attributes.name,
            organization: self
                .relationships
                .and_then(|relationships| relationships.organization)
                .and_then(|relation| relation.data)
                .map(|data| data.id.0),
            can_update_token: self.attributes.permissions.and_then(|permissions| permissions.may_update()),
        }
    }
}

/// `GET /account/details`. The documented sample has the member `links` twice, which a derived reader refuses.
#[derive(Default)]
pub(super) struct AccountResource {
    id: String,
    username: Option<String>,
    service_account: bool,
    owner: Option<(String, String)>,
    token_path: Option<String>,
}

impl<'de> Deserialize<'de> for AccountResource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AccountResource, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = AccountResource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AccountResource, A::Error> {
                let mut account = AccountResource::default();
                while let Some(name) = members.next_key::<String>()? {
                    match name.as_str() {
                        "id" => account.id = members.next_value::<Id>()?.0,
                        "attributes" => {
                            let attributes: Value = members.next_value()?;
                            account.username = attributes["username"].as_str().map(str::to_owned);
                            account.service_account = attributes["is-service-account"].as_bool().unwrap_or(false);
                        }
                        "relationships" => {
                            let relationships: Value = members.next_value()?;
                            let owner = &relationships["authenticated-resource"]["data"];
                            if let (Some(kind), Some(id)) = (owner["type"].as_str(), owner["id"].as_str()) {
                                account.owner = Some((kind.to_owned(), id.to_owned()));
                            }
                        }
                        "links" => {
                            let links: Value = members.next_value()?;
                            if let Some(path) = links["auth-token"].as_str() {
                                account.token_path = Some(path.to_owned());
                            }
                        }
                        _ => {
                            members.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                if account.id.is_empty() {
                    return Err(serde::de::Error::missing_field("id"));
                }
                Ok(account)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl AccountResource {
    /// `None` if the token is a run's, which ends with its run.
    pub fn into_info(self, server: ServerInfo) -> Option<AccountInfo> {
        let name = self.username.unwrap_or_else(|| self.id.clone());
        let (kind, owner_id) = match self.owner {
            Some((kind, id)) => match kind.as_str() {
                "organizations" => (AccountKind::Organization, Some(id)),
                "teams" => (AccountKind::Team, Some(id)),
                "runs" => return None,
                _ => (AccountKind::User, None),
            },
            // Servers before November 2023 do not name the owner.
            None if self.service_account && name.starts_with("api-team_") => (AccountKind::Team, None),
            None if self.service_account => (AccountKind::Organization, None),
            None => (AccountKind::User, None),
        };
        let token_id = self.token_path.and_then(|path| {
            path.rsplit_once("authentication-tokens/").map(|(_, id)| id.to_owned()).filter(|id| !id.is_empty())
        });
        Some(AccountInfo { id: self.id, name, kind, owner_id, token_id, server })
    }
}

/// TFC's title and detail of each error; `None` if the body is not JSON:API errors.
pub(super) fn error_words(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let errors = document.get("errors")?.as_array()?;
    let words: Vec<String> = errors
        .iter()
        .filter_map(|error| match error {
            Value::String(text) => Some(text.clone()),
            _ => match (error["title"].as_str(), error["detail"].as_str()) {
                (Some(title), Some(detail)) if title != detail => Some(format!("{title}: {detail}")),
                (Some(text), _) | (None, Some(text)) => Some(text.to_owned()),
                (None, None) => None,
            },
        })
        .collect();
    let words = printable(&words.join("; "), 256);
    Some(if words.is_empty() { "refused without a reason".to_owned() } else { words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_all_or_with_little() {
        let full: Document<TokenResource> = parse(
            br#"{"data":{"id":"at-1","type":"authentication-tokens","attributes":{"created-at":"2026-11-24T08:49:37.123Z",
            "last-used-at":null,"description":"d","token":null,"expired-at":"2030-01-02T03:04:05.000Z","new":[1]},
            "relationships":{"created-by":{"data":{"id":"user-1","type":"users"}},"team":{"data":{"id":"team-1","type":"teams"}}}}}"#,
        )
        .expect("a token");
        let info = full.data.into_info();
        assert_eq!((info.id.as_str(), info.team_id.as_deref()), ("at-1", Some("team-1")));
        assert_eq!(info.created_by, Some(Principal { kind: "users".to_owned(), id: "user-1".to_owned() }));
        assert_eq!(info.expired_at.map(|time| time.to_string()).as_deref(), Some("2030-01-02T03:04:05Z"));

        let little: Document<TokenResource> = parse(
            br#"{"data":{"id":4111756,"attributes":{"created-at":"2026-11-24T08:49:37Z","last-used-at":"0001-01-01T00:00:00Z"},
            "relationships":{"created-by":{"data":null}}}}"#,
        )
        .expect("a token");
        let info = little.data.into_info();
        assert_eq!(
            (info.id.as_str(), info.last_used_at, info.expired_at, info.created_by),
            ("4111756", None, None, None)
        );
    }

    #[test]
    fn a_value_is_null_absent_empty_or_there() {
        let value = |token: &str| {
            parse::<Document<TokenSecret>>(format!(r#"{{"data":{{"attributes":{{{token}}}}}}}"#).as_bytes())
                .map(|document| document.data.into_value().map(|value| value.expose().to_owned()))
        };
        assert_eq!(value(""), Ok(None));
        assert_eq!(value(r#""token":null"#), Ok(None));
        assert_eq!(value(r#""token":"""#), Ok(None));
        assert_eq!(value(r#""token":"a.atlasv1.b""#), Ok(Some("a.atlasv1.b".to_owned())));
        assert!(value(r#""token":7"#).is_err());
    }

    #[test]
    fn what_does_not_parse_is_not_repeated() {
        let error =
            parse::<Document<TokenSecret>>(br#"{"data":{"attributes":{"token":["s3cret"]}}}"#).err().expect("no token");
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn accounts_of_every_kind() {
        let account = |data: &str| {
            parse::<Document<AccountResource>>(format!(r#"{{"data":{data}}}"#).as_bytes())
                .expect("an account")
                .data
                .into_info(ServerInfo::default())
        };
        let user = account(
            r#"{"id":"user-1","type":"users","attributes":{"username":"ann","is-service-account":false},"links":{"self":"/x"},
            "relationships":{"authenticated-resource":{"data":{"id":"user-1","type":"users"}}},
            "links":{"auth-token":"/api/v2/authentication-tokens/at-9"}}"#,
        )
        .expect("no run");
        assert_eq!((user.kind, user.name.as_str(), user.token_id.as_deref()), (AccountKind::User, "ann", Some("at-9")));
        assert_eq!(user.owner_id, None);
        let team = account(
            r#"{"id":"user-2","attributes":{"username":"api-team_1","is-service-account":true},
            "relationships":{"authenticated-resource":{"data":{"id":"team-1","type":"teams"}}}}"#,
        )
        .expect("no run");
        assert_eq!((team.kind, team.owner_id.as_deref()), (AccountKind::Team, Some("team-1")));
        let old_team = account(r#"{"id":"user-2","attributes":{"username":"api-team_1","is-service-account":true}}"#);
        assert_eq!(old_team.map(|info| info.kind), Some(AccountKind::Team));
        let old_org = account(r#"{"id":"user-2","attributes":{"username":"api-org-acme","is-service-account":true}}"#);
        assert_eq!(old_org.map(|info| info.kind), Some(AccountKind::Organization));
        let run = account(
            r#"{"id":"user-3","relationships":{"authenticated-resource":{"data":{"id":"run-1","type":"runs"}}}}"#,
        );
        assert_eq!(run, None);
    }

    #[test]
    fn errors_in_all_their_forms() {
        for (body, words) in [
            (r#"{"errors":[{"status":"404","title":"not found"}]}"#, Some("not found")),
            (
                r#"{"errors":[{"detail":"You have exceeded the API's rate limit.","status":429,"title":"Too many requests"}]}"#,
                Some("Too many requests: You have exceeded the API's rate limit."),
            ),
            (r#"{"errors":["one","two"]}"#, Some("one; two")),
            (r#"{"errors":[]}"#, Some("refused without a reason")),
            (r#"{"errors":"x"}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(error_words(body.as_bytes()).as_deref(), words, "{body}");
        }
    }
}
