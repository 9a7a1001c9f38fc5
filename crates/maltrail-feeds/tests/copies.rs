//! A feed that fails costs its freshness and nothing else: updates against a web server on loopback
//! that changes its answers between them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use maltrail_core::config::{Config, Environment, TrailsConfig};
use maltrail_feeds::registry::feeds;
use maltrail_feeds::{Answer, Fetch, FetchError, HttpFetch, Limits, Outcome, Request, Update};

/// Answers of a path: status line and body.
type Answers = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// A web server that answers by path; 404 for paths it does not know.
fn serve(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let place = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("stream")).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines
                    .next()
                    .and_then(Result::ok)
                    .is_some_and(|line| !line.is_empty())
                {}
                let path = first.split(' ').nth(1).unwrap_or_default();
                let found = answers.lock().expect("lock").get(path).cloned();
                let (status, body) =
                    found.unwrap_or_else(|| ("404 Not Found".to_owned(), String::new()));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    place
}

/// Sends each address to the server on loopback, as `/host/path`.
struct Detour(HttpFetch, SocketAddr);

impl Fetch for Detour {
    fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
        let url = request.url;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let url = format!("http://{}/{rest}", self.1);
        self.0.get(&Request {
            url: &url,
            ..*request
        })
    }
}

struct House {
    root: tempfile::TempDir,
    config: TrailsConfig,
    answers: Answers,
    fetch: Detour,
}

/// A client that asks once.
fn quick() -> HttpFetch {
    let limits = Limits {
        pauses: Vec::new(),
        ..Limits::default()
    };
    HttpFetch::with_limits(None, limits).expect("client")
}

/// One name a line, of two feeds; both are of the product.
const FEEDS: [&str; 2] = ["blackholemonster", "policeman"];

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("folder");
        let others: Vec<String> = feeds()
            .expect("feeds")
            .into_iter()
            .map(|feed| feed.name)
            .filter(|name| !FEEDS.contains(&name.as_str()))
            .collect();
        let text = format!(
            "TRAILS_FILE {0}/trails.csv\nCUSTOM_TRAILS_DIR {0}/own\nDISABLED_FEEDS static,{1}\nIP_MINIMUM_FEEDS 1\n",
            root.path().display(),
            others.join(",")
        );
        let (config, _) =
            Config::parse(&text, "f", root.path(), &Environment::default()).expect("config");
        let answers = Answers::default();
        let place = serve(Arc::clone(&answers));
        Self {
            root,
            config: config.trails,
            answers,
            fetch: Detour(quick(), place),
        }
    }

    /// What the first address of a feed answers from now on.
    fn answer(&self, name: &str, status: &str, body: &str) {
        let all = feeds().expect("feeds");
        let feed = all.iter().find(|feed| feed.name == name).expect("feed");
        let path = feed.urls[0].split_once("//").expect("address").1;
        let answer = (status.to_owned(), body.to_owned());
        self.answers
            .lock()
            .expect("lock")
            .insert(format!("/{path}"), answer);
    }

    fn run(&self, force: bool) -> Outcome {
        Update {
            config: &self.config,
            root: self.root.path(),
            from: None,
            built_in: true,
            fetch: Some(&self.fetch),
            feeds: true,
            force,
            owner: None,
        }
        .run(&mut |_| {})
        .expect("update")
    }

    fn trails(&self) -> String {
        fs::read_to_string(&self.config.file).expect("trails")
    }

    fn copies(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.root.path().join("feeds")).expect("folder");
        files
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with(".copy.csv"))
            .collect()
    }
}

const NAMES: &str = "# malwaredomains.com\na.biz\nb.biz\nc.biz\nd.biz\n";

#[test]
fn a_feed_that_fails_costs_nothing_but_its_freshness() {
    let house = House::new();
    house.answer("blackholemonster", "200 OK", "5.9.9.1\n5.9.9.12\n");
    house.answer("policeman", "200 OK", NAMES);
    let outcome = house.run(false);
    assert_eq!((outcome.rows, outcome.notes.len()), (6, 0));
    assert!(outcome.sources.iter().all(|source| source.error.is_none()));
    let (good, copies) = (house.trails(), house.copies());
    assert_eq!(copies.len(), 2);

    for (status, body, reason) in [
        ("503 Service Unavailable", NAMES, "503"),
        ("404 Not Found", "", "404"),
        ("200 OK", "", "is empty"),
        ("200 OK", "a.biz\n", "is missing"),
        (
            "200 OK",
            "\n<!DOCTYPE HTML><p>malwaredomains.com\nx.biz\n",
            "web page",
        ),
        ("200 OK", "# malwaredomains.com\n", "no entry"),
    ] {
        house.answer("policeman", status, body);
        let outcome = house.run(false);
        assert_eq!(house.trails(), good, "{reason}");
        let source = &outcome.sources[1];
        assert_eq!((source.name.as_str(), source.entries), ("policeman", 4));
        assert!(source.copy_age_secs.is_some(), "{reason}");
        let error = source.error.clone().unwrap_or_default();
        assert!(error.contains(reason), "{error}");
        let status = &outcome.status[1];
        assert_eq!((status.entries, status.error.as_ref()), (4, Some(&error)));
        assert!(
            status.last_success.is_some() && status.last_attempt >= status.last_success.unwrap()
        );
        assert_eq!(house.copies(), copies, "the copy stays");
    }
    let record = fs::read(house.root.path().join("feeds/status.json")).expect("record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!(record["feeds"][1]["name"], "policeman");
    assert_eq!(record["feeds"][1]["error"], "no entry");
    assert_eq!(record["feeds"][0]["error"], serde_json::Value::Null);
}

#[test]
fn a_feed_that_shrinks_is_refused_unless_forced() {
    let house = House::new();
    house.answer("blackholemonster", "200 OK", "5.9.9.1\n");
    house.answer("policeman", "200 OK", NAMES);
    house.run(false);
    house.answer("policeman", "200 OK", "# malwaredomains.com\nz.biz\n");
    let outcome = house.run(false);
    assert_eq!(outcome.rows, 5);
    let error = outcome.sources[1].error.clone().unwrap_or_default();
    assert!(
        error.starts_with("1 entries instead of 4: below TRAIL_RELOAD_MIN_RATIO 0.5"),
        "{error}"
    );
    let outcome = house.run(true);
    assert_eq!((outcome.rows, outcome.status[1].change), (2, -3));
    assert!(house.trails().contains("z.biz"));
}

#[test]
fn a_damaged_copy_is_named_and_not_used() {
    let house = House::new();
    house.answer("blackholemonster", "200 OK", "5.9.9.1\n");
    house.answer("policeman", "200 OK", NAMES);
    house.run(false);
    let copies = house.copies();
    let copy = copies
        .iter()
        .find(|path| path.to_string_lossy().contains("policeman"))
        .expect("copy");
    let text = fs::read_to_string(copy).expect("copy");
    fs::write(copy, text.replace("a.biz", "google.com")).expect("copy");
    house.answer("policeman", "500 Internal Server Error", "");
    let outcome = house.run(true);
    assert_eq!(house.trails().lines().count(), 1, "{}", house.trails());
    assert_eq!(outcome.sources[1].copy_age_secs, None);
    assert!(
        outcome.notes[0].contains("policeman is dropped"),
        "{:?}",
        outcome.notes
    );
    assert_eq!(house.copies().len(), 1, "the damaged file is removed");
}

#[test]
fn a_refused_update_changes_no_copy() {
    let house = House::new();
    house.answer("blackholemonster", "200 OK", "5.9.9.1\n");
    house.answer("policeman", "200 OK", NAMES);
    house.run(false);
    let (good, copies) = (house.trails(), house.copies());
    // The present set has many more rows: what is built now is refused.
    let many: String = (0..100).map(|at| format!("m{at}.biz,x,y\r\n")).collect();
    fs::write(&house.config.file, format!("{good}{many}")).expect("trails");
    house.answer(
        "policeman",
        "200 OK",
        "# malwaredomains.com\nq.biz\nr.biz\ns.biz\n",
    );
    let refused = Update {
        config: &house.config,
        root: house.root.path(),
        from: None,
        built_in: true,
        fetch: Some(&house.fetch),
        feeds: true,
        force: false,
        owner: None,
    }
    .run(&mut |_| {});
    assert!(refused.is_err());
    assert_eq!(house.copies(), copies);
    let record = fs::read(house.root.path().join("feeds/status.json")).expect("record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    let policeman = &record["feeds"][1];
    assert_eq!(policeman["entries"], 4, "of the copy");
    assert_eq!(policeman["http_status"], 200, "of the attempt");
}

#[test]
fn without_a_network_what_is_at_hand_counts() {
    let house = House::new();
    house.answer("blackholemonster", "200 OK", "5.9.9.1\n");
    house.answer("policeman", "200 OK", NAMES);
    house.run(false);
    let (good, record) = (house.trails(), house.root.path().join("feeds/status.json"));
    let before = fs::read(&record).expect("record");
    fs::remove_file(&house.config.file).expect("removed");
    let offline = Update {
        config: &house.config,
        root: house.root.path(),
        from: None,
        built_in: true,
        fetch: None,
        feeds: true,
        force: false,
        owner: None,
    };
    let outcome = offline.run(&mut |_| {}).expect("update");
    assert_eq!(house.trails(), good);
    assert!(
        outcome
            .sources
            .iter()
            .all(|source| source.unchanged && source.entries > 0)
    );
    assert_eq!(
        outcome.sources.len(),
        2,
        "what was never fetched is not missed"
    );
    assert_eq!(fs::read(&record).expect("record"), before);
}
