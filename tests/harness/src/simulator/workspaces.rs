//! What terraform itself asks where it works with a `cloud` block: an organization's entitlements, and a workspace whose runs are
//! local and that has no state yet. Every name is one; nothing is kept of them.

use serde_json::{Value, json};

use super::jsonapi::Reply;
use super::state::{Caller, Refusal, State};

/// The reply to such a request; none to any other.
pub(crate) fn answer(
    state: &State,
    caller: &Caller,
    method: &str,
    segments: &[&str],
) -> Option<Result<Reply, Refusal>> {
    let answer = match (method, segments) {
        ("GET", ["organizations", organization, "entitlement-set"]) => {
            state.organization_for(caller, organization).map(|_| entitlements(organization))
        }
        ("GET", ["organizations", organization, "workspaces", name]) => {
            state.organization_for(caller, organization).map(|_| workspace(organization, name, false))
        }
        ("POST", ["workspaces", id, "actions", action @ ("lock" | "unlock")]) => {
            of_id(state, caller, id).map(|(organization, name)| workspace(organization, name, *action == "lock"))
        }
        ("GET", ["workspaces", id]) => {
            of_id(state, caller, id).map(|(organization, name)| workspace(organization, name, false))
        }
        _ => return None,
    };
    Some(answer.map(|data| Reply::json(200, json!({"data": data}))))
}

/// Organization and name of a workspace.
fn of_id<'a>(state: &State, caller: &Caller, id: &'a str) -> Result<(&'a str, &'a str), Refusal> {
    let (organization, name) = id.strip_prefix("ws-").and_then(|id| id.split_once('-')).ok_or(Refusal::NotFound)?;
    state.organization_for(caller, organization).map(|_| (organization, name))
}

fn entitlements(organization: &str) -> Value {
    let attributes = json!({"operations": true, "state-storage": true, "teams": true, "private-module-registry": true});
    json!({"id": organization, "type": "entitlement-sets", "attributes": attributes})
}

fn workspace(organization: &str, name: &str, locked: bool) -> Value {
    let may = ["can-lock", "can-unlock", "can-queue-run", "can-read-settings", "can-update"];
    let permissions: serde_json::Map<String, Value> =
        may.map(|right| (right.to_owned(), json!(true))).into_iter().collect();
    json!({
        "id": format!("ws-{organization}-{name}"),
        "type": "workspaces",
        "attributes": {
            "name": name,
            "locked": locked,
            "execution-mode": "local",
            "operations": false,
            "terraform-version": "latest",
            "permissions": permissions,
        },
        "relationships": {"organization": {"data": {"id": organization, "type": "organizations"}}},
    })
}
