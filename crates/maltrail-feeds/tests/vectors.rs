//! The trail vectors (`tests/data/trails_vectors.tsv`): configuration, files and answers of the network in,
//! rows of `trails.csv` out. T rows are about the build, F rows about the format of each feed.
//!
//! Every row marked `same` must give exactly the expected rows (as a set: our file is sorted); every
//! row marked `differs` must give what its recommendation says, written down in [`better`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use maltrail_core::config::{Config, Environment};
use maltrail_feeds::{Answer, Fetch, FetchError, Fresh, Request, Update, UpdateError};
use serde_json::Value;

type Rows = BTreeSet<[String; 3]>;

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
        "T137" => [row("10.0.0.1", "a", "b"), row("x.biz", "info", "(static)")].into(),
        "T139" => [row("old.biz", "a", "b")].into(),
        "T143" => zeus(&["keep.biz"]),
        "F06" => ["5.9.9.1", "5.9.9.0/24", "5.9.9.2"]
            .map(|key| row(key, "bad reputation (bitcoin node)", "bitnodes.io"))
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

/// Answers of the vector; every other address answers nothing.
struct Bodies<'a>(&'a Value);

impl Fetch for Bodies<'_> {
    fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
        let body = self
            .0
            .get(request.url)
            .and_then(Value::as_str)
            .ok_or(FetchError::Status(404))?;
        Ok(Answer::Fresh(Fresh::of(body)?))
    }
}

/// The rows of the file after an update, the whole way.
fn build(vector: &Vector) -> Rows {
    let root = tempfile::tempdir().expect("folder");
    install(root.path(), vector);
    let shown = root.path().display().to_string();
    let text = format!(
        "TRAILS_FILE {shown}/out/trails.csv\nUSE_FEED_UPDATES true\n{}\n",
        vector.config.replace("{DIR}", &shown)
    );
    let (config, _) =
        Config::parse(&text, "f", root.path(), &Environment::default()).expect(&vector.id);
    if let Some(before) = vector.input["existing_trails_csv"].as_str() {
        fs::create_dir_all(root.path().join("out")).expect("folder");
        fs::write(&config.trails.file, before).expect("file");
    }
    let bodies = Bodies(&vector.input["urls"]);
    let online = !vector.input["urls"].is_null();
    let forced = vector.input["force"] != Value::Bool(false);
    let update = Update {
        config: &config.trails,
        root: root.path(),
        from: Some(root.path()),
        built_in: false,
        fetch: online.then_some(&bodies as &dyn Fetch),
        feeds: forced || config.trails.feed_updates,
        // Sets of the vectors are tiny; the guard against shrinking has tests of its own.
        force: true,
        owner: None,
    };
    if forced || update.is_due() {
        // An update may be refused; then the old file, which is compared, stands.
        let result = update.run(&mut |_| {});
        let fine = matches!(
            result,
            Ok(_) | Err(UpdateError::Empty | UpdateError::Server { .. })
        );
        assert!(fine, "{}: {:?}", vector.id, result.err());
    }
    let mut rows = Rows::new();
    if let Ok(file) = fs::File::open(&config.trails.file) {
        let read = maltrail_core::trail::csv::read(file, |key, info, reference| {
            rows.insert(row(key, info, reference));
        });
        read.expect("file");
    }
    rows
}

#[test]
fn trail_vectors_hold() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for vector in vectors() {
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
    assert_eq!(checked, 152 + 42);
}
