//! What the machine is: service manager, accounts, moment of the update.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::layout::STATE;
use super::manifest::Digest;
use crate::shell::{exists, program};

/// The service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Systemd {
    /// It manages this machine.
    Running,
    /// It is installed and does not run, as in a container; or another machine is installed for.
    Present,
    /// There is none.
    Absent,
}

impl Systemd {
    /// Of this machine, as `sd_booted(3)` says it.
    pub(crate) fn of_machine() -> Self {
        match (
            Path::new("/run/systemd/system").is_dir(),
            exists("systemctl"),
        ) {
            (true, true) => Self::Running,
            (_, true) => Self::Present,
            _ => Self::Absent,
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) group: String,
}

impl Account {
    /// The user of this name, wherever the system knows it from.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let ask = |what: &str| {
            let output = program("id", [what, name]).into_command().output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            output.status.success().then(|| text.trim().to_owned())
        };
        Some(Self {
            uid: ask("-u")?.parse().ok()?,
            gid: ask("-g")?.parse().ok()?,
            group: ask("-gn")?,
        })
    }
}

/// Whether a name may be that of a system user.
pub(crate) fn is_user_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_')
        && name.len() <= 31
        && name.chars().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter)
        })
}

/// Whether something here can make users.
pub(crate) fn can_make_users() -> bool {
    ["useradd", "adduser", "systemd-sysusers"]
        .into_iter()
        .any(exists)
}

/// Makes a user without password, shell and home, and a group of the same name.
pub(super) fn make_user(name: &str) -> anyhow::Result<()> {
    let shell = ["/usr/sbin/nologin", "/sbin/nologin"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("/bin/false");
    let has_group = std::fs::read_to_string("/etc/group")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(':').next() == Some(name));
    if exists("useradd") {
        let group = if has_group {
            vec!["--gid", name]
        } else {
            vec!["--user-group"]
        };
        let rest = [
            "--home-dir",
            STATE,
            "--no-create-home",
            "--shell",
            shell,
            name,
        ];
        return program("useradd", [vec!["--system"], group, rest.to_vec()].concat()).check();
    }
    if exists("adduser") {
        // As busybox has it; others come with useradd.
        if !has_group {
            program("addgroup", ["-S", name]).check()?;
        }
        let arguments = ["-S", "-D", "-H", "-h", STATE, "-s", shell, "-G", name, name];
        return program("adduser", arguments).check();
    }
    if exists("systemd-sysusers") {
        let mut file = tempfile::Builder::new().suffix(".conf").tempfile()?;
        writeln!(file, "u {name} - \"Maltrail\" {STATE} {shell}")?;
        return program("systemd-sysusers", [file.path()]).check();
    }
    bail!("neither useradd, adduser nor systemd-sysusers is here: make the user {name} by hand")
}

pub(super) fn remove_user(name: &str) -> anyhow::Result<()> {
    if Account::find(name).is_none() {
        return Ok(());
    }
    let tool = ["userdel", "deluser"].into_iter().find(|tool| exists(tool));
    let tool = tool.with_context(|| {
        format!("neither userdel nor deluser is here: remove the user {name} by hand")
    })?;
    program(tool, [name])
        .check()
        .with_context(|| format!("does a process of {name} still run?"))
}

/// A number of this machine's own, the same each time.
pub(crate) fn seed() -> u16 {
    let read = |path| {
        std::fs::read(path)
            .ok()
            .filter(|bytes: &Vec<u8>| !bytes.is_empty())
    };
    let id = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname"));
    Digest::of(&id.unwrap_or_default()).number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_cannot_be_options_or_hold_blanks() {
        for good in ["maltrail", "_mal-trail2", "m"] {
            assert!(is_user_name(good), "{good}");
        }
        let long = "m".repeat(32);
        for bad in ["", "-m", "Mal", "2m", "a b", "a:b", "a\nb", "ä", &long] {
            assert!(!is_user_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn accounts_are_those_of_the_system() {
        let root = Account::find("root").expect("root");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(Account::find("no-such-user-here"), None);
    }
}
