//! How the binary comes onto a host (control-plane chapter 8).

use crate::{Version, names};

/// What must be done to have the binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Download {
    /// Nothing: the image holds it.
    PreInstalled,
    /// The install script, which fetches `version`, or the latest stable one.
    Script {
        /// Directory of the binary.
        dir: String,
        /// Which one.
        version: Option<Version>,
    },
    /// One URL. The version is whatever stands behind it.
    Fetch {
        /// Where from.
        url: String,
        /// Path of the binary.
        to: String,
    },
    /// A blob of an OCI registry, fetched by `oras`, which the image must hold.
    Oci {
        /// Without the scheme, with its digest.
        reference: String,
        /// Path of the binary.
        to: String,
    },
}

/// Why a `downloadURL` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadFault {
    /// Another scheme, or none.
    #[error("downloadURL {0:?} must begin with http://, https:// or oci://")]
    Scheme(String),
    /// No host, or characters that no URL has.
    #[error(
        "downloadURL {0:?} is no URL: a host must follow the scheme, and blanks and control characters may not stand in it"
    )]
    Unparsable(String),
    /// A blob is named by its digest.
    #[error("downloadURL {0:?} needs a digest at its end: oci://host/path@sha256:...")]
    Digest(String),
}

impl Download {
    /// From the fields of a bootstrap config. An empty `install_dir` means the default one.
    pub fn choose(
        pre_installed: bool,
        download_url: Option<&str>,
        version: Option<&Version>,
        install_dir: &str,
    ) -> Result<Self, DownloadFault> {
        if pre_installed {
            return Ok(Self::PreInstalled);
        }
        let dir = if install_dir.is_empty() { names::INSTALL_DIR } else { install_dir };
        let url = download_url.unwrap_or_default();
        if url.is_empty() || url == names::INSTALL_SCRIPT {
            return Ok(Self::Script { dir: dir.to_owned(), version: version.cloned() });
        }
        let unparsable = || DownloadFault::Unparsable(url.to_owned());
        if url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err(unparsable());
        }
        let to = names::binary(dir);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| DownloadFault::Scheme(url.to_owned()))?;
        if rest.is_empty() || rest.starts_with('/') {
            return Err(unparsable());
        }
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Self::Fetch { url: url.to_owned(), to }),
            "oci" if !rest.contains("@sha256:") => Err(DownloadFault::Digest(url.to_owned())),
            "oci" => Ok(Self::Oci { reference: rest.to_owned(), to }),
            _ => Err(DownloadFault::Scheme(url.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_serves_unless_a_url_says_otherwise() {
        let version: Version = "v1.31.2+k0s.0".parse().unwrap();
        let script = Download::Script { dir: "/usr/local/bin".into(), version: Some(version.clone()) };
        for url in [None, Some(""), Some("https://get.k0s.sh")] {
            assert_eq!(Download::choose(false, url, Some(&version), "").unwrap(), script);
        }
        assert_eq!(Download::choose(true, Some("x"), None, "").unwrap(), Download::PreInstalled);
        assert_eq!(
            Download::choose(false, Some("https://h/k0s"), None, "/opt/").unwrap(),
            Download::Fetch { url: "https://h/k0s".into(), to: "/opt/k0s".into() }
        );
        assert_eq!(
            Download::choose(false, Some("oci://r.example/k0s@sha256:ab"), None, "/usr/local/bin").unwrap(),
            Download::Oci { reference: "r.example/k0s@sha256:ab".into(), to: "/usr/local/bin/k0s".into() }
        );
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_value() {
        for url in ["ftp://h/k0s", "k0s", "https://", "https:///k0s", "https://h/a b", "oci://h/k0s:latest"] {
            let refusal = Download::choose(false, Some(url), None, "").unwrap_err();
            assert!(refusal.to_string().contains(&format!("{url:?}")), "{refusal}");
        }
    }
}
