use std::fs;

use maltrail_core::config::{Environment, TrailsConfig};

use super::*;

struct House {
    root: tempfile::TempDir,
    config: TrailsConfig,
}

impl House {
    fn new(lists: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in lists {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        }
        let environment = Environment::default();
        let text = format!(
            "TRAILS_FILE {0}/out/trails.csv\nCUSTOM_TRAILS_DIR {0}/own\n",
            root.path().display()
        );
        let (config, _) =
            maltrail_core::config::Config::parse(&text, "f", root.path(), &environment)
                .expect("config");
        Self {
            config: config.trails,
            root,
        }
    }

    fn update<'a>(&'a self, from: Option<&'a Path>) -> Update<'a> {
        Update {
            config: &self.config,
            root: self.root.path(),
            from,
            built_in: from.is_none(),
            fetch: None,
            feeds: false,
            force: false,
            owner: None,
        }
    }

    fn run(&self) -> Result<Outcome, UpdateError> {
        let from = self.root.path().join("src");
        self.update(Some(&from)).run(&mut |_| {})
    }

    fn file(&self) -> String {
        fs::read_to_string(&self.config.file).unwrap_or_default()
    }
}

#[test]
fn lists_become_a_file_and_data_stays_beside_it() {
    let house = House::new(&[
        (
            "src/trails/static/malware/zeus.txt",
            "evil.biz\ngood.biz\n10.1.2.3\n5.9.9.9 # note\n",
        ),
        ("src/data/whitelist.txt", "good.biz\n"),
        ("src/data/bogon_ranges.txt", "10.0.0.0/8\n"),
        ("own/my_list.txt", "http://c3.biz\n"),
    ]);
    let outcome = house.run().expect("update");
    assert_eq!(
        house.file(),
        "5.9.9.9,zeus (malware),(static)\r\nc3.biz,my list,(custom)\r\nevil.biz,zeus (malware),(static)\r\n"
    );
    assert_eq!((outcome.rows, outcome.before), (3, None));
    assert_eq!(outcome.bytes, house.file().len() as u64);
    let data = house
        .config
        .file
        .parent()
        .expect("parent")
        .join("data/whitelist.txt");
    assert_eq!(fs::read_to_string(data).expect("data"), "good.biz\n");
    assert_eq!(house.run().expect("again").before, Some(3));
}

#[test]
fn nothing_and_much_less_are_refused_and_the_old_file_stays() {
    let house = House::new(&[(
        "src/trails/static/malware/zeus.txt",
        "a.biz\nb.biz\nc.biz\n",
    )]);
    house.run().expect("update");
    let old = house.file();
    let list = house.root.path().join("src/trails/static/malware/zeus.txt");
    fs::write(&list, "a.biz\n").expect("file");
    assert!(matches!(
        house.run(),
        Err(UpdateError::Shrunk {
            before: 3,
            after: 1,
            ..
        })
    ));
    fs::write(&list, "# nothing\n").expect("file");
    assert!(matches!(house.run(), Err(UpdateError::Empty)));
    assert_eq!(house.file(), old);
    fs::write(&list, "a.biz\n").expect("file");
    let from = house.root.path().join("src");
    let forced = Update {
        force: true,
        ..house.update(Some(&from))
    };
    assert_eq!(forced.run(&mut |_| {}).expect("forced").rows, 1);
}

#[test]
fn two_updates_do_not_run_at_once() {
    let house = House::new(&[
        ("src/trails/static/malware/zeus.txt", "a.biz\n"),
        ("out/x", ""),
    ]);
    let held = lock(house.config.file.parent().expect("parent")).expect("lock");
    assert!(matches!(house.run(), Err(UpdateError::Busy(_))));
    // What a killed update left is swept by the next one, and only by one that has the lock.
    let left = house.root.path().join("out/.trails-x1.new");
    fs::write(&left, "half").expect("file");
    assert!(house.run().is_err() && left.exists());
    drop(held);
    assert!(house.run().is_ok() && !left.exists());
}

#[test]
fn an_unwritable_place_is_named() {
    let mut house = House::new(&[
        ("src/trails/static/malware/zeus.txt", "a.biz\n"),
        ("file", ""),
    ]);
    house.config.file = house.root.path().join("file/trails.csv");
    let error = house.run().expect_err("unwritable").to_string();
    assert!(error.starts_with("cannot write `"), "{error}");
}

#[test]
fn without_a_source_the_embedded_lists_are_used() {
    let house = House::new(&[]);
    let outcome = house.update(None).run(&mut |_| {}).expect("update");
    assert!(outcome.rows > 50);
}

#[test]
fn nothing_is_built_again_until_an_input_changes() {
    let house = House::new(&[("src/trails/static/malware/zeus.txt", "a.biz\nb.biz\n")]);
    let first = house.run().expect("update");
    assert!(!first.unchanged);
    let written = fs::metadata(&house.config.file).and_then(|meta| meta.modified());
    let again = house.run().expect("update");
    assert!(again.unchanged && (again.rows, again.bytes) == (2, first.bytes));
    let now = fs::metadata(&house.config.file).and_then(|meta| meta.modified());
    assert_eq!(now.expect("time"), written.expect("time"));
    // Each of these has to be seen: a list, an own list, an option, somebody's hand, a person's wish.
    let list = house.root.path().join("src/trails/static/malware/zeus.txt");
    fs::write(list, "a.biz\nc.biz\n").expect("list");
    assert!(!house.run().expect("update").unchanged);
    fs::remove_file(house.root.path().join("out/trails.db")).expect("catalog");
    assert!(!house.run().expect("update").unchanged);
    fs::create_dir(house.root.path().join("own")).expect("folder");
    fs::write(house.root.path().join("own/x.txt"), "d.biz\n").expect("list");
    assert!(!house.run().expect("update").unchanged);
    assert!(house.run().expect("update").unchanged);
    fs::write(&house.config.file, "e.biz,x,y\r\n").expect("file");
    assert!(!house.run().expect("update").unchanged);
    let from = house.root.path().join("src");
    let forced = Update {
        force: true,
        ..house.update(Some(&from))
    };
    assert!(!forced.run(&mut |_| {}).expect("forced").unchanged);
    let config = TrailsConfig {
        ip_minimum_feeds: 1,
        ..house.config.clone()
    };
    let other = Update {
        config: &config,
        ..house.update(Some(&from))
    };
    assert!(!other.run(&mut |_| {}).expect("update").unchanged);
}

#[test]
fn a_rollback_goes_back_and_forth_and_stays_until_a_source_changes() {
    let house = House::new(&[("src/trails/static/malware/zeus.txt", "a.biz\nb.biz\n")]);
    let back = || house.update(None).rollback();
    assert!(matches!(back(), Err(UpdateError::NoFormer(_))));
    house.run().expect("update");
    assert!(matches!(back(), Err(UpdateError::NoFormer(_))));
    let first = house.file();
    let list = house.root.path().join("src/trails/static/malware/zeus.txt");
    fs::write(&list, "a.biz\nbad.biz\nworse.biz\n").expect("list");
    house.run().expect("update");
    let second = house.file();
    let outcome = back().expect("former");
    assert_eq!((outcome.rows, outcome.before), (2, Some(3)));
    assert_eq!(house.file(), first);
    assert!(house.run().expect("update").unchanged);
    assert_eq!(house.file(), first, "the same lists do not come back");
    back().expect("forward");
    assert_eq!(house.file(), second);
    back().expect("former");
    fs::write(&list, "a.biz\nmended.biz\n").expect("list");
    assert!(!house.run().expect("update").unchanged);
    assert!(house.file().contains("mended.biz"));
}

#[test]
fn an_update_is_due_by_age_and_by_own_lists() {
    let mut house = House::new(&[("src/trails/static/malware/zeus.txt", "a.biz\n")]);
    let due = |house: &House| house.update(None).is_due();
    assert!(due(&house), "there is no file");
    house.run().expect("update");
    assert!(!due(&house));
    let hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    let file = fs::File::options().append(true).open(&house.config.file);
    file.and_then(|file| file.set_modified(hours_ago))
        .expect("time");
    house.config.update_period_secs = 3600;
    assert!(due(&house));
    // An update that finds nothing new is an update.
    house.run().expect("update");
    assert!(house.run().expect("update").unchanged);
    let file = fs::File::options().append(true).open(&house.config.file);
    file.and_then(|file| file.set_modified(hours_ago))
        .expect("time");
    assert!(
        due(&house),
        "a file that somebody touched is not the one that was checked"
    );
    house.run().expect("update");
    assert!(!due(&house));
    fs::create_dir(house.root.path().join("own")).expect("folder");
    fs::write(house.root.path().join("own/x.txt"), "d.biz\n").expect("list");
    assert!(due(&house));
}

#[test]
fn an_update_without_a_source_takes_the_last_one_that_a_person_named() {
    let house = House::new(&[("src/trails/static/malware/zeus.txt", "a.biz\n")]);
    house.run().expect("update");
    assert!(house.file().contains("a.biz"));
    house.update(None).run(&mut |_| {}).expect("update");
    assert!(house.file().contains("a.biz"), "not lost");
    let again = house.update(None).run(&mut |_| {}).expect("update");
    assert!(again.unchanged, "and remembered");
    fs::remove_dir_all(house.root.path().join("src")).expect("removed");
    house.update(None).run(&mut |_| {}).expect("update");
    assert!(!house.file().contains("a.biz"));
}

#[test]
fn a_set_that_matches_what_everybody_uses_is_refused() {
    let house = House::new(&[
        (
            "src/trails/static/malware/zeus.txt",
            "a.biz\nb.biz\nlinode.com\n",
        ),
        ("own/mine.txt", "google.com\nfacebook.com\n"),
    ]);
    house.run().expect("a few are meant");
    let old = house.file();
    let list = house.root.path().join("src/trails/static/malware/zeus.txt");
    let bad = "google.com\nfacebook.com\nmicrosoft.com\ngithub.com\namazon.com\napple.com\n\
               youtube.com\ninstagram.com\nlinkedin.com\nwikipedia.org\nnetflix.com\ncom\nco.uk\n0.0.0.0/0\na.biz\nb.biz\n";
    fs::write(&list, bad).expect("list");
    let error = house.run().expect_err("everybody").to_string();
    // Without the two that the user lists as well.
    assert!(
        error.contains("12 rows such as 0.0.0.0/0, amazon.com"),
        "{error}"
    );
    assert_eq!(house.file(), old);
}
