//! What would answer in the pods of clusters that are only simulated: the API server says who it is, etcd who its
//! member is; and it is counted who asks (H-22).
//!
//! A cluster's `spec.externalAddress` is a loopback address of its own, by which its API is told from others; an etcd
//! member is told by the server name that its caller expects. Both have certificates of their cluster's authorities.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

/// A request of the manager has a few hundred bytes.
const MOST: usize = 64 << 10;

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: String,
    /// The address of its API.
    pub address: Ipv4Addr,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Api,
    Etcd,
}

impl Part {
    /// The default of `spec.service.apiPort`, and etcd's.
    fn port(self) -> u16 {
        match self {
            Self::Api => 30443,
            Self::Etcd => 2379,
        }
    }

    /// The end of the name of the Secret with its authority.
    fn authority(self) -> &'static str {
        match self {
            Self::Api => "ca",
            Self::Etcd => "etcd",
        }
    }
}

/// The running servers; they end with this value.
pub struct Simulated {
    asked: Arc<AtomicUsize>,
    tasks: tokio::task::JoinSet<()>,
}

impl Simulated {
    /// Serves these clusters, once they have authorities.
    pub async fn serve(admin: &Client, places: Vec<Place>) -> Result<Self> {
        let asked = Arc::new(AtomicUsize::new(0));
        let servers = Arc::new(Servers {
            admin: admin.clone(),
            places,
            identities: Mutex::default(),
            asked: asked.clone(),
        });
        let mut tasks = tokio::task::JoinSet::new();
        for part in [Part::Api, Part::Etcd] {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, part.port())).await;
            let listener = listener.with_context(|| format!("listen on port {}", part.port()))?;
            let servers = servers.clone();
            tasks.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let servers = servers.clone();
                    // A caller that goes away ends its own connection only.
                    tokio::spawn(async move { servers.answer(part, stream).await });
                }
            });
        }
        Ok(Self { asked, tasks })
    }

    /// Requests up to now.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

struct Servers {
    admin: Client,
    places: Vec<Place>,
    identities: Mutex<HashMap<(Part, Ipv4Addr), Arc<ServerConfig>>>,
    asked: Arc<AtomicUsize>,
}

impl Servers {
    async fn answer(&self, part: Part, stream: TcpStream) -> Result<()> {
        let IpAddr::V4(address) = stream.local_addr()?.ip() else { return Ok(()) };
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let called = hello.client_hello().server_name().unwrap_or_default().to_owned();
        let place = self.places.iter().find(|place| match part {
            Part::Api => place.address == address,
            Part::Etcd => called == member(place),
        });
        let place = place.with_context(|| format!("nobody is at {address} {called}"))?;
        let mut stream = hello.into_stream(self.identity(part, place).await?).await?;
        while let Some(path) = path_of_request(&mut stream).await? {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let (status, body) = answer(place, &path);
            let (body, kind) = (body.to_string(), "application/json");
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    /// A certificate that the cluster's own authority signed.
    async fn identity(&self, part: Part, place: &Place) -> Result<Arc<ServerConfig>> {
        let key = (part, place.address);
        let known = self.identities.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(identity) = known {
            return Ok(identity);
        }
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), place.namespace);
        let data =
            secrets.get(&format!("{}-{}", place.name, part.authority())).await?.data.unwrap_or_default();
        let bytes = |key: &str| data.get(key).with_context(|| format!("an authority without {key}"));
        let authority = pki::Authority::parse(&bytes("tls.crt")?.0, Some(&bytes("tls.key")?.0))?;
        let leaf = pki::Leaf {
            common_name: "simulated".to_owned(),
            organizations: Vec::new(),
            sans: vec![pki::San::Ip(place.address.into()), pki::San::Dns(member(place))],
            usage: pki::Usage::Server,
            days: 1,
            key: Some(pki::KeyKind::EcdsaP256),
        };
        let pair = authority.issue(&leaf, now())?;
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes())?];
        let private = PrivateKeyDer::from_pem_slice(pair.key.expose())?;
        let identity =
            Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private)?);
        let mut all = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.entry(key).or_insert(identity).clone())
    }
}

/// The server name of a cluster's only member.
fn member(place: &Place) -> String {
    let Place { namespace, name, .. } = place;
    format!("kmc-{name}-etcd-0.kmc-{name}-etcd.{namespace}.svc")
}

/// Reads a whole request; none when the caller has no more.
async fn path_of_request(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return Ok(None) };
        anyhow::ensure!(head.len() < MOST, "a request with a head of more than {MOST} bytes");
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or_default();
    anyhow::ensure!(length < MOST, "a request with {length} bytes");
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(Some(head.split(' ').nth(1).unwrap_or_default().to_owned()))
}

fn answer(place: &Place, path: &str) -> (&'static str, Value) {
    const ID: &str = "2";
    let header = json!({"cluster_id": "1", "member_id": ID});
    let name = &place.name;
    match path.split('?').next().unwrap_or_default() {
        "/api/v1/namespaces/kube-system" => {
            let metadata = json!({"name": "kube-system", "uid": format!("simulated-{name}")});
            ("200 OK", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
        }
        "/v3/cluster/member/list" => {
            let peer = format!("https://{}:2380", member(place));
            let one = json!({"ID": ID, "name": format!("kmc-{name}-etcd-0"), "peerURLs": [peer]});
            ("200 OK", json!({"header": header, "members": [one]}))
        }
        "/v3/maintenance/status" => ("200 OK", json!({"header": header, "leader": ID})),
        path => {
            let words = format!("{path} is not simulated");
            let failure = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": words,
                "reason": "NotFound", "code": 404});
            ("404 Not Found", failure)
        }
    }
}

#[allow(clippy::disallowed_methods)] // a certificate for now
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
