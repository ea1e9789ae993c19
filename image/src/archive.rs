//! An image as one file: an [OCI image layout](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md) in a
//! tar, and in it the `manifest.json` by which Docker and kind find their way.
use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::image::Image;
use crate::layer;
use crate::sha256;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image's archive.
pub struct Archive {
    /// The file.
    pub bytes: Vec<u8>,
    /// The manifest's digest, `sha256:…`: what a registry knows the image by.
    pub digest: String,
}

/// Writes an image.
///
/// # Errors
/// When its name has no tag, or a file's path is no path inside it.
pub fn build(image: &Image) -> Result<Archive> {
    let tag = image.tag()?;
    let layer = layer::build(image)?;
    // JSON's keys come in order, and so the same bytes each time; typed maps of libraries would not.
    let config = config(image, &layer.diff_id).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer.blob)],
        "annotations": image.labels,
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
    // What containerd names an imported image by, and what everybody else does.
    entry["annotations"] = json!({"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let docker = json!([{"Config": path_of(&config), "RepoTags": [image.name], "Layers": [path_of(&layer.blob)]}]);

    let mut files = vec![
        ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        ("manifest.json".to_owned(), docker.to_string().into_bytes()),
    ];
    let digest = format!("sha256:{}", sha256(&manifest));
    files.extend([manifest, config, layer.blob].map(|blob| (path_of(&blob), blob)));
    Ok(Archive { bytes: tar(files, image.created)?, digest })
}

fn config(image: &Image, diff_id: &str) -> Value {
    json!({
        "created": image.created.to_string(),
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "User": image.user,
            "Entrypoint": image.entrypoint,
            "Env": image.env,
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        "history": [{"created": image.created.to_string(), "created_by": "operator-image"}],
    })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(blob)), "size": blob.len()})
}

fn path_of(blob: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(blob))
}

fn tar(files: Vec<(String, Vec<u8>)>, created: Timestamp) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(created.as_second())?);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::image::{Compression, File};

    fn image() -> Image {
        let file = |path: &str, mode, content: &str| File { path: path.into(), mode, content: content.into() };
        Image {
            name: "example.com:5000/a/b:1.2".into(),
            architecture: "amd64",
            created: Timestamp::from_second(1_700_000_000).expect("a time"),
            user: "65532:65532".into(),
            entrypoint: vec!["/program".into()],
            env: vec!["A=b".into()],
            labels: BTreeMap::from([("one".into(), "1".into()), ("two".into(), "2".into())]),
            files: vec![file("program", 0o755, "code"), file("etc/ssl/certs/roots.crt", 0o644, "certificates")],
            compression: Compression::best(),
        }
    }

    /// The files of a tar, by path.
    fn unpack(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().expect("a tar");
        entries
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("its content");
                (entry.path().expect("its path").display().to_string(), content)
            })
            .collect()
    }

    #[test]
    fn the_same_image_is_the_same_bytes() {
        let mut other = image();
        other.files.reverse();
        assert!(build(&image()).expect("an archive").bytes == build(&other).expect("an archive").bytes);
    }

    #[test]
    fn who_reads_by_the_specification_finds_everything() {
        let archive = build(&image()).expect("an archive");
        let files = unpack(&archive.bytes);
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        // What a descriptor points to: of the digest and the size that it says.
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
            let content = files[&format!("blobs/sha256/{}", digest.expect("a digest"))].clone();
            assert_eq!(digest, Some(&*sha256(&content)));
            assert_eq!(descriptor["size"], content.len());
            content
        };
        assert_eq!(json(&files["oci-layout"]), json!({"imageLayoutVersion": "1.0.0"}));
        let index = json(&files["index.json"]);
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], *archive.digest);
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "example.com:5000/a/b:1.2");
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.2");
        assert_eq!(entry["platform"], json!({"architecture": "amd64", "os": "linux"}));

        let manifest = json(&blob(entry));
        assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &entry["mediaType"]));
        assert_eq!(manifest["annotations"]["two"], "2");
        assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
        let config = json(&blob(&manifest["config"]));
        let mut tar = Vec::new();
        GzDecoder::new(&blob(&manifest["layers"][0])[..]).read_to_end(&mut tar).expect("gzip");
        assert_eq!(config["rootfs"], json!({"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))]}));
        assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
        let run = &config["config"];
        assert_eq!((&run["User"], &run["Entrypoint"]), (&json!("65532:65532"), &json!(["/program"])));
        assert_eq!((&run["Env"], &run["Labels"]["one"]), (&json!(["A=b"]), &json!("1")));
        let paths: Vec<_> = unpack(&tar).into_keys().collect();
        assert_eq!(paths, ["etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/roots.crt", "program"]);
    }

    #[test]
    fn docker_finds_its_way_too() {
        let files = unpack(&build(&image()).expect("an archive").bytes);
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        assert_eq!(docker[0]["RepoTags"], json!(["example.com:5000/a/b:1.2"]));
        for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(files.contains_key(path.as_str().expect("a path")), "{path}");
        }
    }

    #[test]
    fn files_are_roots_and_of_the_images_time() {
        let layer = layer::build(&image()).expect("a layer");
        let mut tar = Vec::new();
        GzDecoder::new(&layer.blob[..]).read_to_end(&mut tar).expect("gzip");
        let mut archive = tar::Archive::new(&tar[..]);
        for entry in archive.entries().expect("a tar") {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!(
                (header.uid().ok(), header.gid().ok(), header.mtime().ok()),
                (Some(0), Some(0), Some(1_700_000_000))
            );
            let writable_by_others = header.mode().expect("a mode") & 0o022;
            assert_eq!(writable_by_others, 0, "{:?}", entry.path());
        }
    }

    #[test]
    fn a_name_without_a_tag_is_refused() {
        for name in ["a/b", "example.com:5000/a/b", "a:"] {
            let refusal = build(&Image { name: name.into(), ..image() }).err().expect("a refusal").to_string();
            assert!(refusal.contains(name) && refusal.contains("no tag"), "{refusal}");
        }
    }
}
