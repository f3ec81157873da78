//! The spec of a config, read into parts that cannot be wrong.

use std::collections::BTreeSet;
use std::fmt;

use api::K0sWorkerConfigSpec;
use api::worker_config::{Platform, ProvisionerType};
use bootstrap_data::{Permissions, Rendering};
use k0s::{Download, NodeArgs, Version};
use serde::{Deserialize, Serialize};

use super::observe::OwnerFacts;

/// Something in the spec that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field.
    pub field: String,
    /// What is wrong, with the value and the remedy.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// What the data are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Which k0s; `None` is the latest.
    pub version: Option<Version>,
    /// How it comes onto the host.
    pub download: Download,
    /// The user's files, in order.
    pub files: Vec<FilePart>,
    /// `k0s install worker ...`, one word per item.
    pub install: Vec<String>,
    /// Where the token is put.
    pub token_path: String,
    /// The worker profile, if not the default one.
    pub profile: Option<String>,
}

/// One file of the user.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePart {
    /// Absolute.
    pub path: String,
    /// Mode bits.
    pub permissions: Permissions,
    /// Whether cloud-init may fill in instance data.
    pub rendering: Rendering,
    /// The field of its `contentFrom`; `None`: the content stands in the spec.
    pub source: Option<String>,
}

impl Parts {
    /// Reads the spec; all its faults at once.
    pub fn read(spec: &K0sWorkerConfigSpec, owner: &OwnerFacts) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, what: String| faults.push(Fault { field: field.to_owned(), what });
        check_provisioner(spec, &mut fault);
        let version = read_version(spec, owner, &mut fault);
        let install_dir = spec.k0s_install_dir.as_deref().unwrap_or(k0s::names::INSTALL_DIR);
        for (field, dir) in [
            ("spec.k0sInstallDir", spec.k0s_install_dir.as_deref()),
            ("spec.workingDir", spec.working_dir.as_deref()),
        ] {
            if let Some(dir) = dir.filter(|dir| !dir.is_empty() && !is_absolute(dir)) {
                fault(field, format!("{dir:?} must be an absolute path on one line"));
            }
        }
        let pre_installed = spec.pre_installed_k0s == Some(true);
        let download =
            Download::choose(pre_installed, spec.download_url.as_deref(), version.as_ref(), install_dir);
        let download = download.map_err(|why| fault("spec.downloadURL", why.to_string())).ok();
        let files = read_files(spec, &mut fault);
        let token_path = k0s::names::token_path(spec.working_dir.as_deref());
        let args = NodeArgs {
            machine: (!owner.pool).then_some(owner.name.as_str()),
            use_system_hostname: owner.pool || spec.use_system_hostname == Some(true),
            user: &spec.args,
        };
        let install = k0s::install_worker(install_dir, &token_path, &args);
        let profile = profile(&spec.args);
        match (download, faults.is_empty()) {
            (Some(download), true) => Ok(Self { version, download, files, install, token_path, profile }),
            _ => Err(faults),
        }
    }

    /// `<profile>-<minor>`: the worker configuration that this worker will ask the cluster for. Unknown without a
    /// version.
    pub fn worker_configuration(&self) -> Option<String> {
        let name = k0s::names::worker_config_map(self.profile.as_deref(), self.version.as_ref()?);
        Some(name.strip_prefix("worker-config-").unwrap_or(&name).to_owned())
    }
}

/// What works today; everything else is refused, never ignored.
fn check_provisioner(spec: &K0sWorkerConfigSpec, fault: &mut impl FnMut(&str, String)) {
    let Some(provisioner) = &spec.provisioner else { return };
    match provisioner.type_.unwrap_or_default() {
        ProvisionerType::CloudConfig => {}
        ProvisionerType::Ignition => {
            fault("spec.provisioner.type", "ignition is not supported yet; use cloud-config".to_owned());
        }
        ProvisionerType::Powershell | ProvisionerType::PowershellXml => {
            fault("spec.provisioner.type", "PowerShell is not supported yet; use cloud-config".to_owned());
        }
    }
    if provisioner.platform.unwrap_or_default() == Platform::Windows {
        fault("spec.provisioner.platform", "windows is not supported yet; use linux".to_owned());
    }
}

/// The config's version, else its owner's; empty is unset. A missing suffix is `+k0s.0`.
fn read_version(
    spec: &K0sWorkerConfigSpec,
    owner: &OwnerFacts,
    fault: &mut impl FnMut(&str, String),
) -> Option<Version> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let of_owner = if owner.pool { "version of the MachinePool" } else { "version of the Machine" };
    let (field, text) = match (given(&spec.version), given(&owner.version)) {
        (Some(text), _) => ("spec.version", text),
        (None, Some(text)) => (of_owner, text),
        (None, None) => return None,
    };
    match text.parse::<Version>() {
        Ok(version) => Some(version.completed()),
        Err(why) => {
            fault(field, why.to_string());
            None
        }
    }
}

fn read_files(spec: &K0sWorkerConfigSpec, fault: &mut impl FnMut(&str, String)) -> Vec<FilePart> {
    let mut paths = BTreeSet::new();
    let mut parts = Vec::new();
    for (index, file) in spec.files.iter().enumerate() {
        let field = format!("spec.files[{index}]");
        let path = file.path.clone().unwrap_or_default();
        if !is_absolute(&path) {
            fault(&format!("{field}.path"), format!("{path:?} must be an absolute path on one line"));
        } else if !paths.insert(path.clone()) {
            fault(&format!("{field}.path"), format!("{path:?} is named twice; each path may be named once"));
        }
        let permissions = match file.permissions.as_deref().filter(|text| !text.is_empty()).map(str::parse) {
            None => Permissions::default(),
            Some(Ok(permissions)) => permissions,
            Some(Err(why)) => {
                let why: bootstrap_data::PermissionsFault = why;
                fault(&format!("{field}.permissions"), why.to_string());
                Permissions::default()
            }
        };
        let source = file.content_from.as_ref();
        match (&file.content, source) {
            (Some(_), Some(_)) => {
                fault(&field, "content and contentFrom are both given; give one of them".to_owned());
            }
            (None, None) => {
                fault(&field, "neither content nor contentFrom is given; give one of them".to_owned());
            }
            _ => {}
        }
        if let Some(source) = source {
            let field = format!("{field}.contentFrom");
            match (&source.secret_ref, &source.config_map_ref) {
                (None, None) => {
                    fault(&field, "neither secretRef nor configMapRef is given; give one of them".to_owned());
                }
                (Some(_), Some(_)) => {
                    fault(&field, "secretRef and configMapRef are both given; give one of them".to_owned());
                }
                (Some(named), None) | (None, Some(named))
                    if named.name.is_empty() || named.key.is_empty() =>
                {
                    fault(&field, "name and key of the reference must not be empty".to_owned());
                }
                _ => {}
            }
        }
        let rendering = match (file.rendering, source) {
            (None | Some(api::shared::Rendering::Auto), None) => Rendering::Auto,
            // Referenced content is literal unless said otherwise (10.1).
            (None | Some(api::shared::Rendering::Auto), Some(_))
            | (Some(api::shared::Rendering::Literal), _) => Rendering::Literal,
            (Some(api::shared::Rendering::Jinja), _) => Rendering::Jinja,
        };
        let source = source.map(|_| format!("{field}.contentFrom"));
        parts.push(FilePart { path, permissions, rendering, source });
    }
    parts
}

/// The last `--profile` that the user gives.
fn profile(args: &[String]) -> Option<String> {
    let mut found = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--profile" {
            found = args.next().cloned();
        } else if let Some(value) = arg.strip_prefix("--profile=") {
            found = Some(value.to_owned());
        }
    }
    found.filter(|profile| !profile.is_empty())
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['\n', '\r', '\0'])
}
