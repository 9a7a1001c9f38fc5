//! What the machine must have beside cargo, and how it gets it: through the system's own package
//! manager, said beforehand, with root or sudo for that step alone.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{bail, ensure};

use crate::shell::{exists, program};

/// Something that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A C linker.
    Linker,
    /// Header and library of libpcap.
    Libpcap,
    /// Chromium and its driver.
    Browser,
    /// `ip`, with which tests make networks of their own.
    Networks,
}

impl Tool {
    fn present(self) -> bool {
        match self {
            Self::Linker => exists("cc"),
            Self::Libpcap => links_with("pcap"),
            Self::Browser => browser().is_some() && exists("chromedriver"),
            Self::Networks => exists("ip"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Linker => "a C linker",
            Self::Libpcap => "libpcap with its headers",
            Self::Browser => "Chromium and chromedriver",
            Self::Networks => "iproute2",
        }
    }

    const fn packages(self, manager: Manager) -> &'static [&'static str] {
        match (self, manager) {
            (Self::Linker, _) => &["gcc"],
            (Self::Libpcap, Manager::Apt) => &["libpcap-dev"],
            (Self::Libpcap, Manager::Dnf) => &["libpcap-devel"],
            (Self::Browser, Manager::Apt) => &["chromium", "chromium-driver"],
            (Self::Browser, Manager::Dnf) => &["chromium", "chromedriver"],
            (Self::Networks, Manager::Apt) => &["iproute2"],
            (Self::Networks, Manager::Dnf) => &["iproute"],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
}

impl Manager {
    fn of_system() -> Option<Self> {
        [("apt-get", Self::Apt), ("dnf", Self::Dnf)]
            .into_iter()
            .find(|(name, _)| exists(name))
            .map(|(_, manager)| manager)
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
        }
    }
}

/// The name of Chromium here.
pub(crate) fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| exists(name))
}

/// Makes sure that all of `tools` are there.
pub(crate) fn ensure_all(tools: &[Tool]) -> anyhow::Result<()> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.present())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|tool| tool.name())
        .collect::<Vec<_>>()
        .join(", ");
    let Some(manager) = Manager::of_system() else {
        bail!(
            "missing: {names}. Install it with your system's package manager, then run this again"
        );
    };
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|tool| tool.packages(manager))
        .copied()
        .collect();
    let line = format!("{} install -y {}", manager.command(), packages.join(" "));
    let root = rustix::process::geteuid().is_root();
    let sudo = exists("sudo")
        && (std::io::stdin().is_terminal() || program("sudo", ["-n", "true"]).quiet().status()?);
    ensure!(
        root || sudo,
        "missing: {names}. Without root or sudo this cannot install it; as root, run:\n    {line}\nthen run this again"
    );
    println!("missing: {names}; installing with: {line}");
    let run = |arguments: &[&str]| {
        let with_sudo = if root {
            Vec::new()
        } else {
            vec!["sudo", "DEBIAN_FRONTEND=noninteractive"]
        };
        let all: Vec<&str> = with_sudo
            .into_iter()
            .chain([manager.command()])
            .chain(arguments.iter().copied())
            .collect();
        program(all[0], &all[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .check()
    };
    if manager == Manager::Apt {
        run(&["update", "-q"])?;
    }
    run(&[&["install", "-y"], packages.as_slice()].concat())?;
    let still: Vec<&str> = missing
        .iter()
        .filter(|tool| !tool.present())
        .map(|tool| tool.name())
        .collect();
    ensure!(
        still.is_empty(),
        "still missing after the installation: {}",
        still.join(", ")
    );
    Ok(())
}

/// Whether a program can be linked with `-l<library>`.
fn links_with(library: &str) -> bool {
    let Ok(folder) = tempfile::tempdir() else {
        return false;
    };
    let source = folder.path().join("probe.c");
    if std::fs::write(&source, "int main(void) { return 0; }\n").is_err() {
        return false;
    }
    let output = folder.path().join("probe");
    let arguments = [
        source.as_os_str(),
        Path::new("-o").as_os_str(),
        output.as_os_str(),
    ];
    let link = format!("-l{library}");
    let all = arguments
        .into_iter()
        .map(std::ffi::OsStr::to_owned)
        .chain([link.into()]);
    program("cc", all).quiet().status().unwrap_or(false)
}
