//! The log folder: there, writable, with room; and what lies in it.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::path::Path;

use maltrail_core::config::Config;

use super::Checks;
use crate::vitals::{free_bytes, status_path};

const GB: u64 = 1 << 30;
/// Below this there is no point in starting.
const TOO_LITTLE: u64 = GB;
/// Below this somebody should act.
const LITTLE: u64 = 10 * GB;
/// How a SQLite database begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

pub(super) fn check(config: &Config, checks: &mut Checks) {
    if config.output.disable_local {
        checks.good("no local log files (DISABLE_LOCAL_LOG_STORAGE)");
        return;
    }
    let folder = &config.log_dir;
    if !folder.is_dir() {
        checks.fail(
            "log-folder-missing",
            &format!(
                "the log folder `{}` does not exist (LOG_DIR)",
                folder.display()
            ),
            "A normal start creates it; or create it and give it to the sensor's user.",
        );
        return;
    }
    writable(folder, checks);
    room(free_bytes(folder), checks);
    status(&status_path(folder, &config.detect.sensor_name), checks);
    if config.output.condensed_store {
        store(&folder.join("meta.sqlite"), checks);
    }
}

fn writable(folder: &Path, checks: &mut Checks) {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    match made.and_then(|_| fs::remove_file(&probe)) {
        Ok(()) => checks.good(&format!("log folder `{}` is writable", folder.display())),
        Err(error) => checks.fail(
            "log-folder-unwritable",
            &format!("the log folder `{}` is not writable: {error}", folder.display()),
            "Give it to the user that the sensor runs as (chown), and look whether the disk is full or read-only.",
        ),
    }
}

fn room(free: Option<u64>, checks: &mut Checks) {
    const NEXT: &str = "Make room, or move LOG_DIR; RETENTION_DAYS of the server removes old days.";
    let Some(free) = free else {
        checks.note("the space left for the log folder is not known");
        return;
    };
    let text = format!("{:.1} GB free for the log folder", free as f64 / GB as f64);
    if free < TOO_LITTLE {
        checks.fail("log-folder-full", &text, NEXT);
    } else if free < LITTLE {
        checks.warn("log-folder-full", &text, NEXT);
    } else {
        checks.good(&text);
    }
}

fn status(path: &Path, checks: &mut Checks) {
    // A link there would be replaced, and a folder could not be.
    if path.is_dir() {
        checks.warn(
            "status-file",
            &format!(
                "`{}` is a folder: the sensor's state cannot be kept there",
                path.display()
            ),
            "Remove it.",
        );
    }
}

fn store(path: &Path, checks: &mut Checks) {
    let mut head = [0; 16];
    let sound = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            checks.good("condensed store: made at the first start");
            return;
        }
        Err(error) => Err(error.to_string()),
        Ok(_) if path.metadata().is_ok_and(|facts| facts.len() == 0) => Ok(()),
        Ok(mut file) => match file.read_exact(&mut head) {
            Ok(()) if head == *SQLITE => Ok(()),
            Ok(()) => Err("it is no SQLite database".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    match sound {
        Ok(()) => checks.good(&format!("condensed store `{}`", path.display())),
        Err(error) => checks.fail(
            "store-unreadable",
            &format!("the condensed store `{}` cannot be used: {error}", path.display()),
            "Correct its owner, or move it away: it is built anew. USE_CONDENSED_STORAGE false does without.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_judged_by_two_limits() {
        for (free, ids, failures) in [
            (Some(TOO_LITTLE - 1), vec!["log-folder-full"], 1),
            (Some(TOO_LITTLE), vec!["log-folder-full"], 0),
            (Some(LITTLE), vec![], 0),
            (None, vec![], 0),
        ] {
            let mut checks = Checks::silent();
            room(free, &mut checks);
            assert_eq!((checks.ids(), checks.failures), (ids, failures), "{free:?}");
        }
    }

    #[test]
    fn a_store_is_a_database_or_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("meta.sqlite");
        let failures = || {
            let mut checks = Checks::silent();
            store(&path, &mut checks);
            checks.failures
        };
        assert_eq!(failures(), 0);
        fs::write(&path, b"SQLite format 3\0 and so on").expect("written");
        assert_eq!(failures(), 0);
        for damaged in [&b"short"[..], b"a text that is long enough"] {
            fs::write(&path, damaged).expect("written");
            assert_eq!(failures(), 1);
        }
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut checks = Checks::silent();
        writable(folder.path(), &mut checks);
        assert_eq!(checks.failures, 0);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        writable(&folder.path().join("none"), &mut checks);
        assert_eq!(checks.ids(), ["log-folder-unwritable"]);
    }
}
