//! Lists from servers that lie, break off, never end or were taken over: each costs its own feed its
//! freshness and nothing else. Every feed answers well first; then all of them turn at once, and one update
//! must end in time with the old entries of the bad ones and the new ones of the good ones.

mod server;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use maltrail_core::config::{Config, Environment, TrailsConfig};
use maltrail_feeds::registry::feeds;
use maltrail_feeds::{HttpFetch, Limits, Outcome, Update};
use server::{Answer, Server, Tls};

/// What becomes of a feed.
enum Then {
    /// Its old entries stay; the reason holds this text.
    Kept(&'static str),
    /// Its answer is taken: so many entries, so many refused.
    Taken(usize, usize),
    /// It had nothing new.
    Unchanged,
}

/// A feed and what its server does in the end.
struct Case {
    name: &'static str,
    /// Fields beyond those that all have.
    fields: &'static str,
    /// What is answered at first, instead of four names.
    first: Option<Answer>,
    /// Certificate at first and in the end.
    tls: [Tls; 2],
    answer: Answer,
    then: Then,
}

fn case(name: &'static str, answer: Answer, then: Then) -> Case {
    Case {
        name,
        fields: "format = \"lines\"",
        first: None,
        tls: [Tls::None; 2],
        answer,
        then,
    }
}

/// The four names of a feed.
fn names(name: &str) -> String {
    ["a", "b", "c", "d"]
        .iter()
        .map(|label| format!("{label}.{name}.biz\n"))
        .collect()
}

fn good(text: impl Into<Vec<u8>>) -> Answer {
    Answer::Good(text.into())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

fn cases() -> Vec<Case> {
    let page = "\r\n<!DOCTYPE HTML PUBLIC><html><body>blocked.example.biz</body></html>\n";
    // 20 MB of one name, 20 KB packed.
    static BOMB: LazyLock<Vec<u8>> =
        LazyLock::new(|| gzip("a.bomb.biz\n".repeat(2_000_000).as_bytes()));
    let bomb = BOMB.clone();
    let tls = |name, shown, then| Case {
        tls: [Tls::Good, shown],
        ..case(name, good(format!("{}e.{name}.biz\n", names(name))), then)
    };
    let hosts = |name, answer, then| Case {
        fields: "format = \"hosts\"",
        ..case(name, answer, then)
    };
    let many: String = (0..3000).map(|at| format!("n{at}.grown.biz\n")).collect();
    vec![
        case(
            "normal",
            good("n1.biz\nn2.biz\nn3.biz\nn4.biz\nn5.biz\n"),
            Then::Taken(5, 0),
        ),
        case("same", good(names("same")), Then::Unchanged),
        case(
            "samebytes",
            Answer::With("", names("samebytes").into()),
            Then::Unchanged,
        ),
        case(
            "bare304",
            Answer::Status("304 Not Modified"),
            Then::Unchanged,
        ),
        case("empty", good(""), Then::Kept("is empty")),
        case(
            "comments",
            good("# nothing today\n"),
            Then::Kept("no entry"),
        ),
        case("page", good(page), Then::Kept("is a web page")),
        case("gone", good("404: Not Found"), Then::Kept("was not found")),
        case(
            "error500",
            Answer::Status("500 Internal Server Error"),
            Then::Kept("answer 500"),
        ),
        case(
            "forbidden",
            Answer::Status("403 Forbidden"),
            Then::Kept("answer 403"),
        ),
        case("cut", Answer::Cut(names("cut").into()), Then::Kept("body")),
        case(
            "endless",
            Answer::Endless,
            Then::Kept("more than 1000000 bytes"),
        ),
        case("huge", Answer::Huge, Then::Kept("more than 1000000 bytes")),
        case("drip", Answer::Drip, Then::Kept("too slow")),
        case("silent", Answer::Silent, Then::Kept("timed out")),
        case("noise", Answer::Noise, Then::Kept("error sending request")),
        case(
            "loop",
            Answer::Redirect("/again".into()),
            Then::Kept("redirect refused: more than 5 in a row"),
        ),
        Case {
            tls: [Tls::Good; 2],
            ..case(
                "downgrade",
                Answer::Redirect("http://127.0.0.1:9/".into()),
                Then::Kept("redirect refused: from https to http"),
            )
        },
        case(
            "elsewhere",
            Answer::Redirect("file:///etc/passwd".into()),
            Then::Kept("answer 302"),
        ),
        case(
            "nul",
            good("a\0.biz\nb.nul.biz\nc.nul.biz\nd.nul.biz\n"),
            Then::Taken(3, 1),
        ),
        case("allnul", good(vec![0; 5000]), Then::Kept("no entry")),
        case(
            "latin1",
            good(b"a\xff.biz\nb.latin.biz\nc.latin.biz\nd.latin.biz\n".as_slice()),
            Then::Taken(3, 1),
        ),
        case(
            "bom",
            good("\u{feff}a.bom.biz\nb.bom.biz\n"),
            Then::Taken(2, 0),
        ),
        case(
            "crlf",
            good("a.crlf.biz\r\nb.crlf.biz\r\n"),
            Then::Taken(2, 0),
        ),
        case(
            "gzipbomb",
            good(bomb.clone()),
            Then::Kept("inflates to more than 1000000 bytes"),
        ),
        case(
            "encodedbomb",
            Answer::With("Content-Encoding: gzip\r\n", bomb),
            Then::Kept("more than 1000000 bytes"),
        ),
        case(
            "brokenzip",
            good("PK\x03\x04 and nothing more"),
            Then::Kept("damaged zip"),
        ),
        tls("tlsgood", Tls::Good, Then::Taken(5, 0)),
        tls("tlswrong", Tls::WrongName, Then::Kept("certificate")),
        tls("tlsexpired", Tls::Expired, Then::Kept("certificate")),
        tls("tlsself", Tls::SelfSigned, Then::Kept("certificate")),
        hosts(
            "tld",
            good("0.0.0.0 com a.tld.biz b.tld.biz\n"),
            Then::Taken(2, 1),
        ),
        case(
            "world",
            good("0.0.0.0/0\na.world.biz\nb.world.biz\n128.0.0.0/1\n"),
            Then::Taken(2, 2),
        ),
        case(
            "own",
            good("203.0.113.7\n192.168.0.0/16\na.own.biz\nb.own.biz\n"),
            Then::Taken(2, 2),
        ),
        case(
            "taken",
            good("google.com\nmicrosoft.com\ngithub.com\nubuntu.com\na.taken.biz\n"),
            Then::Kept(
                "4 of 5 entries would match what everybody uses, such as taken:1: `google.com`",
            ),
        ),
        case(
            "shrunk",
            good("a.shrunk.biz\n"),
            Then::Kept("1 entries instead of 4: below TRAIL_RELOAD_MIN_RATIO"),
        ),
        case(
            "grown",
            good(many),
            Then::Kept("3000 entries instead of 4: taken when the next answer confirms it"),
        ),
    ]
}

struct House {
    _root: tempfile::TempDir,
    config: TrailsConfig,
    fetch: HttpFetch,
    cases: Vec<(Case, Server)>,
}

impl House {
    fn new(cases: Vec<Case>) -> Self {
        Self::without("static", cases)
    }

    /// A house that leaves this out beside the product's feeds.
    fn without(disabled: &str, cases: Vec<Case>) -> Self {
        let root = tempfile::tempdir().expect("folder");
        let place = root.path().display();
        let mut file = String::new();
        let mut served = Vec::new();
        for (at, case) in (2..).zip(cases) {
            let server = Server::start(&format!("127.0.0.{at}"), case.tls[0]);
            let text = match case.fields.contains("hosts") {
                true => names(case.name)
                    .lines()
                    .map(|name| format!("0.0.0.0 {name}\n"))
                    .collect(),
                false => names(case.name),
            };
            server.set(
                case.first.clone().unwrap_or_else(|| good(text)),
                case.tls[0],
            );
            file += &format!(
                "[[feed]]\nname = \"{}\"\nurls = [\"{}\"]\ninfo = \"label\"\nreference = \"r\"\nmax_bytes = 1000000\n{}\n",
                case.name,
                server.url(),
                case.fields
            );
            served.push((case, server));
        }
        fs::write(root.path().join("own.toml"), file).expect("file");
        let product: Vec<String> = feeds()
            .expect("feeds")
            .into_iter()
            .map(|feed| feed.name)
            .collect();
        let text = format!(
            "TRAILS_FILE {place}/trails.csv\nCUSTOM_TRAILS_DIR {place}/own\nCUSTOM_FEEDS_FILE {place}/own.toml\n\
             DISABLED_FEEDS {disabled},{}\nIP_MINIMUM_FEEDS 1\nHOME_NETWORKS 203.0.113.0/24\n",
            product.join(",")
        );
        let (config, _) =
            Config::parse(&text, "f", root.path(), &Environment::default()).expect("config");
        let limits = Limits {
            connect: Duration::from_secs(2),
            idle: Duration::from_millis(1500),
            total: Duration::from_secs(20),
            grace: Duration::from_millis(500),
            pauses: Vec::new(),
            roots: vec![include_bytes!("../data/tls/authority.cert.der").to_vec()],
            ..Limits::default()
        };
        Self {
            _root: root,
            config: config.trails,
            fetch: HttpFetch::with_limits(None, limits).expect("client"),
            cases: served,
        }
    }

    fn turn(&self) {
        for (case, server) in &self.cases {
            server.set(case.answer.clone(), case.tls[1]);
        }
    }

    fn run(&self, force: bool) -> Outcome {
        Update {
            config: &self.config,
            root: self._root.path(),
            from: None,
            built_in: false,
            fetch: Some(&self.fetch),
            feeds: true,
            force,
            owner: None,
        }
        .run(&mut |_| {})
        .expect("update")
    }

    /// Trails by the feed that their name shows.
    fn trails(&self) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(&self.config.file).expect("trails");
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let key = line.split(',').next().unwrap_or_default();
            let name = key
                .trim_end_matches(".biz")
                .rsplit('.')
                .next()
                .unwrap_or_default();
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        counts
    }
}

#[test]
fn each_ends_as_documented_and_costs_no_other() {
    let house = House::new(cases());
    let first = house.run(false);
    for source in &first.sources {
        assert_eq!(
            (source.error.as_deref(), source.entries),
            (None, 4),
            "{}",
            source.name
        );
    }
    assert_eq!(first.rows, 4 * house.cases.len());

    house.turn();
    let started = Instant::now();
    let outcome = house.run(false);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    let trails = house.trails();
    for (case, _) in &house.cases {
        let name = case.name;
        let source = outcome
            .sources
            .iter()
            .find(|source| source.name == name)
            .expect(name);
        let status = outcome
            .status
            .iter()
            .find(|status| status.name == name)
            .expect(name);
        let error = source.error.as_deref();
        assert_eq!(status.error.as_deref(), error, "{name}");
        match case.then {
            Then::Kept(reason) => {
                let error = error.unwrap_or_else(|| panic!("{name} was taken"));
                assert!(error.contains(reason), "{name}: {error}");
                assert!(
                    source.copy_age_secs.is_some() && !source.unchanged,
                    "{name}"
                );
                assert_eq!(trails.get(name), Some(&4), "{name}: its old entries");
            }
            Then::Taken(entries, refused) => {
                assert_eq!(
                    (error, source.entries),
                    (None, entries),
                    "{name}: {source:?}"
                );
                assert_eq!(source.refused, refused, "{name}: {:?}", source.samples);
                assert_eq!(
                    (status.entries, status.refused),
                    (entries, refused),
                    "{name}"
                );
                assert_eq!(source.samples.len(), refused, "{name}");
            }
            Then::Unchanged => {
                assert_eq!(
                    (error, source.unchanged, source.entries),
                    (None, true, 4),
                    "{name}"
                );
                assert_eq!(trails.get(name), Some(&4), "{name}");
            }
        }
    }
    let text = fs::read_to_string(&house.config.file).expect("trails");
    for never in [
        "google.com",
        "0.0.0.0/0",
        "203.0.113.7",
        "192.168",
        "\ncom,",
        "passwd",
    ] {
        assert!(!text.contains(never), "{never}");
    }
}

#[test]
fn growth_waits_for_a_second_answer_or_for_force() {
    let only = |name| {
        cases()
            .into_iter()
            .filter(|case| case.name == name)
            .collect()
    };
    let house = House::new(only("grown"));
    house.run(false);
    house.turn();
    assert_eq!(house.run(false).rows, 4);
    assert_eq!(house.run(false).rows, 3000, "confirmed");
    let house = House::new(only("grown"));
    house.run(false);
    house.turn();
    assert_eq!(house.run(true).rows, 3000, "forced");
    // The spoilt list is not taken by force.
    let house = House::new(only("taken"));
    house.run(false);
    house.turn();
    assert_eq!(house.run(true).rows, 4);
}

#[test]
fn a_server_is_asked_once_an_update_and_not_at_all_before_its_period() {
    let mut case = case("same", good(names("same")), Then::Unchanged);
    case.fields = "format = \"lines\"\nperiod = 3600";
    let house = House::new(vec![case]);
    house.run(false);
    assert_eq!(house.cases[0].1.asked(), 1);
    let outcome = house.run(false);
    assert_eq!(house.cases[0].1.asked(), 1, "not due");
    assert_eq!((outcome.rows, outcome.sources[0].unchanged), (4, true));
    assert!(outcome.unchanged, "and nothing is built");
    house.run(true);
    assert_eq!(house.cases[0].1.asked(), 2, "a person asks now");
}

/// An archive in the layout of the public static list.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("maltrail-master/{path}");
        builder
            .append_data(&mut header, path, text.as_bytes())
            .expect("memory");
    }
    gzip(&builder.into_inner().expect("memory"))
}

#[test]
fn the_archive_is_kept_compared_and_never_taken_damaged() {
    let list = |names: &str, whitelist: &str| {
        archive(&[
            ("trails/static/malware/x.txt", names),
            ("data/whitelist.txt", whitelist),
            ("sensor.py", "print()"),
        ])
    };
    let first = list("a.arch.biz\nb.arch.biz\nc.arch.biz\n", "fine.biz\n");
    let grown = list(
        "a.arch.biz\nb.arch.biz\nc.arch.biz\nd.arch.biz\n",
        "fine.biz\n",
    );
    let hiding = list(
        "a.arch.biz\nb.arch.biz\nc.arch.biz\nd.arch.biz\n",
        "fine.biz\nd.arch.biz\n",
    );
    let mut arch = case("arch", good(""), Then::Unchanged);
    arch.fields = "format = \"archive\"\nkeeps = \"any\"";
    arch.first = Some(good(first.clone()));
    let house = House::without("none", vec![arch]);
    let server = &house.cases[0].1;
    let turn = |answer: Answer| {
        server.set(answer, Tls::None);
        let outcome = house.run(false);
        let error = outcome.sources[0].error.clone().unwrap_or_default();
        (outcome.rows, outcome.sources[0].unchanged, error)
    };
    assert_eq!(turn(good(first.clone())), (3, false, String::new()));
    assert_eq!(turn(good(first)), (3, true, String::new()));
    assert_eq!(turn(good(grown.clone())), (4, false, String::new()));
    for (bad, reason) in [
        (
            grown[..grown.len() / 2].to_vec(),
            "damaged or no .tar.gz archive",
        ),
        (
            archive(&[("sensor.py", "print()")]),
            "holds no trails/static folder",
        ),
        (
            b"<html>busy</html>".to_vec(),
            "damaged or no .tar.gz archive",
        ),
        (list("a.arch.biz\n", "fine.biz\n"), "1 entries instead of 4"),
    ] {
        let (rows, unchanged, error) = turn(good(bad));
        assert_eq!((rows, unchanged), (4, false), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    let (rows, _, error) = turn(good(hiding.clone()));
    assert_eq!(rows, 4, "nothing is hidden yet");
    assert!(
        error.starts_with("its whitelist or ranges changed"),
        "{error}"
    );
    assert_eq!(turn(good(hiding)), (3, false, String::new()), "confirmed");
    let files = fs::read_dir(house._root.path().join("feeds"))
        .expect("folder")
        .flatten();
    let archives = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(".tar.gz"));
    assert_eq!(archives.count(), 1, "only the last good one is kept");
}
