//! The running server: the only place that knows all parts.
//!
//! ```text
//! App::start: lock LOG_DIR ─► listen (HTTP, UDP) ─► indexer ─► intake ─► serve
//! Running::stop: intake (writes what it took) ─► HTTP ─► indexer
//! ```

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use maltrail_core::config::{Config, SslMode};
use maltrail_core::event::Seal;
use maltrail_core::time::{Timestamp, Zone};
use maltrail_feeds::clock::Said;
use maltrail_feeds::{Clock, Job};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::alerts::{self, Alerts};
use crate::auth::Auth;
use crate::desk::Desk;
use crate::fleet::Fleet;
use crate::http::listener::{Limits, Listener};
use crate::http::router::router;
use crate::http::tls::{Origin, Policy};
use crate::intake::Intake;
use crate::intake::udp::UdpIntake;
use crate::services::Services;
use crate::state::{AppState, Parts};
use crate::store::retention::Policy as Care;
use crate::store::{HOT_BYTES, Store};
use crate::tls::Tls;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long open requests may go on after a stop.
const GRACE: Duration = Duration::from_secs(3);

/// What the command line adds to the configuration.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Serve the page from this folder.
    pub html: Option<PathBuf>,
    /// admin:admin may stay; only with an `HTTP_ADDRESS` on loopback.
    pub keep_default_password: bool,
    /// Zone of days and hours.
    pub zone: Zone,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            html: None,
            keep_default_password: false,
            zone: Zone::local(),
        }
    }
}

/// The server as a whole.
#[derive(Debug)]
pub struct App;

/// A started server. Dropping it without [`Running::stop`] ends it without waiting.
#[derive(Debug)]
pub struct Running {
    http: Vec<SocketAddr>,
    udp: Option<SocketAddr>,
    code: Option<(String, PathBuf)>,
    tls: Option<Arc<Tls>>,
    store: Store,
    intake: Option<Intake>,
    indexer: Option<std::thread::JoinHandle<()>>,
    caretaker: Option<std::thread::JoinHandle<()>>,
    services: Arc<Services>,
    trails: Option<std::thread::JoinHandle<()>>,
    alerts: Option<alerts::Working>,
    _clock: Option<Clock>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    stop: watch::Sender<bool>,
    _lock: File,
}

impl App {
    /// Starts everything. When this returns, HTTP and UDP are open.
    ///
    /// # Errors
    /// Says what cannot be opened and what to do; nothing keeps running then.
    pub async fn start(config: Config, options: AppOptions) -> anyhow::Result<Running> {
        let http = http_addresses(&config).await?;
        if options.keep_default_password && !http.iter().all(|address| address.ip().is_loopback()) {
            bail!("--keep-default-password needs an HTTP_ADDRESS on loopback, such as 127.0.0.1");
        }
        let listeners = listen(&http)?;
        let http = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let store = Store::open(
            &config.log_dir,
            options.zone.clone(),
            HOT_BYTES,
            config.home_networks.clone(),
        )
        .with_context(|| {
            format!(
                "cannot use LOG_DIR `{}`; create it or fix its permissions",
                config.log_dir.display()
            )
        })?;
        let lock = lock_index(&store)?;
        let udp = open_udp(&config).await?;
        let tls = Tls::open(&config, Timestamp::now())?;
        let auth = Auth::open(&config, options.keep_default_password).with_context(|| {
            format!(
                "cannot use the state file in `{}`",
                config.log_dir.display()
            )
        })?;
        let code = auth
            .code()
            .map(|code| (code.text().to_owned(), code.path().to_owned()));
        let desk = Desk::open(
            Arc::clone(auth.state_file()),
            config.server.reopen_resolved,
            &config.server.ip_aliases,
        )
        .context("cannot read what people said about threats in state.sqlite")?;
        let desk = Arc::new(desk);
        let alerts = Alerts::open(&config, &config.log_dir.join("state.sqlite"))
            .context("cannot use the queue of alerts in state.sqlite")?;
        let alerts = Arc::new(alerts);
        let (stop, stopping) = watch::channel(false);
        let fleet = Arc::<Fleet>::default();
        let services = Arc::new(Services::new(&config));
        let state = AppState::new(Parts {
            services: Arc::clone(&services),
            store: store.clone(),
            fleet: Arc::clone(&fleet),
            auth,
            desk: Arc::clone(&desk),
            alerts: Arc::clone(&alerts),
            max_requests: config.server.max_requests as usize,
            max_streams: config.server.max_streams as usize,
            trusted_proxies: config.server.trusted_proxies.clone(),
            clear_passwords: config.server.use_ssl == SslMode::Off,
            html: options.html,
            stopping: stopping.clone(),
        });
        let care = Care {
            retention_days: config.server.retention_days,
            compress_after_days: config.server.compress_after_days,
            index_max_bytes: config.server.index_max_bytes,
        };
        store.limit_index(care.index_max_bytes);
        let indexer = store
            .spawn_indexer()
            .context("cannot start the indexer thread")?;
        let caretaker = store
            .spawn_caretaker(care)
            .context("cannot start the caretaker thread")?;
        let alerts = alerts.start(&store, &desk).context("cannot start alerts")?;
        let trails = services.distribution.start();
        let trails = trails.context("cannot start the thread that prepares trails")?;
        let clock = trail_clock(&config);
        let address = udp.as_ref().map(UdpIntake::address);
        let intake = udp.map(|socket| Intake::start(socket, store.clone(), fleet));
        let intake = intake
            .transpose()
            .context("cannot start the intake threads")?;
        let policy = Policy {
            mode: config.server.use_ssl,
            tls: tls.clone(),
            hsts: config.server.hsts,
            trusted_proxies: config.server.trusted_proxies.clone(),
        };
        let handshakes = tls.as_ref().map(Tls::server_config).transpose()?;
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(stopping.clone()));
        }
        let service = policy.around(router(state));
        let servers = listeners
            .into_iter()
            .map(|listener| {
                let listener = Listener::new(listener, Limits::default(), handshakes.clone());
                serve(listener, service.clone(), stopping.clone())
            })
            .collect();
        Ok(Running {
            http,
            udp: address,
            code,
            tls,
            store,
            intake,
            indexer: Some(indexer),
            caretaker: Some(caretaker),
            services,
            trails: Some(trails),
            alerts: Some(alerts),
            _clock: clock,
            servers,
            stop,
            _lock: lock,
        })
    }

    /// Builds the index of every day anew, telling `progress` about each.
    ///
    /// # Errors
    /// A running server holds the index.
    pub fn reindex(
        config: &Config,
        zone: Zone,
        progress: impl FnMut(String, u64),
    ) -> anyhow::Result<()> {
        let mut progress = progress;
        let store = Store::open(
            &config.log_dir,
            zone,
            HOT_BYTES,
            config.home_networks.clone(),
        )
        .with_context(|| format!("cannot use LOG_DIR `{}`", config.log_dir.display()))?;
        let _lock = lock_index(&store)?;
        store.drop_index(None)?;
        store.index_all(|day, events| progress(day.to_string(), events))?;
        Ok(())
    }
}

/// Updates of the trails while the server runs, with `USE_SERVER_UPDATE_TRAILS`.
fn trail_clock(config: &Config) -> Option<Clock> {
    if !config.server.update_trails {
        return None;
    }
    let job = Job {
        config: config.trails.clone(),
        root: config.root.clone(),
        proxy: config.proxy.clone(),
        offline: false,
    };
    let clock = Clock::start(job, |said| match said {
        Said::Done(text) => info!("{text}"),
        Said::Trouble(text) => warn!("{text}"),
    });
    clock
        .inspect_err(|error| warn!("trails are not updated by the clock: {error}"))
        .ok()
}

impl Running {
    /// Bound HTTP addresses.
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Bound address of the intake.
    pub const fn udp(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// The one-time code and the file it is kept in, while a shipped password is in force.
    pub fn first_login_code(&self) -> Option<(&str, &std::path::Path)> {
        self.code
            .as_ref()
            .map(|(code, path)| (code.as_str(), path.as_path()))
    }

    /// SHA-256 of the certificate, and whether the server made it; `None` with `USE_SSL false`.
    pub fn certificate(&self) -> Option<(String, bool)> {
        let tls = self.tls.as_ref()?;
        Some((tls.fingerprint(), tls.is_own()))
    }

    /// Ends everything cleanly: what was received is written first.
    pub async fn stop(mut self) {
        if let Some(intake) = self.intake.take() {
            // Joining threads blocks; nothing else runs on this task.
            let _ = tokio::task::spawn_blocking(move || intake.stop()).await;
        }
        if let Some(alerts) = self.alerts.take() {
            alerts.stop().await;
        }
        self.stop.send_replace(true);
        for server in self.servers.drain(..) {
            let abort = server.abort_handle();
            if tokio::time::timeout(GRACE, server).await.is_err() {
                abort.abort();
            }
        }
        self.store.stop();
        self.services.distribution.stop();
        for thread in [
            self.indexer.take(),
            self.caretaker.take(),
            self.trails.take(),
        ]
        .into_iter()
        .flatten()
        {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.store.stop();
        self.services.distribution.stop();
    }
}

fn serve(
    listener: Listener,
    service: Router,
    mut stopping: watch::Receiver<bool>,
) -> JoinHandle<std::io::Result<()>> {
    let service = service.into_make_service_with_connect_info::<Origin>();
    tokio::spawn(async move {
        axum::serve(listener, service)
            .with_graceful_shutdown(async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            })
            .await
    })
}

/// One index, one writer: a second server on the same folder would spoil both.
fn lock_index(store: &Store) -> anyhow::Result<File> {
    let path = store.index_dir().join("lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("cannot open `{}`", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |_| {
            anyhow::anyhow!(
                "another server works on `{}`; stop it first, or give this one its own LOG_DIR",
                store.log_dir().display()
            )
        },
    )?;
    Ok(file)
}

async fn http_addresses(config: &Config) -> anyhow::Result<Vec<SocketAddr>> {
    let port = config.server.http_port;
    match config.server.http_address.as_deref() {
        None => Ok(vec![SocketAddr::from(([0_u16; 8], port))]),
        Some(host) => resolve(host, port)
            .await
            .with_context(|| format!("HTTP_ADDRESS `{host}` is not an address of this machine; use 0.0.0.0, 127.0.0.1 or one of its own")),
    }
}

async fn resolve(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    if let Some(address) = maltrail_core::addr::parse_ip(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        bail!("the name has no address");
    }
    Ok(addresses)
}

fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    addresses
        .iter()
        .map(|&address| {
            let listener = bind_tcp(address).or_else(|error| {
                // A machine without IPv6 has no dual-stack socket.
                let all = address.ip().is_unspecified() && address.is_ipv6();
                if all && error.kind() != std::io::ErrorKind::AddrInUse {
                    bind_tcp(SocketAddr::from(([0; 4], address.port())))
                } else {
                    Err(error)
                }
            });
            listener.map_err(|error| bind_error("HTTP_ADDRESS", "HTTP_PORT", address, &error))
        })
        .collect()
}

fn bind_error(
    host: &str,
    port: &str,
    address: SocketAddr,
    error: &std::io::Error,
) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is in use: another instance is already running, or another program; stop it or change {port}"
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is not an address of this machine; change {host}")
        }
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "no permission to open {address}; use a {port} above 1023 or start as root"
            )
        }
        _ => anyhow::anyhow!("cannot open {address}: {error}; check {host} and {port}"),
    }
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn open_udp(config: &Config) -> anyhow::Result<Option<UdpIntake>> {
    let Some((host, port)) = &config.server.udp else {
        return Ok(None);
    };
    let addresses = resolve(host, *port)
        .await
        .with_context(|| format!("UDP_ADDRESS `{host}` has no address"))?;
    let Some(&address) = addresses.first() else {
        return Ok(None);
    };
    let seal = config.server.udp_key.as_deref().map(Seal::new);
    let socket = UdpIntake::bind(address, config.server.udp_allowlist.clone(), seal);
    socket
        .map(Some)
        .map_err(|error| bind_error("UDP_ADDRESS", "UDP_PORT", address, &error))
}

/// Warnings about a configuration that works but should not be left so.
pub fn warnings(config: &Config, http: &[SocketAddr]) -> Vec<String> {
    let mut warnings = Vec::new();
    let beyond: Vec<String> = http
        .iter()
        .filter(|address| !address.ip().is_loopback())
        .map(ToString::to_string)
        .collect();
    if !beyond.is_empty() && config.server.use_ssl == SslMode::Off {
        warnings.push(format!(
            "{} can be reached from other machines over plain HTTP: events and passwords travel unencrypted, as USE_SSL false says. USE_SSL auto encrypts them",
            beyond.join(", "),
        ));
    }
    if config.server.hsts && config.server.ssl_pem.is_none() {
        warnings
            .push("ENABLE_HSTS needs a certificate of your own (SSL_PEM); it is not used".into());
    }
    if config.server.users.is_empty() {
        let who = if config.server.allow_anonymous {
            "everybody"
        } else {
            "programs on this machine"
        };
        warnings.push(format!(
            "USERS is empty: {who} can read all events without a password"
        ));
    }
    warnings.extend(alerts::problem(config));
    warnings
}
