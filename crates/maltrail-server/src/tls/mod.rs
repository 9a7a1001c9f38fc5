//! Certificates: which one the server shows, and how it changes while the server runs.
//!
//! ```text
//! SSL_PEM, or LOG_DIR/server-certificate.pem (made here) ─► Identity ─► every new handshake
//!        └── look(): file changed, end near, new names ──────┘
//! ```
//!
//! TLS 1.2 and 1.3, rustls with ring, `http/1.1` only. A changed file that cannot be used changes
//! nothing and is said once.

pub(crate) mod names;
pub(crate) mod own;
pub(crate) mod pem;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use maltrail_core::config::{Config, SslMode};
use maltrail_core::time::Timestamp;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::store::lock;
use pem::Identity;

/// How often the file of `SSL_PEM` is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often the machine's names and addresses are looked at.
const LOOK_NAMES: Duration = Duration::from_secs(60);
/// Largest `SSL_PEM`.
const MAX_BYTES: u64 = 1 << 20;

/// The server's certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    source: Source,
    /// std lock: held to copy or replace an `Arc`.
    current: RwLock<Arc<Identity>>,
}

#[derive(Debug)]
enum Source {
    /// Made here.
    Own {
        path: PathBuf,
        /// `HTTP_ADDRESS`
        host: Option<String>,
    },
    /// `SSL_PEM`. std lock: held by the one who looks.
    File {
        path: PathBuf,
        seen: Mutex<Option<Stamp>>,
    },
}

/// What tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, u64, Option<SystemTime>);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self(meta.ino(), meta.len(), meta.modified().ok()))
    }
}

impl Tls {
    /// The certificate that the configuration means; `None` with `USE_SSL false`.
    ///
    /// # Errors
    /// `SSL_PEM` cannot be used, or an own certificate cannot be made or kept.
    pub(crate) fn open(config: &Config, now: Timestamp) -> anyhow::Result<Option<Arc<Self>>> {
        let server = &config.server;
        if server.use_ssl == SslMode::Off {
            return Ok(None);
        }
        let (source, identity) = match &server.ssl_pem {
            Some(path) => {
                let seen = Mutex::new(Stamp::of(path));
                let identity = read(path)?;
                let path = path.clone();
                (Source::File { path, seen }, identity)
            }
            None => {
                let path = config.log_dir.join(own::FILE);
                let host = server.http_address.clone();
                let names = names::of_machine(host.as_deref());
                let (identity, _) = own::ensure(&path, &names, now).context(
                    "cannot make a certificate; see to LOG_DIR, or give one with SSL_PEM",
                )?;
                (Source::Own { path, host }, identity)
            }
        };
        Ok(Some(Arc::new(Self {
            source,
            current: RwLock::new(Arc::new(identity)),
        })))
    }

    /// SHA-256 of the certificate that is shown now.
    pub(crate) fn fingerprint(&self) -> String {
        self.current().fingerprint.clone()
    }

    /// Whether the server made it.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self.source, Source::Own { .. })
    }

    fn current(&self) -> Arc<Identity> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a changed file, and makes an own certificate anew when it is time.
    pub(crate) fn look(&self, now: Timestamp) {
        let new = match &self.source {
            Source::File { path, seen } => {
                let stamp = Stamp::of(path);
                let mut seen = lock(seen);
                // A file that is being replaced may be missing for a moment.
                if stamp.is_none() || *seen == stamp {
                    return;
                }
                *seen = stamp;
                read(path).map(|identity| (identity, Some("SSL_PEM has changed")))
            }
            Source::Own { path, host } => {
                own::ensure(path, &names::of_machine(host.as_deref()), now)
            }
        };
        match new {
            Ok((identity, reason)) => self.take(identity, reason),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%error, "tls: the certificate stays as it was");
            }
        }
    }

    fn take(&self, identity: Identity, reason: Option<&str>) {
        if self.current().fingerprint != identity.fingerprint {
            let reason = reason.unwrap_or("its file has changed");
            tracing::warn!(
                sha256 = identity.fingerprint,
                reason,
                "tls: a new certificate is used"
            );
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(identity);
    }

    /// How handshakes are made.
    ///
    /// # Errors
    /// The cryptographic provider lacks TLS 1.2 and 1.3: never.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let mut config = ServerConfig::builder_with_provider(Arc::new(pem::provider()))
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks from time to time, until the server stops.
    pub(crate) async fn watch(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let pause = if self.is_own() { LOOK_NAMES } else { LOOK };
        let mut next = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            let tls = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || tls.look(Timestamp::now())).await;
            next = Instant::now() + pause;
        }
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().certified))
    }
}

fn read(path: &Path) -> anyhow::Result<Identity> {
    let of = || format!("SSL_PEM `{}`", path.display());
    let meta = std::fs::metadata(path).with_context(of)?;
    if meta.len() > MAX_BYTES {
        anyhow::bail!("{}: too large for a key and its certificates", of());
    }
    let text = std::fs::read(path).with_context(of)?;
    pem::identity(&text).with_context(|| {
        format!(
            "{}: needs a private key and its certificate, such as `openssl req -new -x509 -newkey rsa:2048 -nodes -days 365 -keyout server.pem -out server.pem` makes",
            of()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::config::Environment;

    fn config(dir: &Path, more: &str) -> Config {
        let path = dir.join("test.conf");
        std::fs::write(
            &path,
            format!("HTTP_PORT 8338\nLOG_DIR {}\n{more}\n", dir.display()),
        )
        .unwrap();
        Config::load(&path, &Environment::of_process()).unwrap().0
    }

    /// A file with a key and a certificate, as the server makes it.
    fn some_pem(dir: &Path, name: &str) -> String {
        let path = dir.join(name);
        own::ensure(&path, &["localhost".into()], Timestamp::now()).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_changed_file_is_taken_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (some_pem(dir.path(), "1"), some_pem(dir.path(), "2"));
        let path = dir.path().join("server.pem");
        std::fs::write(&path, &one).unwrap();
        let config = config(
            dir.path(),
            &format!("USE_SSL true\nSSL_PEM {}", path.display()),
        );
        let now = Timestamp::now();
        let tls = Tls::open(&config, now).unwrap().unwrap();
        let first = tls.fingerprint();
        assert!(!tls.is_own());
        std::fs::write(&path, "half written").unwrap();
        tls.look(now);
        assert_eq!(tls.fingerprint(), first);
        std::fs::remove_file(&path).unwrap();
        tls.look(now);
        assert_eq!(tls.fingerprint(), first);
        std::fs::write(&path, &two).unwrap();
        tls.look(now);
        assert_eq!(
            tls.fingerprint(),
            pem::identity(two.as_bytes()).unwrap().fingerprint
        );
        std::fs::write(&path, "x").unwrap();
        let refusal = format!("{:#}", Tls::open(&config, now).unwrap_err());
        assert!(
            refusal.contains("SSL_PEM") && refusal.contains("openssl"),
            "{refusal}"
        );
    }

    #[test]
    fn without_a_file_the_server_makes_its_own_and_renews_it() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_parts(1_795_500_000, 0);
        let tls = Tls::open(&config(dir.path(), ""), now).unwrap().unwrap();
        let first = tls.fingerprint();
        assert!(tls.is_own());
        tls.look(now);
        assert_eq!(tls.fingerprint(), first);
        tls.look(now.plus_micros(380 * 86_400 * 1_000_000));
        assert_ne!(tls.fingerprint(), first);
        assert!(
            Tls::open(&config(dir.path(), "USE_SSL false"), now)
                .unwrap()
                .is_none()
        );
    }
}
