//! `cargo xtask install` and `cargo xtask uninstall`: both programs as services of this machine.
//!
//! ```text
//! build ─► items (what is wanted) ─┐
//! files of the machine ────────────┼─► plan (steps, shown by --dry-run) ─► apply
//! manifest of the last time ───────┘
//! ```
//!
//! **Invariant:** nothing is overwritten or removed that the manifest does not list with its present contents; the
//! configuration is never overwritten. All is planned before the first step, and a second run has no steps.

mod apply;
mod items;
mod layout;
mod manifest;
mod manual;
mod plan;
mod removal;
mod step;
mod system;
#[cfg(test)]
mod tests;
mod texts;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use self::apply::Hands;
use self::items::Setup;
use self::layout::{CONFIG, LOGS, Layout, SERVICES, STATE, TIMER, TRAILS, UPDATE};
use self::manifest::{Entry, Manifest};
use self::plan::Plan;
use self::step::{Site, Step};
use self::system::{Account, Systemd};
use crate::shell::{cargo, exists, program};
use crate::tools::{Tool, ensure_all};

/// What both commands take.
#[derive(Args)]
struct Target {
    /// Folder below which programs, manual pages and completions are
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Treat DIR as the root of another system: files only, no users, no services
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    root: Option<PathBuf>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Leave services as they are; only install
    #[arg(long)]
    no_start: bool,
    /// System user that the services run as; made if there is none [default: the one made before, else maltrail]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Take target/release as it is
    #[arg(long, hide = true)]
    built: bool,
}

#[derive(Args)]
pub(crate) struct Removal {
    #[command(flatten)]
    target: Target,
    /// Remove configuration, logs, trails, changed files and the user as well
    #[arg(long)]
    purge: bool,
}

impl Target {
    /// Layout, files and manifest.
    fn open(&self) -> anyhow::Result<(Layout, Site, Manifest)> {
        let layout = Layout::new(&self.prefix)?;
        let site = Site {
            root: self.root.clone(),
        };
        let place = site.place(&layout.manifest());
        let old = match std::fs::read_to_string(&place) {
            Ok(text) => Manifest::parse(&text).with_context(|| {
                format!("{} is no manifest of an installation", place.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Manifest::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", place.display()));
            }
        };
        Ok((layout, site, old))
    }

    /// Whether root is needed and this is not root.
    fn lacks_root(&self) -> bool {
        self.root.is_none() && !self.dry_run && !rustix::process::geteuid().is_root()
    }
}

/// An upgrade keeps the user.
fn user_of<'a>(given: Option<&'a str>, old: &'a Manifest) -> &'a str {
    given.or(old.user.as_deref()).unwrap_or("maltrail")
}

/// From the folder that the caller is in, which this program leaves.
fn absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|error| error.to_string())
}

/// Builds and installs.
pub(crate) fn install(options: &Options) -> anyhow::Result<()> {
    let target = &options.target;
    let (layout, site, old) = target.open()?;
    let user = user_of(options.user.as_deref(), &old);
    ensure!(
        system::is_user_name(user) && user != "root",
        "--user `{user}` is to be the name of a system user of its own: small letters, digits, `_` and `-`"
    );
    if !options.built && !target.dry_run {
        build()?;
    }
    if target.lacks_root() {
        return as_root(options, user);
    }
    let here = target.root.is_none();
    let workspace = crate::root();
    let release = workspace.join("target/release");
    let account = Account::find(user).filter(|_| here);
    let setup = Setup {
        layout: &layout,
        user,
        group: account.as_ref().map(|account| account.group.as_str()),
        systemd: if here {
            Systemd::of_machine()
        } else {
            Systemd::Present
        },
        programs: (!target.dry_run).then_some(&release),
        texts: &workspace,
        seed: system::seed(),
    };
    let (items, notes) = setup.items(&site)?;
    let mut plan = plan::plan(&items, &layout.manifest(), &site, &old)?;
    plan.notes.splice(0..0, notes);
    if !plan.refused.is_empty() {
        let list: Vec<String> = plan
            .refused
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect();
        bail!(
            "nothing was done, because these files would be overwritten:{}\n\
             Move them away, or uninstall first what they belong to (an installation with another --prefix, a package).",
            list.concat()
        );
    }
    if here && account.is_none() {
        ensure!(
            system::can_make_users(),
            "neither useradd, adduser nor systemd-sysusers is here: make the system user {} by hand, then run this again",
            user
        );
        will_make(user, &mut plan);
    }
    if let Some(account) = &account {
        plan.notes.extend(foreign_folders(&site, account, user));
    }
    let changed = !plan.steps.is_empty();
    if setup.systemd == Systemd::Running && !options.no_start {
        let fresh = matches!(site.look(Path::new(TRAILS))?, step::Found::Nothing);
        start(&mut plan, services(changed, fresh));
    } else if setup.systemd == Systemd::Running && changed {
        plan.steps.push(Step::Systemd(vec!["daemon-reload"]));
    }
    show(&plan, target.dry_run);
    if target.dry_run {
        return Ok(());
    }
    if let Some(root) = &site.root {
        std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    }
    let hands = Hands {
        site: &site,
        layout: &layout,
        user,
    };
    hands.apply(&plan.steps)?;
    if !changed {
        println!("everything was installed already");
    }
    if here {
        farewell(&setup, options.no_start);
    }
    Ok(())
}

/// Removes what was installed.
pub(crate) fn uninstall(options: &Removal) -> anyhow::Result<()> {
    let target = &options.target;
    let (layout, site, old) = target.open()?;
    ensure!(
        old != Manifest::default(),
        "nothing is installed: there is no {} (--prefix names another place)",
        site.place(&layout.manifest()).display()
    );
    if target.lacks_root() {
        let mut arguments = vec!["uninstall".into(), "--prefix".into(), target.prefix.clone()];
        if options.purge {
            arguments.push("--purge".into());
        }
        return with_sudo(&arguments);
    }
    let mut plan = removal::removal(&old, &layout.manifest(), &site, options.purge)?;
    if target.root.is_none() && Systemd::of_machine() == Systemd::Running {
        let units = [TIMER, UPDATE].into_iter().chain(SERVICES);
        let ours: Vec<&str> = units
            .filter(|unit| {
                matches!(
                    old.entries.get(&layout.units().join(unit)),
                    Some(Entry::File { .. })
                )
            })
            .filter(|unit| site.place(&layout.units().join(unit)).exists())
            .collect();
        if !ours.is_empty() {
            let stop = [&["disable", "--now"], ours.as_slice()].concat();
            plan.steps.insert(0, Step::Systemd(stop));
            plan.steps.push(Step::Systemd(vec!["daemon-reload"]));
        }
    }
    show(&plan, target.dry_run);
    if target.dry_run {
        return Ok(());
    }
    let hands = Hands {
        site: &site,
        layout: &layout,
        user: "root",
    };
    hands.apply(&plan.steps)?;
    println!("uninstalled");
    Ok(())
}

fn build() -> anyhow::Result<()> {
    ensure_all(&[Tool::Linker, Tool::Libpcap])?;
    println!("building (the first time takes some minutes)");
    let packages = ["-p", "maltrail-sensor", "-p", "maltrail-server"];
    cargo([&["build", "--release"], packages.as_slice()].concat()).check()
}

/// Only writing needs root; the build stays the caller's.
fn as_root(options: &Options, user: &str) -> anyhow::Result<()> {
    let mut arguments = vec![
        "install".into(),
        "--built".into(),
        "--prefix".into(),
        options.target.prefix.clone(),
        "--user".into(),
        user.into(),
    ];
    if options.no_start {
        arguments.push("--no-start".into());
    }
    with_sudo(&arguments)
}

fn with_sudo(arguments: &[PathBuf]) -> anyhow::Result<()> {
    ensure!(
        exists("sudo"),
        "this needs root, and there is no sudo: run the same command as root"
    );
    println!("writing to the system needs root: going on with sudo");
    let this = std::env::current_exe().context("cannot find this program")?;
    let all = std::iter::once(&this).chain(arguments);
    // Returns only when it fails.
    let error = program("sudo", all).into_command().exec();
    Err(error).context("cannot start sudo")
}

/// The user comes first, as files are given to it, and the manifest knows whose it is.
fn will_make(user: &str, plan: &mut Plan) {
    plan.manifest.user = Some(user.to_owned());
    for step in &mut plan.steps {
        if let Step::Record(manifest) = step {
            manifest.user = Some(user.to_owned());
        }
    }
    if plan.steps.is_empty() {
        plan.steps.push(Step::Record(plan.manifest.clone()));
    }
    plan.steps.insert(0, Step::MakeUser(user.to_owned()));
}

/// Folders that were there and that the services cannot write to.
fn foreign_folders(site: &Site, account: &Account, user: &str) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let foreign = |path: &&str| {
        std::fs::metadata(site.place(Path::new(path))).is_ok_and(|meta| meta.uid() != account.uid)
    };
    let say = |path| {
        format!(
            "{path} belongs to another user than {user}, whom the services run as. systemd gives it to them at the first \
             start; without systemd: chown -R {user}:{} {path}",
            account.group
        )
    };
    [LOGS, STATE].into_iter().filter(foreign).map(say).collect()
}

/// The last note comes after the services: where one does not restart, the next run sees that it has to.
fn start(plan: &mut Plan, services: Vec<Step>) {
    let note = plan.steps.pop_if(|step| matches!(step, Step::Record(_)));
    plan.steps.extend(services);
    plan.steps.extend(note);
}

/// Only the own units are touched.
fn services(changed: bool, fresh: bool) -> Vec<Step> {
    let [server, sensor] = SERVICES;
    let mut steps = Vec::new();
    if changed {
        steps.push(vec!["daemon-reload"]);
    }
    steps.push(vec!["enable", server, sensor, TIMER]);
    let verb = if changed { "restart" } else { "start" };
    steps.push(vec![verb, server]);
    steps.push(vec![verb, sensor]);
    steps.push(vec!["start", TIMER]);
    if fresh {
        steps.push(vec!["start", "--no-block", UPDATE]);
    }
    steps.into_iter().map(Step::Systemd).collect()
}

fn show(plan: &Plan, dry_run: bool) {
    if dry_run {
        println!("would do, and has done nothing of it:");
    }
    for step in &plan.steps {
        println!("    {}", step.describe());
    }
    if plan.steps.is_empty() {
        println!("    nothing: all is as wanted");
    }
    plan.notes.iter().for_each(|note| println!("[?] {note}"));
}

fn farewell(setup: &Setup<'_>, no_start: bool) {
    println!();
    match setup.systemd {
        Systemd::Running if !no_start => {
            println!("sensor and server run. What they say:");
            println!("    journalctl -u maltrail-sensor -u maltrail-server");
        }
        Systemd::Running => {
            let units = SERVICES.join(" ");
            println!("nothing was started. To start now and with the machine:");
            println!("    systemctl enable --now {units} {TIMER}");
            println!("What runs already goes on with the old version until:");
            println!("    systemctl restart {units}");
        }
        Systemd::Present | Systemd::Absent => {
            let lib = setup.layout.lib();
            let (user, lib) = (setup.user, lib.display());
            println!("systemd does not run here, so nothing was started. By hand, as root:");
            println!("    su -s /bin/sh {user} -c '{lib}/server -c {CONFIG}'");
            println!("    {lib}/sensor -c {CONFIG}");
            println!(
                "The sensor gives up root by itself once it captures. To build the trails, now and each day:"
            );
            println!("    su -s /bin/sh {user} -c '{lib}/sensor update -c {CONFIG}'");
        }
    }
    println!(
        "The configuration is {CONFIG}; the dashboard's first sign-in is admin with the password admin."
    );
}
