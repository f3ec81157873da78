//! Reading a kubeconfig that somebody else wrote.
//!
//! It is data from a Secret, so nothing in it may make this process run a program or read a file of its own.

use std::fmt;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Why a kubeconfig is not used. The words never quote its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeconfigError {
    /// It is no kubeconfig.
    Unreadable,
    /// It uses something that this process must not do.
    Refused(&'static str),
    /// It is one, but no client can be made from it.
    Unusable(String),
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it is no kubeconfig"),
            Self::Refused(what) => {
                write!(f, "it uses {what}, which is not allowed here; embed credentials as data")
            }
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for KubeconfigError {}

/// The client configuration that a kubeconfig describes.
pub(crate) async fn config(bytes: &[u8]) -> Result<Config, KubeconfigError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KubeconfigError::Unreadable)?;
    // The parser's message may quote the text, which holds keys.
    let parsed = Kubeconfig::from_yaml(text).map_err(|_| KubeconfigError::Unreadable)?;
    if let Some(what) = refused(&parsed) {
        return Err(KubeconfigError::Refused(what));
    }
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(parsed, &options).await;
    config.map_err(|error| KubeconfigError::Unusable(words(&error)))
}

fn words(error: &kube::config::KubeconfigError) -> String {
    use kube::config::KubeconfigError as E;
    match error {
        E::CurrentContextNotSet => "it has no current context".to_owned(),
        E::LoadContext(name) => format!("it has no context {name}"),
        E::LoadClusterOfContext(name) => format!("it has no cluster {name}"),
        E::MissingClusterUrl => "its cluster has no server".to_owned(),
        E::ParseClusterUrl(_) => "its server is no URL".to_owned(),
        _ => "its certificates or its settings cannot be read".to_owned(),
    }
}

/// What of a kubeconfig must not be used: programs, files of this host, and ways we do not have.
fn refused(kubeconfig: &Kubeconfig) -> Option<&'static str> {
    for user in kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        let refusals = [
            (user.exec.is_some(), "exec"),
            (user.auth_provider.is_some(), "auth-provider"),
            (user.token_file.is_some(), "tokenFile"),
            (user.client_certificate.is_some(), "client-certificate (a file)"),
            (user.client_key.is_some(), "client-key (a file)"),
        ];
        if let Some((_, what)) = refusals.into_iter().find(|(present, _)| *present) {
            return Some(what);
        }
    }
    for cluster in kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref()) {
        let refusals = [
            (cluster.certificate_authority.is_some(), "certificate-authority (a file)"),
            (cluster.proxy_url.is_some(), "proxy-url"),
        ];
        if let Some((_, what)) = refusals.into_iter().find(|(present, _)| *present) {
            return Some(what);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    #[tokio::test]
    async fn a_kubeconfig_that_runs_a_program_or_reads_a_file_is_refused() {
        let files = [
            with("", "exec: {command: /bin/false, apiVersion: client.authentication.k8s.io/v1}"),
            with("", "auth-provider: {name: oidc, config: {}}"),
            with("", "tokenFile: /etc/passwd"),
            with("", "client-certificate: /etc/passwd"),
            with("", "client-key: /etc/passwd"),
            with(", certificate-authority: /etc/passwd", "token: t"),
        ];
        for text in files {
            let refused = config(text.as_bytes()).await.err();
            assert!(matches!(refused, Some(KubeconfigError::Refused(_))), "{text}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_never_quotes_the_kubeconfig() {
        let error = config(b"users: [{name: u, user: {token: hunter2}").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn plain_credentials_are_used() {
        let config = config(with("", "token: t").as_bytes()).await.unwrap();
        assert_eq!(config.cluster_url.host(), Some("127.0.0.1"));
    }
}
