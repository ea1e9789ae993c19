//! Runs the real helm on the chart.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::bed::{programs, root};

/// What every rendering in these tests is called, and where it goes, unless the test says otherwise.
pub const RELEASE: &str = "tfc-token-operator";
/// The release's namespace.
pub const NAMESPACE: &str = "tfc-token-operator";

/// The chart's folder.
pub fn chart() -> PathBuf {
    root().join("charts/tfc-token-operator")
}

/// helm, with a home of its own.
pub struct Helm {
    home: TempDir,
}

impl Helm {
    /// A new home.
    pub fn new() -> Helm {
        Helm { home: TempDir::with_prefix("tfc-helm-").expect("a folder") }
    }

    /// Runs helm, or a linter beside it: its output, or what it says is wrong.
    pub fn run(&self, program: &str, args: &[&str], input: Option<&str>) -> Result<String, String> {
        let path = programs().expect("a test bed").join(program);
        let mut command = Command::new(&path);
        command.env_clear().env("HOME", self.home.path()).args(args).current_dir(self.home.path());
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut stdin = child.stdin.take().expect("a pipe");
        // Where the program ends before it has read all, its own words say why.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (out, error) = (text(output.stdout), text(output.stderr));
        if output.status.success() { Ok(out) } else { Err(format!("{out}{error}")) }
    }

    /// A file with these values, for `--values`.
    pub fn values(&self, values: &Value) -> String {
        // JSON is YAML too, and leaves no doubt about what is a string.
        let text = values.to_string();
        let (mut file, path) = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile_in(self.home.path())
            .expect("a file")
            .keep()
            .expect("kept");
        file.write_all(text.as_bytes()).expect("it is written");
        path.to_str().expect("text").to_owned()
    }

    /// What the chart renders, as text; the words of the refusal where it refuses.
    pub fn template(&self, args: &[&str], values: &Value) -> Result<String, String> {
        let (chart, values) = (chart(), self.values(values));
        let mut all = vec!["template", RELEASE, chart.to_str().expect("text"), "--namespace", NAMESPACE];
        all.extend(["--values", &values]);
        all.extend(args);
        self.run("helm", &all, None)
    }
}

/// What the chart renders with these values.
pub fn render(values: &Value) -> Rendered {
    Rendered::parse(&Helm::new().template(&[], values).unwrap_or_else(|error| panic!("{values}: {error}")))
}

/// Why the chart renders nothing with these values.
pub fn refusal(values: &Value) -> String {
    match Helm::new().template(&[], values) {
        Ok(_) => panic!("{values} is taken"),
        Err(words) => words,
    }
}

/// Objects of a manifest.
#[derive(Clone)]
pub struct Rendered(pub Vec<Value>);

impl Rendered {
    /// The objects of a text of YAML documents.
    pub fn parse(text: &str) -> Rendered {
        let documents = serde_yaml::Deserializer::from_str(text);
        let objects = documents.map(|document| Value::deserialize(document).expect("YAML"));
        // A document of comments alone is null.
        Rendered(objects.filter(|object| !object.is_null()).collect())
    }

    /// Those of a kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The one of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        let mut found = self.of(kind);
        let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(found.next().is_none(), "more than one {kind}");
        first
    }

    /// Whether there is any of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.of(kind).next().is_some()
    }

    /// The object of a kind and name.
    pub fn named(&self, kind: &str, name: &str) -> &Value {
        self.of(kind).find(|object| object["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// The operator's container.
    pub fn operator(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    }

    /// Pod templates: of the Deployment, of the Job, and the test's Pod.
    pub fn pods(&self) -> Vec<Value> {
        let templates = self.0.iter().filter_map(|object| object.pointer("/spec/template"));
        templates.chain(self.of("Pod")).cloned().collect()
    }
}

/// The arguments of a container.
pub fn args(container: &Value) -> Vec<String> {
    serde_json::from_value(container["args"].clone()).expect("arguments")
}

/// The environment variables of a container that have a plain value.
pub fn env(container: &Value) -> Map<String, Value> {
    let list = container["env"].as_array().expect("an environment");
    list.iter().filter_map(|entry| Some((entry["name"].as_str()?.to_owned(), entry.get("value")?.clone()))).collect()
}
