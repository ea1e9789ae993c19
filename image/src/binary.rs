//! A program's file, if it is fit for an image that has nothing else.
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// A static program.
pub struct Binary {
    /// Its file.
    pub bytes: Vec<u8>,
    /// The machine it is for, as Go calls it.
    pub architecture: &'static str,
}

/// Reads the program at `path`.
///
/// # Errors
/// When it is no program for 64-bit Linux, for a machine that is not known here, or needs a dynamic linker.
pub fn read(path: &Path) -> Result<Binary> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let architecture = architecture_of(&bytes).with_context(|| format!("{} is not fit", path.display()))?;
    Ok(Binary { bytes, architecture })
}

fn architecture_of(bytes: &[u8]) -> Result<&'static str> {
    let header = FileHeader64::<Endianness>::parse(bytes).context("it is no ELF file of 64 bits")?;
    let endian = header.endian()?;
    let architecture = match header.e_machine(endian) {
        EM_X86_64 => "amd64",
        EM_AARCH64 => "arm64",
        other => bail!("it is for a machine that is not known here (ELF's number {})", other.0),
    };
    let headers = header.program_headers(endian, bytes)?;
    if headers.iter().any(|header| header.p_type(endian) == PT_INTERP) {
        bail!("it needs a dynamic linker, which the image has not: build it with -C target-feature=+crt-static");
    }
    Ok(architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_dynamic_linker_is_refused() {
        // Tests are linked dynamically.
        let this = std::env::current_exe().expect("this program has a path");
        let refusal = read(&this).err().expect("a refusal");
        assert!(format!("{refusal:#}").contains("needs a dynamic linker"), "{refusal:#}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let refusal = architecture_of(b"#!/bin/sh\n").expect_err("a refusal");
        assert!(refusal.to_string().contains("no ELF file"), "{refusal:#}");
    }
}
