//! What is put where. Every path is that of the finished system; `--root` is put in front only when a file is touched.

use std::path::{Path, PathBuf};

/// Configuration of sensor and server.
pub(crate) const CONFIG: &str = "/etc/maltrail/maltrail.conf";
/// Folder of the configuration.
pub(crate) const CONFIG_DIR: &str = "/etc/maltrail";
/// Own lists of trails.
pub(crate) const CUSTOM_DIR: &str = "/etc/maltrail/trails";
/// Day files, index and accounts.
pub(crate) const LOGS: &str = "/var/log/maltrail";
/// The trail set; the home of the services' user.
pub(crate) const STATE: &str = "/var/lib/maltrail";
/// The trail set that the installed configuration names.
pub(crate) const TRAILS: &str = "/var/lib/maltrail/trails.csv";
/// The update without systemd.
pub(crate) const CRON: &str = "/etc/cron.d/maltrail";
/// Rotation of `error.log`.
pub(crate) const LOGROTATE: &str = "/etc/logrotate.d/maltrail";

/// The services, in the order in which they start.
pub(crate) const SERVICES: [&str; 2] = ["maltrail-server.service", "maltrail-sensor.service"];
/// What starts the update.
pub(crate) const TIMER: &str = "maltrail-update.timer";
/// The update.
pub(crate) const UPDATE: &str = "maltrail-update.service";

/// Folders below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    prefix: PathBuf,
}

impl Layout {
    /// A layout below `prefix`.
    ///
    /// # Errors
    /// When the prefix is not an absolute path of plain letters: it stands in units, in a cron line and in the manifest.
    pub(crate) fn new(prefix: &Path) -> anyhow::Result<Self> {
        let plain = prefix.to_str().is_some_and(|text| {
            text.chars()
                .all(|letter| letter.is_alphanumeric() || "/._-+".contains(letter))
        });
        let absolute = prefix.is_absolute()
            && prefix
                .components()
                .all(|part| part != std::path::Component::ParentDir);
        anyhow::ensure!(
            plain && absolute && prefix != Path::new("/"),
            "--prefix `{}` is to be an absolute path of letters, digits and `/._-+`, such as /usr/local or /opt/maltrail",
            prefix.display()
        );
        // Without a trailing slash or `.` parts, so that each file has one name.
        Ok(Self {
            prefix: prefix.components().collect(),
        })
    }

    /// The programs and the manifest. `sensor` and `server` are too common as names for a folder that everybody's
    /// PATH has.
    pub(crate) fn lib(&self) -> PathBuf {
        self.prefix.join("lib/maltrail")
    }

    /// The list of what was installed.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.lib().join("manifest")
    }

    /// Links to the programs, as `maltrail-sensor` and `maltrail-server`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.prefix.join("bin")
    }

    /// Units: below the prefix where systemd looks there, so that `/etc` stays the administrator's.
    pub(crate) fn units(&self) -> PathBuf {
        let known = ["/usr", "/usr/local"];
        if known.iter().any(|known| self.prefix == Path::new(known)) {
            self.prefix.join("lib/systemd/system")
        } else {
            PathBuf::from("/etc/systemd/system")
        }
    }

    /// Manual pages of a section.
    pub(crate) fn man(&self, section: u8) -> PathBuf {
        self.prefix.join(format!("share/man/man{section}"))
    }

    /// Texts.
    pub(crate) fn doc(&self) -> PathBuf {
        self.prefix.join("share/doc/maltrail")
    }

    /// Anything else below `share`.
    pub(crate) fn share(&self, name: &str) -> PathBuf {
        self.prefix.join("share").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_absolute_and_plain() {
        let layout = |text: &str| Layout::new(Path::new(text));
        for bad in [
            "",
            "/",
            "usr/local",
            "/opt/../etc",
            "/opt/a b",
            "/opt/a\nb",
            "/opt/%h",
        ] {
            assert!(layout(bad).is_err(), "{bad:?}");
        }
        let one = layout("/usr/local/").expect("good");
        assert_eq!(one, layout("/usr/./local").expect("good"));
        assert_eq!(one.units(), Path::new("/usr/local/lib/systemd/system"));
        assert_eq!(
            one.manifest(),
            Path::new("/usr/local/lib/maltrail/manifest")
        );
        let other = layout("/opt/maltrail").expect("good");
        assert_eq!(other.units(), Path::new("/etc/systemd/system"));
        assert_eq!(other.man(5), Path::new("/opt/maltrail/share/man/man5"));
    }
}
