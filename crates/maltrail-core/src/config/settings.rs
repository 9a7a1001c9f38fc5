//! Raw settings + environment + defaults → one checked value per option, each with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::check::check;
use super::diagnose::{Level, Message};
use super::options::{self, Kind, OPTIONS};
use super::parse::{self, RawSetting, RawValue};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Line of the configuration file.
    File(usize),
    /// `MALTRAIL_<NAME>`.
    Environment,
    /// The table.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(line) => write!(f, "line {line}"),
            Self::Environment => f.write_str("environment"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value with its origin. Lists are items; a scalar is one item; unset is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value's items.
    pub items: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What the process knows beside the file. Plain data, so that tests can state it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The host's name.
    pub host_name: String,
    /// Home folder, for `~`.
    pub home: PathBuf,
    /// Current directory.
    pub current_dir: PathBuf,
    /// Memory of the machine in bytes, for percentages.
    pub memory_bytes: u64,
    /// Processor cores.
    pub cores: u32,
}

impl Environment {
    /// Of the running process. The only place of this crate that asks the system.
    pub fn of_process() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let memory_kib = read("/proc/meminfo").lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        });
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let host = read("/proc/sys/kernel/hostname").trim().to_owned();
        Self {
            home: variables
                .get("HOME")
                .map_or_else(|| PathBuf::from("/"), PathBuf::from),
            variables,
            host_name: if host.is_empty() {
                "localhost".to_owned()
            } else {
                host
            },
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            memory_bytes: memory_kib.unwrap_or(1024 * 1024) * 1024,
            cores: std::thread::available_parallelism()
                .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1)),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// All options, checked. Reading one is by its name; a name that is not in the table is a
/// programming error and reads as unset.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
}

impl Settings {
    /// Reads `text` of the file called `place`, lets the environment override it and fills in the
    /// defaults. Messages of level error mean that the settings must not be used.
    pub fn read(
        text: &str,
        place: &str,
        root: &Path,
        environment: &Environment,
    ) -> (Self, Vec<Message>) {
        let (raw, mut messages) = parse::parse(text, place);
        let mut settings = Self::default();
        for setting in raw {
            settings.take(setting, place, &mut messages);
        }
        settings.override_from(environment, &mut messages);
        for option in OPTIONS {
            settings
                .values
                .entry(option.name.to_owned())
                .or_insert_with(|| Setting {
                    items: if option.default.is_empty() {
                        Vec::new()
                    } else {
                        vec![option.default.to_owned()]
                    },
                    origin: Origin::Default,
                });
        }
        for (name, setting) in &mut settings.values {
            let Some(option) = options::find(name) else {
                continue;
            };
            if !matches!(option.kind, Kind::Block) {
                for item in &mut setting.items {
                    *item = expand_variables(item, root, environment);
                }
            }
            check(option, setting, place, environment, &mut messages);
        }
        (settings, messages)
    }

    fn take(&mut self, raw: RawSetting, place: &str, messages: &mut Vec<Message>) {
        let RawSetting { name, value, line } = raw;
        let mut say = |level, text: String| {
            messages.push(Message {
                level,
                place: place.to_owned(),
                line: Some(line),
                option: Some(name.clone()),
                text,
            });
        };
        let Some(kind) = options::find(&name)
            .map(|option| option.kind)
            .or_else(|| options::in_family(&name).then_some(Kind::Block))
        else {
            let hint = options::nearest(&name)
                .map_or_else(String::new, |known| format!("; did you mean {known}?"));
            say(Level::Warning, format!("unknown option{hint}"));
            return;
        };
        let several = matches!(
            kind,
            Kind::Block | Kind::Networks | Kind::Words | Kind::Endpoints | Kind::Receivers
        );
        let items = match value {
            RawValue::Scalar(text) if text.is_empty() => Vec::new(),
            RawValue::Scalar(text) => vec![text],
            RawValue::Block(items) if several || items.len() <= 1 => {
                if items.is_empty() && !several {
                    say(
                        Level::Warning,
                        "no value; write `NAME value` on one line".to_owned(),
                    );
                }
                items
            }
            RawValue::Block(items) => {
                say(
                    Level::Error,
                    format!("takes one value, got {} indented lines", items.len()),
                );
                return;
            }
        };
        self.values.insert(
            name,
            Setting {
                items,
                origin: Origin::File(line),
            },
        );
    }

    fn override_from(&mut self, environment: &Environment, messages: &mut Vec<Message>) {
        for (variable, value) in &environment.variables {
            let Some(name) = variable
                .strip_prefix("MALTRAIL_")
                .filter(|_| !value.is_empty())
            else {
                continue;
            };
            if ["ROOT", "CONFIG", "DREI"].contains(&name) {
                continue;
            }
            let known = options::find(name);
            if known.is_none() && !options::in_family(name) {
                messages.push(Message {
                    level: Level::Warning,
                    place: "environment".to_owned(),
                    line: None,
                    option: Some(variable.clone()),
                    text: "unknown option".to_owned(),
                });
                continue;
            }
            let items = if known.is_none_or(|option| option.kind == Kind::Block) {
                value
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .filter(|line| !line.is_empty())
                    .collect()
            } else {
                vec![value.trim().to_owned()]
            };
            self.values.insert(
                name.to_owned(),
                Setting {
                    items,
                    origin: Origin::Environment,
                },
            );
        }
    }

    /// Every option with its setting, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values
            .iter()
            .map(|(name, setting)| (name.as_str(), setting))
    }

    /// The setting of an option.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.values.get(name)
    }

    /// Where an option's value comes from.
    pub fn origin(&self, name: &str) -> Origin {
        self.get(name)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// The value as text; `None` when unset.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?
            .items
            .first()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// The items of a block.
    pub fn items(&self, name: &str) -> &[String] {
        self.get(name).map_or(&[], |setting| &setting.items)
    }

    /// The words of a list, whether written in one line or indented.
    pub fn words(&self, name: &str) -> Vec<String> {
        self.items(name)
            .iter()
            .flat_map(|item| split_words(item))
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        self.text(name).and_then(parse_bool).unwrap_or_default()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        let value = self.text(name)?.parse().ok()?;
        match options::find(name)?.kind {
            Kind::Int { min, max, .. } => Some(Ord::clamp(value, min, max)),
            _ => Some(value),
        }
    }

    pub(super) fn float(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn size(&self, name: &str, environment: &Environment) -> Option<u64> {
        parse_size(self.text(name)?, environment.memory_bytes)
    }

    /// The canonical word of a choice.
    pub(super) fn choice(&self, name: &str) -> &'static str {
        let text = self.text(name).unwrap_or_default();
        match options::find(name).map(|option| option.kind) {
            Some(Kind::Choice(words)) => {
                canonical(words, text).unwrap_or_else(|| words.first().map_or("", |word| word.0))
            }
            _ => "",
        }
    }
}

/// Splits at commas, semicolons and blanks.
pub fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t'])
        .filter(|word| !word.is_empty())
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(super) fn canonical(
    words: &'static [(&'static str, &'static [&'static str])],
    text: &str,
) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    words
        .iter()
        .find(|(word, others)| *word == text || others.contains(&text.as_str()))
        .map(|(word, _)| *word)
}

/// `100`, `64kB`, `10 MB`, `1g`, `10%`.
pub(super) fn parse_size(text: &str, memory_bytes: u64) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "%" if number <= 100 => return Some(memory_bytes / 100 * number),
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `host:port` or `[v6]:port` with a port of 1-65535.
pub fn split_endpoint(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let port: u16 = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten()?;
    (!host.is_empty()
        && port > 0
        && (bracketed || !host.contains(':'))
        && !host.contains(char::is_whitespace))
    .then_some((host, port))
}

fn expand_variables(text: &str, root: &Path, environment: &Environment) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let name_end = after
            .bytes()
            .skip(1)
            .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
            .count()
            + 1;
        let (variable, tail) = after.split_at(name_end);
        let name = &variable[1..];
        let built_in = match name {
            "HOSTNAME" => Some(environment.host_name.clone()),
            "SYSTEM_LOG_DIR" => Some("/var/log".to_owned()),
            "ROOT_DIR" => Some(root.display().to_string()),
            "HTML_DIR" => Some(root.join("html").display().to_string()),
            "USERS_DIR" => Some(environment.home.join(".maltrail").display().to_string()),
            "NAME" => Some("Maltrail".to_owned()),
            "VERSION" => Some(crate::VERSION.to_owned()),
            "CPU_CORES" => Some(environment.cores.to_string()),
            _ => environment.variable(name).map(str::to_owned),
        };
        out.push_str(built_in.as_deref().unwrap_or(variable));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            host_name: "box".into(),
            home: "/home/u".into(),
            current_dir: "/cwd".into(),
            memory_bytes: 1 << 30,
            cores: 8,
            ..Environment::default()
        }
    }

    fn messages(text: &str) -> Vec<String> {
        let (_, messages) =
            Settings::read(text, "maltrail.conf", Path::new("/opt/m"), &environment());
        messages.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wrong_values_are_named_with_line_and_remedy() {
        for (text, wanted) in [
            (
                "\nHTTP_PORT 8338x",
                "maltrail.conf:2: HTTP_PORT: `8338x` is not a port (1-65535)",
            ),
            (
                "HTTP_PORT 0",
                "maltrail.conf:1: HTTP_PORT: `0` is not a port (1-65535)",
            ),
            (
                "HTTP_PORT 99999",
                "maltrail.conf:1: HTTP_PORT: `99999` is not a port (1-65535)",
            ),
            (
                "HTP_PORT 1",
                "maltrail.conf:1: HTP_PORT: unknown option; did you mean HTTP_PORT?",
            ),
            (
                "USE_HEURISTICS maybe",
                "maltrail.conf:1: USE_HEURISTICS: `maybe` is not a switch (true or false)",
            ),
            (
                "SCAN_WINDOW 9999",
                "maltrail.conf:1: SCAN_WINDOW: 9999 is out of range (1..=3600), using 3600",
            ),
            (
                "UPDATE_PERIOD 0",
                "maltrail.conf:1: UPDATE_PERIOD: 0 is out of range (1 to 31536000)",
            ),
            (
                "CAPTURE_BUFFER lots",
                "maltrail.conf:1: CAPTURE_BUFFER: `lots` is not a size (bytes, or with kB, MB, GB, or a percentage such as 10%)",
            ),
            (
                "LOG_FORMAT xml",
                "maltrail.conf:1: LOG_FORMAT: `xml` is not one of: line, json, both",
            ),
            (
                "LOG_SERVER 192.0.2.1",
                "maltrail.conf:1: LOG_SERVER: `192.0.2.1` is not `host:port`, such as 192.0.2.1:8337",
            ),
            (
                "SYSLOG_SERVER a:514, b",
                "maltrail.conf:1: SYSLOG_SERVER: `b` is not `host:port`, also with udp5424://, tcp:// or tls:// in front",
            ),
            (
                "HOME_NETWORKS 10.0.0.0/8, ten",
                "maltrail.conf:1: HOME_NETWORKS: `ten` is not an address or network",
            ),
            (
                "USE_SSL maybe",
                "maltrail.conf:1: USE_SSL: `maybe` is not one of: auto, true, false",
            ),
            (
                "HTTP_PORT\n  1\n  2",
                "maltrail.conf:1: HTTP_PORT: takes one value, got 2 indented lines",
            ),
        ] {
            assert_eq!(messages(text), [wanted], "{text:?}");
        }
        assert!(
            messages("IGNORE_EVENTS_REGEX (x")[0].starts_with(
                "maltrail.conf:1: IGNORE_EVENTS_REGEX: the expression does not compile"
            )
        );
    }

    #[test]
    fn the_shipped_file_and_the_defaults_are_without_fault() {
        assert_eq!(messages(&options::shipped_file()), Vec::<String>::new());
        assert_eq!(messages(""), Vec::<String>::new());
    }

    #[test]
    fn the_environment_wins_also_over_absent_options_and_blocks() {
        let mut environment = environment();
        environment.variables = [
            ("MALTRAIL_HTTP_PORT", "99"),
            ("MALTRAIL_SENSOR_NAME", "env"),
            ("MALTRAIL_USERS", "a:b:0:\nc:d:0:"),
            ("MALTRAIL_ROOT", "/x"),
            ("MALTRAIL_TYPO", "1"),
            ("MALTRAIL_LOG_DIR", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let (settings, messages) =
            Settings::read("HTTP_PORT 1\nLOG_DIR /l", "f", Path::new("/"), &environment);
        assert_eq!(settings.text("HTTP_PORT"), Some("99"));
        assert_eq!(settings.origin("HTTP_PORT"), Origin::Environment);
        assert_eq!(settings.text("SENSOR_NAME"), Some("env"));
        assert_eq!(settings.items("USERS").len(), 2);
        assert_eq!(
            settings.text("LOG_DIR"),
            Some("/l"),
            "an empty variable does not count"
        );
        assert_eq!(messages.len(), 1);
        assert_eq!(
            messages[0].to_string(),
            "environment: MALTRAIL_TYPO: unknown option"
        );
    }

    #[test]
    fn variables_are_replaced_and_unknown_ones_left() {
        let mut environment = environment();
        environment.variables.insert("SITE".into(), "hq".into());
        let text = "LOG_DIR $SYSTEM_LOG_DIR/m\nSENSOR_NAME $HOSTNAME-$SITE-$lower-${X}-$NOPE-$\n";
        let (settings, _) = Settings::read(text, "f", Path::new("/"), &environment);
        assert_eq!(settings.text("LOG_DIR"), Some("/var/log/m"));
        assert_eq!(
            settings.text("SENSOR_NAME"),
            Some("box-hq-$lower-${X}-$NOPE-$")
        );
    }

    #[test]
    fn the_last_of_several_wins() {
        let (settings, _) = Settings::read(
            "HTTP_PORT 1\nHTTP_PORT 2\n",
            "f",
            Path::new("/"),
            &environment(),
        );
        assert_eq!(
            (settings.text("HTTP_PORT"), settings.origin("HTTP_PORT")),
            (Some("2"), Origin::File(2))
        );
    }

    #[test]
    fn sizes_have_units() {
        for (text, wanted) in [
            ("100", Some(100)),
            ("64kB", Some(65_536)),
            ("10 MB", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("10%", Some(((1u64 << 30) / 100) * 10)),
            ("101%", None),
            ("", None),
            ("x", None),
            ("99999999999999GB", None),
        ] {
            assert_eq!(parse_size(text, 1 << 30), wanted, "{text}");
        }
    }
}
