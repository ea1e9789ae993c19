//! What docs/recipes/ shows is taken by the API server as it stands.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bed::{bed, programs, root};
use crate::objects::{apply, install_crd};

/// Kinds whose CRDs are not to be had here: each page that shows one says that it is untried.
const UNTRIED: [&str; 1] = ["app.terraform.io/v1alpha2"];

fn pages() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("docs/recipes")).expect("the recipes");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), fs::read_to_string(path).expect("text"))).collect()
}

/// The YAML of a page, block by block, also of those that are part of a list.
fn blocks(page: &str) -> Vec<Value> {
    let (mut blocks, mut open): (Vec<Value>, Option<(usize, String)>) = (Vec::new(), None);
    for line in page.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start()) {
            (None, "```yaml") => open = Some((indent, String::new())),
            (Some((_, text)), "```") => {
                blocks.push(serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")));
                open = None;
            }
            (Some((depth, text)), _) => {
                text.push_str(line.get(*depth..).unwrap_or_default());
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    blocks
}

#[tokio::test]
async fn every_recipe_is_accepted() {
    let client = bed().client();
    let flux = programs().expect("a test bed").join("kustomize-controller-crds");
    install_crd(&client, &flux.join("kustomize.toolkit.fluxcd.io_kustomizations.yaml")).await;
    for namespace in ["shop", "flux-system", "argocd"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply(&client, &object, false).await.expect("a namespace");
    }
    let mut tried = 0;
    for (path, page) in pages() {
        for object in blocks(&page) {
            if UNTRIED.contains(&object["apiVersion"].as_str().expect("an apiVersion")) {
                assert!(page.contains("\nUntried: "), "{} does not say that it is untried", path.display());
                continue;
            }
            let taken = apply(&client, &object, true).await;
            assert!(taken.is_ok(), "{}: {} {}: {taken:?}", path.display(), object["kind"], object["metadata"]["name"]);
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried} objects were found");
}

#[test]
fn every_recipe_is_in_the_list_and_says_whether_it_was_tried() {
    let pages = pages();
    let (_, list) = pages.iter().find(|(path, _)| path.ends_with("README.md")).expect("the list");
    for (path, page) in pages.iter().filter(|(path, _)| !path.ends_with("README.md")) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(list.contains(&format!("]({name})")), "{name} is not in the list");
        assert!(page.contains("\nTried: ") || page.contains("\nUntried: "), "{name} does not say whether it was tried");
    }
}
