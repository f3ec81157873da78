//! RSA keys of users: parsed here, signed with by aws-lc-rs.
//!
//! The SSH library can do it too, with a pure RSA implementation whose timing leaks the key (RUSTSEC-2023-0071,
//! without a fix). The library in which we do it works in constant time, and is there for TLS anyway.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair};
use russh::Signer;
use russh::keys::HashAlg;
use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::ssh_key::public::{KeyData, RsaPublicKey};
use russh::keys::ssh_key::{Mpint, PublicKey};
use zeroize::Zeroizing;

/// A private RSA key and its public half in SSH's form.
#[derive(Clone)]
pub(super) struct RsaKey {
    private: Arc<RsaKeyPair>,
    pub(super) public: PublicKey,
}

impl RsaKey {
    /// From PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        Self::of(RsaKeyPair::from_der(der).ok()?)
    }

    /// From PKCS#8 (`BEGIN PRIVATE KEY`).
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Self::of(RsaKeyPair::from_pkcs8(der).ok()?)
    }

    /// From the parts that OpenSSH's own format has; the missing two are computed.
    pub(super) fn from_openssh(pair: &RsaKeypair) -> Option<Self> {
        let (public, private) = (pair.public(), pair.private());
        let number = |mpint: &Mpint| mpint.as_positive_bytes().map(|bytes| Zeroizing::new(bytes.to_vec()));
        let (d, p, q) = (number(private.d())?, number(private.p())?, number(private.q())?);
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: number(public.n())?, e: number(public.e())? },
            dP: remainder(&d, &less_one(&p)),
            dQ: remainder(&d, &less_one(&q)),
            qInv: number(private.iqmp())?,
            d,
            p,
            q,
        };
        Self::of(RsaKeyPair::from_components(&components).ok()?)
    }

    fn of(private: RsaKeyPair) -> Option<Self> {
        let n = Mpint::from_positive_bytes(private.public_key().modulus().big_endian_without_leading_zero());
        let e = Mpint::from_positive_bytes(private.public_key().exponent().big_endian_without_leading_zero());
        let public = PublicKey::from(KeyData::Rsa(RsaPublicKey::new(e, n).ok()?));
        Some(Self { private: Arc::new(private), public })
    }
}

impl Signer for RsaKey {
    type Error = SignFault;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignFault> {
        // RFC 8332; the old SHA-1 form is not offered.
        let (name, padding) = match hash {
            Some(HashAlg::Sha512) => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
            _ => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
        };
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private
            .sign(padding, &SystemRandom::new(), &to_sign, &mut signature)
            .map_err(|_| SignFault::Sign)?;
        // The request, followed by one string that holds two: the algorithm and the signature.
        let mut signed = to_sign;
        put_length(&mut signed, 4 + name.len() + 4 + signature.len());
        put_length(&mut signed, name.len());
        signed.extend_from_slice(name.as_bytes());
        put_length(&mut signed, signature.len());
        signed.extend_from_slice(&signature);
        Ok(signed)
    }
}

/// Why a login request could not be signed.
#[derive(Debug)]
pub(super) enum SignFault {
    /// The key does not sign.
    Sign,
    /// The connection is gone.
    Gone,
}

impl From<russh::SendError> for SignFault {
    fn from(_: russh::SendError) -> Self {
        Self::Gone
    }
}

fn put_length(buffer: &mut Vec<u8>, length: usize) {
    buffer.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// A big-endian number less one; primes are odd, so nothing is borrowed.
fn less_one(number: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut less = Zeroizing::new(number.to_vec());
    if let Some(last) = less.last_mut() {
        *last &= 0xfe;
    }
    less
}

/// `number mod modulus`, both big-endian: bit by bit, as on paper. Once per key that is read.
fn remainder(number: &[u8], modulus: &[u8]) -> Zeroizing<Vec<u8>> {
    // One byte more than the modulus, so that doubling fits.
    let mut rest = Zeroizing::new(vec![0u8; modulus.len() + 1]);
    let mut wide = Zeroizing::new(vec![0u8]);
    wide.extend_from_slice(modulus);
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        let mut carry = bit;
        for digit in rest.iter_mut().rev() {
            let over = *digit >> 7;
            *digit = *digit << 1 | carry;
            carry = over;
        }
        if rest.as_slice() >= wide.as_slice() {
            let mut borrow = false;
            for (digit, less) in rest.iter_mut().zip(wide.iter()).rev() {
                let (once, first) = digit.overflowing_sub(*less);
                let (twice, second) = once.overflowing_sub(u8::from(borrow));
                *digit = twice;
                borrow = first || second;
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_is_what_division_leaves() {
        for (number, modulus) in
            [(1_000_003_u64, 997_u64), (5, 7), (0, 3), (u64::MAX, 65_537), (1 << 40, 256)]
        {
            let rest = remainder(&number.to_be_bytes(), &modulus.to_be_bytes());
            let mut last = [0; 8];
            last.copy_from_slice(&rest[1..]);
            assert_eq!(u64::from_be_bytes(last), number % modulus);
        }
    }
}
