//! The versions of what a toolchain links into every binary.
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The version of Rust's standard library: the compiler's own.
///
/// # Errors
/// When the compiler does not say.
pub fn rust() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("could not run rustc")?;
    let words = String::from_utf8(output.stdout)?;
    words.split(' ').nth(1).map(str::to_owned).context("rustc did not tell its version")
}

/// The version of the C library that `cc` links, such as `2.36`: by its headers, so that it is true of a cross compiler too.
///
/// # Errors
/// When the compiler does not say, or the library is not glibc.
pub fn glibc(cc: &str) -> Result<String> {
    let failed = || format!("could not ask {cc} for the version of its C library");
    let mut preprocessor = Command::new(cc)
        .args(["-E", "-P", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(failed)?;
    let mut input = preprocessor.stdin.take().with_context(failed)?;
    input.write_all(b"#include <features.h>\n__GLIBC__.__GLIBC_MINOR__\n").with_context(failed)?;
    drop(input);
    let output = preprocessor.wait_with_output().with_context(failed)?;
    let text = String::from_utf8(output.stdout)?;
    let version: String = text.lines().last().unwrap_or_default().split_whitespace().collect();
    ensure!(
        version.starts_with(|first: char| first.is_ascii_digit()),
        "the C library of {cc} is not glibc: its version is {version:?}"
    );
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_numbers() {
        for version in [rust().expect("rustc says"), glibc("cc").expect("cc says")] {
            let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
            assert!(numbers.len() >= 2 && numbers.iter().all(Result::is_ok), "{version}");
        }
    }
}
