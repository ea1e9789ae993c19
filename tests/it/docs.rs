//! The texts name what there is: files that they link to, tests that they call as witnesses, steps.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use tfc_token_operator::api::{ConfigReason, RoleReason};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of these folders, at any depth, that end so.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

/// What stands in backquotes, code blocks aside.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn texts() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry").path());
    top.filter(|path| path.extension().is_some_and(|e| e == "md")).chain(files(&["docs", "charts"], ".md")).collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for text in texts() {
        let content = read(&text);
        let links = content.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let path = link.split('#').next().unwrap_or_default();
            if !text.parent().expect("a folder").join(path).exists() {
                broken.push(format!("{}: {link}", text.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_test_that_a_guarantee_names_exists() {
    let sources: String = files(&["src", "tests/it", "tests/model"], ".rs").iter().map(|path| read(path)).collect();
    let tests: HashSet<&str> = sources
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next())
        .collect();
    let guarantees = read(&root().join("docs/guarantees.md"));
    let rows = guarantees.lines().filter(|line| line.starts_with("| **"));
    let named: Vec<&str> = rows.flat_map(quoted).filter(|word| word.matches('_').count() > 1).collect();
    assert!(named.len() > 30, "few witnesses: {named:?}");
    let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn every_file_of_the_code_map_exists_and_every_step_has_its_row() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let map = architecture.split("## Code map").nth(1).and_then(|rest| rest.split("## Invariants").next());
    let rows = map.expect("a code map").lines().filter(|line| line.starts_with("| `"));
    let places = rows.filter_map(|row| row.split('|').nth(1)).flat_map(quoted);
    let missing: Vec<&str> =
        places.filter(|place| !root().join("src").join(place).exists() && !root().join(place).exists()).collect();
    // `configs/check.rs` is written without its folder, after `controller/configs.rs`.
    let missing: Vec<&str> =
        missing.into_iter().filter(|place| !root().join("src/controller").join(place).exists()).collect();
    assert!(missing.is_empty(), "no such file: {missing:?}");

    let act = read(&root().join("src/act/mod.rs"));
    let names = act.lines().filter_map(|line| line.trim().strip_prefix("Step::")?.split("=> \"").nth(1));
    let steps: Vec<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
    let table = architecture.split("## Steps").nth(1).expect("a table of steps");
    let unsaid: Vec<&&str> = steps.iter().filter(|step| !table.contains(&format!("| `{step}` |"))).collect();
    assert!(steps.len() > 10 && unsaid.is_empty(), "{steps:?}, without a row: {unsaid:?}");
}

#[test]
fn every_reason_that_the_readme_explains_is_one() {
    let readme = read(&root().join("README.md"));
    let section = readme.split("## Reasons").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let words = rows.filter_map(|row| row.split('|').nth(1)).flat_map(quoted);
    let known: Vec<&str> =
        RoleReason::ALL.iter().map(|r| r.as_str()).chain(ConfigReason::ALL.iter().map(|r| r.as_str())).collect();
    let unknown: Vec<&str> = words.filter(|word| !known.contains(word)).collect();
    assert!(unknown.is_empty(), "no such reason: {unknown:?}");
}
