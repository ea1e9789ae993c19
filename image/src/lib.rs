//! Writes a container image as an OCI archive, without a container daemon, a registry or root. Never shipped.
//!
//! The same inputs give the same bytes: nothing here asks the clock, the machine or a hash map's order.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`image`] | what an image is made of |
//! | [`layer`] | its files as a layer |
//! | [`archive`] | the whole as an archive that containerd, Podman, Docker, kind and skopeo load |
//! | [`binary`] | a program's file, if it is fit for an image that has nothing else |
//! | [`roots`] | the root certificates |
//! | [`sbom`] | what the operator's binary is made of |
//! | [`toolchain`] | the versions of what a toolchain links into every binary |
pub mod archive;
pub mod binary;
pub mod image;
pub mod layer;
pub mod roots;
pub mod sbom;
pub mod toolchain;

use sha2::{Digest, Sha256};

/// A SHA-256 digest in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
