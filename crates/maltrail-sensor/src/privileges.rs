//! Leaving root: once the sockets are open, nothing but CAP_NET_RAW is kept.
//!
//! Before any thread is started, so that all of them have the same rights: groups, group and user are
//! those of [`Identity::choose`], the capability sets shrink to CAP_NET_RAW (an interface that comes back
//! is opened anew), the bounding set is emptied and `no_new_privs` is set. Whatever fails ends the program:
//! a sensor that cannot leave root does not run as root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// Users that are tried when nothing names one.
const USUAL: [&str; 2] = ["maltrail", "nobody"];

/// Whom the sensor becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    name: String,
    uid: u32,
    gid: u32,
    /// Further groups.
    groups: Vec<u32>,
}

/// Where users stand; tests have their own.
struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    fn of_system() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
        }
    }

    /// The user of this name or number.
    fn find(&self, wanted: &str) -> Option<Identity> {
        let number = wanted.parse::<u32>().ok();
        let known = self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _) = (fields.next()?, fields.next()?);
            let uid = fields.next()?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (name == wanted || number == Some(uid)).then(|| Identity {
                name: name.to_owned(),
                uid,
                gid,
                groups: self.groups_of(name),
            })
        });
        // A number needs no line: containers have users without names.
        known.or_else(|| {
            number.map(|uid| Identity {
                name: wanted.to_owned(),
                uid,
                gid: uid,
                groups: Vec::new(),
            })
        })
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let group = |line: &str| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse().ok()?;
            let is_member = fields.next()?.split(',').any(|member| member == user);
            is_member.then_some(gid)
        };
        self.group.lines().filter_map(group).collect()
    }
}

impl Identity {
    /// `RUN_AS`, else the owner of the log folder, else `maltrail`, else the caller of sudo, else
    /// `nobody`; `None` for a process that is not root.
    ///
    /// # Errors
    /// When there is no such user.
    pub(crate) fn choose(
        run_as: Option<&str>,
        log_dir: Option<&Path>,
        sudo_uid: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let owner = log_dir.and_then(|folder| fs::metadata(folder).ok());
        let owner = owner.map(|meta| meta.uid());
        choose(&Accounts::of_system(), run_as, owner, sudo_uid).map(Some)
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the log folder is this user's, absent, or may be given to it. A folder of root with other
    /// things than those of sensors in it may not.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) fn may_own(&self, folder: &Path) -> anyhow::Result<()> {
        match fs::metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => self.to_own(folder).map(drop),
        }
    }

    /// What is in a log folder that is to be given away; nothing when it need not be.
    fn to_own(&self, folder: &Path) -> anyhow::Result<Option<Vec<fs::DirEntry>>> {
        let meta = fs::metadata(folder)
            .with_context(|| format!("cannot look at LOG_DIR `{}`", folder.display()))?;
        if self.uid == 0 || meta.uid() == self.uid {
            return Ok(None);
        }
        let entries: Vec<_> = fs::read_dir(folder)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .with_context(|| format!("cannot read LOG_DIR `{}`", folder.display()))?;
        let stranger = entries
            .iter()
            .find(|entry| !is_ours(&entry.file_name().to_string_lossy()));
        if let Some(stranger) = stranger {
            bail!(
                "LOG_DIR `{}` belongs to another user than `{}`, whom the sensor becomes, and holds `{}`, \
                 which is not a sensor's: `chown {} {0}`, or name its owner in RUN_AS, or another folder in LOG_DIR",
                folder.display(),
                self.name,
                stranger.file_name().display(),
                self.name
            );
        }
        Ok(Some(entries))
    }

    /// Makes the log folder one that this user may write to: the folder itself and what sensors write
    /// there.
    ///
    /// # Errors
    /// As [`Identity::may_own`], or when the system refuses.
    pub(crate) fn own_logs(&self, folder: &Path) -> anyhow::Result<()> {
        let Some(entries) = self.to_own(folder)? else {
            return Ok(());
        };
        let own = |path: &Path| -> io::Result<()> {
            // A link planted here must not give away what it points to.
            let file = fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)?;
            std::os::unix::fs::fchown(&file, Some(self.uid), Some(self.gid))
        };
        for entry in entries {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                own(&entry.path())
                    .with_context(|| format!("cannot give away `{}`", entry.path().display()))?;
            }
        }
        own(folder).with_context(|| format!("cannot give away LOG_DIR `{}`", folder.display()))
    }

    /// Becomes this user for good.
    ///
    /// # Errors
    /// When the system refuses any step, or other threads run.
    pub(crate) fn leave_root(&self) -> anyhow::Result<()> {
        ensure_alone()?;
        set_keep_capabilities(true).context("cannot keep CAP_NET_RAW")?;
        empty_bounding_set();
        let ids = |numbers: &[u32]| {
            numbers
                .iter()
                .map(|&id| Gid::from_raw(id))
                .collect::<Vec<_>>()
        };
        let (gid, uid) = (Gid::from_raw(self.gid), Uid::from_raw(self.uid));
        set_thread_groups(&ids(&self.groups)).context("cannot leave the groups of root")?;
        set_thread_res_gid(gid, gid, gid).context("cannot change the group")?;
        set_thread_res_uid(uid, uid, uid).context("cannot change the user")?;
        keep_capture_right()?;
        ensure!(
            self.uid == 0 || set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err(),
            "root can be had again: the sensor does not run like that"
        );
        Ok(())
    }
}

/// Gives up everything but the right to capture, for a process that is not root.
///
/// # Errors
/// When the system refuses.
pub(crate) fn keep_capture_right() -> anyhow::Result<()> {
    ensure_alone()?;
    // It has only what it was given; without CAP_NET_RAW it captures by other means or not at all.
    let held = rustix::thread::capabilities(None).context("cannot read the own rights")?;
    let kept = CapabilitySet::NET_RAW & held.permitted;
    let _ = clear_ambient_capability_set();
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
    .context("cannot give up rights")?;
    set_no_new_privs(true).context("cannot set no_new_privs")
}

/// Rights are those of a thread, so there must be one.
fn ensure_alone() -> anyhow::Result<()> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    ensure!(
        threads == 1,
        "{threads} threads run before root was left: this is a fault of ours, please report it"
    );
    Ok(())
}

/// Nothing that is executed later, should anything ever be, gets a right. Needs CAP_SETPCAP.
fn empty_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

fn choose(
    accounts: &Accounts,
    run_as: Option<&str>,
    owner: Option<u32>,
    sudo_uid: Option<&str>,
) -> anyhow::Result<Identity> {
    if let Some(wanted) = run_as {
        let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
        let mut identity = accounts
            .find(user)
            .with_context(|| format!("there is no user `{user}` (RUN_AS)"))?;
        if !group.is_empty() {
            let number = group.parse().ok();
            identity.gid = number
                .with_context(|| format!("RUN_AS `{wanted}`: the group is to be a number"))?;
        }
        return Ok(identity);
    }
    let owner = owner.filter(|&uid| uid != 0).map(|uid| uid.to_string());
    let [usual, last] = USUAL;
    let named = |name: &str| {
        // Of a name that is meant as one, the number of nobody is no answer.
        accounts.find(name).filter(|found| found.uid != 0)
    };
    owner
        .and_then(|uid| named(&uid))
        .or_else(|| named(usual))
        .or_else(|| named(sudo_uid?))
        .or_else(|| named(last))
        .context("there is no user to become (RUN_AS names one)")
}

/// Whether sensors and servers write files of this name into LOG_DIR.
fn is_ours(name: &str) -> bool {
    let is_day = name.get(..10).is_some_and(|day| {
        day.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    });
    is_day
        || [
            "meta.sqlite",
            "error.log",
            "status-",
            "index",
            "state",
            ".probe-",
            ".status-",
        ]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nana:x:1000:1001::/home/ana:/bin/sh\n"
                .to_owned(),
            group: "adm:x:4:syslog,ana\nwheel:x:10:\nana:x:1001:\n".to_owned(),
        }
    }

    fn chosen(run_as: Option<&str>, owner: Option<u32>, sudo: Option<&str>) -> String {
        let mut accounts = accounts();
        if sudo == Some("with maltrail") {
            accounts.passwd += "maltrail:x:998:998::/:/bin/false\n";
        }
        match choose(&accounts, run_as, owner, sudo) {
            Ok(found) => format!(
                "{} {}:{} {:?}",
                found.name, found.uid, found.gid, found.groups
            ),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_user_is_named_or_owns_the_logs_or_is_a_usual_one() {
        assert_eq!(chosen(Some("ana"), None, None), "ana 1000:1001 [4]");
        assert_eq!(chosen(Some("1000:7"), Some(5), None), "ana 1000:7 [4]");
        assert_eq!(chosen(Some("4242"), None, None), "4242 4242:4242 []");
        assert_eq!(chosen(Some("root"), None, None), "root 0:0 []");
        assert_eq!(chosen(None, Some(1000), None), "ana 1000:1001 [4]");
        assert_eq!(
            chosen(None, Some(0), Some("with maltrail")),
            "maltrail 998:998 []"
        );
        assert_eq!(chosen(None, Some(0), Some("1000")), "ana 1000:1001 [4]");
        assert_eq!(chosen(None, None, Some("0")), "nobody 65534:65534 []");
        assert_eq!(chosen(None, None, None), "nobody 65534:65534 []");
        assert_eq!(
            chosen(Some("eve"), None, None),
            "there is no user `eve` (RUN_AS)"
        );
        assert!(chosen(Some("ana:staff"), None, None).contains("number"));
    }

    #[test]
    fn files_of_sensors_are_known_by_their_names() {
        for name in [
            "2026-11-24.log",
            "2026-11-24.json",
            "2026-11-23.log.1.gz",
            "meta.sqlite-journal",
            "error.log",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["syslog", "auth.log", "2026", "20261124-x.log", "nginx"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn a_folder_with_other_things_is_not_given_away() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("syslog"), "").expect("file");
        let somebody = Identity {
            name: "somebody".to_owned(),
            uid: geteuid().as_raw() + 7,
            gid: 7,
            groups: Vec::new(),
        };
        let error = somebody.own_logs(folder.path()).expect_err("refused");
        assert!(format!("{error:#}").contains("syslog"), "{error:#}");
    }
}
