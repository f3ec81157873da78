//! Speaking with etcd: its JSON gateway over TLS, with the operator's own client certificate.
//!
//! Only while membership changes, and only to pods of the cluster itself (hosted.md 9.4). The gateway is used
//! rather than gRPC because it needs no code generator and no second TLS stack.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use serde::Deserialize;
use serde_json::{Value, json};

use super::exposure::authority;
use super::membership::{Live, Member};

/// A member in the same cluster answers in milliseconds, a dying one not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers are a few hundred bytes per member (H-62).
const MOST_BYTES: usize = 256 * 1024;

/// The certificates with which members are asked.
pub struct Identity {
    /// PEM of etcd's authority.
    pub authority: Vec<u8>,
    /// PEM of our certificate.
    pub certificate: Vec<u8>,
    /// PEM of our key.
    pub key: pki::SecretBytes,
}

/// A member that can be asked.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name of its pod.
    pub pod: String,
    /// The address of its pod.
    pub ip: String,
}

/// A connection to one member.
pub struct Connection(Client);

impl Connection {
    /// Connects to a pod. Its certificate must carry `<pod>.<peers>.<namespace>.svc`: whoever got the address of
    /// another cluster's pod does not pass for it. (Of `*.<peers>` our TLS stack thinks as of `*.com`.)
    pub async fn to(target: &Target, domain: &str, identity: &Identity) -> anyhow::Result<Self> {
        let encode = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        };
        let cluster = kube::config::Cluster {
            server: Some(format!("https://{}", authority(&target.ip, 2379))),
            certificate_authority_data: Some(encode(&identity.authority)),
            tls_server_name: Some(format!("{}.{domain}", target.pod)),
            ..kube::config::Cluster::default()
        };
        let user = AuthInfo {
            client_certificate_data: Some(encode(&identity.certificate)),
            client_key_data: Some(encode(identity.key.expose()).into()),
            ..AuthInfo::default()
        };
        let name = || "etcd".to_owned();
        let file = Kubeconfig {
            clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: name(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext {
                name: name(),
                context: Some(kube::config::Context {
                    cluster: name(),
                    user: Some(name()),
                    ..kube::config::Context::default()
                }),
                ..NamedContext::default()
            }],
            current_context: Some(name()),
            ..Kubeconfig::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .context("cannot use the certificates of the etcd client")?;
        config.proxy_url = None;
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        config.write_timeout = Some(PATIENCE);
        let client = Client::try_from(config).context("cannot use the certificates of the etcd client")?;
        Ok(Self(client))
    }

    async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .context("cannot build a request to etcd")?;
        let answer = tokio::time::timeout(PATIENCE, self.0.request_text(request));
        match answer.await {
            Err(_) => bail!("etcd did not answer {path} within {} s", PATIENCE.as_secs()),
            Ok(Err(kube::Error::Api(status))) => bail!("etcd refused {path}: {}", refusal(&status.message)),
            Ok(Err(error)) => Err(error).with_context(|| format!("etcd did not answer {path}")),
            Ok(Ok(text)) if text.len() > MOST_BYTES => {
                bail!("etcd answered {path} with {} bytes", text.len())
            }
            Ok(Ok(text)) => {
                serde_json::from_str(&text).with_context(|| format!("etcd's answer to {path} cannot be read"))
            }
        }
    }

    /// Who the members are, by etcd's own list, and who leads.
    pub async fn members(&self) -> anyhow::Result<Live> {
        let list = self.call("/v3/cluster/member/list", &json!({"linearizable": true})).await?;
        let status = self.call("/v3/maintenance/status", &json!({})).await?;
        let list: List = serde_json::from_value(list).context("etcd's list of members cannot be read")?;
        let leader = status["leader"].as_str().unwrap_or_default();
        Ok(Live {
            cluster: hex_id(&list.header.cluster_id),
            members: list.members.into_iter().map(|member| member.read(leader)).collect(),
        })
    }

    /// Adds a learner.
    pub async fn add_learner(&self, peer_url: &str) -> anyhow::Result<()> {
        self.call("/v3/cluster/member/add", &json!({"peerURLs": [peer_url], "isLearner": true})).await?;
        Ok(())
    }

    /// Makes a learner a voter; `false`: it has not caught up yet.
    pub async fn promote(&self, id: &str) -> anyhow::Result<bool> {
        match self.call("/v3/cluster/member/promote", &json!({"ID": decimal_id(id)?})).await {
            Ok(_) => Ok(true),
            Err(error) if format!("{error:#}").contains("in sync with leader") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a member.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        match self.call("/v3/cluster/member/remove", &json!({"ID": decimal_id(id)?})).await {
            Err(error) if format!("{error:#}").contains("member not found") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Hands leadership to another member; this connection must lead to the leader.
    pub async fn move_leader(&self, to: &str) -> anyhow::Result<()> {
        self.call("/v3/maintenance/transfer-leadership", &json!({"targetID": decimal_id(to)?})).await?;
        Ok(())
    }
}

/// The gateway answers with a JSON object whose `message` is etcd's own word.
fn refusal(text: &str) -> String {
    let told = serde_json::from_str::<Value>(text).ok();
    let told = told.as_ref().and_then(|value| value["message"].as_str().or(value["error"].as_str()));
    told.unwrap_or(text).to_owned()
}

#[derive(Deserialize)]
struct List {
    header: Header,
    #[serde(default)]
    members: Vec<Listed>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    cluster_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
    #[serde(default)]
    is_learner: bool,
}

impl Listed {
    fn read(self, leader: &str) -> Member {
        let host = self.peer_urls.first().and_then(|url| url.split("://").nth(1)).unwrap_or_default();
        let host = host.split([':', '.']).next().unwrap_or_default().to_owned();
        Member {
            leader: self.id == leader,
            id: hex_id(&self.id),
            learner: self.is_learner,
            started: !self.name.is_empty(),
            name: if self.name.is_empty() { host } else { self.name },
        }
    }
}

/// etcd's JSON has ids as decimal text; everybody else writes them in hexadecimal digits.
fn hex_id(decimal: &str) -> String {
    decimal.parse::<u64>().map_or_else(|_| decimal.to_owned(), |id| format!("{id:x}"))
}

fn decimal_id(hex: &str) -> anyhow::Result<String> {
    let id = u64::from_str_radix(hex, 16).with_context(|| format!("{hex:?} is no member id"))?;
    Ok(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_never_started_is_known_by_its_peer_url() {
        let list: List = serde_json::from_value(json!({
            "header": {"cluster_id": "14841639068965178418"},
            "members": [
                {"ID": "10501334649042878790", "name": "kmc-a-etcd-0", "peerURLs": ["https://kmc-a-etcd-0.kmc-a-etcd:2380"]},
                {"ID": "255", "peerURLs": ["https://kmc-a-etcd-1.kmc-a-etcd:2380"], "isLearner": true},
            ],
        }))
        .unwrap();
        let members: Vec<_> =
            list.members.into_iter().map(|member| member.read("10501334649042878790")).collect();
        assert_eq!(
            members[0],
            Member {
                name: "kmc-a-etcd-0".into(),
                id: "91bc3c398fb3c146".into(),
                learner: false,
                started: true,
                leader: true
            }
        );
        assert_eq!(
            members[1],
            Member {
                name: "kmc-a-etcd-1".into(),
                id: "ff".into(),
                learner: true,
                started: false,
                leader: false
            }
        );
        assert_eq!(decimal_id("ff").unwrap(), "255");
    }
}
