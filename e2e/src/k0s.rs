//! Where k0s comes from: `K0S_BINARY` (and `K0S_IMAGE` for pods), else a download with its checksum, else the stand-in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use testbed::tools;

use crate::stand_in;

/// The version that the quickstart and the tests use.
pub const VERSION: &str = "v1.36.3+k0s.0";

/// A k0s to run.
#[derive(Clone, Debug)]
pub struct K0s {
    /// The program, one file that carries all it needs.
    pub binary: PathBuf,
    /// Its version.
    pub version: String,
    /// Of the stand-in: the folder with the list of files that its image for pods needs. None is genuine.
    pub bundle: Option<PathBuf>,
    /// An archive of the image that pods run (`K0S_IMAGE`); else one is made from the program.
    pub image: Option<PathBuf>,
}

impl K0s {
    /// The first that can be had.
    pub fn find(version: &str) -> Result<Self> {
        if let Some(path) = std::env::var_os("K0S_BINARY").filter(|path| !path.is_empty()) {
            return Ok(Self { image: given_image()?, ..Self::given(path.into())? });
        }
        ensure!(
            given_image()?.is_none(),
            "K0S_IMAGE needs K0S_BINARY, the program of the same version: hosts run it"
        );
        match downloaded(version) {
            Ok(binary) => Ok(Self { binary, version: version.to_owned(), bundle: None, image: None }),
            Err(error) => {
                eprintln!("k0s: genuine k0s cannot be downloaded here ({error:#}); using the stand-in");
                Self::stand_in(version)
            }
        }
    }

    /// A program that somebody gave.
    pub fn given(binary: PathBuf) -> Result<Self> {
        ensure!(binary.is_file(), "{} is no file: K0S_BINARY names a k0s program", binary.display());
        let version = says_version(&binary)?;
        Ok(Self { binary, version, bundle: None, image: None })
    }

    /// The stand-in playing a version: built once, carrying its parts.
    pub fn stand_in(version: &str) -> Result<Self> {
        let folder = stand_in::bundle(version)?;
        let binary = folder.join(format!("k0s-{version}-{}", stand_in::architecture()));
        Ok(Self { binary, version: version.to_owned(), bundle: Some(folder), image: None })
    }

    /// The genuine program, not the stand-in.
    pub fn genuine(&self) -> bool {
        self.bundle.is_none()
    }

    /// In words.
    pub fn describe(&self) -> String {
        let what = if self.genuine() { "genuine k0s" } else { "the k0s stand-in (e2e/k0s-stand-in)" };
        format!("{what} {}", self.version)
    }
}

fn given_image() -> Result<Option<PathBuf>> {
    let path = std::env::var_os("K0S_IMAGE").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = &path {
        ensure!(path.is_file(), "{} is no file: K0S_IMAGE names an image archive", path.display());
    }
    Ok(path)
}

fn says_version(binary: &Path) -> Result<String> {
    let out = Command::new(binary)
        .arg("version")
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let version = text.lines().find_map(|line| line.trim().strip_prefix('v').map(|rest| format!("v{rest}")));
    version.with_context(|| format!("{} version says {text:?}", binary.display()))
}

/// The release's file, checked against the release's checksums, in the cache.
fn downloaded(version: &str) -> Result<PathBuf> {
    if std::env::var("K0SMOTRON_OFFLINE").is_ok_and(|value| !value.is_empty()) {
        bail!("K0SMOTRON_OFFLINE is set");
    }
    let folder = tools::cache_dir()?.join("k0s");
    let path = folder.join(format!("k0s-{version}-amd64"));
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    let base = format!("https://github.com/k0sproject/k0s/releases/download/{}", version.replace('+', "%2B"));
    let name = format!("k0s-{version}-amd64");
    let sums = fetch(&format!("{base}/sha256sums.txt"), 20)?;
    let wanted = String::from_utf8_lossy(&sums)
        .lines()
        .find_map(|line| {
            line.split_once(char::is_whitespace)
                .filter(|(_, file)| file.trim_start_matches([' ', '*']) == name)
        })
        .map(|(sum, _)| sum.to_owned())
        .with_context(|| format!("sha256sums.txt does not name {name}"))?;
    eprintln!("k0s: downloading {name}");
    let program = fetch(&format!("{base}/{}", name.replace('+', "%2B")), 600)?;
    let sum = hex::encode(Sha256::digest(&program));
    ensure!(sum == wanted, "{name} has sha256 {sum}, the release says {wanted}");
    let unfinished = path.with_extension("partial");
    fs::write(&unfinished, &program)?;
    make_executable(&unfinished)?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

fn fetch(url: &str, seconds: u32) -> Result<Vec<u8>> {
    let out = Command::new("curl")
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--connect-timeout",
            "5",
            "--max-time",
            &seconds.to_string(),
            url,
        ])
        .output()
        .context("cannot run curl")?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(out.stdout)
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
