//! Dependencies between the folders point one way. The compiler would let them point anywhere; this test does not.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder or file below `src/`, and what it must not name.
const ABSENT: [(&str, &[&str]); 4] = [
    ("api", &["crate::plan", "crate::tfc", "crate::cluster", "crate::act", "crate::controller"]),
    (
        "plan",
        &[
            "crate::tfc",
            "crate::cluster",
            "crate::act",
            "crate::controller",
            "crate::observe",
            "crate::accounts",
            "kube::",
            "tokio",
            "reqwest",
            "tracing",
            "getrandom",
            "async fn",
            "SystemTime",
            "Instant::now",
            "Timestamp::now",
            "std::fs",
            "std::env",
        ],
    ),
    ("tfc", &["crate::api", "crate::plan", "crate::cluster", "kube", "k8s_openapi"]),
    ("act", &["crate::controller", "kube::Api", "kube::api"]),
];

#[test]
fn dependencies_point_one_way() {
    let mut faults = Vec::new();
    for (folder, absent) in ABSENT {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder)) {
            let text = fs::read_to_string(&file).expect("a source file");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for (number, line) in code.enumerate() {
                faults.extend(
                    absent
                        .iter()
                        .filter(|word| line.contains(**word))
                        .map(|word| format!("{} names {word} (code line {})", file.display(), number + 1)),
                );
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Source files below a folder, but for its tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true if path.ends_with("tests") => Vec::new(),
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs"))
        .collect()
}
