//! The API server's audit log: who asked for what. Tests count writes with it.
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::Error;

/// Every finished request, without bodies: no Secret's value is written down.
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
";

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group, and for a path that is no resource.
    pub group: String,
    /// The plural name, e.g. `secrets`; empty for a path that is no resource, e.g. `/readyz`.
    pub resource: String,
    /// E.g. `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Empty for a list, and for a create whose name the server chose.
    pub name: String,
    /// The authenticated user, e.g. `admin` or `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// The HTTP status of the answer; 0 when the request was cut off before one.
    pub code: u16,
    /// When the request arrived.
    pub time: Timestamp,
}

impl AuditEvent {
    /// Whether the request was to change something, refused or not.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The events in the file `log`, in the order in which the requests finished.
///
/// An event is written around the moment its answer is sent: a client may be ahead of the log by an instant.
///
/// # Errors
/// When the file cannot be read or does not hold audit events.
pub fn read(log: &Path) -> Result<Vec<AuditEvent>, Error> {
    read_from(log, 0).map(|(events, _)| events)
}

/// The events from a place in the file on, and the place where the next ones begin. From the middle of a line the next line counts.
///
/// # Errors
/// When the file cannot be read or does not hold audit events.
pub fn read_from(log: &Path, from: u64) -> Result<(Vec<AuditEvent>, u64), Error> {
    let failed = || Error::while_trying::<std::io::Error>(format!("could not read {}", log.display()));
    let mut file = std::fs::File::open(log).map_err(failed())?;
    // One byte earlier: it tells whether a line begins at that place.
    file.seek(SeekFrom::Start(from.saturating_sub(1))).map_err(failed())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed())?;
    let begin =
        if from == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) };
    // Without its end, the last line is still being written.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(begin, |at| at + 1);
    let text = std::str::from_utf8(&bytes[begin..end.max(begin)]).map_err(Error::while_trying("not an audit log"))?;
    let events = text.lines().map(parse).collect::<Result<_, _>>()?;
    Ok((events, from.saturating_sub(1) + end.max(begin) as u64))
}

fn parse(line: &str) -> Result<AuditEvent, Error> {
    let event: Event = serde_json::from_str(line).map_err(Error::while_trying("not an audit event"))?;
    let object = event.object_ref.unwrap_or_default();
    Ok(AuditEvent {
        verb: event.verb,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        user: event.user.username,
        user_agent: event.user_agent,
        code: event.response_status.map_or(0, |status| status.code),
        time: event.request_received_timestamp,
    })
}

/// `Event` of audit.k8s.io/v1, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectReference>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}
