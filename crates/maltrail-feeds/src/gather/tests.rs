//! What is asked, and how: feeds that are wanted, keys, pages, events of MISP feeds.

use std::collections::BTreeMap;
use std::path::Path;

use maltrail_core::config::{Config, Environment};

use super::*;
use crate::fetch::{Answer, FetchError, Fresh, Request};

/// Bodies by address; remembers what it was asked.
#[derive(Default)]
struct Web {
    bodies: BTreeMap<String, &'static str>,
    asked: Mutex<Vec<String>>,
}

impl Web {
    fn of(bodies: &[(&str, &'static str)]) -> Self {
        Self {
            bodies: bodies
                .iter()
                .map(|(url, body)| ((*url).to_owned(), *body))
                .collect(),
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().expect("lock").clone();
        asked.sort();
        asked
    }
}

impl Fetch for Web {
    fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
        let key = request
            .key
            .map_or_else(String::new, |(name, value)| format!(" {name}={value}"));
        let condition = if request.is_conditional() {
            " if changed"
        } else {
            ""
        };
        let text = format!("{}{key}{condition}", request.url);
        self.asked.lock().expect("lock").push(text);
        let body = self
            .bodies
            .get(request.url)
            .ok_or(FetchError::Status(404))?;
        Ok(Answer::Fresh(Fresh {
            etag: Some("\"1\"".to_owned()),
            ..Fresh::of(body)?
        }))
    }
}

/// Gathers with feeds of this file and options.
fn gathered(root: &Path, file: &str, options: &str, web: &Web) -> (Gathered, Store) {
    std::fs::write(root.join("own.toml"), file).expect("file");
    let ours: Vec<String> = registry::feeds()
        .expect("ours")
        .into_iter()
        .map(|feed| feed.name)
        .collect();
    let text = format!(
        "CUSTOM_FEEDS_FILE {}/own.toml\nDISABLED_FEEDS {}\n{options}",
        root.display(),
        ours.join(",")
    );
    let (config, _) = Config::parse(&text, "f", root, &Environment::default()).expect("config");
    let mut store = Store::open(&root.join("feeds"), None);
    let rules = Rules {
        with_feeds: true,
        min_ratio: 0.5,
        now: 1000,
        force: false,
    };
    let gathered = gather(
        &config.trails,
        None,
        Some(web),
        &rules,
        &mut store,
        &mut |_, _| {},
    );
    store.commit().expect("record");
    (gathered, store)
}

fn feed(name: &str, fields: &str) -> String {
    format!("[[feed]]\nname = \"{name}\"\ninfo = \"x\"\nreference = \"r\"\n{fields}\n")
}

fn texts(gathered: &Gathered) -> Vec<String> {
    let mut texts = Vec::new();
    for rows in &gathered.feeds {
        rows.each(|text, _, _| texts.push(text.to_owned()))
            .expect("rows");
    }
    texts
}

#[test]
fn keys_and_names_switch_feeds_on() {
    let root = tempfile::tempdir().expect("folder");
    let file = [
        feed(
            "quiet",
            "format = \"lines\"\ndefault = false\nurls = [\"http://a/quiet\"]",
        ),
        feed(
            "named",
            "format = \"lines\"\ndefault = false\nurls = [\"http://a/named\"]",
        ),
        feed(
            "locked",
            "format = \"lines\"\nkey = true\nurls = [\"http://a/locked\"]",
        ),
        feed(
            "my-api",
            "format = \"lines\"\nkey = true\nkey_header = \"Key\"\nurls = [\"http://a/api\"]",
        ),
        feed(
            "inurl",
            "format = \"lines\"\nkey = true\nurls = [\"http://a/{key}/x\"]",
        ),
    ]
    .concat();
    let web = Web::default();
    let options = "ENABLED_FEEDS Named, locked\nAUTH_KEY_MY_API k1\nAUTH_KEY_INURL k2\n";
    let (gathered, _) = gathered(root.path(), &file, options, &web);
    assert_eq!(
        web.asked(),
        ["http://a/api Key=k1", "http://a/k2/x", "http://a/named"]
    );
    let names: Vec<&str> = gathered
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["inurl", "my-api", "named"],
        "in order of their names"
    );
}

#[test]
fn pages_add_up_and_backups_stand_in() {
    let root = tempfile::tempdir().expect("folder");
    let file = [
        feed("both", "format = \"lines\"\nurls = [\"http://a/1\", \"http://a/2\"]"),
        feed("either", "format = \"lines\"\nbackup = true\nurls = [\"http://a/gone\", \"http://a/3\", \"http://a/1\"]"),
    ]
    .concat();
    let web = Web::of(&[
        ("http://a/1", "a.biz\n"),
        ("http://a/2", "b.biz\n"),
        ("http://a/3", "c.biz\n"),
    ]);
    let (first, _) = gathered(root.path(), &file, "", &web);
    assert_eq!(texts(&first), ["a.biz", "b.biz", "c.biz"]);
    let web = Web::of(&[
        ("http://a/1", "a.biz\n"),
        ("http://a/2", "b.biz\n"),
        ("http://a/3", "c.biz\n"),
    ]);
    let (second, _) = gathered(root.path(), &file, "", &web);
    // Only the address that answered can say that nothing changed.
    let asked = [
        "http://a/1",
        "http://a/2",
        "http://a/3 if changed",
        "http://a/gone",
    ];
    assert_eq!(web.asked(), asked);
    assert!(
        second.sources.iter().all(|source| source.unchanged),
        "the same bytes"
    );
    assert_eq!(texts(&second), texts(&first));
}

#[test]
fn a_page_that_gives_nothing_costs_no_entry_for_a_week() {
    let root = tempfile::tempdir().expect("folder");
    let file = feed(
        "both",
        "format = \"lines\"\nurls = [\"http://a/1\", \"http://a/2\"]",
    );
    let part = Web::of(&[("http://a/2", "b.biz\nnew.biz\n")]);
    let (first, store) = gathered(root.path(), &file, "", &part);
    assert_eq!(texts(&first), ["b.biz", "new.biz"], "better than nothing");
    let note = "both: 1 of 2 addresses gave nothing: answer 404";
    assert_eq!(store.notes(), [note]);
    let whole = Web::of(&[("http://a/1", "a.biz\n"), ("http://a/2", "b.biz\n")]);
    gathered(root.path(), &file, "", &whole);
    let (third, _) = gathered(root.path(), &file, "", &part);
    assert_eq!(texts(&third), ["a.biz", "b.biz"]);
    let error = third.sources[0].error.as_deref();
    assert_eq!(error, Some("1 of 2 addresses gave nothing: answer 404"));
}

#[test]
fn another_way_of_reading_makes_the_copy_old() {
    let root = tempfile::tempdir().expect("folder");
    let one = feed(
        "f",
        "format = \"columns\"\nseparator = \",\"\ncolumn = 1\nurls = [\"http://a/1\"]",
    );
    let web = Web::of(&[("http://a/1", "a.biz,b.biz\n")]);
    assert_eq!(texts(&gathered(root.path(), &one, "", &web).0), ["a.biz"]);
    let (again, _) = gathered(
        root.path(),
        &one.replace("column = 1", "column = 2"),
        "",
        &web,
    );
    assert_eq!(texts(&again), ["b.biz"]);
    assert_eq!(
        web.asked(),
        ["http://a/1", "http://a/1"],
        "without a condition"
    );
}

#[test]
fn a_misp_feed_is_its_manifest_and_its_events() {
    let root = tempfile::tempdir().expect("folder");
    let file = feed(
        "m",
        "format = \"misp\"\nurls = [\"http://a/m/manifest.json\"]",
    );
    let [old, new, lost] = ["1", "2", "3"].map(|at| at.repeat(8) + "-0000-4000-8000-000000000000");
    let manifest = format!(
        "{{\"{old}\":{{\"timestamp\":\"1\"}},\"{new}\":{{\"timestamp\":\"2\"}},\"{lost}\":{{}}}}"
    );
    let manifest: &'static str = Box::leak(manifest.into_boxed_str());
    let event = r#"{"Event":{"Attribute":[{"type":"domain","value":"a.biz","to_ids":true}]}}"#;
    let newer = r#"{"Event":{"Attribute":[{"type":"domain","value":"b.biz","to_ids":true}]}}"#;
    let web = Web::of(&[
        ("http://a/m/manifest.json", manifest),
        (&format!("http://a/m/{old}.json"), event),
        (&format!("http://a/m/{new}.json"), newer),
    ]);
    let (made, store) = gathered(root.path(), &file, "", &web);
    assert_eq!(
        texts(&made),
        ["b.biz", "a.biz"],
        "the newest first; a lost one costs itself"
    );
    assert_eq!(store.status("m").url, "http://a/m/manifest.json");
}

#[test]
fn a_file_with_a_mistake_is_named_and_the_lists_elsewhere_go_on() {
    let root = tempfile::tempdir().expect("folder");
    let web = Web::of(&[("http://lists.example.com/own.txt", "mine.biz\n")]);
    let options = "CUSTOM_TRAILS_URL lists.example.com/own.txt\n";
    let (made, _) = gathered(root.path(), "[[feed]]\nname = 1\n", options, &web);
    assert_eq!(made.remote, ["mine.biz\n"]);
    assert!(made.notes[0].contains("own.toml:2: "), "{:?}", made.notes);
}

#[test]
fn a_list_elsewhere_that_fails_stays_as_it_was() {
    let root = tempfile::tempdir().expect("folder");
    let url = "http://lists.example.com/own.txt";
    let options = format!("CUSTOM_TRAILS_URL {url}\n");
    let ask = |body: &[(&str, &'static str)]| {
        let web = Web::of(body);
        let (made, store) = gathered(root.path(), "", &options, &web);
        let status = store.all().remove(0);
        assert_eq!(status.url, url);
        (made.remote.concat(), made.sources[0].clone(), web.asked())
    };
    let (text, source, asked) = ask(&[(url, "mine.biz\nother.biz\n")]);
    assert_eq!(
        (text.as_str(), source.error, source.unchanged),
        ("mine.biz\nother.biz\n", None, false)
    );
    assert_eq!(asked, [url]);
    for (answer, reason) in [
        (vec![], "answer 404"),
        (vec![(url, "")], "the answer is empty"),
        (
            vec![(url, "<!DOCTYPE html><p>login.example.com")],
            "the answer is a web page",
        ),
    ] {
        let (text, source, asked) = ask(&answer);
        assert_eq!(text, "mine.biz\nother.biz\n", "{reason}");
        assert_eq!(
            (source.error.as_deref(), source.copy_age_secs),
            (Some(reason), Some(0))
        );
        assert_eq!(asked, [format!("{url} if changed")]);
    }
    let (text, source, _) = ask(&[(url, "mine.biz\nother.biz\n")]);
    assert_eq!(
        (text.lines().count(), source.unchanged),
        (2, true),
        "the same bytes"
    );
    let (text, source, _) = ask(&[(url, "one.biz\n")]);
    assert_eq!(
        (text.as_str(), source.error),
        ("one.biz\n", None),
        "one's own list may shrink"
    );
    // A copy that somebody changed is not used.
    let copies = std::fs::read_dir(root.path().join("feeds"))
        .expect("folder")
        .flatten();
    let copy = copies
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(".list.txt"));
    std::fs::write(copy.expect("copy"), "google.com\n").expect("file");
    let (text, source, asked) = ask(&[]);
    assert_eq!((text.as_str(), source.copy_age_secs), ("", None));
    assert_eq!(asked, [url], "without a condition");
}
