//! The API server in memory: objects by path, with what the operator counts on: resourceVersions, UIDs, preconditions, the status
//! subresource, finalizers, dry runs and replies without values.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Objects, and the versions that they have been given.
#[derive(Default)]
pub struct ApiServer {
    objects: BTreeMap<String, Value>,
    version: u64,
    uids: u64,
    /// The namespace that roles stand in is being deleted: nothing is created there.
    pub namespace_going: bool,
}

/// A request as the server sees it.
pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub metadata_only: bool,
    pub body: &'a [u8],
}

/// What came of a request.
pub struct Done {
    pub status: u16,
    pub body: Value,
    /// The object's path, where it changed.
    pub changed: Option<String>,
}

type Answer = Result<Done, (u16, &'static str)>;

const CONFLICT: (u16, &str) = (409, "the object has been modified");
const NOT_FOUND: (u16, &str) = (404, "not found");

impl ApiServer {
    /// Does what a request asks for.
    pub fn answer(&mut self, call: &Call<'_>) -> Done {
        let answer = match call.method {
            "GET" => {
                self.object(call.path).cloned().ok_or(NOT_FOUND).map(|body| Done { status: 200, body, changed: None })
            }
            "POST" => self.create(call),
            "PATCH" => self.patch(call),
            "DELETE" => self.delete(call),
            _ => Err((405, "no such verb")),
        };
        let mut done = answer.unwrap_or_else(|(status, message)| Done {
            status,
            body: json!({"kind": "Status", "status": "Failure", "code": status, "message": message}),
            changed: None,
        });
        if call.metadata_only && done.status < 300 {
            done.body = json!({"kind": "PartialObjectMetadata", "metadata": done.body["metadata"]});
        }
        done
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<&Value> {
        self.objects.get(path)
    }

    /// A person's write, whatever it is. Says whether the object is there.
    pub fn edit(&mut self, path: &str, edit: impl FnOnce(&mut Value)) -> bool {
        let Some(before) = self.objects.get(path) else { return false };
        let mut after = before.clone();
        edit(&mut after);
        self.put(path, after);
        true
    }

    /// A person's create, over whatever stands there.
    pub fn add(&mut self, path: &str, object: Value) {
        let object = self.born(object);
        self.objects.insert(path.to_owned(), object);
    }

    /// A person's delete: at once, or marked where a finalizer holds it.
    pub fn remove(&mut self, path: &str, now: &str) {
        let Some(object) = self.objects.get(path) else { return };
        if finalizers(object).is_empty() {
            self.objects.remove(path);
            self.version += 1;
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            self.edit(path, |object| object["metadata"]["deletionTimestamp"] = now.into());
        }
    }

    /// The garbage collector: what belongs to an owner that is gone goes too. The paths that went.
    pub fn collect_garbage(&mut self) -> Vec<String> {
        let uids: Vec<&str> = self.objects.values().filter_map(|o| o["metadata"]["uid"].as_str()).collect();
        let orphaned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
            !owners.is_empty() && owners.iter().all(|o| o["uid"].as_str().is_none_or(|uid| !uids.contains(&uid)))
        };
        let paths: Vec<String> =
            self.objects.iter().filter(|(_, object)| orphaned(object)).map(|(path, _)| path.clone()).collect();
        for path in &paths {
            self.objects.remove(path);
            self.version += 1;
        }
        paths
    }

    fn create(&mut self, call: &Call<'_>) -> Answer {
        let object: Value = serde_json::from_slice(call.body).map_err(|_| (400, "no JSON"))?;
        if call.path.ends_with("/events") {
            return Ok(Done { status: 201, body: object, changed: None });
        }
        let name = object["metadata"]["name"].as_str().ok_or((422, "no name"))?;
        let path = format!("{}/{name}", call.path);
        if self.namespace_going && path.starts_with("/api/v1/") {
            return Err((403, "the namespace is being terminated"));
        }
        if self.objects.contains_key(&path) {
            return Err((409, "already exists"));
        }
        if is_dry(call) {
            return Ok(Done { status: 201, body: object, changed: None });
        }
        let object = self.born(object);
        self.objects.insert(path.clone(), object.clone());
        Ok(Done { status: 201, body: object, changed: Some(path) })
    }

    fn patch(&mut self, call: &Call<'_>) -> Answer {
        let patch: Value = serde_json::from_slice(call.body).map_err(|_| (400, "no JSON"))?;
        let (path, is_status) = call.path.strip_suffix("/status").map_or((call.path, false), |path| (path, true));
        let before = self.objects.get(path).ok_or(NOT_FOUND)?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != before["metadata"][field] {
                return Err(CONFLICT);
            }
        }
        let mut after = before.clone();
        merge(&mut after, &patch);
        let has_status = path.contains("terraformcloud");
        if is_status {
            let status = after["status"].take();
            after = before.clone();
            after["status"] = status;
        } else if has_status {
            after["status"] = before["status"].clone();
        }
        let known = finalizers(before);
        if !before["metadata"]["deletionTimestamp"].is_null() && finalizers(&after).iter().any(|f| !known.contains(f)) {
            return Err((422, "no new finalizers can be added if the object is being deleted"));
        }
        if is_dry(call) || after == *before {
            return Ok(Done { status: 200, body: after, changed: None });
        }
        let body = self.put(path, after);
        Ok(Done { status: 200, body, changed: Some(path.to_owned()) })
    }

    fn delete(&mut self, call: &Call<'_>) -> Answer {
        let options: Value = serde_json::from_slice(call.body).unwrap_or_default();
        let object = self.objects.get(call.path).ok_or(NOT_FOUND)?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return Err(CONFLICT);
            }
        }
        let body = object.clone();
        self.objects.remove(call.path);
        self.version += 1;
        Ok(Done { status: 200, body, changed: Some(call.path.to_owned()) })
    }

    fn put(&mut self, path: &str, mut after: Value) -> Value {
        let before = &self.objects[path];
        if after == *before {
            return after;
        }
        self.version += 1;
        if after["spec"] != before["spec"]
            || after["metadata"]["deletionTimestamp"] != before["metadata"]["deletionTimestamp"]
        {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or_default();
            after["metadata"]["generation"] = (generation + 1).into();
        }
        after["metadata"]["resourceVersion"] = self.version.to_string().into();
        let goes = !after["metadata"]["deletionTimestamp"].is_null() && finalizers(&after).is_empty();
        if goes {
            self.objects.remove(path);
        } else {
            self.objects.insert(path.to_owned(), after.clone());
        }
        after
    }

    fn born(&mut self, mut object: Value) -> Value {
        self.version += 1;
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] = format!("uid-{}", self.uids).into();
        metadata["resourceVersion"] = self.version.to_string().into();
        metadata["generation"] = 1.into();
        object
    }
}

fn is_dry(call: &Call<'_>) -> bool {
    call.query.contains("dryRun=All")
}

fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
