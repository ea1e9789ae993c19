//! What an image is made of.
use std::collections::BTreeMap;

pub use flate2::Compression;
use jiff::Timestamp;

/// An image of one layer for Linux.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name in full, `REGISTRY/REPOSITORY:TAG`: an image that is loaded is found under it.
    pub name: String,
    /// The machine it is for, as Go calls it (`amd64`, `arm64`).
    pub architecture: &'static str,
    /// When it was made, and the time of all its files.
    pub created: Timestamp,
    /// `UID:GID`, in numbers: a kubelet can't tell of a name whether it is root's.
    pub user: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Its environment, `NAME=VALUE` each.
    pub env: Vec<String>,
    /// Annotations of the manifest, and labels of the configuration: registries show the ones, daemons the others.
    pub labels: BTreeMap<String, String>,
    /// What is in it.
    pub files: Vec<File>,
    /// How much the layer is compressed.
    pub compression: Compression,
}

/// A file, owned by root.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path from the root, without a slash in front.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Image {
    /// The part of the name behind its last colon.
    ///
    /// # Errors
    /// When the name has no tag.
    pub fn tag(&self) -> anyhow::Result<&str> {
        match self.name.rsplit_once(':') {
            Some((_, tag)) if !tag.is_empty() && !tag.contains('/') => Ok(tag),
            _ => anyhow::bail!("the image's name {} has no tag", self.name),
        }
    }
}
