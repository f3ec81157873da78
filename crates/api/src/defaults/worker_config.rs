//! Effective values of K0sWorkerConfig (control-plane-and-bootstrap, 2.2 and 8).

use crate::worker_config::{K0sWorkerConfigSpec, Platform, ProvisionerType};

/// Where the binary is put or found.
pub const INSTALL_DIR: &str = "/usr/local/bin";
/// The script that installs k0s; as a `downloadURL` it means the same as none.
pub const GET_K0S: &str = "https://get.k0s.sh";

impl K0sWorkerConfigSpec {
    /// Notation of the bootstrap data.
    pub fn provisioner_type(&self) -> ProvisionerType {
        self.provisioner.as_ref().and_then(|provisioner| provisioner.type_).unwrap_or_default()
    }

    /// Operating system of the host.
    pub fn platform(&self) -> Platform {
        self.provisioner.as_ref().and_then(|provisioner| provisioner.platform).unwrap_or_default()
    }

    /// Directory of the binary.
    pub fn install_dir(&self) -> &str {
        self.k0s_install_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or(INSTALL_DIR)
    }

    /// The version the user asked for.
    pub fn wanted_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|version| !version.is_empty())
    }

    /// Where the binary comes from, if not from the script of `https://get.k0s.sh`.
    pub fn own_download_url(&self) -> Option<&str> {
        self.download_url.as_deref().filter(|url| !url.is_empty() && *url != GET_K0S)
    }

    /// Path of the join token on the host.
    pub fn token_path(&self) -> String {
        match self.working_dir.as_deref().filter(|dir| !dir.is_empty()) {
            Some(dir) => format!("{}/k0s.token", dir.trim_end_matches('/')),
            None => "/etc/k0s.token".to_owned(),
        }
    }
}
