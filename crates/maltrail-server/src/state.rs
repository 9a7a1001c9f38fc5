//! What handlers share. Cheap to clone.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use maltrail_core::time::{Day, Timestamp};
use tokio::sync::Semaphore;

use crate::alerts::Alerts;
use crate::auth::Auth;
use crate::desk::Desk;
use crate::fleet::Fleet;
use crate::http::error::ApiError;
use crate::query::answers::Answers;
use crate::services::Services;
use crate::store::Store;

/// Heavy questions (passes over a day, reading rows) at the same time.
const QUERIES: usize = 4;

/// Handle of the shared state.
#[derive(Clone, Debug)]
pub(crate) struct AppState(Arc<Shared>);

/// The state itself. Locks live inside the parts and are documented there.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    /// Sensors that report.
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) auth: Auth,
    /// What people say about threats.
    pub(crate) desk: Arc<Desk>,
    pub(crate) alerts: Arc<Alerts>,
    /// What the old endpoints and the distribution of trails need.
    pub(crate) services: Arc<Services>,
    /// Handlers at the same time; more are told 503.
    pub(crate) requests: Semaphore,
    /// Live streams at the same time.
    pub(crate) streams: Arc<Semaphore>,
    queries: Semaphore,
    /// What questions over several steps share.
    pub(crate) answers: Answers,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// `USE_SSL false`: passwords may cross a network unencrypted.
    pub(crate) clear_passwords: bool,
    /// Serve the page from this folder instead of the embedded files.
    pub(crate) html: Option<PathBuf>,
    /// Stopped streams end when this changes.
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
}

/// What a state is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) auth: Auth,
    pub(crate) desk: Arc<Desk>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) services: Arc<Services>,
    pub(crate) max_requests: usize,
    pub(crate) max_streams: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// `USE_SSL false`: passwords may cross a network unencrypted.
    pub(crate) clear_passwords: bool,
    pub(crate) html: Option<PathBuf>,
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
}

impl AppState {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            store: parts.store,
            fleet: parts.fleet,
            auth: parts.auth,
            desk: parts.desk,
            alerts: parts.alerts,
            services: parts.services,
            requests: Semaphore::new(parts.max_requests.max(1)),
            streams: Arc::new(Semaphore::new(parts.max_streams)),
            queries: Semaphore::new(QUERIES),
            answers: Answers::default(),
            trusted_proxies: parts.trusted_proxies,
            clear_passwords: parts.clear_passwords,
            html: parts.html,
            stopping: parts.stopping,
        }))
    }

    /// Asks about one day. Waiting for a day that is not in memory takes no place from others.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        day: Day,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if !self.0.store.is_ready(day) {
            let store = self.0.store.clone();
            let load = tokio::task::spawn_blocking(move || drop(store.day(day)));
            load.await.map_err(|_| ApiError::unavailable())?;
        }
        self.blocking(work).await
    }

    /// Runs blocking work, [`QUERIES`] at a time.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _turn = self
            .0
            .queries
            .acquire()
            .await
            .map_err(|_| ApiError::unavailable())?;
        let store = self.0.store.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(|_| ApiError::unavailable())
    }

    /// The time. Handlers ask only here.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
