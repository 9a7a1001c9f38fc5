//! What lies in the log folder: the space left, and the status file that a server on the same machine
//! reads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest part of the file name that comes from `SENSOR_NAME`.
const NAME_BYTES: usize = 64;

/// Bytes that a user without privilege may still write where `folder` lies.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}

/// Path of the status file of this sensor: what is not a letter, digit, `-`, `_` or `.` becomes `_`.
pub(crate) fn status_path(folder: &Path, sensor: &str) -> PathBuf {
    let name: String = sensor
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            '-' | '_' | '.' => letter,
            _ => '_',
        })
        .take(NAME_BYTES)
        .collect();
    folder.join(format!("status-{name}.json"))
}

/// Replaces the file as a whole, readable by all: a reader sees the old or the new one, never a part.
/// It is not forced to disk: after a crash the sensor is not alive anyway.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = (|| {
        // A leftover of the same number is not followed, whatever it has become.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&temporary)?;
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        drop(file);
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn hostile_sensor_names_stay_in_the_folder() {
        let of = |name: &str| {
            let path = status_path(Path::new("/logs"), name);
            assert_eq!(path.parent(), Some(Path::new("/logs")), "{name}");
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        assert_eq!(of("edge-1.example"), "status-edge-1.example.json");
        assert_eq!(of("../../etc/passwd"), "status-.._.._etc_passwd.json");
        assert_eq!(of("a b\0ü"), "status-a_b__.json");
        assert_eq!(
            of(&"x".repeat(5000)).len(),
            "status-.json".len() + NAME_BYTES
        );
    }

    #[test]
    fn the_file_is_replaced_whole_and_readable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = status_path(folder.path(), "s");
        replace(&path, "first, and much longer").expect("written");
        replace(&path, "second").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "second\n");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(
            fs::read_dir(folder.path()).expect("listed").count(),
            1,
            "no temporary file is left"
        );
        assert!(replace(&folder.path().join("none/x"), "").is_err());
        assert!(free_bytes(folder.path()).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_bytes(&folder.path().join("none")), None);
    }
}
