//! Starting programs.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A command that says what failed.
pub(crate) struct Run {
    command: Command,
    shown: String,
}

/// `cargo` as this task was started with.
pub(crate) fn cargo<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(arguments: I) -> Run {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program(cargo, arguments)
}

/// Any program.
pub(crate) fn program<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(
    name: impl AsRef<OsStr>,
    arguments: I,
) -> Run {
    let mut command = Command::new(name.as_ref());
    let mut shown = name.as_ref().to_string_lossy().into_owned();
    for argument in arguments {
        shown.push(' ');
        shown.push_str(&argument.as_ref().to_string_lossy());
        command.arg(argument);
    }
    Run { command, shown }
}

impl Run {
    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Throws the output away.
    pub(crate) fn quiet(mut self) -> Self {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null());
        self
    }

    /// Whether it ends well.
    pub(crate) fn status(mut self) -> anyhow::Result<bool> {
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        Ok(status.success())
    }

    /// Fails unless it ends well.
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let shown = self.shown.clone();
        anyhow::ensure!(self.status()?, "`{shown}` failed");
        Ok(())
    }

    /// The command itself, for those who need its pipes.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }
}

/// Whether a program is on the path.
pub(crate) fn exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
