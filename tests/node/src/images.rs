//! Images of pods that play consumers: a shell, and `terraform` where the machine has one.
use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use operator_image::archive;
use operator_image::image::{Compression, File, Image};
use tfc_harness::Error;

/// What the kubelet runs first in every pod.
pub const PAUSE: &str = "localhost/pause:1";
/// The consumer.
pub const TERRAFORM: &str = "localhost/terraform:1";

/// An image of busybox alone, which waits.
///
/// # Errors
/// When the program can't be read.
pub fn pause(busybox: &Path) -> Result<Vec<u8>, Error> {
    build(PAUSE, &["/bin/busybox", "tail", "-f", "/dev/null"], &[("bin/busybox", busybox)])
}

/// An image of busybox and terraform, which waits for what it is told by `exec`.
///
/// # Errors
/// When a program can't be read.
pub fn terraform(busybox: &Path, terraform: &Path) -> Result<Vec<u8>, Error> {
    let files = [("bin/busybox", busybox), ("bin/sh", busybox), ("bin/terraform", terraform)];
    build(TERRAFORM, &["/bin/busybox", "tail", "-f", "/dev/null"], &files)
}

fn build(name: &str, entrypoint: &[&str], files: &[(&str, &Path)]) -> Result<Vec<u8>, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::new(format!("could not make the image {name}: {what}"));
    let files = files.iter().map(|(path, source)| {
        let content = std::fs::read(source).map_err(|error| failed(&format!("{}: {error}", source.display())))?;
        Ok(File { path: (*path).to_owned(), mode: 0o755, content })
    });
    let image = Image {
        name: name.to_owned(),
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        created: Timestamp::UNIX_EPOCH,
        user: "65532:65532".to_owned(),
        entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned()],
        labels: BTreeMap::new(),
        files: files.collect::<Result<_, Error>>()?,
        // Read once, from the disk of the same machine.
        compression: Compression::none(),
    };
    archive::build(&image).map(|archive| archive.bytes).map_err(|error| failed(&error))
}
