//! Join tokens: a kubeconfig, compressed, as one line of text (k0s.md 9.1).

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder, read::GzDecoder};
use pki::{Credentials, Kubeconfig, SecretBytes};
use sha2::{Digest as _, Sha256};

/// Name of the cluster and of the context in a token's kubeconfig.
const ENTRY: &str = "k0s";
/// Length of a token's id and of its secret; both consist of `[a-z0-9]`.
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// A genuine token unpacks to some 2 KiB; a text that unpacks to more is no token but an attempt on our memory.
const LARGEST: u64 = 1 << 20;

/// What a host becomes that joins with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A node.
    Worker,
    /// A further controller.
    Controller,
}

impl Role {
    /// The user in the kubeconfig, by which k0s tells roles apart.
    pub fn user(self) -> &'static str {
        match self {
            Self::Worker => "kubelet-bootstrap",
            Self::Controller => "controller-bootstrap",
        }
    }
}

/// Why a text is no join token. Never holds a piece of it (K0S-11).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not base64.
    #[error("join token is no base64; copy it whole, on one line")]
    Base64,
    /// Not gzip inside.
    #[error("join token does not unpack (gzip); copy it whole")]
    Gzip,
    /// No kubeconfig inside.
    #[error("join token holds no usable kubeconfig: {0}")]
    Kubeconfig(String),
    /// Another user than the two roles have.
    #[error("wrong token type {0}, expected kubelet-bootstrap or controller-bootstrap")]
    Role(String),
    /// The id is not 6 of `[a-z0-9]`.
    #[error("token id must be {ID_LENGTH} characters of a-z and 0-9")]
    Id,
    /// The secret is not 16 of `[a-z0-9]`.
    #[error("token secret must be {SECRET_LENGTH} characters of a-z and 0-9")]
    Secret,
}

/// Id and secret of a bootstrap token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: SecretBytes,
}

impl BootstrapToken {
    /// From what was stored.
    pub fn new(id: &str, secret: &str) -> Result<Self, TokenFault> {
        if !of_alphabet(id, ID_LENGTH) {
            return Err(TokenFault::Id);
        }
        if !of_alphabet(secret, SECRET_LENGTH) {
            return Err(TokenFault::Secret);
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned().into() })
    }

    /// A new one. `fill` overwrites a buffer with random bytes; each character is as likely as any other.
    pub fn generate(mut fill: impl FnMut(&mut [u8])) -> Self {
        let id = draw(ID_LENGTH, &mut fill);
        Self { id, secret: draw(SECRET_LENGTH, &mut fill).into() }
    }

    /// A new secret for an id that was fixed before (the id is in the status before the token exists, H-45).
    pub fn generate_for(id: &str, mut fill: impl FnMut(&mut [u8])) -> Result<Self, TokenFault> {
        Self::new(id, &draw(SECRET_LENGTH, &mut fill))
    }

    /// A new id alone.
    pub fn generate_id(mut fill: impl FnMut(&mut [u8])) -> String {
        draw(ID_LENGTH, &mut fill)
    }

    /// The id that follows from the uid of whom the token is for and a counter: whoever asks again after a crash finds
    /// the token that was made before (control-plane chapter 9.3).
    pub fn derived_id(uid: &str, counter: u32) -> String {
        let mut block = 0_u32;
        draw(ID_LENGTH, &mut |buffer: &mut [u8]| {
            let text = format!("token id {block} of {counter} for {uid}");
            block += 1;
            let hash = Sha256::digest(text.as_bytes());
            for (target, byte) in buffer.iter_mut().zip(hash) {
                *target = byte;
            }
        })
    }

    /// Reads `<id>.<secret>`.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        let (id, secret) = text.split_once('.').ok_or(TokenFault::Id)?;
        Self::new(id, secret)
    }

    /// The public half: part of names, fit for logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret half.
    pub fn secret(&self) -> &SecretBytes {
        &self.secret
    }

    /// `<id>.<secret>`, the bearer token.
    pub fn bearer(&self) -> SecretBytes {
        let mut bearer = Vec::with_capacity(ID_LENGTH + 1 + SECRET_LENGTH);
        bearer.extend_from_slice(self.id.as_bytes());
        bearer.push(b'.');
        bearer.extend_from_slice(self.secret.expose());
        bearer.into()
    }
}

/// A join token with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// What its bearer becomes.
    pub role: Role,
    /// `https://host:port`, the API for workers, the join API for controllers; IPv6 in brackets.
    pub server: String,
    /// PEM of the cluster's authority.
    pub authority: Vec<u8>,
    /// Id and secret.
    pub token: BootstrapToken,
}

impl JoinToken {
    /// The text: padded base64 of gzip of a kubeconfig, without a newline. Equal input gives equal text.
    pub fn encode(&self) -> Result<SecretBytes, TokenFault> {
        let Self { role, server, authority, token } = self;
        let kubeconfig = Kubeconfig {
            cluster: ENTRY.to_owned(),
            user: role.user().to_owned(),
            context: ENTRY.to_owned(),
            server: server.clone(),
            authority: authority.clone(),
            proxy_url: None,
            credentials: Credentials::Token(token.bearer()),
        };
        let yaml = kubeconfig.to_yaml().map_err(|why| TokenFault::Kubeconfig(why.to_string()))?;
        // Writing to memory does not fail; should the library think otherwise, the token is not made.
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(yaml.expose()).map_err(|_| TokenFault::Gzip)?;
        let packed = gzip.finish().map_err(|_| TokenFault::Gzip)?;
        Ok(STANDARD.encode(packed).into())
    }

    /// Reads a token that anybody made.
    pub fn decode(text: &[u8]) -> Result<Self, TokenFault> {
        let packed = STANDARD.decode(text.trim_ascii()).map_err(|_| TokenFault::Base64)?;
        let mut yaml = Vec::new();
        GzDecoder::new(packed.as_slice())
            .take(LARGEST)
            .read_to_end(&mut yaml)
            .map_err(|_| TokenFault::Gzip)?;
        let found = Kubeconfig::parse(&yaml).map_err(|why| TokenFault::Kubeconfig(why.to_string()))?;
        let role = [Role::Worker, Role::Controller]
            .into_iter()
            .find(|role| role.user() == found.user)
            .ok_or(TokenFault::Role(found.user))?;
        let Credentials::Token(bearer) = found.credentials else {
            return Err(TokenFault::Kubeconfig("the user has no token".to_owned()));
        };
        let token = BootstrapToken::parse(bearer.expose_str().ok_or(TokenFault::Id)?)?;
        Ok(Self { role, server: found.server, authority: found.authority, token })
    }
}

fn of_alphabet(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Bytes from 252 on are thrown away: 252 is the largest multiple of 36 in a byte, and using the rest would make
/// the first letters likelier.
fn draw(length: usize, fill: &mut impl FnMut(&mut [u8])) -> String {
    let mut text = String::with_capacity(length);
    let mut buffer = [0_u8; 32];
    while text.len() < length {
        fill(&mut buffer);
        let fair = buffer.iter().filter(|byte| **byte < 252).map(|byte| usize::from(*byte) % ALPHABET.len());
        for place in fair.take(length - text.len()) {
            text.push(char::from(ALPHABET[place]));
        }
    }
    text
}
