//! One connection to one host.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle};
use russh::keys::ssh_key::EcdsaCurve;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Preferred};

use super::host_key::{Trust, fingerprint};
use super::rsa::SignFault;
use super::user_key::{Kind, UserKey};
use crate::failure::{Failure, Reason};

/// A silent host is asked for a sign of life this often, and given up after three times (5.1).
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// More output than this is not kept: our own scripts print little.
const MOST_OUTPUT: usize = 256 * 1024;

/// The keys a host may have, most wanted first. RSA host keys are not offered: see [`super::rsa`].
const HOST_KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// Where and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// IP address or DNS name.
    pub address: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// For TCP, and again for handshake and login.
    pub connect: Duration,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.address.contains(':') {
            write!(f, "[{}]:{}", self.address, self.port)
        } else {
            write!(f, "{}:{}", self.address, self.port)
        }
    }
}

/// What a command left.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<u32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A connection that is logged in. Dropping it closes it.
pub struct Connection {
    handle: Handle<Guard>,
    /// The fingerprint of the key that the host showed.
    pub fingerprint: String,
}

struct Guard {
    trust: Trust,
    seen: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        let fingerprint = fingerprint(key);
        let accepted = self.trust.accepts(&fingerprint);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        Ok(accepted)
    }
}

/// The fingerprint of the key that a host shows first. Nothing is sent and nobody logs in.
pub async fn fingerprint_of(target: &Target) -> Result<String, Failure> {
    let (handle, fingerprint) = greet(target, &Trust::Any, &HOST_KEYS).await?;
    // Closing politely is a courtesy; the host notices either way.
    let _ = handle.disconnect(Disconnect::ByApplication, "", "en").await;
    Ok(fingerprint)
}

impl Connection {
    /// Connects, checks the host's key, logs in.
    pub async fn open(target: &Target, trust: &Trust, key: &UserKey) -> Result<Self, Failure> {
        let mut opened = greet(target, trust, &HOST_KEYS).await;
        if matches!(&opened, Err(failure) if failure.reason == Reason::HostKeyMismatch) {
            // The host may have got a key of another kind besides the one that is known: ask for each kind.
            for algorithm in HOST_KEYS {
                let again = greet(target, trust, &[algorithm]).await;
                if again.is_ok() {
                    opened = again;
                    break;
                }
            }
        }
        let (mut handle, fingerprint) = opened?;
        let login = within(target.connect, target, "logging in", login(&mut handle, target, key)).await?;
        login.map(|()| Self { handle, fingerprint })
    }

    /// Runs a command with this input until it ends.
    pub async fn run(&self, command: &str, input: &[u8], limit: Duration) -> Result<Output, Failure> {
        let all = async {
            let mut live = self.start(command, input).await?;
            live.finish_input().await?;
            let mut output = Output::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            while let Some(message) = live.channel.wait().await {
                match message {
                    ChannelMsg::Data { data } if out.len() < MOST_OUTPUT => out.extend_from_slice(&data),
                    ChannelMsg::ExtendedData { data, .. } if err.len() < MOST_OUTPUT => {
                        err.extend_from_slice(&data);
                    }
                    ChannelMsg::ExitStatus { exit_status } => output.code = Some(exit_status),
                    ChannelMsg::Close => {
                        output.out = String::from_utf8_lossy(&out).into_owned();
                        output.err = String::from_utf8_lossy(&err).into_owned();
                        return Ok(output);
                    }
                    _ => {}
                }
            }
            Err(lost())
        };
        match in_time(limit, all).await {
            Some(done) => done,
            None => Err(Failure::new(
                Reason::Timeout,
                format!("a step on the host took longer than {} s", limit.as_secs()),
            )),
        }
    }

    /// Starts a command with the beginning of its input; its input stays open.
    pub async fn start(&self, command: &str, input: &[u8]) -> Result<Live, Failure> {
        let channel = self.handle.channel_open_session().await.map_err(|_| lost())?;
        channel.exec(true, command).await.map_err(|_| lost())?;
        let live = Live { channel, buffer: String::new() };
        if !input.is_empty() {
            live.channel.data(input).await.map_err(|_| lost())?;
        }
        Ok(live)
    }

    /// Closes it politely.
    pub async fn close(self) {
        // The host notices either way.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

/// A command that is running.
pub struct Live {
    channel: Channel<client::Msg>,
    buffer: String,
}

impl Live {
    /// The next line of its output; `None` when it has ended.
    pub async fn line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some((line, rest)) = self.buffer.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Ok(Some(line));
            }
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) if self.buffer.len() < MOST_OUTPUT => {
                    self.buffer.push_str(&String::from_utf8_lossy(&data));
                }
                Some(ChannelMsg::Close) => return Ok(None),
                Some(_) => {}
                None => return Err(lost()),
            }
        }
    }

    /// No more input follows.
    pub async fn finish_input(&mut self) -> Result<(), Failure> {
        self.channel.eof().await.map_err(|_| lost())
    }
}

async fn greet(
    target: &Target,
    trust: &Trust,
    host_keys: &[Algorithm],
) -> Result<(Handle<Guard>, String), Failure> {
    let config = client::Config {
        keepalive_interval: Some(KEEP_ALIVE),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred { key: Cow::Owned(host_keys.to_vec()), ..Preferred::DEFAULT },
        ..client::Config::default()
    };
    let tcp = tokio::net::TcpStream::connect((target.address.as_str(), target.port));
    let socket = within(target.connect, target, "connecting", tcp).await?.map_err(|why| {
        Failure::new(
            Reason::ConnectFailed,
            format!(
                "cannot connect to {target}: {why}; is the host up, and are spec.address and spec.port right?"
            ),
        )
    })?;
    // Small packets are answers to be seen at once; failing to say so costs milliseconds only.
    let _ = socket.set_nodelay(true);
    let seen = Arc::new(Mutex::new(None));
    let guard = Guard { trust: trust.clone(), seen: seen.clone() };
    let handshake = client::connect_stream(Arc::new(config), socket, guard);
    let shaken = within(target.connect, target, "the SSH handshake", handshake).await?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (shaken, seen) {
        (Ok(handle), Some(fingerprint)) => Ok((handle, fingerprint)),
        (_, Some(shown)) if !trust.accepts(&shown) => Err(mismatch(target, trust, &shown)),
        (Err(russh::Error::NoCommonAlgo { kind, .. }), _) => Err(Failure::new(
            Reason::ConnectFailed,
            format!(
                "{target} and we have no {kind:?} algorithm in common; it needs an Ed25519 or ECDSA host key and current algorithms"
            ),
        )),
        (Err(why), _) => Err(Failure::new(
            Reason::ConnectFailed,
            format!("no SSH connection to {target}: {why}; is an SSH server listening there?"),
        )),
        (Ok(_), None) => Err(Failure::new(Reason::InternalError, format!("{target} showed no host key"))),
    }
}

fn mismatch(target: &Target, trust: &Trust, shown: &str) -> Failure {
    let known = match trust {
        Trust::Only(known) => known.iter().cloned().collect::<Vec<_>>().join(", "),
        Trust::Any => String::new(),
    };
    Failure::new(Reason::HostKeyMismatch, format!("{target} shows host key {shown}, but {known} is known"))
}

async fn login(handle: &mut Handle<Guard>, target: &Target, key: &UserKey) -> Result<(), Failure> {
    let user = target.user.clone();
    let gone = |why: russh::Error| {
        Failure::new(Reason::ConnectFailed, format!("{target} closed the connection during login: {why}"))
    };
    let result = match (&key.kind, &key.certificate) {
        (Kind::Other(private), Some(certificate)) => handle
            .authenticate_openssh_cert(user, private.clone(), certificate.clone())
            .await
            .map_err(gone)?,
        (Kind::Other(private), None) => {
            let private = PrivateKeyWithHashAlg::new(private.clone(), None);
            handle.authenticate_publickey(user, private).await.map_err(gone)?
        }
        (Kind::Rsa(rsa), certificate) => {
            // A server that says nothing about it is recent enough for SHA-2 or refuses us anyway.
            let hash = match handle.best_supported_rsa_hash().await.map_err(gone)? {
                Some(Some(HashAlg::Sha512)) | None => HashAlg::Sha512,
                _ => HashAlg::Sha256,
            };
            let mut signer = rsa.clone();
            let outcome = match certificate {
                Some(certificate) => {
                    handle
                        .authenticate_certificate_with(user, certificate.clone(), Some(hash), &mut signer)
                        .await
                }
                None => {
                    handle
                        .authenticate_publickey_with(user, rsa.public.clone(), Some(hash), &mut signer)
                        .await
                }
            };
            outcome.map_err(|fault| match fault {
                SignFault::Gone => lost(),
                SignFault::Sign => Failure::new(Reason::SSHKeyInvalid, "the RSA key does not sign"),
            })?
        }
    };
    match result {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { .. } => Err(Failure::new(
            Reason::AuthFailed,
            format!(
                "{target} refuses user {} with the {} key of spec.sshKeyRef; add its public key to the user's authorized_keys, or correct spec.user or the Secret",
                target.user,
                key.algorithm()
            ),
        )),
    }
}

fn lost() -> Failure {
    Failure::new(Reason::ConnectFailed, "the SSH connection was lost")
}

async fn within<T>(
    limit: Duration,
    target: &Target,
    doing: &str,
    what: impl Future<Output = T>,
) -> Result<T, Failure> {
    in_time(limit, what).await.ok_or_else(|| {
        Failure::new(
            Reason::ConnectFailed,
            format!(
                "{doing} to {target} took longer than {} s (spec.timeouts.connectSeconds); is the host up and reachable from here?",
                limit.as_secs()
            ),
        )
    })
}

/// `None` when the time is over.
async fn in_time<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, what).await.ok()
}
