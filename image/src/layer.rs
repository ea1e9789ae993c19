//! An image's files as a layer: a tar with the folders on the way, in order, all of root's and of one time.
use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::GzBuilder;
use tar::{Builder, EntryType, Header};

use crate::image::Image;
use crate::sha256;

/// A layer.
pub struct Layer {
    /// The compressed tar.
    pub blob: Vec<u8>,
    /// The SHA-256 digest of the tar itself (the configuration's `diff_ids`).
    pub diff_id: String,
}

/// The layer that holds the image's files.
///
/// # Errors
/// When a path is no path inside the image.
pub fn build(image: &Image) -> Result<Layer> {
    let tar = tar(image)?;
    // Without a name or a time in gzip's own header; the system in it is "unknown" everywhere.
    let mut gzip = GzBuilder::new().write(Vec::new(), image.compression);
    gzip.write_all(&tar)?;
    Ok(Layer { blob: gzip.finish()?, diff_id: sha256(&tar) })
}

fn tar(image: &Image) -> Result<Vec<u8>> {
    let mut files: Vec<_> = image.files.iter().collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let mut builder = Builder::new(Vec::new());
    let mut folders = BTreeSet::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            let folder = &file.path[..=end];
            if folders.insert(folder.to_owned()) {
                append(&mut builder, image, EntryType::Directory, folder, 0o755, &[])?;
            }
        }
        append(&mut builder, image, EntryType::Regular, &file.path, file.mode, &file.content)?;
    }
    Ok(builder.into_inner()?)
}

fn append(
    builder: &mut Builder<Vec<u8>>,
    image: &Image,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(image.created.as_second()).context("the image is from before 1970")?);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content).with_context(|| format!("{path:?} can't be in an image"))
}
