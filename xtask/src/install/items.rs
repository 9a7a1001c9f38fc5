//! What an installation consists of.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::layout::{CONFIG, CONFIG_DIR, CRON, CUSTOM_DIR, LOGROTATE, LOGS, Layout, STATE};
use super::manifest::Care;
use super::manual;
use super::plan::{Item, What};
use super::step::{Owner, Site};
use super::system::Systemd;
use super::texts::{Needs, Texts, configuration};

/// What decides about it.
pub(crate) struct Setup<'a> {
    pub(crate) layout: &'a Layout,
    /// Whom the services run as.
    pub(crate) user: &'a str,
    /// Its group, when the user exists.
    pub(crate) group: Option<&'a str>,
    pub(crate) systemd: Systemd,
    /// The folder of the built programs; `None` when they are not to be built.
    pub(crate) programs: Option<&'a Path>,
    /// The folder of licence and documents.
    pub(crate) texts: &'a Path,
    /// Decides the moment of the update.
    pub(crate) seed: u16,
}

impl Setup<'_> {
    /// All of it, and what a person shall know.
    ///
    /// # Errors
    /// When a program or text is missing.
    pub(crate) fn items(&self, site: &Site) -> anyhow::Result<(Vec<Item>, Vec<String>)> {
        let mut notes = Vec::new();
        let mut items = Vec::new();
        self.programs(&mut items)?;
        self.folders(&mut items);
        let shipped = configuration()?;
        let needs = self.needs(site, &shipped, &mut notes);
        items.push(file(
            CONFIG.into(),
            0o640,
            Owner::Readers,
            Care::Config,
            shipped.into_bytes(),
        ));
        self.services(site, &needs, &mut items, &mut notes);
        for (path, text) in manual::pages(self.layout)?
            .into_iter()
            .chain(manual::completions(self.layout))
            .chain(self.documents()?)
        {
            items.push(file(path, 0o644, Owner::Root, Care::Plain, text));
        }
        Ok((items, notes))
    }

    fn programs(&self, items: &mut Vec<Item>) -> anyhow::Result<()> {
        for name in ["sensor", "server"] {
            let body = self.programs.map(|folder| folder.join(name));
            let body = body
                .map(|path| {
                    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
                })
                .transpose()?;
            items.push(Item {
                path: self.layout.lib().join(name),
                what: What::File {
                    mode: 0o755,
                    owner: Owner::Root,
                    care: Care::Plain,
                    body,
                },
            });
            items.push(Item {
                path: self.layout.bin().join(format!("maltrail-{name}")),
                what: What::Link(format!("../lib/maltrail/{name}").into()),
            });
        }
        Ok(())
    }

    fn folders(&self, items: &mut Vec<Item>) {
        for (path, owner, data) in [
            (CONFIG_DIR, Owner::Readers, false),
            (CUSTOM_DIR, Owner::Readers, true),
            (LOGS, Owner::Service, true),
            (STATE, Owner::Service, true),
        ] {
            items.push(Item {
                path: path.into(),
                what: What::Folder {
                    mode: 0o750,
                    owner,
                    data,
                },
            });
        }
    }

    /// What the configuration that will be in force asks of the units.
    fn needs(&self, site: &Site, shipped: &str, notes: &mut Vec<String>) -> Needs {
        let kept = std::fs::read(site.place(Path::new(CONFIG))).ok();
        let kept = kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match Needs::of(kept.as_deref().unwrap_or(shipped)) {
            Ok(needs) => {
                for folder in &needs.writable {
                    notes.push(format!(
                        "the units may write to {}, as {CONFIG} says; it has to exist and to belong to {}",
                        folder.display(),
                        self.user
                    ));
                }
                needs
            }
            Err(error) => {
                notes.push(format!(
                    "{CONFIG} has mistakes, sensor and server will not start: {error:#}"
                ));
                Needs::default()
            }
        }
    }

    fn services(&self, site: &Site, needs: &Needs, items: &mut Vec<Item>, notes: &mut Vec<String>) {
        let texts = Texts {
            layout: self.layout,
            user: self.user,
            group: self.group.unwrap_or(self.user),
            needs,
        };
        let mut add = |path: PathBuf, text: String| {
            items.push(file(
                path,
                0o644,
                Owner::Root,
                Care::Editable,
                text.into_bytes(),
            ));
        };
        if self.systemd == Systemd::Absent {
            if site.has_folder(Path::new("/etc/cron.d")) {
                add(CRON.into(), texts.cron(self.seed));
            } else {
                notes.push(format!(
                    "neither systemd nor /etc/cron.d is here: have `{}/sensor update -c {CONFIG}` run once a day as {}",
                    self.layout.lib().display(),
                    self.user
                ));
            }
        } else {
            let units = self.layout.units();
            add(units.join("maltrail-sensor.service"), texts.sensor());
            add(units.join("maltrail-server.service"), texts.server());
            add(units.join("maltrail-update.service"), texts.update());
            add(units.join("maltrail-update.timer"), texts.timer());
        }
        if site.root.is_some() || site.has_folder(Path::new("/etc/logrotate.d")) {
            add(LOGROTATE.into(), texts.logrotate());
        }
    }

    fn documents(&self) -> anyhow::Result<Vec<manual::Made>> {
        let doc = self.layout.doc();
        let mut made = Vec::new();
        let mut add = |from: PathBuf| -> anyhow::Result<()> {
            let text =
                std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            made.push((doc.join(from.file_name().unwrap_or_default()), text));
            Ok(())
        };
        for name in ["LICENSE", "THIRD_PARTY.md", "CHANGELOG.md"] {
            add(self.texts.join(name))?;
        }
        let folder = self.texts.join("docs");
        let mut pages: Vec<PathBuf> = std::fs::read_dir(&folder)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect()
            })
            .with_context(|| format!("cannot read {}", folder.display()))?;
        pages.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
        pages.sort();
        pages.into_iter().try_for_each(add)?;
        Ok(made)
    }
}

fn file(path: PathBuf, mode: u32, owner: Owner, care: Care, body: Vec<u8>) -> Item {
    Item {
        path,
        what: What::File {
            mode,
            owner,
            care,
            body: Some(body),
        },
    }
}
