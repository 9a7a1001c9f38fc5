//! Whole installations below a temporary root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::*;
use crate::shell;

const UNIT: &str = "/usr/local/lib/systemd/system/maltrail-sensor.service";

/// A machine that exists in a folder only.
struct Machine {
    folder: tempfile::TempDir,
    layout: Layout,
    systemd: Systemd,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("built")).expect("folder");
        fs::create_dir(folder.path().join("root")).expect("folder");
        let machine = Self {
            folder,
            layout: Layout::new(Path::new("/usr/local")).expect("layout"),
            systemd: Systemd::Present,
        };
        machine.build("one");
        machine
    }

    fn site(&self) -> Site {
        Site {
            root: Some(self.folder.path().join("root")),
        }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.site().place(Path::new(path))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&self, path: &str, text: &str) {
        let place = self.place(path);
        fs::create_dir_all(place.parent().expect("folder")).expect("folder");
        fs::write(place, text).expect("written");
    }

    fn build(&self, version: &str) {
        for name in ["sensor", "server"] {
            let path = self.folder.path().join("built").join(name);
            fs::write(path, format!("{name} {version}")).expect("written");
        }
    }

    fn manifest(&self) -> Manifest {
        let place = self.site().place(&self.layout.manifest());
        fs::read_to_string(place).map_or_else(
            |_| Manifest::default(),
            |text| Manifest::parse(&text).expect("manifest"),
        )
    }

    fn plan(&self) -> Plan {
        let built = self.folder.path().join("built");
        let workspace = crate::root();
        let setup = Setup {
            layout: &self.layout,
            user: "maltrail",
            group: None,
            systemd: self.systemd,
            programs: Some(&built),
            texts: &workspace,
            seed: 61,
        };
        let site = self.site();
        let (items, _) = setup.items(&site).expect("items");
        plan::plan(&items, &self.layout.manifest(), &site, &self.manifest()).expect("plan")
    }

    fn apply(&self, steps: &[Step]) -> anyhow::Result<()> {
        let hands = Hands {
            site: &self.site(),
            layout: &self.layout,
            user: "maltrail",
        };
        hands.apply(steps)
    }

    fn install(&self) -> Plan {
        let plan = self.plan();
        assert_eq!(plan.refused, Vec::<String>::new());
        self.apply(&plan.steps).expect("applied");
        plan
    }

    fn uninstall(&self, purge: bool) -> Plan {
        let list = self.layout.manifest();
        let plan = removal::removal(&self.manifest(), &list, &self.site(), purge).expect("plan");
        self.apply(&plan.steps).expect("applied");
        plan
    }

    /// Every file with its contents, every link with its target, every folder.
    fn tree(&self) -> BTreeMap<String, String> {
        let root = self.folder.path().join("root");
        let mut tree = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                let name = path
                    .strip_prefix(&root)
                    .expect("below")
                    .display()
                    .to_string();
                let meta = path.symlink_metadata().expect("there");
                let what = if meta.is_symlink() {
                    fs::read_link(&path).expect("link").display().to_string()
                } else if meta.is_dir() {
                    folders.push(path);
                    "folder".to_owned()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).expect("file")).into_owned()
                };
                tree.insert(name, what);
            }
        }
        tree
    }
}

#[test]
fn twice_is_the_same_as_once() {
    let machine = Machine::new();
    machine.install();
    let once = machine.tree();
    for path in [
        "usr/local/lib/maltrail/sensor",
        "usr/local/share/man/man5/maltrail.conf.5",
        "usr/local/share/doc/maltrail/install.md",
        "usr/local/share/zsh/site-functions/_maltrail-server",
        "etc/logrotate.d/maltrail",
        "etc/maltrail/maltrail.conf",
        "var/lib/maltrail",
        "var/log/maltrail",
        &UNIT[1..],
    ] {
        assert!(once.contains_key(path), "{path}");
    }
    assert_eq!(
        once["usr/local/bin/maltrail-server"],
        "../lib/maltrail/server"
    );
    assert_eq!(machine.read("/usr/local/bin/maltrail-server"), "server one");
    let mode = |path: &str| {
        let meta = fs::metadata(machine.place(path)).expect("there");
        meta.permissions().mode() & 0o7777
    };
    assert_eq!(mode("/usr/local/lib/maltrail/sensor"), 0o755);
    assert_eq!(mode("/etc/maltrail/maltrail.conf"), 0o640);
    assert_eq!(mode("/etc/maltrail"), 0o750);
    assert_eq!(mode("/var/log/maltrail"), 0o750);
    assert_eq!(mode(UNIT), 0o644);
    let again = machine.plan();
    assert_eq!((again.steps, again.notes), (Vec::new(), Vec::new()));
    assert_eq!(again.manifest, machine.manifest());
}

#[test]
fn an_upgrade_keeps_a_changed_configuration_and_puts_the_shipped_one_beside_it() {
    let machine = Machine::new();
    machine.install();
    let shipped = machine.read(CONFIG);
    let own = "MONITOR_INTERFACE eth1\nLOG_DIR /var/log/maltrail\nUPDATE_PERIOD 86400\n";
    machine.write(CONFIG, own);
    machine.build("two");
    let plan = machine.install();
    assert_eq!(machine.read(CONFIG), own);
    assert_eq!(machine.read("/etc/maltrail/maltrail.conf.new"), shipped);
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("maltrail.conf.new"))
    );
    assert_eq!(machine.read("/usr/local/bin/maltrail-sensor"), "sensor two");
    assert_eq!(machine.plan().steps, []);
    // Whoever takes the shipped one over needs no second copy.
    machine.write(CONFIG, &shipped);
    machine.install();
    assert!(!machine.place("/etc/maltrail/maltrail.conf.new").exists());
}

#[test]
fn a_configuration_of_before_is_kept_and_never_removed() {
    let machine = Machine::new();
    let own = "HTTP_PORT 443\nLOG_DIR /srv/logs\n";
    machine.write(CONFIG, own);
    machine.install();
    assert_eq!(machine.read(CONFIG), own);
    assert!(machine.read(UNIT).contains("ReadWritePaths=-\"/srv/logs\""));
    machine.uninstall(true);
    assert_eq!(machine.read(CONFIG), own);
    assert_eq!(machine.tree().len(), 3, "{:?}", machine.tree());
}

#[test]
fn uninstall_leaves_what_the_user_changed_until_purge() {
    let machine = Machine::new();
    machine.write("/usr/local/bin/other", "not ours");
    let before = machine.tree();
    machine.install();
    machine.write(UNIT, "changed");
    machine.write("/var/log/maltrail/2026-01-01.log", "events");
    let plan = machine.uninstall(false);
    let left: Vec<String> = machine
        .tree()
        .into_iter()
        .filter(|(_, what)| what != "folder")
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        left,
        [
            "etc/maltrail/maltrail.conf",
            "usr/local/bin/other",
            "usr/local/lib/maltrail/manifest",
            &UNIT[1..],
            "var/log/maltrail/2026-01-01.log",
        ]
    );
    assert_eq!(machine.read(UNIT), "changed");
    assert_eq!(
        plan.notes
            .iter()
            .filter(|note| note.contains("changed here"))
            .count(),
        1
    );
    // What was left is still known: to an installation, and to a purge.
    let again = machine.install();
    assert!(again.notes.iter().any(|note| note.contains(UNIT)));
    machine.uninstall(false);
    machine.uninstall(true);
    assert_eq!(machine.tree(), before);
}

#[test]
fn a_folder_of_before_survives_a_purge() {
    let machine = Machine::new();
    machine.write("/var/log/maltrail/2020-01-01.log", "old events");
    machine.install();
    machine.uninstall(true);
    assert_eq!(
        machine.read("/var/log/maltrail/2020-01-01.log"),
        "old events"
    );
}

#[test]
fn files_of_others_are_refused_and_nothing_is_done() {
    let machine = Machine::new();
    machine.write("/usr/local/bin/maltrail-sensor", "somebody's");
    machine.write("/usr/local/share/man/man1/maltrail-server.1", "somebody's");
    machine.write("/usr/local/lib/systemd", "no folder");
    let plan = machine.plan();
    let text = plan.refused.join("\n");
    for path in [
        "bin/maltrail-sensor",
        "man1/maltrail-server.1",
        "lib/systemd is no folder",
    ] {
        assert!(text.contains(path), "{text}");
    }
    let before = machine.tree();
    let options = Options {
        target: Target {
            prefix: "/usr/local".into(),
            root: machine.site().root,
            dry_run: true,
        },
        no_start: false,
        user: None,
        built: true,
    };
    let error = install(&options).expect_err("refused").to_string();
    assert!(error.contains("nothing was done"), "{error}");
    assert_eq!(machine.tree(), before);
}

#[test]
fn a_program_that_was_replaced_by_hand_is_not_overwritten() {
    let machine = Machine::new();
    machine.install();
    machine.write("/usr/local/lib/maltrail/sensor", "patched");
    machine.build("two");
    let refused = machine.plan().refused;
    assert_eq!(
        refused,
        ["/usr/local/lib/maltrail/sensor was changed since it was installed"]
    );
    machine.uninstall(false);
    assert_eq!(machine.read("/usr/local/lib/maltrail/sensor"), "patched");
}

#[test]
fn a_dry_run_writes_nothing() {
    let machine = Machine::new();
    let target = || Target {
        prefix: "/usr/local".into(),
        root: machine.site().root,
        dry_run: true,
    };
    let options = Options {
        target: target(),
        no_start: false,
        user: None,
        built: false,
    };
    install(&options).expect("shown");
    assert_eq!(machine.tree(), BTreeMap::new());
    let removal = |purge| Removal {
        target: target(),
        purge,
    };
    let error = uninstall(&removal(true))
        .expect_err("nothing there")
        .to_string();
    assert!(error.contains("nothing is installed"), "{error}");
    machine.install();
    let before = machine.tree();
    uninstall(&removal(true)).expect("shown");
    install(&options).expect("shown");
    assert_eq!(machine.tree(), before);
}

#[test]
fn users_who_are_no_system_users_are_refused() {
    for user in ["root", "-x", "A"] {
        let options = Options {
            target: Target {
                prefix: "/usr/local".into(),
                root: Some("/nonexistent".into()),
                dry_run: true,
            },
            no_start: false,
            user: Some(user.into()),
            built: true,
        };
        let error = install(&options).expect_err(user).to_string();
        assert!(error.contains("--user"), "{error}");
    }
}

#[test]
fn an_installation_that_was_cut_off_goes_on() {
    let count = {
        let machine = Machine::new();
        machine.plan().steps.len()
    };
    assert!(count > 50, "{count}");
    for version in ["one", "two"] {
        for cut in (0..8).chain((8..count).step_by(7)) {
            let machine = Machine::new();
            if version == "two" {
                machine.install();
                machine.build("two");
            }
            let steps = machine.plan().steps;
            machine
                .apply(&steps[..cut.min(steps.len())])
                .expect("applied");
            machine.install();
            assert_eq!(
                machine.read("/usr/local/bin/maltrail-server"),
                format!("server {version}")
            );
            assert_eq!(machine.plan().steps, [], "cut after {cut}");
            machine.uninstall(true);
            let left = machine.tree();
            // Only the way to the manifest is made before it.
            let way = |path: &String| "usr/local/lib/maltrail".starts_with(path.as_str());
            assert!(cut <= 4 || left.is_empty(), "cut after {cut}: {left:?}");
            assert!(left.keys().all(way), "cut after {cut}: {left:?}");
        }
    }
}

#[test]
fn a_failing_step_says_what_was_done_and_what_was_not() {
    let machine = Machine::new();
    let steps = machine.plan().steps;
    // Something takes the place of a folder between plan and deed.
    machine.write("/etc", "");
    let error = machine.apply(&steps).expect_err("fails").to_string();
    let (done, not_done) = error.split_once("not done:").expect("both lists");
    assert!(done.starts_with("failed: make the folder /etc"), "{error}");
    assert!(
        done.contains("make the folder /usr/local/lib/maltrail"),
        "{error}"
    );
    assert!(
        not_done.contains("write /usr/local/lib/maltrail/sensor"),
        "{error}"
    );
}

#[test]
fn a_machine_without_systemd_gets_a_cron_line() {
    let mut machine = Machine::new();
    machine.install();
    machine.write("/etc/cron.d/other", "");
    machine.systemd = Systemd::Absent;
    machine.install();
    assert!(
        machine
            .read("/etc/cron.d/maltrail")
            .contains("\n1 1 * * * maltrail ")
    );
    assert!(!machine.place(UNIT).exists(), "units of before are removed");
    assert_eq!(machine.plan().steps, []);
}

#[test]
fn only_own_units_are_touched() {
    let units = [&SERVICES[..], &[TIMER, UPDATE]].concat();
    for (changed, fresh) in [(true, true), (false, false)] {
        let steps = services(changed, fresh);
        for step in &steps {
            let Step::Systemd(words) = step else {
                panic!("{step:?}");
            };
            let verbs = ["daemon-reload", "enable", "restart", "start", "--no-block"];
            assert!(
                words
                    .iter()
                    .all(|word| units.contains(word) || verbs.contains(word))
            );
        }
        let restarts = steps.iter().any(|step| step.describe().contains("restart"));
        assert_eq!(restarts, changed);
        let updates = steps.iter().any(|step| step.describe().ends_with(UPDATE));
        assert_eq!(updates, fresh);
    }
}

#[test]
fn a_restart_that_failed_is_tried_again() {
    let machine = Machine::new();
    machine.install();
    machine.build("two");
    let mut plan = machine.plan();
    start(&mut plan, services(true, false));
    let failed = plan
        .steps
        .iter()
        .position(|step| step.describe().starts_with("systemctl restart"))
        .expect("restart");
    let files = plan.steps[..failed]
        .iter()
        .filter(|step| !matches!(step, Step::Systemd(_)));
    machine
        .apply(&files.cloned().collect::<Vec<_>>())
        .expect("applied");
    assert_eq!(machine.read("/usr/local/bin/maltrail-sensor"), "sensor two");
    // Nothing is to be written any more, but the services run the old version.
    let again = machine.plan();
    assert!(matches!(again.steps[..], [Step::Record(_)]), "{again:?}");
    machine.apply(&again.steps).expect("applied");
    assert_eq!(machine.plan().steps, []);
}

#[test]
fn an_upgrade_keeps_the_user() {
    let mut old = Manifest::default();
    assert_eq!(user_of(None, &old), "maltrail");
    old.user = Some("ours".into());
    assert_eq!(user_of(None, &old), "ours");
    assert_eq!(user_of(Some("other"), &old), "other");
}

#[test]
fn the_user_is_made_first_and_noted() {
    let machine = Machine::new();
    let mut plan = machine.plan();
    will_make("maltrail", &mut plan);
    assert_eq!(plan.steps[0], Step::MakeUser("maltrail".into()));
    let notes = plan.steps.iter().filter_map(|step| match step {
        Step::Record(manifest) => Some(manifest.user.as_deref()),
        _ => None,
    });
    assert_eq!(notes.collect::<Vec<_>>(), [Some("maltrail"); 2]);
}

#[test]
fn systemd_takes_the_units() {
    if !shell::exists("systemd-analyze") {
        println!("SKIPPED check of the units: systemd-analyze is not here");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let layout = Layout::new(folder.path()).expect("layout");
    fs::create_dir_all(layout.lib()).expect("folder");
    for name in ["sensor", "server"] {
        let path = layout.lib().join(name);
        fs::write(&path, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let needs = texts::Needs {
        writable: vec!["/srv/my logs/100%".into()],
        low_port: true,
    };
    for needs in [needs, texts::Needs::default()] {
        let texts = texts::Texts {
            layout: &layout,
            user: "root",
            group: "root",
            needs: &needs,
        };
        let mut units = Vec::new();
        for (name, text) in [
            (SERVICES[0], texts.server()),
            (SERVICES[1], texts.sensor()),
            (UPDATE, texts.update()),
            (TIMER, texts.timer()),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            units.push(path);
        }
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args(&units)
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}

#[test]
fn logrotate_takes_its_file() {
    if !shell::exists("logrotate") {
        println!("SKIPPED check of the rotation: logrotate is not here");
        return;
    }
    let machine = Machine::new();
    machine.install();
    let file = machine.folder.path().join("logrotate");
    // The user of the services does not exist here.
    let text = machine
        .read("/etc/logrotate.d/maltrail")
        .replace("maltrail maltrail", "root root");
    fs::write(&file, text).expect("written");
    let output = Command::new("logrotate")
        .arg("-d")
        .arg(&file)
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("error:"),
        "{said}"
    );
}
