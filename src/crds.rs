//! The `crds` subcommand: the CustomResourceDefinitions as YAML.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api::crd_file_name;

/// Why the CRDs could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// A CRD has no YAML form.
    #[error("the CRD can't be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// Standard output could not be written.
    #[error("standard output can't be written: {0}")]
    Output(#[from] io::Error),
    /// A file or its directory could not be written.
    #[error("{path} can't be written: {source}; name a directory that may be written with --output-dir")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes all CRDs to `out`, one YAML document each, ready for `kubectl apply -f -`.
///
/// # Errors
/// Where `out` can't be written; a reader that has gone (a closed pipe) is no error.
pub fn print(crds: &[CustomResourceDefinition], out: &mut impl Write) -> Result<(), CrdsError> {
    for crd in crds {
        let written = write!(out, "---\n{}", serde_yaml::to_string(crd)?);
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Writes each CRD to `DIR/PLURAL.yaml`; makes the directory where it is missing.
///
/// # Errors
/// Where the directory or a file can't be written.
pub fn write_files(crds: &[CustomResourceDefinition], dir: &Path) -> Result<(), CrdsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| CrdsError::File { path, source }
    };
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    for crd in crds {
        let path = dir.join(crd_file_name(crd));
        std::fs::write(&path, serde_yaml::to_string(crd)?).map_err(at(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(name: &str) -> CustomResourceDefinition {
        let mut crd = CustomResourceDefinition::default();
        crd.metadata.name = Some(name.to_owned());
        crd.spec.names.plural = name.split('.').next().unwrap_or_default().to_owned();
        crd
    }

    #[test]
    fn prints_one_document_each() {
        let mut out = Vec::new();
        print(&[crd("a.example.com"), crd("b.example.com")], &mut out).expect("a Vec can be written");
        let text = String::from_utf8(out).expect("YAML is text");
        assert_eq!(text.matches("---\n").count(), 2, "{text}");
        assert!(
            text.starts_with("---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"),
            "{text}"
        );
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn writes_one_file_each_and_names_the_path_it_can_not_write() {
        let dir = std::env::temp_dir().join(format!("tfc-crds-{}", std::process::id()));
        write_files(&[crd("a.example.com")], &dir.join("new")).expect("a fresh directory");
        let file = dir.join("new/a.yaml");
        assert!(std::fs::read_to_string(&file).expect("the file").contains("name: a.example.com"));
        let error = write_files(&[], &file).expect_err("a file is no directory");
        assert!(error.to_string().contains("a.yaml"), "{error}");
        std::fs::remove_dir_all(&dir).expect("cleans up");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        print(&[crd("a.example.com")], &mut Closed).expect("head(1) has read enough");
    }
}
