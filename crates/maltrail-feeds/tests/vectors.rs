//! The trail vectors (`tests/data/trails_vectors.tsv`, T rows): configuration and files in, rows out.
//!
//! Every row marked `same` must give exactly the expected rows (as a set: our file is sorted); every
//! row marked `differs` must give what its recommendation says, written down in [`better`]. Rows that
//! need a download of their own are named in [`NEEDS_NETWORK`] and counted as skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use maltrail_core::config::{Config, Environment};
use maltrail_feeds::{AssembleOptions, Collection, FeedEntries, Sources, Update, assemble};
use serde_json::Value;

type Rows = BTreeSet<[String; 3]>;

/// Which feeds are fetched, `UPDATE_SERVER`, staleness and refused answers: with the feeds themselves.
const NEEDS_NETWORK: [&str; 11] = [
    "T118", "T121", "T122", "T125", "T137", "T138", "T139", "T140", "T142", "T143", "T144",
];

/// What our build gives where the reference is wrong: the recommendation of the row.
fn better(id: &str) -> Option<Rows> {
    let zeus = |keys: &[&str]| {
        keys.iter()
            .map(|key| row(key, "zeus (malware)", "(static)"))
            .collect()
    };
    Some(match id {
        "T023" | "T024" | "T031" | "T045" | "T058" | "T069" | "T151" | "T152" => Rows::new(),
        "T025" => zeus(&["5.9.9.0/24"]),
        "T028" => zeus(&["[2a00:1450::1]:443"]),
        "T036" => zeus(&["/x"]),
        "T044" => zeus(&["/p%c3%a4th/x.php"]),
        "T046" => zeus(&["localhost.evil.biz"]),
        "T047" => zeus(&["127.0.0.1.evil.biz"]),
        "T048" => zeus(&["192.168.evil.biz"]),
        "T085" => [row("m3.biz", "pua (suspicious)", "(static)")].into(),
        "T086" => [row("m4.biz", "zeus (malware)", "(static)")].into(),
        "T130" => zeus(&["keep.biz"]),
        "T132" => [row(
            "r7.biz",
            "zeus (malware)",
            "(static) (+(remote custom))",
        )]
        .into(),
        "T133" => [
            row(
                "r8.biz",
                "blacklisted",
                "(remote custom) (+github.com/stamparm/blackbook)",
            ),
            row("keep.biz", "zeus (malware)", "(static)"),
        ]
        .into(),
        "T145" => [
            row("ok.biz", "zeus (malware)", "(static)"),
            row("c1.biz", "mine", "(custom)"),
        ]
        .into(),
        "T149" => zeus(&[r"^[A-Z]{2}\D\.biz$"]),
        "T150" => zeus(&[r"evil(a|b)?[0-9]+\.biz"]),
        _ => return None,
    })
}

fn row(key: &str, info: &str, reference: &str) -> [String; 3] {
    [key, info, reference].map(str::to_owned)
}

/// What a feed's body holds, by its parse rule (`spec/feeds.tsv`): this is about the merge, so the
/// rules are written down here for the bodies of the vectors only.
fn feed(url: &str, body: &str) -> Option<FeedEntries> {
    let plain = |reference: &str, info: &str| FeedEntries {
        reference: reference.to_owned(),
        entries: body
            .lines()
            .map(|line| (line.trim().to_owned(), info.to_owned()))
            .collect(),
    };
    let columns = |key: fn(&[&str]) -> Option<(String, String)>, reference: &str| FeedEntries {
        reference: reference.to_owned(),
        entries: body
            .lines()
            .filter_map(|line| key(&line.split(',').collect::<Vec<_>>()))
            .collect(),
    };
    Some(match url {
        "https://lists.blocklist.de/lists/all.txt" => plain("blocklist.de", "known attacker"),
        "https://blocklist.greensnow.co/greensnow.txt" => plain("greensnow.co", "known attacker"),
        "https://report.cs.rutgers.edu/DROP/attackers" => plain("rutgers.edu", "known attacker"),
        "https://check.torproject.org/cgi-bin/TorBulkExitList.py?ip=1.1.1.1" => {
            plain("torproject.org", "tor exit node (suspicious)")
        }
        "https://rules.emergingthreats.net/open/suricata/rules/compromised-ips.txt" => {
            plain("emergingthreats.net", "compromised (suspicious)")
        }
        "https://rules.emergingthreats.net/open/suricata/rules/botcc.rules" => FeedEntries {
            reference: "emergingthreats.net".to_owned(),
            entries: vec![("5.9.9.1".to_owned(), "potential malware site".to_owned())],
        },
        "https://raw.githubusercontent.com/futpib/policeman-rulesets/master/examples/simple_domains_blacklist.txt" => {
            FeedEntries {
                reference: "malwaredomains.com".to_owned(),
                entries: ["5.9.9.1", "mdl.biz"]
                    .map(|key| (key.to_owned(), "malware".to_owned()))
                    .into(),
            }
        }
        "https://openphish.com/feed.txt" => FeedEntries {
            reference: "openphish.com".to_owned(),
            entries: body
                .lines()
                .filter_map(|line| line.split_once("://"))
                .map(|(_, rest)| (rest.trim_end_matches('/').to_owned(), "phishing".to_owned()))
                .collect(),
        },
        "https://onionoo.torproject.org/details?type=relay&running=true&fields=or_addresses" => {
            let value: Value = serde_json::from_str(body).expect("json");
            let addresses = value["relays"][0]["or_addresses"].as_array().expect("list");
            let entries = addresses
                .iter()
                .filter_map(|text| text.as_str()?.rsplit_once(':'))
                .map(|(address, _)| {
                    (
                        address.trim_matches(['[', ']']).to_owned(),
                        "bad reputation (tor node)".to_owned(),
                    )
                });
            FeedEntries {
                reference: "torproject.org".to_owned(),
                entries: entries.collect(),
            }
        }
        "https://raw.githubusercontent.com/stamparm/blackbook/master/blackbook.csv" => columns(
            |columns| {
                Some((
                    (*columns.first()?).to_owned(),
                    format!("{} (malware)", columns.get(1)?),
                ))
            },
            "github.com/stamparm/blackbook",
        ),
        "https://feodotracker.abuse.ch/downloads/ipblocklist.csv" => columns(
            |columns| {
                let plain = |at: usize| Some(columns.get(at)?.trim_matches('"').to_lowercase());
                (plain(3)? == "online").then_some((plain(1)?, format!("{} (malware)", plain(5)?)))
            },
            "abuse.ch",
        ),
        "http://tracker.viriback.com/dump.php" => columns(
            |columns| {
                let (_, rest) = columns.get(1)?.split_once("://")?;
                Some((
                    rest.rsplit_once('/')?.0.to_owned(),
                    columns.first()?.to_lowercase(),
                ))
            },
            "viriback.com",
        ),
        _ => return None,
    })
}

struct Vector {
    id: String,
    note: String,
    config: String,
    input: Value,
    expected: Rows,
    same: bool,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("data/trails_vectors.tsv");
    text.lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let json = |at: usize| serde_json::from_str::<Value>(columns[at]).expect(columns[0]);
            let rows: Vec<[String; 3]> = serde_json::from_value(json(5)).expect(columns[0]);
            Vector {
                id: columns[0].to_owned(),
                note: columns[2].to_owned(),
                config: json(3).as_str().expect("text").to_owned(),
                input: json(4),
                expected: rows.into_iter().collect(),
                same: columns[6] == "same",
            }
        })
        .collect()
}

/// The files of a vector, in a folder of their own.
fn install(root: &Path, vector: &Vector) {
    let place = |path: &str| root.join(path.replace("{DIR}/", "")).to_path_buf();
    for (path, content) in vector.input["files"].as_object().into_iter().flatten() {
        let path = place(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        let bytes = match content {
            Value::String(text) => text.clone().into_bytes(),
            other => {
                let hex = other["hex"].as_str().expect("hex");
                (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                    .collect()
            }
        };
        fs::write(path, bytes).expect("file");
    }
    // A folder without any shipped list is no collection.
    let lists = root.join("trails/static");
    fs::create_dir_all(&lists).expect("folder");
    fs::write(lists.join("none.txt"), "# nothing\n").expect("file");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../trails/data");
    fs::create_dir_all(root.join("data")).expect("folder");
    for name in ["whitelist.txt", "bogon_ranges.txt", "cdn_ranges.txt"] {
        fs::copy(data.join(name), root.join("data").join(name)).expect("file");
    }
}

fn build(vector: &Vector) -> Rows {
    let root = tempfile::tempdir().expect("folder");
    install(root.path(), vector);
    let shown = root.path().display().to_string();
    let text = format!(
        "TRAILS_FILE {shown}/out/trails.csv\n{}\n",
        vector.config.replace("{DIR}", &shown)
    );
    let (config, _) =
        Config::parse(&text, "f", root.path(), &Environment::default()).expect(&vector.id);
    if let Some(before) = vector.input["existing_trails_csv"].as_str() {
        fs::create_dir_all(root.path().join("out")).expect("folder");
        fs::write(&config.trails.file, before).expect("file");
    }
    if vector.input["urls"].is_null() {
        // The whole way, through the file.
        let update = Update {
            config: &config.trails,
            from: Some(root.path()),
            force: true,
            owner: None,
        };
        let result = update.run(&mut |_| {});
        let Ok(file) = fs::File::open(&config.trails.file) else {
            assert!(result.is_err(), "{}: nothing was written", vector.id);
            return Rows::new();
        };
        let mut rows = Rows::new();
        maltrail_core::trail::csv::read(file, |a, b, c| {
            rows.insert(row(a, b, c));
        })
        .expect("file");
        return rows;
    }
    // With bodies of feeds and of CUSTOM_TRAILS_URL: the merge.
    let mut sources = Sources {
        collections: vec![Collection::read(root.path(), &mut |_| {}).unwrap_or_default()],
        ..Sources::default()
    };
    let custom = config.trails.custom_dir.join("mine.txt");
    if let Ok(bytes) = fs::read(custom) {
        sources.custom.push(maltrail_feeds::collection::ListFile {
            path: "trails/custom/mine.txt".to_owned(),
            bytes,
        });
    }
    for (url, body) in vector.input["urls"].as_object().into_iter().flatten() {
        let body = body.as_str().expect("text");
        match feed(url, body) {
            Some(feed) => sources.feeds.push(feed),
            None => sources.remote.push(body.to_owned()),
        }
    }
    sources.feeds.sort_by_key(|feed| order(&feed.reference));
    let options = AssembleOptions {
        ip_minimum_feeds: config.trails.ip_minimum_feeds,
        ..AssembleOptions::default()
    };
    let (built, _) = assemble(&sources, &options, &mut |_, _| {});
    built
        .rows()
        .map(|found| row(found.key, found.info, found.reference))
        .collect()
}

/// Feeds come in alphabetical order of their module, which their reference shows but for these.
fn order(reference: &str) -> String {
    match reference {
        "github.com/stamparm/blackbook" => "blackbook".to_owned(),
        "abuse.ch" => "feodotrackerip".to_owned(),
        "malwaredomains.com" => "policeman".to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn trail_vectors_hold() {
    let (mut checked, mut skipped, mut wrong) = (0, 0, Vec::new());
    for vector in vectors() {
        if NEEDS_NETWORK.contains(&vector.id.as_str()) {
            skipped += 1;
            continue;
        }
        let wanted = if vector.same {
            vector.expected.clone()
        } else {
            better(&vector.id).expect(&vector.id)
        };
        let got = build(&vector);
        checked += 1;
        if got != wanted {
            wrong.push(format!(
                "{} {}\n   wanted {wanted:?}\n   got    {got:?}",
                vector.id, vector.note
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((checked, skipped), (141, NEEDS_NETWORK.len()));
}
