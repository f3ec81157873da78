//! Faults of K0sWorkerConfigs (W2, X1).

use std::collections::BTreeMap;

use crate::{
    shared::{ContentSource, File},
    worker_config::{K0sWorkerConfigSpec, Platform, ProvisionerType},
};

use super::{Fault, Validate, not_yet, text};

impl Validate for K0sWorkerConfigSpec {
    fn own_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(version) = self.wanted_version()
            && !text::is_version(version)
        {
            faults.push(Fault::new("spec.version", version, "must look like v1.34.1+k0s.0"));
        }
        for (path, dir) in
            [("spec.workingDir", &self.working_dir), ("spec.k0sInstallDir", &self.k0s_install_dir)]
        {
            let dir = dir.as_deref().unwrap_or_default();
            if !dir.is_empty() && !text::is_absolute_anywhere(dir) {
                faults.push(Fault::new(path, dir, "must be an absolute path without a line break"));
            }
        }
        if let Some(url) = self.own_download_url() {
            let known = ["https://", "http://", "oci://"].iter().any(|scheme| url.starts_with(scheme));
            if !known || url.contains(char::is_whitespace) {
                faults.push(Fault::new(
                    "spec.downloadURL",
                    url,
                    "must begin with https://, http:// or oci://",
                ));
            }
        }
        files(&self.files, &mut faults);
        if let Some(provisioner) = &self.provisioner {
            if self.provisioner_type() == ProvisionerType::Ignition && provisioner.ignition.is_none() {
                faults.push(Fault::new("spec.provisioner.ignition", "", "is needed with type ignition"));
            }
            if let Some(source) = &provisioner.custom_user_data_ref {
                source_faults("spec.provisioner.customUserDataRef", source, &mut faults);
            }
            let powershell = matches!(
                self.provisioner_type(),
                ProvisionerType::Powershell | ProvisionerType::PowershellXml
            );
            if powershell && self.platform() != Platform::Windows {
                faults.push(Fault::new(
                    "spec.provisioner.platform",
                    "",
                    "must be windows with type powershell",
                ));
            }
        }
        faults.extend(not_yet::worker(self));
        faults
    }
}

fn files(files: &[File], faults: &mut Vec<Fault>) {
    let mut paths = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let field = |name: &str| format!("spec.files[{index}].{name}");
        let path = file.path.as_deref().unwrap_or_default();
        if !text::is_absolute_anywhere(path) {
            faults.push(Fault::new(field("path"), path, "must be an absolute path without a line break"));
        } else if let Some(other) = paths.insert(path, index) {
            faults.push(Fault::new(field("path"), path, format!("is the path of spec.files[{other}] too")));
        }
        match (&file.content, &file.content_from) {
            (None, None) => {
                faults.push(Fault::new(format!("spec.files[{index}]"), "", "needs content or contentFrom"));
            }
            (Some(content), Some(_)) if !content.is_empty() => {
                faults.push(Fault::new(
                    format!("spec.files[{index}]"),
                    "",
                    "must have either content or contentFrom",
                ));
            }
            (_, Some(source)) => source_faults(&field("contentFrom"), source, faults),
            (Some(_), None) => {}
        }
        if let Some(permissions) = &file.permissions
            && !permissions.is_empty()
            && !text::is_octal(permissions)
        {
            faults.push(Fault::new(
                field("permissions"),
                permissions,
                "must be an octal number such as \"0644\"",
            ));
        }
    }
}

fn source_faults(path: &str, source: &ContentSource, faults: &mut Vec<Fault>) {
    let named = [("secretRef", &source.secret_ref), ("configMapRef", &source.config_map_ref)];
    let given: Vec<_> =
        named.iter().filter_map(|(field, key)| key.as_ref().map(|key| (field, key))).collect();
    if given.len() != 1 {
        faults.push(Fault::new(path, "", "must have exactly one of secretRef and configMapRef"));
    }
    for (field, key) in given {
        if key.name.is_empty() || key.key.is_empty() {
            faults.push(Fault::new(format!("{path}.{field}"), "", "needs name and key"));
        }
    }
}
