//! TLS towards receivers of syslog (RFC 5425).
//!
//! The receiver must show a certificate for its name, or its address, that a root of the system has
//! signed; with `SYSLOG_CA`, one that a certificate of that file has signed. There is no way around.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use maltrail_core::config::settings::split_endpoint;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::stream::{Connection, ended, moved};
use super::udp::without_zone;

/// Most certificates of a `SYSLOG_CA` file.
const ROOTS: usize = 1000;

/// The roots that receivers are checked against.
pub(super) fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match ca {
        Some(file) => builder
            .with_root_certificates(roots(file)?)
            .with_no_client_auth(),
        None => builder
            .with_platform_verifier()
            .map_err(|error| format!("{error} (SYSLOG_CA names certificates of your own)"))?
            .with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let bad = |what: &str| format!("SYSLOG_CA: `{}`: {what}", file.display());
    let pem = std::fs::read(file).map_err(|error| bad(&error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem).take(ROOTS) {
        let certificate = certificate.map_err(|error| bad(&error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| bad(&error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("no certificate in PEM form"));
    }
    Ok(roots)
}

/// What is needed to speak TLS with one receiver.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For the receiver at `host:port`.
    pub(super) fn new(config: Arc<ClientConfig>, address: &str) -> Result<Self, String> {
        let plain = without_zone(address);
        let host = split_endpoint(&plain).map_or(plain.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate could have"))?;
        Ok(Self { config, name })
    }
}

/// A TLS connection whose socket does not block.
pub(super) struct TlsStream {
    tls: ClientConnection,
    socket: TcpStream,
}

impl TlsStream {
    pub(super) fn new(tls: &Tls, socket: TcpStream) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())
            .map_err(io::Error::other)?;
        Ok(Self { tls, socket })
    }

    fn hear(&mut self) -> io::Result<bool> {
        let mut heard = false;
        while let Some(count) = moved(self.tls.read_tls(&mut self.socket))? {
            if count == 0 {
                return Err(ended());
            }
            heard = true;
            let state = self.tls.process_new_packets().map_err(|error| {
                // The alert that says what is wrong.
                let _ = self.tls.write_tls(&mut self.socket);
                io::Error::new(ErrorKind::InvalidData, error)
            })?;
            if state.peer_has_closed() {
                return Err(ended());
            }
            // A receiver has nothing to say.
            let mut scratch = [0; 512];
            while moved(self.tls.reader().read(&mut scratch))?.is_some_and(|count| count > 0) {}
        }
        Ok(heard)
    }
}

impl Connection for TlsStream {
    fn push(&mut self, frame: &mut &[u8]) -> io::Result<bool> {
        let mut any = self.hear()?;
        // Before the handshake is over, a frame is kept outside, so that it can be sent elsewhere.
        if !self.tls.is_handshaking() && !frame.is_empty() {
            let count = self.tls.writer().write(frame)?;
            *frame = frame.get(count..).unwrap_or_default();
        }
        while self.tls.wants_write() {
            match moved(self.tls.write_tls(&mut self.socket))? {
                Some(_) => any = true,
                None => break,
            }
        }
        Ok(any)
    }

    fn is_flushed(&self) -> bool {
        !self.tls.is_handshaking() && !self.tls.wants_write()
    }

    fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.socket);
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}
