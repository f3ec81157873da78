//! The file format of Kubernetes clients, both ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Credentials, Kubeconfig};
use crate::{PkiError, SecretBytes};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    current_context: String,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default)]
    server: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    certificate_authority_data: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy_url: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_key_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: Context,
}

#[derive(Serialize, Deserialize, Default)]
struct Context {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

impl Kubeconfig {
    /// The YAML text.
    pub fn to_yaml(&self) -> Result<SecretBytes, PkiError> {
        let Self { cluster, user, context, server, authority, proxy_url, credentials } = self;
        let entry = match credentials {
            Credentials::Certificate { certificate, key } => User {
                client_certificate_data: Some(STANDARD.encode(certificate)),
                client_key_data: Some(STANDARD.encode(key.expose())),
                token: None,
            },
            Credentials::Token(token) => {
                let text = token.expose_str().ok_or_else(|| wrong("token is no text"))?;
                User { token: Some(text.to_owned()), ..User::default() }
            }
            Credentials::Other => User::default(),
        };
        let file = File {
            api_version: "v1".to_owned(),
            kind: "Config".to_owned(),
            clusters: vec![NamedCluster {
                name: cluster.clone(),
                cluster: Cluster {
                    server: server.clone(),
                    certificate_authority_data: STANDARD.encode(authority),
                    proxy_url: proxy_url.clone(),
                },
            }],
            users: vec![NamedUser { name: user.clone(), user: entry }],
            contexts: vec![NamedContext {
                name: context.clone(),
                context: Context { cluster: cluster.clone(), user: user.clone() },
            }],
            current_context: context.clone(),
        };
        // Folding would cut the long lines of base64 where the reader might not expect it.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&file, options).map(SecretBytes::from).map_err(wrong)
    }

    /// Reads YAML or JSON; what the current context (or the only one) names.
    pub fn parse(text: &[u8]) -> Result<Self, PkiError> {
        let file: File = serde_saphyr::from_slice(text)
            .map_err(|why| wrong(first_line(&why.without_snippet().to_string())))?;
        let context = match file.contexts.iter().position(|context| context.name == file.current_context) {
            Some(place) => &file.contexts[place],
            None if file.current_context.is_empty() && file.contexts.len() == 1 => &file.contexts[0],
            None => return Err(wrong(format!("no context named {:?}", file.current_context))),
        };
        let Context { cluster: cluster_name, user: user_name } = &context.context;
        let cluster = &file
            .clusters
            .iter()
            .find(|cluster| cluster.name == *cluster_name)
            .ok_or_else(|| wrong(format!("no cluster named {cluster_name:?}")))?
            .cluster;
        let user = &file
            .users
            .iter()
            .find(|user| user.name == *user_name)
            .ok_or_else(|| wrong(format!("no user named {user_name:?}")))?
            .user;
        Ok(Self {
            cluster: cluster_name.clone(),
            user: user_name.clone(),
            context: context.name.clone(),
            server: cluster.server.clone(),
            authority: decode("certificate-authority-data", &cluster.certificate_authority_data)?,
            proxy_url: cluster.proxy_url.clone(),
            credentials: credentials(user)?,
        })
    }
}

fn credentials(user: &User) -> Result<Credentials, PkiError> {
    Ok(match user {
        User { client_certificate_data: Some(certificate), client_key_data: Some(key), .. } => {
            Credentials::Certificate {
                certificate: decode("client-certificate-data", certificate)?,
                key: decode("client-key-data", key)?.into(),
            }
        }
        User { token: Some(token), .. } => Credentials::Token(token.clone().into()),
        _ => Credentials::Other,
    })
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, PkiError> {
    STANDARD.decode(text.trim()).map_err(|_| wrong(format!("{field} is no base64")))
}

fn wrong(why: impl std::fmt::Display) -> PkiError {
    PkiError::Kubeconfig(why.to_string())
}

/// A parser's message may go on with a piece of the text, which holds credentials.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
