//! Names, paths and ports of k0s (k0s.md 2, 4, 7).

/// Image of k0s without its tag.
pub const IMAGE: &str = "quay.io/k0sproject/k0s";
/// The install script.
pub const INSTALL_SCRIPT: &str = "https://get.k0s.sh";
/// Where the binary is put unless a user says otherwise.
pub const INSTALL_DIR: &str = "/usr/local/bin";
/// Data of k0s unless `--data-dir` says otherwise.
pub const DATA_DIR: &str = "/var/lib/k0s";
/// State of the running process; fixed for root, so there is one k0s per `/run`.
pub const RUN_DIR: &str = "/run/k0s";
/// Service of a controller, on every service manager.
pub const CONTROLLER_SERVICE: &str = "k0scontroller";
/// Service of a worker, on every service manager.
pub const WORKER_SERVICE: &str = "k0sworker";
/// Where k0s looks for its configuration; in pods ours stands there too.
pub const CONFIG_PATH: &str = "/etc/k0s/k0s.yaml";
/// Proof that a worker has joined: from then on no token is read.
pub const KUBELET_CONFIG: &str = "/var/lib/k0s/kubelet.conf";
/// Credentials of the local administrator on a controller.
pub const ADMIN_KUBECONFIG: &str = "/var/lib/k0s/pki/admin.conf";
/// Stacks of manifests; a direct sub-folder is a stack.
pub const MANIFESTS_DIR: &str = "/var/lib/k0s/manifests";
/// Stack folders that k0s ignores or uses itself.
pub const RESERVED_STACKS: [&str; 6] =
    ["autopilot", "api-config", "etcd-member", "helm", "bootstraprbac", "windows"];
/// Port of the Kubernetes API on machines.
pub const API_PORT: u16 = 6443;
/// Port at which controllers join.
pub const JOIN_PORT: u16 = 9443;
/// Port of konnectivity's agents on machines.
pub const KONNECTIVITY_PORT: u16 = 8132;
/// Namespace of token Secrets, worker configuration and the dynamic configuration.
pub const SYSTEM_NAMESPACE: &str = "kube-system";
/// Namespace of the leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// The lease whose holder is the leader.
pub const LEADER_LEASE: &str = "k0s-endpoint-reconciler";
/// A controller's own lease is this and its node name.
pub const CONTROLLER_LEASE_PREFIX: &str = "k0s-ctrl-";

/// The unit file of a service under systemd.
pub fn systemd_unit(service: &str) -> String {
    format!("/etc/systemd/system/{service}.service")
}

/// The binary in a directory; an empty directory means whatever `PATH` finds.
pub fn binary(dir: &str) -> String {
    if dir.is_empty() { "k0s".to_owned() } else { format!("{}/k0s", dir.trim_end_matches('/')) }
}

/// The configuration that we render on machines: `/etc/k0s.yaml` or `<working dir>/k0s.yaml`.
pub fn rendered_config_path(working_dir: Option<&str>) -> String {
    in_dir(working_dir, "k0s.yaml")
}

/// The token on machines: `/etc/k0s.token` or `<working dir>/k0s.token`.
pub fn token_path(working_dir: Option<&str>) -> String {
    in_dir(working_dir, "k0s.token")
}

/// ConfigMap in `kube-system` with the configuration of workers of one profile and minor (k0s.md 15.2); k0s writes
/// only those of its own minor.
pub fn worker_config_map(profile: Option<&str>, worker: &crate::Version) -> String {
    format!("worker-config-{}-{}", profile.unwrap_or("default"), worker.minor_text())
}

/// `amd64`, `arm64` or `arm` for what `uname -m` says; anything else is not served (k0s.md 2).
pub fn architecture(machine: &str) -> Option<&'static str> {
    match machine {
        "x86_64" | "amd64" => Some("amd64"),
        "aarch64" | "arm64" => Some("arm64"),
        "armv7l" | "arm" => Some("arm"),
        _ => None,
    }
}

/// Where the binary of a version can be fetched, for Linux (k0s.md 2).
pub fn binary_url(version: &crate::Version, architecture: &str) -> String {
    let version = version.in_url();
    format!("https://get.k0sproject.io/{version}/k0s-{version}-{architecture}")
}

/// Where the list of checksums of a release stands; a line is `<hex> *<asset>`.
pub fn checksums_url(version: &crate::Version) -> String {
    format!("https://github.com/k0sproject/k0s/releases/download/{}/sha256sums.txt", version.in_url())
}

fn in_dir(dir: Option<&str>, file: &str) -> String {
    let dir = dir.filter(|dir| !dir.is_empty()).unwrap_or("/etc");
    format!("{}/{file}", dir.trim_end_matches('/'))
}
