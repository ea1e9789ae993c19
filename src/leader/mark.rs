//! The mark of an uninstall on the Lease: an annotation that has the replicas stand back.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::api::names::ANNOTATION_UNINSTALL;

/// How long replicas stand back after they last heard of an uninstall that is at work: time for its pod to be replaced by another,
/// and short where it died and nobody comes.
pub const WORKING: Duration = Duration::from_secs(60);
/// How long they do after one that is done: time for them to be removed. A new installation waits as long.
pub const DONE: Duration = Duration::from_secs(120);
/// Whatever somebody writes there, replicas do not stand back for longer.
const LONGEST: Duration = Duration::from_secs(600);

/// What the annotation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Identity of the uninstall.
    pub by: String,
    /// How long replicas stand back while the Lease does not change.
    pub stand_back_seconds: u64,
}

/// How long a replica stands back; `None` where there is no mark. One that can't be read counts as that of an uninstall at work.
pub fn read(meta: &ObjectMeta) -> Option<Duration> {
    let text = meta.annotations.as_ref()?.get(ANNOTATION_UNINSTALL)?;
    let said = serde_json::from_str::<Mark>(text).ok();
    Some(said.map_or(WORKING, |mark| Duration::from_secs(mark.stand_back_seconds)).min(LONGEST))
}

/// Whose mark it is.
pub fn by(meta: &ObjectMeta) -> Option<String> {
    let text = meta.annotations.as_ref()?.get(ANNOTATION_UNINSTALL)?;
    serde_json::from_str::<Mark>(text).ok().map(|mark| mark.by)
}

/// Puts a mark on, or takes it off.
pub fn set(meta: &mut ObjectMeta, mark: Option<Mark>) {
    match mark.and_then(|mark| serde_json::to_string(&mark).ok()) {
        Some(text) => {
            meta.annotations.get_or_insert_default().insert(ANNOTATION_UNINSTALL.into(), text);
        }
        None => {
            if let Some(annotations) = &mut meta.annotations {
                annotations.remove(ANNOTATION_UNINSTALL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_goes_and_nobody_makes_it_last_for_ever() {
        let mut meta = ObjectMeta::default();
        assert_eq!(read(&meta), None);
        for (seconds, want) in [(60, 60), (0, 0), (u64::MAX, 600)] {
            set(&mut meta, Some(Mark { by: "pod".into(), stand_back_seconds: seconds }));
            assert_eq!(read(&meta), Some(Duration::from_secs(want)));
        }
        meta.annotations.get_or_insert_default().insert(ANNOTATION_UNINSTALL.into(), "yes".into());
        assert_eq!(read(&meta), Some(WORKING));
        set(&mut meta, None);
        assert_eq!(read(&meta), None);
    }
}
