//! The trail set for others: `/trails`, `/api/v1/trails/image`, and the set that `/check` asks.
//!
//! ```text
//! TRAILS_FILE ─► worker (one thread, low priority) ─► LOG_DIR/trails-cache/*.gz ─► answers
//! ```
//!
//! Nothing is made on the way of a request: the worker makes what somebody has asked for, once for each
//! state of `TRAILS_FILE`, compressed, for the operator's own clients and without the operator's own trails
//! for everybody else. While a new state is being made the former one is served. Files are held open, so
//! that replacing them harms no transfer. Bounds: four prepared files of one state, [`MAX_BYTES`] of CSV.

mod prepare;
pub(crate) mod transfer;

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use maltrail_core::config::{Config, TrailsConfig};
use maltrail_core::trail::TrailSet;
use maltrail_feeds::load;
use tokio::sync::watch;

use crate::auth::{Identity, Peer, State};
use crate::http::error::ApiError;
use crate::store::lock;
use crate::store::scoped::is_custom;
pub(crate) use prepare::Prepared;
use transfer::Transfers;

/// Largest `trails.csv` that is handed on.
const MAX_BYTES: u64 = 1 << 30;
/// How often `TRAILS_FILE` is looked at.
const LOOK: Duration = Duration::from_secs(3);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(30);
/// How long a request waits for what is being made.
const PATIENCE: Duration = Duration::from_secs(10);
/// Priority below intake and indexer.
const NICE: i32 = 10;

/// Who a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Audience {
    /// Whoever may know the operator's own trails.
    Operator,
    /// Everybody.
    Public,
}

impl Audience {
    /// Signed-in users whose names are not masked, and sensors with a token; without accounts, programs on this
    /// machine.
    pub(crate) fn of(identity: &Identity, peer: Peer) -> Self {
        let may = match identity.state {
            State::Open => identity.knows_custom(),
            State::Anonymous => !peer.remote,
            State::Login | State::Change => false,
        };
        if may { Self::Operator } else { Self::Public }
    }

    fn takes(self, info: &str, reference: &str) -> bool {
        self == Self::Operator || !is_custom_row(info, reference)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Operator => "all",
            Self::Public => "public",
        }
    }
}

/// Whether a row is the operator's own, alone or among other sources.
pub(crate) fn is_custom_row(info: &str, reference: &str) -> bool {
    is_custom(reference, info)
}

/// What is made of `TRAILS_FILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Its rows.
    Csv,
    /// The mapped form that sensors load.
    Image,
    /// The set that this server asks; not a file.
    Set,
}

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Source {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// What there is.
#[derive(Clone, Debug, Default)]
struct Files {
    /// State of `TRAILS_FILE` that was seen last; `None` before the first look, `Some(None)` without a file.
    seen: Option<Option<Source>>,
    prepared: HashMap<(Form, Audience), Arc<Prepared>>,
    set: Option<Arc<TrailSet>>,
    /// Forms that the last try could not make.
    failed: HashMap<Form, Instant>,
}

impl Files {
    /// Whether a form is to be made, or tried again.
    fn is_due(&self, form: Form) -> bool {
        let failed = self.failed.get(&form);
        failed.map_or_else(|| !self.is_settled(form), |since| since.elapsed() > RETRY)
    }

    fn is_settled(&self, form: Form) -> bool {
        let made = match form {
            Form::Set => self.set.is_some(),
            form => self.prepared.contains_key(&(form, Audience::Public)),
        };
        made || self.failed.contains_key(&form) || self.seen == Some(None)
    }
}

/// Handle of the distribution. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Distribution(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: TrailsConfig,
    root: PathBuf,
    cache: PathBuf,
    files: watch::Sender<Files>,
    /// std lock: held to read or add a wish.
    wishes: Mutex<Wishes>,
    wake: Condvar,
    transfers: Transfers,
}

#[derive(Debug, Default)]
struct Wishes {
    forms: HashSet<Form>,
    stop: bool,
    /// Somebody waits: do not sleep.
    urgent: bool,
}

impl Distribution {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(Shared {
            config: config.trails.clone(),
            root: config.root.clone(),
            cache: config.log_dir.join("trails-cache"),
            files: watch::Sender::new(Files::default()),
            wishes: Mutex::default(),
            wake: Condvar::new(),
            transfers: Transfers::default(),
        }))
    }

    /// Starts the worker.
    pub(crate) fn start(&self) -> std::io::Result<JoinHandle<()>> {
        let distribution = self.clone();
        let worker = std::thread::Builder::new().name("trails".into());
        worker.spawn(move || {
            // On Linux this means the calling thread.
            let _ = rustix::process::setpriority_process(None, NICE);
            distribution.run();
        })
    }

    /// Asks the worker to end.
    pub(crate) fn stop(&self) {
        lock(&self.0.wishes).stop = true;
        self.0.wake.notify_all();
    }

    /// `TRAILS_FILE`.
    pub(crate) fn trails_file(&self) -> &std::path::Path {
        &self.0.config.file
    }

    /// A place to send a file, if this address may have one more.
    pub(crate) fn place(&self, address: IpAddr) -> Result<transfer::Place, ApiError> {
        self.0
            .transfers
            .enter(address)
            .ok_or_else(|| ApiError::busy(30))
    }

    /// A prepared file; `None` when there is no `TRAILS_FILE`.
    pub(crate) async fn file(
        &self,
        form: Form,
        audience: Audience,
    ) -> Result<Option<Arc<Prepared>>, ApiError> {
        let files = self.settled(form).await?;
        let file = files.prepared.get(&(form, audience)).cloned();
        if file.is_none() && files.failed.contains_key(&form) {
            return Err(ApiError::unavailable());
        }
        Ok(file)
    }

    /// The set to ask; `None` when there is no `TRAILS_FILE`, or it cannot be read.
    pub(crate) async fn set(&self) -> Result<Option<Arc<TrailSet>>, ApiError> {
        Ok(self.settled(Form::Set).await?.set)
    }

    /// What there is, once a form was made; a while later the client is told to come back.
    async fn settled(&self, form: Form) -> Result<Files, ApiError> {
        let mut files = self.0.files.subscribe();
        {
            let settled = files.borrow().is_settled(form);
            let mut wishes = lock(&self.0.wishes);
            if wishes.forms.insert(form) || !settled {
                wishes.urgent = true;
                self.0.wake.notify_all();
            }
        }
        let ready = files.wait_for(|files| files.is_settled(form));
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Ok(files)) => Ok(files.clone()),
            Ok(Err(_)) => Err(ApiError::unavailable()),
            Err(_) => Err(ApiError::busy(10)),
        }
    }

    fn run(&self) {
        loop {
            let forms = {
                let wishes = lock(&self.0.wishes);
                let wait = self
                    .0
                    .wake
                    .wait_timeout_while(wishes, LOOK, |wishes| !wishes.stop && !wishes.urgent);
                let Ok((mut wishes, _)) = wait else {
                    return;
                };
                if wishes.stop {
                    return;
                }
                wishes.urgent = false;
                wishes.forms.clone()
            };
            if !forms.is_empty() {
                self.look(&forms);
            }
        }
    }

    /// Makes what is wanted of the present `TRAILS_FILE` and is not there yet.
    fn look(&self, wanted: &HashSet<Form>) {
        let source = std::fs::metadata(&self.0.config.file)
            .ok()
            .filter(Metadata::is_file)
            .map(|meta| Source::of(&meta));
        let before = self.0.files.borrow().clone();
        let changed = before.seen.as_ref() != Some(&source);
        let missing: Vec<Form> = wanted
            .iter()
            .copied()
            .filter(|&form| changed || before.is_due(form))
            .collect();
        if missing.is_empty() {
            return;
        }
        let Some(source) = source else {
            self.0.files.send_replace(Files {
                seen: Some(None),
                ..Files::default()
            });
            return;
        };
        let mut files = if changed { Files::default() } else { before };
        for form in missing {
            files.failed.remove(&form);
            if let Err(error) = self.make(form, &source, &mut files) {
                tracing::error!(
                    %error,
                    file = %self.0.config.file.display(),
                    "trails: cannot prepare the file for others"
                );
                files.failed.insert(form, Instant::now());
            }
        }
        let now = std::fs::metadata(&self.0.config.file).ok();
        if now.map(|meta| Source::of(&meta)).as_ref() != Some(&source) {
            // It changed meanwhile: what was made may be a mixture. The next look makes it anew.
            return;
        }
        files.seen = Some(Some(source));
        self.0.files.send_replace(files);
    }

    fn make(&self, form: Form, source: &Source, files: &mut Files) -> std::io::Result<()> {
        if source.bytes > MAX_BYTES {
            return Err(std::io::Error::other(format!(
                "larger than {MAX_BYTES} bytes"
            )));
        }
        let whitelist =
            load::whitelist(&self.0.config, &self.0.root).map_err(std::io::Error::other)?;
        match form {
            Form::Set => {
                let (set, _) = load::trail_set(&self.0.config, &whitelist, None)
                    .map_err(std::io::Error::other)?;
                files.set = Some(Arc::new(set));
            }
            Form::Csv => {
                let made = prepare::csv(&self.0.config.file, &self.0.cache)?;
                files
                    .prepared
                    .extend(made.map(|(audience, file)| ((form, audience), file)));
            }
            Form::Image => {
                let made = prepare::image(&self.0.config, &whitelist, &self.0.cache)?;
                files
                    .prepared
                    .extend(made.map(|(audience, file)| ((form, audience), file)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use maltrail_core::config::Environment;

    struct House {
        root: tempfile::TempDir,
        distribution: Distribution,
    }

    impl House {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let text = format!(
                "LOG_DIR {0}/log\nTRAILS_FILE {0}/trails.csv\n",
                root.path().display()
            );
            let read = Config::parse(&text, "f", root.path(), &Environment::default());
            let distribution = Distribution::new(&read.unwrap().0);
            Self { root, distribution }
        }

        fn put(&self, text: &str) {
            let new = self.root.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.root.path().join("trails.csv")).unwrap();
        }

        fn look(&self, form: Form) -> Files {
            self.distribution.look(&HashSet::from([form]));
            self.distribution.0.files.borrow().clone()
        }

        fn cached(&self) -> usize {
            std::fs::read_dir(self.root.path().join("log/trails-cache"))
                .map_or(0, |entries| entries.count())
        }
    }

    fn text(file: &Prepared) -> String {
        let mut text = String::new();
        file.plain().read_to_string(&mut text).unwrap();
        text
    }

    const ROWS: &str = "evil.biz,\"dummy, x\",(static)\nown.biz,mine (custom),(custom)\nboth.biz,y,(static) (+(custom))\nfar.biz,z,(remote custom)\nmerged.biz,w,(custom) (+x)\nlast.biz,v,feed.example\n";
    const PUBLIC: &str = "evil.biz,\"dummy, x\",(static)\nlast.biz,v,feed.example\n";

    #[test]
    fn the_public_gets_no_row_of_the_operator() {
        let house = House::new();
        house.put(ROWS);
        let files = house.look(Form::Csv);
        assert_eq!(
            text(&files.prepared[&(Form::Csv, Audience::Operator)]),
            ROWS
        );
        assert_eq!(
            text(&files.prepared[&(Form::Csv, Audience::Public)]),
            PUBLIC
        );
        let images = house.look(Form::Image);
        let keys = |audience| {
            let file = &images.prepared[&(Form::Image, audience)];
            let path = house.root.path().join("x.img");
            let mut bytes = Vec::new();
            file.plain().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, file.plain_bytes());
            std::fs::write(&path, bytes).unwrap();
            let set = TrailSet::open(&path, None, true).unwrap();
            set.rows().map(|row| row.key.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys(Audience::Public), ["evil.biz", "last.biz"]);
        assert_eq!(keys(Audience::Operator).len(), 6);
    }

    #[test]
    fn each_state_is_made_once_and_old_files_go() {
        let house = House::new();
        house.put(ROWS);
        let first = house.look(Form::Csv);
        let again = house.look(Form::Csv);
        let key = (Form::Csv, Audience::Public);
        assert!(Arc::ptr_eq(&first.prepared[&key], &again.prepared[&key]));
        assert_eq!(house.cached(), 2);
        // The same rows after a restart: the cache is used.
        let cache = house.root.path().join("log/trails-cache");
        let stamp = |entry: std::fs::DirEntry| (entry.file_name(), entry.metadata().unwrap().ino());
        let list = || {
            let entries = std::fs::read_dir(&cache).unwrap();
            let mut list: Vec<_> = entries.map(|entry| stamp(entry.unwrap())).collect();
            list.sort();
            list
        };
        let before = list();
        house.distribution.0.files.send_replace(Files::default());
        let restarted = house.look(Form::Csv);
        assert_eq!(list(), before);
        assert_eq!(restarted.prepared[&key].etag(), first.prepared[&key].etag());
        // Another state, without a row of the operator: one file for both audiences.
        house.put(PUBLIC);
        let second = house.look(Form::Csv);
        assert_eq!(house.cached(), 1);
        assert_eq!(
            second.prepared[&key].etag(),
            first.prepared[&key].etag(),
            "the same public rows"
        );
        assert_eq!(
            text(&first.prepared[&key]),
            PUBLIC,
            "an open file outlives its name"
        );
    }

    #[test]
    fn damaged_cache_files_are_made_anew_and_a_missing_source_is_said() {
        let house = House::new();
        assert_eq!(house.look(Form::Csv).seen, Some(None));
        house.put(ROWS);
        let first = house.look(Form::Csv);
        for entry in std::fs::read_dir(house.root.path().join("log/trails-cache")).unwrap() {
            std::fs::write(entry.unwrap().path(), b"cut").unwrap();
        }
        house.distribution.0.files.send_replace(Files::default());
        let key = (Form::Csv, Audience::Operator);
        let second = house.look(Form::Csv);
        assert_eq!(text(&second.prepared[&key]), ROWS);
        assert_eq!(second.prepared[&key].etag(), first.prepared[&key].etag());
    }

    #[test]
    fn rows_that_are_no_rows_are_for_nobody_but_the_operator() {
        let house = House::new();
        house.put("a.biz,b,(static)\nx,y,z,(custom)\n(custom)\nq.biz,\"r\"\"s\",t\n");
        let files = house.look(Form::Csv);
        let public = text(&files.prepared[&(Form::Csv, Audience::Public)]);
        assert_eq!(public, "a.biz,b,(static)\nq.biz,\"r\"\"s\",t\n");
    }
}
