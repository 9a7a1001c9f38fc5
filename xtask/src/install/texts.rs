//! The files that are made for an installation: units, cron line, rotation and configuration.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use maltrail_core::config::options::shipped_file;
use maltrail_core::config::{Config, Environment};

use super::layout::{CONFIG, CUSTOM_DIR, LOGS, Layout, STATE, TRAILS};

const SENSOR: &str = include_str!("../../assets/maltrail-sensor.service");
const SERVER: &str = include_str!("../../assets/maltrail-server.service");
const UPDATE: &str = include_str!("../../assets/maltrail-update.service");
const TIMER: &str = include_str!("../../assets/maltrail-update.timer");
const HARDENING: &str = include_str!("../../assets/hardening");
const CRON: &str = include_str!("../../assets/cron");
const LOGROTATE: &str = include_str!("../../assets/logrotate");

/// What the configuration in force asks of the units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Folders beside the usual ones that the services write to.
    pub(crate) writable: Vec<PathBuf>,
    /// A port below 1024.
    pub(crate) low_port: bool,
}

impl Needs {
    /// Reads them off the text of a configuration.
    ///
    /// # Errors
    /// When it is invalid.
    pub(crate) fn of(text: &str) -> anyhow::Result<Self> {
        let environment = Environment {
            home: STATE.into(),
            current_dir: "/".into(),
            ..Environment::default()
        };
        let folder = Path::new(super::layout::CONFIG_DIR);
        let (config, _) = Config::parse(text, CONFIG, folder, &environment)?;
        let trails = config.trails.file.parent().map(Path::to_path_buf);
        let mut writable: Vec<PathBuf> = Some(config.log_dir).into_iter().chain(trails).collect();
        writable.retain(|path| {
            !path.as_os_str().is_empty() && !path.starts_with(LOGS) && !path.starts_with(STATE)
        });
        writable.dedup();
        let udp = config.server.udp.map(|(_, port)| port);
        let ports = [Some(config.server.http_port), udp];
        Ok(Self {
            writable,
            low_port: ports.into_iter().flatten().any(|port| port < 1024),
        })
    }
}

/// Fills the templates.
pub(crate) struct Texts<'a> {
    /// Where the programs are.
    pub(crate) layout: &'a Layout,
    /// Whom the services run as.
    pub(crate) user: &'a str,
    /// The user's group.
    pub(crate) group: &'a str,
    /// What the configuration in force asks for.
    pub(crate) needs: &'a Needs,
}

impl Texts<'_> {
    /// The unit of the sensor.
    pub(crate) fn sensor(&self) -> String {
        self.fill(SENSOR)
    }

    /// The unit of the server.
    pub(crate) fn server(&self) -> String {
        self.fill(SERVER)
    }

    /// The unit of the update.
    pub(crate) fn update(&self) -> String {
        self.fill(UPDATE)
    }

    /// What starts the update.
    pub(crate) fn timer(&self) -> String {
        self.fill(TIMER)
    }

    /// The rotation of `error.log`.
    pub(crate) fn logrotate(&self) -> String {
        self.fill(LOGROTATE)
    }

    /// The cron line; `seed` decides the moment, between midnight and six.
    pub(crate) fn cron(&self, seed: u16) -> String {
        self.fill(CRON)
            .replace("@MINUTE@", &(seed % 60).to_string())
            .replace("@HOUR@", &(seed / 60 % 6).to_string())
    }

    fn fill(&self, template: &str) -> String {
        let rights = if self.needs.low_port {
            "# A port below 1024 is configured.\n\
             AmbientCapabilities=CAP_NET_BIND_SERVICE\n\
             CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        } else {
            "# No right at all.\nCapabilityBoundingSet="
        };
        let writable: String = self
            .needs
            .writable
            .iter()
            .map(|path| format!("ReadWritePaths=-\"{}\"\n", escaped(path)))
            .collect();
        template
            .replace("@COMMON@", HARDENING)
            .replace("Group=@USER@", &format!("Group={}", self.group))
            .replace(
                "su @USER@ @USER@",
                &format!("su {} {}", self.user, self.group),
            )
            .replace(
                "create 0640 @USER@ @USER@",
                &format!("create 0640 {} {}", self.user, self.group),
            )
            .replace("@USER@", self.user)
            .replace("@SERVER_RIGHTS@", rights)
            .replace("@WRITABLE@", &writable)
            .replace("@LIB@", &self.layout.lib().display().to_string())
            .replace("@CONF@", CONFIG)
            .replace("@STATE@", STATE)
            .replace("@LOGS@", LOGS)
    }
}

/// A path within quotes of a unit: `%` names a specifier there. Control characters cannot stand in a line.
fn escaped(path: &Path) -> String {
    let text = path.display().to_string();
    text.chars()
        .filter(|letter| !letter.is_control())
        .map(|letter| match letter {
            '%' => "%%".to_owned(),
            '"' | '\\' => format!("\\{letter}"),
            letter => letter.to_string(),
        })
        .collect()
}

/// The shipped configuration with the folders of an installation, so that sensor, server and update agree.
///
/// # Errors
/// When the shipped file lacks a line that is to be replaced, which is a fault of this program.
pub(crate) fn configuration() -> anyhow::Result<String> {
    let mut text = shipped_file();
    for (name, value) in [
        ("LOG_DIR", LOGS),
        ("TRAILS_FILE", TRAILS),
        ("CUSTOM_TRAILS_DIR", CUSTOM_DIR),
    ] {
        let is_line = |line: &str| {
            line.trim_start_matches('#')
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        };
        let old = text.lines().find(|line| is_line(line));
        let old = old.with_context(|| format!("the shipped file has no line `{name}`"))?;
        text = text.replacen(&format!("\n{old}\n"), &format!("\n{name} {value}\n"), 1);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(needs: &Needs, check: impl FnOnce(&Texts<'_>)) {
        let layout = Layout::new(Path::new("/usr/local")).expect("layout");
        check(&Texts {
            layout: &layout,
            user: "trail",
            group: "trails",
            needs,
        });
    }

    #[test]
    fn the_installed_configuration_names_the_folders_of_the_installation() {
        let text = configuration().expect("text");
        let environment = Environment {
            memory_bytes: 8 << 30,
            cores: 4,
            ..Environment::default()
        };
        let (config, messages) =
            Config::parse(&text, "x", Path::new("/etc/maltrail"), &environment).expect("valid");
        assert_eq!(messages, []);
        assert_eq!(config.log_dir, Path::new(LOGS));
        assert_eq!(config.trails.file, Path::new(TRAILS));
        assert_eq!(config.trails.custom_dir, Path::new(CUSTOM_DIR));
        let shipped = shipped_file();
        let changed = text.lines().zip(shipped.lines());
        assert_eq!(changed.filter(|(new, old)| new != old).count(), 3);
        assert_eq!(text.lines().count(), shipped.lines().count());
        assert_eq!(Needs::of(&text).expect("valid"), Needs::default());
    }

    #[test]
    fn templates_are_filled() {
        texts(&Needs::default(), |texts| {
            let sensor = texts.sensor();
            for line in [
                "User=trail",
                "Group=trails",
                "Type=exec",
                "UMask=0027",
                "ExecStartPre=/usr/local/lib/maltrail/sensor -T -c /etc/maltrail/maltrail.conf",
                "AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN",
                "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN",
                "ProtectSystem=strict",
                "TimeoutStopSec=30",
            ] {
                assert!(
                    sensor.lines().any(|known| known == line),
                    "{line}\n{sensor}"
                );
            }
            let server = texts.server();
            assert!(server.contains("\nCapabilityBoundingSet=\n"));
            assert!(!server.contains("AmbientCapabilities"));
            assert!(texts.cron(0).contains("\n0 0 * * * trail "));
            assert!(texts.cron(359).contains("\n59 5 * * * trail "));
            assert!(texts.cron(u16::MAX).contains("\n15 0 * * * trail "));
            assert!(texts.logrotate().contains("create 0640 trail trails"));
            for text in [
                sensor,
                server,
                texts.update(),
                texts.timer(),
                texts.logrotate(),
                texts.cron(7),
            ] {
                assert!(
                    !text.contains('@') || text.contains("@system-service"),
                    "{text}"
                );
                assert_eq!(
                    text.matches('@').count(),
                    text.matches("@system-service").count()
                );
                assert!(!text.contains("ReadWritePaths"));
            }
        });
    }

    #[test]
    fn units_follow_the_configuration_that_is_kept() {
        let text = "LOG_DIR /srv/my logs/100%\nTRAILS_FILE ~/.maltrail/trails.csv\nHTTP_PORT 443\n\
                    MONITOR_INTERFACE any\nUPDATE_PERIOD 86400\n";
        let needs = Needs::of(text).expect("valid");
        assert_eq!(needs.writable, [PathBuf::from("/srv/my logs/100%")]);
        assert!(needs.low_port);
        texts(&needs, |texts| {
            assert!(
                texts
                    .server()
                    .contains("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n")
            );
            assert!(!texts.sensor().contains("CAP_NET_BIND_SERVICE"));
            let line = "\nReadWritePaths=-\"/srv/my logs/100%%\"\nProtectSystem=strict\n";
            assert!(texts.sensor().contains(line) && texts.update().contains(line));
        });
        assert!(Needs::of("HTTP_PORT x\n").is_err());
    }
}
