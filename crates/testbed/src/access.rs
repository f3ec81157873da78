//! How one user reaches one API server.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::authority::{Pair, write_private};

/// An API server and a user's certificate for it.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its URL.
    pub server: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// Who asks.
    pub user: Pair,
}

impl Access {
    /// A kubeconfig file's text (JSON, which is YAML).
    pub fn kubeconfig(&self) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": {
                "server": self.server, "certificate-authority-data": encode(&self.authority),
            }}],
            "users": [{"name": "testbed", "user": {
                "client-certificate-data": encode(&self.user.certificate), "client-key-data": encode(&self.user.key),
            }}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        });
        format!("{config:#}\n")
    }

    /// Writes the kubeconfig file; only its owner can read it.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_private(path, &self.kubeconfig())
    }

    /// A client's settings.
    pub async fn config(&self) -> Result<kube::Config> {
        config(Kubeconfig::from_yaml(&self.kubeconfig())?).await
    }

    /// A client.
    pub async fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.config().await?)?)
    }
}

/// The settings that a kubeconfig file says.
pub async fn config_from_file(path: &Path) -> Result<kube::Config> {
    config(Kubeconfig::read_from(path).with_context(|| path.display().to_string())?).await
}

async fn config(kubeconfig: Kubeconfig) -> Result<kube::Config> {
    // rustls wants its crypto chosen once per process; a second choice is refused, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
