//! A [CycloneDX 1.5](https://cyclonedx.org/docs/1.5/json/) list of what the operator's binary is made of.
//!
//! In it is what is linked: the crates of normal dependencies with the features that are built, Rust's standard library, and the C
//! library. What only helps to build (procedural macros, build scripts and theirs) is not in the binary and not in the list.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::sha256;

/// What cargo says about the operator's package and what is linked into it.
pub struct Build {
    operator: String,
    /// By cargo's id.
    packages: BTreeMap<String, Value>,
    /// Ids of what a package depends on.
    dependencies: BTreeMap<String, Vec<String>>,
}

impl Build {
    /// Asks cargo what the package `name` of the workspace in `root` is made of when it is built for `target`.
    ///
    /// # Errors
    /// When cargo does not say.
    pub fn ask(root: &Path, name: &str, target: &str) -> Result<Self> {
        let cargo = Cargo { manifest: root.join("Cargo.toml") };
        let linked = cargo.linked(name, target)?;
        let metadata = cargo.metadata(target)?;
        let packages: BTreeMap<String, Value> = array(&metadata, "/packages")?
            .iter()
            .filter(|package| linked.contains(&reference(package)))
            .map(|package| Ok((text(package, "id")?.to_owned(), package.clone())))
            .collect::<Result<_>>()?;
        ensure!(packages.len() == linked.len(), "cargo tree and cargo metadata name different packages");
        let (operator, _) = packages
            .iter()
            .find(|(_, package)| package["name"] == name)
            .with_context(|| format!("there is no package {name} in {}", root.display()))?;
        let dependencies = array(&metadata, "/resolve/nodes")?
            .iter()
            .map(|node| {
                let on = array(node, "/dependencies")?.iter().filter_map(Value::as_str).map(str::to_owned);
                Ok((text(node, "id")?.to_owned(), on.collect()))
            })
            .collect::<Result<_>>()?;
        Ok(Self { operator: operator.clone(), packages, dependencies })
    }

    /// The operator's version.
    ///
    /// # Errors
    /// When cargo did not say.
    pub fn version(&self) -> Result<&str> {
        text(&self.packages[&self.operator], "version")
    }

    /// A further word of the operator's package, such as its `license`.
    pub fn about(&self, what: &str) -> Option<&str> {
        self.packages[&self.operator][what].as_str()
    }

    /// The list for a binary of this build, as JSON: with the versions of Rust's standard library and of the C library.
    ///
    /// # Errors
    /// When cargo's words have another form than is known.
    pub fn sbom(&self, binary: &[u8], created: Timestamp, rust: &str, glibc: &str) -> Result<Vec<u8>> {
        let digest = sha256(binary);
        let system = [system_library("rust-std", rust), system_library("glibc", glibc)];
        let mut operator = component("application", &self.packages[&self.operator]);
        operator.insert("hashes".to_owned(), json!([{"alg": "SHA-256", "content": digest}]));

        let crates = self.packages.iter().filter(|(id, _)| **id != self.operator);
        let mut components: BTreeMap<String, Value> =
            crates.map(|(_, package)| (reference(package), component("library", package).into())).collect();
        components.extend(system.iter().cloned());
        let list = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": serial_number(&digest),
            "version": 1,
            "metadata": {
                "timestamp": created.to_string(),
                "tools": [{"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}],
                "component": operator,
            },
            "components": components.into_values().collect::<Vec<_>>(),
            "dependencies": self.graph(&system),
        });
        let mut json = serde_json::to_vec_pretty(&list)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Who depends on whom.
    fn graph(&self, system: &[(String, Value)]) -> Vec<Value> {
        let mut graph = BTreeMap::new();
        for (id, package) in &self.packages {
            let on = self.dependencies.get(id).into_iter().flatten();
            let mut on: BTreeSet<String> = on.filter_map(|id| self.packages.get(id)).map(reference).collect();
            if *id == self.operator {
                on.extend(system.iter().map(|(reference, _)| reference.clone()));
            }
            graph.insert(reference(package), on);
        }
        graph.extend(system.iter().map(|(reference, _)| (reference.clone(), BTreeSet::new())));
        graph.into_iter().map(|(reference, on)| json!({"ref": reference, "dependsOn": on})).collect()
    }
}

/// The cargo that runs this program, or the one on PATH.
struct Cargo {
    manifest: PathBuf,
}

impl Cargo {
    fn say(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(args)
            .args(["--locked", "--quiet", "--manifest-path"])
            .arg(&self.manifest)
            .output()
            .context("could not run cargo")?;
        ensure!(output.status.success(), "cargo {} failed: {}", args[0], String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn metadata(&self, target: &str) -> Result<Value> {
        let said = self.say(&["metadata", "--format-version=1", "--filter-platform", target])?;
        serde_json::from_slice(&said).context("cargo metadata said no JSON")
    }

    /// References of what is linked. Only `cargo tree` tells which features are built: `cargo metadata` unites those of the workspace.
    fn linked(&self, name: &str, target: &str) -> Result<BTreeSet<String>> {
        let edges = "--edges=normal,no-proc-macro";
        let said =
            self.say(&["tree", edges, "--prefix=none", "--format={p}", "--package", name, "--target", target])?;
        // NAME vVERSION, and perhaps (PATH) or (*).
        String::from_utf8(said)?
            .lines()
            .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [name, version, ..] => Ok(format!("{name}@{}", version.trim_start_matches('v'))),
                _ => bail!("cargo tree said {line:?}"),
            })
            .collect()
    }
}

fn array<'a>(value: &'a Value, path: &str) -> Result<&'a Vec<Value>> {
    value.pointer(path).and_then(Value::as_array).with_context(|| format!("cargo metadata has no {path}"))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("cargo metadata has no {name}"))
}

/// What a package is called in the list, `NAME@VERSION`.
fn reference(package: &Value) -> String {
    let text = |name: &str| package[name].as_str().unwrap_or_default();
    format!("{}@{}", text("name"), text("version"))
}

fn component(kind: &str, package: &Value) -> Map<String, Value> {
    let mut component = Map::new();
    let mut set = |name: &str, value: Value| component.insert(name.to_owned(), value);
    set("type", kind.into());
    set("bom-ref", reference(package).into());
    set("name", package["name"].clone());
    set("version", package["version"].clone());
    if let Some(description) = package["description"].as_str() {
        set("description", description.split_whitespace().collect::<Vec<_>>().join(" ").into());
    }
    if let Some(license) = package["license"].as_str() {
        // Some crates still write the old `MIT/Apache-2.0` for `OR`.
        set("licenses", json!([{"expression": license.replace('/', " OR ")}]));
    }
    if package["source"].is_string() {
        set("purl", format!("pkg:cargo/{}", reference(package)).into());
    }
    component
}

fn system_library(name: &str, version: &str) -> (String, Value) {
    let reference = format!("{name}@{version}");
    let purl = format!("pkg:generic/{reference}");
    let library = json!({"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": purl});
    (reference, library)
}

/// A UUID that follows from the binary, in the form that RFC 9562 leaves to the maker (version 8).
fn serial_number(digest: &str) -> String {
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &digest[..8],
        &digest[8..12],
        &digest[13..16],
        &digest[17..20],
        &digest[20..32]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_what_is_linked_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let build = Build::ask(root, "tfc-token-operator", "x86_64-unknown-linux-gnu").expect("cargo says");
        let time = Timestamp::from_second(1_700_000_000).expect("a time");
        let list = || build.sbom(b"binary", time, "1.95.0", "2.36").expect("a list");
        assert!(list() == list(), "the same build gives the same bytes");
        let bom: Value = serde_json::from_slice(&list()).expect("JSON");
        let components = bom["components"].as_array().expect("components");
        let names: BTreeSet<&str> = components.iter().filter_map(|component| component["name"].as_str()).collect();
        for linked in ["kube-client", "rustls", "ring", "tokio", "rust-std", "glibc"] {
            assert!(names.contains(linked), "{linked} is missing: {names:?}");
        }
        for not_linked in ["syn", "serde_derive", "cc", "proptest", "tfc-harness", "operator-image", "windows-sys"] {
            assert!(!names.contains(not_linked), "{not_linked} is not in the binary");
        }
        assert_eq!(bom["metadata"]["component"]["name"], "tfc-token-operator");
        assert_eq!(bom["metadata"]["component"]["hashes"][0]["content"], sha256(b"binary"));

        // What the specification's schema asks of references: each is there once, and names something.
        let mut references: BTreeSet<&str> = BTreeSet::new();
        for component in components.iter().chain([&bom["metadata"]["component"]]) {
            assert!(references.insert(component["bom-ref"].as_str().expect("a reference")), "twice: {component}");
        }
        for entry in bom["dependencies"].as_array().expect("a graph") {
            let on = entry["dependsOn"].as_array().expect("a list");
            for reference in on.iter().chain([&entry["ref"]]) {
                assert!(references.contains(reference.as_str().expect("a reference")), "{reference} is nothing");
            }
        }
        let all_but_the_operator = components.iter().all(|component| component["purl"].is_string());
        assert!(all_but_the_operator, "scanners go by the package URL");
    }

    #[test]
    fn the_serial_number_is_a_uuid() {
        let number = serial_number(&sha256(b"binary"));
        let lengths: Vec<usize> = number.trim_start_matches("urn:uuid:").split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{number}");
    }
}
