//! `operator-image`: from the operator's static binary to an OCI archive and an SBOM beside it. `make image` runs it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use jiff::Timestamp;
use operator_image::image::{Compression, File, Image};
use operator_image::{archive, binary, roots, sbom, toolchain};

/// The operator's package, the program in the image, and the image's usual name.
const OPERATOR: &str = "tfc-token-operator";
/// A user that no machine gives to anybody, as in distroless images.
const USER: &str = "65532:65532";
/// The most that the image may hold, uncompressed, in bytes.
const LIMIT: usize = 15_000_000;

/// Writes the operator's image as an OCI archive, and an SBOM (CycloneDX) beside it.
#[derive(Debug, Parser)]
struct Flags {
    /// The operator's binary, linked statically.
    #[arg(long)]
    binary: PathBuf,
    /// The target that it was built for, such as x86_64-unknown-linux-gnu.
    #[arg(long)]
    target: String,
    /// The C compiler that linked it: its C library is in the binary.
    #[arg(long, default_value = "cc")]
    cc: String,
    /// The workspace that it was built from.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// The image's repository; its tag is the version.
    #[arg(long, default_value = "docker.io/library/tfc-token-operator")]
    repository: String,
    /// The tag, where it is not the version.
    #[arg(long)]
    tag: Option<String>,
    /// The commit that was built.
    #[arg(long)]
    revision: Option<String>,
    /// A variable of the image's environment, NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The time that stands in the image, in seconds since 1970: the commit's.
    #[arg(long, env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    created: i64,
    /// The folder for the archive and the SBOM.
    #[arg(long)]
    output_dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operator-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    let created = Timestamp::from_second(flags.created).context("--created is no time")?;
    let binary = binary::read(&flags.binary)?;
    let build = sbom::Build::ask(&flags.workspace, OPERATOR, &flags.target)?;
    let version = build.version()?;
    let tag = flags.tag.as_deref().unwrap_or(version);

    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), OPERATOR.to_owned()),
        ("org.opencontainers.image.version".to_owned(), version.to_owned()),
        ("org.opencontainers.image.created".to_owned(), created.to_string()),
    ]);
    let further = [
        ("description", build.about("description")),
        ("licenses", build.about("license")),
        ("revision", flags.revision.as_deref()),
    ];
    for (name, text) in further {
        if let Some(text) = text {
            labels.insert(format!("org.opencontainers.image.{name}"), text.to_owned());
        }
    }

    let list = build.sbom(&binary.bytes, created, &toolchain::rust()?, &toolchain::glibc(&flags.cc)?)?;

    let architecture = binary.architecture;
    let image = Image {
        name: format!("{}:{tag}", flags.repository),
        architecture,
        created,
        user: USER.to_owned(),
        entrypoint: vec![format!("/{OPERATOR}")],
        env: flags.env.clone(),
        labels,
        files: vec![
            File { path: OPERATOR.to_owned(), mode: 0o755, content: binary.bytes },
            File { path: roots::PATH.to_owned(), mode: 0o644, content: roots::bundle().into_bytes() },
        ],
        compression: Compression::best(),
    };
    let size: usize = image.files.iter().map(|file| file.content.len()).sum();
    ensure!(size <= LIMIT, "the image holds {size} bytes; it may hold {LIMIT}");
    let archive = archive::build(&image)?;

    std::fs::create_dir_all(&flags.output_dir).context("could not make the output's folder")?;
    let output = flags.output_dir.join(format!("{OPERATOR}-{tag}-linux-{architecture}"));
    write(&output.with_added_extension("tar"), &archive.bytes)?;
    write(&output.with_added_extension("cdx.json"), &list)?;
    println!("{} {} ({} bytes, {size} unpacked)", image.name, archive.digest, archive.bytes.len());
    println!("{}", output.with_added_extension("tar").display());
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}
