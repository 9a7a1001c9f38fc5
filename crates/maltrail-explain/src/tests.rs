use std::fs;

use maltrail_core::config::{Config, Environment};
use maltrail_feeds::Update;

use super::*;

struct House {
    root: tempfile::TempDir,
    config: Config,
}

impl House {
    /// A published set of these files.
    fn new(options: &str, files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        }
        let text = format!(
            "TRAILS_FILE {0}/out/trails.csv\nCUSTOM_TRAILS_DIR {0}/own\n{options}\n",
            root.path().display()
        )
        .replace("ROOT", &root.path().display().to_string());
        let (config, _) =
            Config::parse(&text, "f", root.path(), &Environment::default()).expect("config");
        let from = root.path().join("src");
        Update {
            config: &config.trails,
            root: root.path(),
            from: Some(&from),
            built_in: false,
            fetch: None,
            feeds: false,
            force: false,
            owner: None,
        }
        .run(&mut |_| {})
        .expect("update");
        Self { root, config }
    }

    fn ask(&self, indicator: &str) -> (bool, String) {
        let facts = Facts::load(&self.config, &Environment::default()).expect("facts");
        let answer = answer(&facts, indicator).expect("answer");
        let text = render::text(&answer);
        assert_eq!(render::json(&answer)["reported"], answer.is_flagged());
        let root = self.root.path().display().to_string();
        (answer.is_flagged(), text.replace(&root, "ROOT"))
    }

    #[track_caller]
    fn check(&self, indicator: &str, flagged: bool, wanted: &[&str]) {
        let (is_flagged, text) = self.ask(indicator);
        assert_eq!(is_flagged, flagged, "{text}");
        for part in wanted {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
}

const ZEUS: (&str, &str) = (
    "src/trails/static/malware/zeus.txt",
    "# Aliases: zbot\n\n# Reference: https://report.example/1\n\nevil-zeus.biz\ndga[0-9]{3}\\.bad-zone\\.biz\n5.9.9.9\n\
     5.9.9.10:8080\n5.9.7.0/24\nhttp://url-host.biz/gate.php\n/only/path.php\n0123456789abcdef0123456789abcdef01234567\n",
);

#[test]
fn every_kind_is_explained_by_its_list_and_line() {
    let house = House::new("", &[ZEUS]);
    let list = "trails/static/malware/zeus.txt";
    house.check(
        "hxxp://a[.]EVIL-zeus[.]biz/x",
        true,
        &[
            "REPORTED",
            "its parent `evil-zeus.biz`",
            "event   DNS (a).evil-zeus.biz",
            &format!("{list}:5 (static): zeus (malware), since 2"),
            "also called zbot",
            "see https://report.example/1",
            "put `a.evil-zeus.biz` into the file of USER_WHITELIST",
        ],
    );
    house.check(
        "dga123.bad-zone.biz",
        true,
        &["the expression `dga[0-9]{3}", &format!("{list}:6")],
    );
    house.check(
        "5.9.9.9:77",
        true,
        &["the address, with any port", &format!("{list}:7")],
    );
    house.check(
        "5.9.9.9",
        true,
        &["connections to it are reported, connections from it are not"],
    );
    house.check(
        "5.9.9.10:8080",
        true,
        &["the address and port", &format!("{list}:8")],
    );
    house.check(
        "5.9.9.10",
        false,
        &["listed only with port 8080: ask for `5.9.9.10:8080`"],
    );
    house.check(
        "5.9.7.77",
        true,
        &[
            "the network `5.9.7.0/24` that holds it",
            &format!("{list}:9"),
        ],
    );
    house.check(
        "5.9.7.0/25",
        true,
        &["the network `5.9.7.0/24` that holds it"],
    );
    house.check(
        "url-host.biz/gate.php?x=1",
        true,
        &["the URL `url-host.biz/gate.php`", &format!("{list}:10")],
    );
    house.check(
        "https://url-host.biz/gate.php",
        false,
        &["not seen in an encrypted connection"],
    );
    house.check(
        "/only/path.php",
        true,
        &["the path, at any host", &format!("{list}:11")],
    );
    house.check(
        "0123456789ABCDEF0123456789abcdef01234567",
        true,
        &["event   CERT", &format!("{list}:12")],
    );
    house.check(
        &"ab".repeat(32),
        false,
        &["no list names SHA-256 fingerprints"],
    );
    house.check(
        "sqlmap/1.0-dev",
        true,
        &["the user agent `", "(built-in ua.txt:", "event   UA"],
    );
    house.check(
        "nothing-known.biz",
        false,
        &[
            "NOT REPORTED",
            "put `nothing-known.biz` into a file of CUSTOM_TRAILS_DIR (ROOT/own)",
        ],
    );
}

#[test]
fn what_hides_a_trail_is_named_with_its_line() {
    let house = House::new(
        "USER_WHITELIST ROOT/white.txt\nUSER_IGNORELIST ROOT/ignore.txt\n",
        &[
            ("white.txt", "# mine\n\nparent-ok.biz\nexact-ok.biz\n"),
            ("ignore.txt", "*;*;5.9.9.9;*\n"),
            (
                "src/trails/static/malware/zeus.txt",
                "sub.parent-ok.biz\nexact-ok.biz\n5.9.9.9\n10.1.2.3\n",
            ),
            ("src/data/bogon_ranges.txt", "# none\n10.0.0.0/8\n"),
        ],
    );
    house.check(
        "sub.parent-ok.biz",
        false,
        &[
            "HIDDEN",
            "hidden by whitelist ROOT/white.txt:3 `parent-ok.biz`",
            "take out ROOT/white.txt:3",
        ],
    );
    house.check(
        "exact-ok.biz",
        false,
        &[
            "`exact-ok.biz` is listed but not in the set: whitelisted: ROOT/white.txt:4",
            "zeus.txt:2",
        ],
    );
    house.check(
        "5.9.9.9",
        false,
        &[
            "HIDDEN",
            "hidden by ignore rule ROOT/ignore.txt:1 `*;*;5.9.9.9;*`",
        ],
    );
    house.check("10.1.2.3", false, &["in an unroutable or CDN range"]);
}

#[test]
fn control_characters_of_an_indicator_reach_no_terminal() {
    let house = House::new("", &[ZEUS]);
    let (_, text) = house.ask("a\u{1b}[31m b");
    assert!(!text.contains('\u{1b}') && text.contains('\u{fffd}'));
}
