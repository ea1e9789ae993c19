//! The files of `deploy/`, as they are in the repository, and the few words that the demo has to change in them.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::Error;
use crate::simulator::TokenValue;

/// The folder `deploy/`.
pub(super) struct Manifests {
    folder: PathBuf,
}

impl Manifests {
    /// # Errors
    /// When the folder has no samples.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        if folder.join("samples").is_dir() {
            return Ok(Self { folder: folder.to_owned() });
        }
        Err(Error::new(format!(
            "{} is missing: run the demo from the repository's root",
            folder.join("samples").display()
        )))
    }

    /// The operator's namespace, ServiceAccount and RBAC. Its Deployment is left out: here is no node to run it, the operator
    /// is a process.
    ///
    /// # Errors
    /// When the file is no YAML.
    pub fn operator(&self) -> Result<Vec<Value>, Error> {
        let mut objects = self.read("operator.yaml")?;
        objects.retain(|object| object["kind"] != "Deployment");
        Ok(objects)
    }

    /// A file of the samples, word for word.
    ///
    /// # Errors
    /// When the file is no YAML.
    pub fn sample(&self, name: &str) -> Result<Vec<Value>, Error> {
        self.read(&format!("samples/{name}"))
    }

    /// The sample of a config, with this address and admin token in the places of its own.
    ///
    /// # Errors
    /// When the file is no YAML.
    pub fn config(&self, address: &str, token: &TokenValue) -> Result<Vec<Value>, Error> {
        let mut objects = self.sample("config.yaml")?;
        for object in &mut objects {
            match object["kind"].as_str() {
                Some("TerraformCloudConfig") => object["spec"]["address"] = json!(address),
                Some("Secret") => object["stringData"]["token"] = json!(token.expose()),
                _ => {}
            }
        }
        Ok(objects)
    }

    fn read(&self, name: &str) -> Result<Vec<Value>, Error> {
        let path = self.folder.join(name);
        let failed = || format!("could not read {}", path.display());
        let text = std::fs::read_to_string(&path).map_err(Error::while_trying(failed()))?;
        parse(&text).map_err(Error::while_trying(failed()))
    }
}

fn parse(text: &str) -> Result<Vec<Value>, serde_yaml::Error> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    // What stands before the first `---` may be a comment alone.
    documents.filter(|document| !matches!(document, Ok(Value::Null))).collect()
}

/// As `kubectl apply -f -` takes it.
///
/// # Errors
/// Never for what came out of JSON or YAML.
pub(super) fn print(objects: &[Value]) -> Result<String, Error> {
    let text: Result<Vec<String>, _> = objects.iter().map(serde_yaml::to_string).collect();
    text.map(|documents| documents.join("---\n")).map_err(Error::while_trying("could not print YAML"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_documents_is_read_and_printed() {
        let objects = parse("# a comment\n---\nkind: A\n---\n# another\nkind: B\nx: [1]\n").expect("it is YAML");
        assert_eq!(objects, [json!({"kind": "A"}), json!({"kind": "B", "x": [1]})]);
        assert_eq!(parse(&print(&objects).expect("it is printed")).expect("it is YAML"), objects);
    }
}
