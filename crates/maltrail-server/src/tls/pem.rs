//! PEM files with a private key and a certificate chain: `SSL_PEM`, and the server's own.
//!
//! The key pair that the reference once published is refused by its fingerprint: everybody has it.

use std::sync::Arc;

use anyhow::{Context, bail};
use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// SHA-256 of the published key and of its certificate (DER).
const PUBLISHED: [&str; 2] = [
    "9395629637a4fc48290286313b60ae26fb6bdcd8018db45894ab54c273d1a2c3",
    "2905a63fd3399bda47f286dac449edf734cdbdbe51b5d7d5cf241d2f74ea58c1",
];
/// Most certificates of a chain.
const MAX_CHAIN: usize = 16;
/// What an RSA key in PKCS #8 begins with, apart from two lengths: version 0, rsaEncryption, octet string.
const PKCS8_RSA: [u8; 18] = [
    2, 1, 0, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0,
];

/// What the server shows to clients.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// SHA-256 of the certificate as browsers show it.
    pub(crate) fingerprint: String,
    pub(crate) key_der: PrivateKeyDer<'static>,
}

/// Reads key and chain.
///
/// # Errors
/// Says what is missing or wrong.
pub(crate) fn identity(text: &[u8]) -> anyhow::Result<Identity> {
    let key_der = PrivateKeyDer::from_pem_slice(text).context(
        "no usable private key (PEM: `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`, without a passphrase)",
    )?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        chain.push(certificate.context("a certificate cannot be read")?);
        if chain.len() > MAX_CHAIN {
            bail!("more than {MAX_CHAIN} certificates");
        }
    }
    let Some(first) = chain.first() else {
        bail!("no certificate");
    };
    if is_published(key_der.secret_der(), first) {
        bail!(
            "this key was published with an earlier version of the product, so everybody has it; make your own"
        );
    }
    let fingerprint = fingerprint(first);
    let certified = CertifiedKey::from_der(chain, key_der.clone_key(), &provider())
        .context("key and certificate do not work together")?;
    Ok(Identity {
        certified: Arc::new(certified),
        fingerprint,
        key_der,
    })
}

/// The one cryptographic provider.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn is_published(key: &[u8], certificate: &[u8]) -> bool {
    let inner = pkcs1_of(key).unwrap_or(key);
    [key, inner, certificate]
        .iter()
        .any(|der| PUBLISHED.contains(&hex(der).as_str()))
}

/// The PKCS #1 form inside of a PKCS #8 key with lengths of two bytes.
fn pkcs1_of(key: &[u8]) -> Option<&[u8]> {
    let rest = key.strip_prefix(&[0x30, 0x82])?.get(2..)?;
    rest.strip_prefix(&PKCS8_RSA)?
        .strip_prefix(&[4, 0x82])?
        .get(2..)
}

fn hex(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest(&SHA256, certificate);
    let pairs: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, generate_simple_self_signed};
    use std::fmt::Write;

    fn text(key: &KeyPair, certificates: &[&[u8]]) -> String {
        use base64::Engine;
        let mut text = String::new();
        let mut block = |kind: &str, der: &[u8]| {
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            write!(
                text,
                "-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"
            )
            .unwrap();
        };
        certificates
            .iter()
            .for_each(|der| block("CERTIFICATE", der));
        block("PRIVATE KEY", key.serialized_der());
        text
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", identity(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn key_and_chain_stand_in_any_order_and_must_belong_together() {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = KeyPair::generate().unwrap();
        let good = text(&made.signing_key, &[made.cert.der()]);
        let read = identity(good.as_bytes()).unwrap();
        assert_eq!(read.fingerprint, fingerprint(made.cert.der()));
        assert_eq!(read.certified.cert.len(), 1);
        assert!(refusal(&text(&other, &[made.cert.der()])).contains("do not work together"));
        assert!(refusal(&text(&other, &[])).contains("no certificate"));
        assert!(refusal("").contains("no usable private key"));
        assert!(refusal(&good[..good.len() / 2]).contains("no usable private key"));
        let many = vec![made.cert.der().as_ref(); MAX_CHAIN + 1];
        assert!(refusal(&text(&made.signing_key, &many)).contains("more than"));
        for end in 0..good.len() {
            let _ = identity(&good.as_bytes()[..end]);
        }
    }

    #[test]
    fn the_inner_form_of_an_rsa_key_is_found() {
        let mut key = vec![0x30, 0x82, 0, 0];
        key.extend(PKCS8_RSA);
        key.extend([4, 0x82, 0, 3, 1, 2, 3]);
        assert_eq!(pkcs1_of(&key), Some(&[1, 2, 3][..]));
        assert_eq!(pkcs1_of(&key[1..]), None);
        assert!(!is_published(b"x", b"y"));
        assert!(PUBLISHED.iter().all(|hash| hash.len() == 64));
    }
}
