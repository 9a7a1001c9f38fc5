//! Settings → the typed configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::diagnose::{Level, Message};
use super::options;
use super::receiver::Receiver;
use super::settings::{Environment, Settings, split_words};
use super::typed::{
    CaptureConfig, Config, DdosConfig, DetectConfig, JsonProfile, LogFormat, LogServerFormat,
    OutputConfig, ServerConfig, SslMode, ThrottleMode, TimestampSource, TrailsConfig, Workers,
};
use super::users::UserEntry;
use crate::addr::{NetworkSet, parse_ip, parse_net};
use crate::event::RemoteSeverity;
use crate::limits::CONFIG_BYTES;

/// Why no configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("missing configuration file `{}` (name one with -c FILE)", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("unable to read configuration file `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds mistakes; all of them are listed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Message>),
}

impl Config {
    /// Where the file is: as given, else `$MALTRAIL_CONFIG`, else `maltrail.conf` beside the program or
    /// above it, else in the current folder.
    #[must_use]
    pub fn locate(given: Option<&Path>, environment: &Environment) -> PathBuf {
        let named = || environment.variable("MALTRAIL_CONFIG").map(PathBuf::from);
        let beside = || {
            let program = std::env::current_exe().ok()?;
            let folders = program.ancestors().skip(1);
            folders
                .map(|folder| folder.join("maltrail.conf"))
                .find(|path| path.is_file())
        };
        given
            .map(Path::to_owned)
            .or_else(named)
            .or_else(beside)
            .unwrap_or_else(|| PathBuf::from("maltrail.conf"))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is missing, unreadable, larger than 16 MiB or holds a mistake that cannot be passed
    /// over. Warnings and notes come beside the result.
    pub fn load(
        path: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Message>), ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable {
                path: path.to_owned(),
                source: error,
            },
        })?;
        if bytes.len() > CONFIG_BYTES {
            let error = std::io::Error::other(format!("larger than {CONFIG_BYTES} bytes"));
            return Err(ConfigError::Unreadable {
                path: path.to_owned(),
                source: error,
            });
        }
        let folder = environment.current_dir.join(path);
        let folder = folder
            .parent()
            .map_or_else(|| environment.current_dir.clone(), Path::to_path_buf);
        let root = environment
            .variables
            .get("MALTRAIL_ROOT")
            .map_or(folder, PathBuf::from);
        Self::parse(
            &String::from_utf8_lossy(&bytes),
            &path.display().to_string(),
            &root,
            environment,
        )
    }

    /// Reads the text of a file called `place`; relative folders stand in `root`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every mistake.
    pub fn parse(
        text: &str,
        place: &str,
        root: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Message>), ConfigError> {
        let (settings, mut messages) = Settings::read(text, place, root, environment);
        let config = Self::build(settings, place, root, environment, &mut messages);
        if messages.iter().any(|message| message.level == Level::Error) {
            messages.retain(|message| message.level == Level::Error);
            return Err(ConfigError::Invalid(messages));
        }
        Ok((config, messages))
    }

    fn build(
        settings: Settings,
        place: &str,
        root: &Path,
        environment: &Environment,
        messages: &mut Vec<Message>,
    ) -> Self {
        let mut reader = Reader {
            settings: &settings,
            place,
            root,
            environment,
            messages,
        };
        let server = ServerConfig::build(&mut reader);
        let capture = CaptureConfig::build(&mut reader);
        let detect = DetectConfig::build(&reader);
        let output = OutputConfig::build(&mut reader);
        let trails = TrailsConfig::build(&mut reader);
        Self {
            log_dir: reader.dir("LOG_DIR"),
            home_networks: NetworkSet::new(reader.networks("HOME_NETWORKS")),
            proxy: reader.owned("PROXY_ADDRESS"),
            show_debug: settings.bool("SHOW_DEBUG"),
            disable_check_sudo: settings.bool("DISABLE_CHECK_SUDO"),
            root: root.to_owned(),
            server,
            capture,
            detect,
            output,
            trails,
            settings,
        }
    }
}

/// Settings with what turns them into typed values.
struct Reader<'a> {
    settings: &'a Settings,
    place: &'a str,
    root: &'a Path,
    environment: &'a Environment,
    messages: &'a mut Vec<Message>,
}

impl Reader<'_> {
    fn say(&mut self, level: Level, option: &str, text: String) {
        let line = match self.settings.origin(option) {
            super::Origin::File(line) => Some(line),
            _ => None,
        };
        let place = self.place.to_owned();
        self.messages.push(Message {
            level,
            place,
            line,
            option: Some(option.to_owned()),
            text,
        });
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.settings.text(name).map(str::to_owned)
    }

    fn number<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        self.settings
            .int(name)
            .and_then(|value| T::try_from(value).ok())
            .unwrap_or_default()
    }

    fn networks(&self, name: &str) -> Vec<IpNet> {
        let words = self.settings.words(name);
        words
            .iter()
            .filter_map(|word| parse_net(word).or_else(|| parse_ip(word).map(IpNet::from)))
            .collect()
    }

    fn path(&self, name: &str, base: &Path) -> Option<PathBuf> {
        let text = self.settings.text(name)?;
        let expanded = match text.strip_prefix('~') {
            Some(rest) => self.environment.home.join(rest.trim_start_matches('/')),
            None => PathBuf::from(text),
        };
        Some(base.join(expanded))
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.path(name, &self.environment.current_dir)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.path(name, self.root)
            .unwrap_or_else(|| self.root.to_owned())
    }

    /// A file that must exist once it is named. A comma marks the list form of old versions.
    fn list_file(&mut self, name: &str) -> Option<PathBuf> {
        let text = self.settings.text(name)?.to_owned();
        if text.contains(',') {
            self.say(
                Level::Warning,
                name,
                "names a file, not a list of entries; not used".to_owned(),
            );
            return None;
        }
        // compat: the server resolves it against the current directory, the sensor against the root.
        let path = [self.environment.current_dir.as_path(), self.root]
            .iter()
            .filter_map(|base| self.path(name, base))
            .find(|path| path.is_file());
        if path.is_none() {
            self.say(Level::Error, name, format!("missing file `{text}`"));
        }
        path
    }
}

impl ServerConfig {
    fn build(reader: &mut Reader<'_>) -> Self {
        let settings = reader.settings;
        let mut users = Vec::new();
        for item in settings.items("USERS") {
            match UserEntry::parse(item) {
                Ok(user) => users.push(user),
                Err(error) => reader.say(Level::Error, "USERS", error.to_string()),
            }
        }
        let udp = match (reader.owned("UDP_ADDRESS"), settings.int("UDP_PORT")) {
            (Some(address), Some(port)) => Some((address, u16::try_from(port).unwrap_or_default())),
            (None, None) => None,
            (Some(_), None) => {
                reader.say(
                    Level::Error,
                    "UDP_ADDRESS",
                    "needs UDP_PORT as well".to_owned(),
                );
                None
            }
            (None, Some(_)) => {
                reader.say(
                    Level::Error,
                    "UDP_PORT",
                    "needs UDP_ADDRESS as well".to_owned(),
                );
                None
            }
        };
        let home = match (settings.float("HOME_LAT"), settings.float("HOME_LON")) {
            (Some(lat), Some(lon)) => Some((lat, lon)),
            (None, None) => None,
            _ => {
                reader.say(
                    Level::Warning,
                    "HOME_LAT",
                    "HOME_LAT and HOME_LON are needed both; not used".to_owned(),
                );
                None
            }
        };
        let ssl_pem = reader.file("SSL_PEM");
        if let Some(missing) = ssl_pem.as_ref().filter(|path| !path.is_file()) {
            reader.say(
                Level::Error,
                "SSL_PEM",
                format!("missing file `{}`", missing.display()),
            );
        }
        Self {
            http_address: reader.owned("HTTP_ADDRESS"),
            http_port: reader.number("HTTP_PORT"),
            use_ssl: match settings.choice("USE_SSL") {
                "true" => SslMode::On,
                "false" => SslMode::Off,
                _ => SslMode::Auto,
            },
            ssl_pem,
            hsts: settings.bool("ENABLE_HSTS"),
            users,
            mask_custom: settings.bool("ENABLE_MASK_CUSTOM"),
            reopen_resolved: settings.bool("REOPEN_RESOLVED"),
            legacy_login: settings.bool("ENABLE_LEGACY_LOGIN"),
            allow_anonymous: settings.bool("ALLOW_ANONYMOUS"),
            trusted_proxies: reader.networks("TRUSTED_PROXIES"),
            udp,
            udp_allowlist: NetworkSet::new(reader.networks("UDP_ALLOWLIST")),
            udp_key: reader.owned("UDP_KEY"),
            update_trails: settings.bool("USE_SERVER_UPDATE_TRAILS"),
            max_requests: reader.number("MAX_REQUEST_THREADS"),
            max_streams: reader.number("MAX_LIVE_STREAMS"),
            hunt_budget_ms: (settings.float("HUNT_TIME_BUDGET").unwrap_or(10.0) * 1000.0) as u64,
            ip_aliases: aliases(settings.items("IP_ALIASES")),
            header_logo: reader.owned("HEADER_LOGO"),
            home,
            index_max_bytes: settings
                .size("INDEX_MAX_SIZE", reader.environment)
                .unwrap_or(u64::MAX),
            retention_days: reader.number("RETENTION_DAYS"),
            compress_after_days: reader.number("COMPRESS_AFTER_DAYS"),
            disable_ripe: settings.bool("DISABLE_RIPE_LOOKUPS"),
        }
    }
}

/// `address:label`; the address may be IPv6, so the last colon that leaves an address counts.
fn aliases(items: &[String]) -> Vec<(String, String)> {
    let known = |key: &str| {
        parse_ip(key).is_some()
            || parse_net(key).is_some()
            || key
                .split_once('-')
                .is_some_and(|(a, b)| parse_ip(a.trim()).is_some() && parse_ip(b.trim()).is_some())
    };
    items
        .iter()
        .filter_map(|item| {
            let cut = item
                .match_indices(':')
                .map(|(at, _)| at)
                .find(|&at| known(item[..at].trim()));
            let at = cut.or_else(|| item.find(':'))?;
            Some((
                item[..at].trim().to_owned(),
                item[at + 1..].trim().to_owned(),
            ))
        })
        .collect()
}

impl CaptureConfig {
    fn build(reader: &mut Reader<'_>) -> Self {
        let settings = reader.settings;
        let mut filter = reader.owned("CAPTURE_FILTER").unwrap_or_default();
        if squeeze(&filter) == squeeze(options::REFERENCE_CAPTURE_FILTER) {
            reader.say(
                Level::Note,
                "CAPTURE_FILTER",
                "the old shipped filter hides IPv6, VLANs and most TCP from detection; treated as empty".to_owned(),
            );
            filter.clear();
        }
        const MIB: u64 = 1 << 20;
        let buffer_bytes = settings
            .size("CAPTURE_BUFFER_SIZE", reader.environment)
            .map_or_else(
                || {
                    let buffer = settings
                        .size("CAPTURE_BUFFER", reader.environment)
                        .unwrap_or(64 * MIB);
                    buffer.clamp(64 * MIB, 256 * MIB)
                },
                |size| size.clamp(4 * MIB, 1024 * MIB),
            );
        let interfaces = settings.words("MONITOR_INTERFACE");
        Self {
            interfaces: if interfaces.is_empty() {
                vec!["any".to_owned()]
            } else {
                interfaces
            },
            filter,
            snaplen: reader.number("CAPTURE_SNAPLEN"),
            timeout_ms: reader.number("CAPTURE_TIMEOUT"),
            immediate: settings.bool("CAPTURE_IMMEDIATE"),
            buffer_bytes,
            workers: workers(settings, reader.environment),
            fanout_group: settings
                .int("CAPTURE_FANOUT_GROUP")
                .map(|group| (group & 0xffff) as u16),
            timestamps: match settings.choice("OFFLINE_TIMESTAMPS") {
                "wallclock" => TimestampSource::WallClock,
                _ => TimestampSource::Pcap,
            },
            run_as: reader.owned("RUN_AS"),
        }
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

fn workers(settings: &Settings, environment: &Environment) -> Workers {
    let exact = ["CAPTURE_WORKERS", "CAPTURE_FANOUT"]
        .iter()
        .find_map(|name| {
            let text = settings.text(name)?;
            Some(text.parse::<u32>().unwrap_or(environment.cores))
        });
    match (exact, settings.int("PROCESS_COUNT")) {
        (Some(count), _) if count > 0 => Workers::Exactly(count),
        (_, Some(count)) => Workers::AtMost(u32::try_from(count).unwrap_or(1)),
        _ => Workers::PerCore,
    }
}

impl DetectConfig {
    fn build(reader: &Reader<'_>) -> Self {
        let settings = reader.settings;
        Self {
            sensor_name: reader
                .owned("SENSOR_NAME")
                .unwrap_or_else(|| reader.environment.host_name.clone()),
            heuristics: settings.bool("USE_HEURISTICS"),
            disabled_heuristics: lower_words(settings, "DISABLED_HEURISTICS"),
            scan_window_secs: reader.number("SCAN_WINDOW"),
            check_certificates: settings.bool("CHECK_TLS_CERTIFICATES"),
            check_sni: settings.bool("CHECK_TLS_SNI"),
            check_missing_host: settings.bool("CHECK_MISSING_HOST"),
            check_host_domains: settings.bool("CHECK_HOST_DOMAINS"),
            domain_cache_entries: reader.number("DOMAIN_CACHE_ENTRIES"),
            ddos: DdosConfig {
                min_pps: reader.number("DDOS_MIN_PPS"),
                http_rps: reader.number("DDOS_HTTP_RPS"),
                baseline_factor: reader.number("DDOS_BASELINE_FACTOR"),
                quiet_secs: reader.number("DDOS_QUIET"),
            },
        }
    }
}

fn lower_words(settings: &Settings, name: &str) -> Vec<String> {
    settings
        .words(name)
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect()
}

impl OutputConfig {
    fn build(reader: &mut Reader<'_>) -> Self {
        let settings = reader.settings;
        let remote_severity = RemoteSeverity::new(settings.text("REMOTE_SEVERITY_REGEX"))
            .unwrap_or_else(|error| {
                reader.say(
                    Level::Error,
                    "REMOTE_SEVERITY_REGEX",
                    format!("the expression does not compile: {error}"),
                );
                RemoteSeverity::default()
            });
        let syslog_ca = reader.file("SYSLOG_CA");
        if let Some(missing) = syslog_ca.as_ref().filter(|path| !path.is_file()) {
            let text = format!("missing file `{}`", missing.display());
            reader.say(Level::Error, "SYSLOG_CA", text);
        }
        let format = match settings.choice("LOG_FORMAT") {
            "json" => LogFormat::Json,
            "both" => LogFormat::Both,
            _ => LogFormat::Line,
        };
        if format == LogFormat::Json {
            let text =
                "a server on this machine reads DATE.log, which `json` does not write; `both` does"
                    .to_owned();
            reader.say(Level::Warning, "LOG_FORMAT", text);
        }
        Self {
            disable_local: settings.bool("DISABLE_LOCAL_LOG_STORAGE"),
            format,
            json_profile: match settings.choice("LOG_JSON_PROFILE") {
                "eve" => JsonProfile::Eve,
                "ecs" => JsonProfile::Ecs,
                _ => JsonProfile::Maltrail,
            },
            host_name: reader.environment.host_name.clone(),
            log_servers: settings.words("LOG_SERVER"),
            log_server_format: match settings.choice("LOG_SERVER_FORMAT") {
                "json" => LogServerFormat::Json,
                _ => LogServerFormat::Line,
            },
            syslog_servers: settings
                .words("SYSLOG_SERVER")
                .iter()
                .filter_map(|word| Receiver::parse(word))
                .collect(),
            syslog_ca,
            logstash_servers: settings.words("LOGSTASH_SERVER"),
            remote_severity,
            throttle: match settings.choice("EVENT_THROTTLE_MODE") {
                "legacy" => ThrottleMode::Legacy,
                "off" => ThrottleMode::Off,
                _ => ThrottleMode::Summarize,
            },
            throttle_window_secs: reader.number("EVENT_THROTTLE_WINDOW"),
            throttle_burst: reader.number("EVENT_THROTTLE_BURST"),
            throttle_max_keys: reader.number("EVENT_THROTTLE_MAX_KEYS"),
            condensed_store: settings.bool("USE_CONDENSED_STORAGE"),
            ignore_list: reader.list_file("USER_IGNORELIST"),
            ignore_regex: reader
                .owned("IGNORE_EVENTS_REGEX")
                .filter(|text| fancy_regex::Regex::new(text).is_ok()),
            stats_address: settings
                .text("STATS_ADDRESS")
                .and_then(|text| text.parse().ok()),
            metrics_interval_secs: reader.number("METRICS_INTERVAL"),
        }
    }
}

impl TrailsConfig {
    fn build(reader: &mut Reader<'_>) -> Self {
        let settings = reader.settings;
        let urls = settings.text("CUSTOM_TRAILS_URL").unwrap_or_default();
        Self {
            file: reader
                .file("TRAILS_FILE")
                .unwrap_or_else(|| reader.environment.home.join(".maltrail/trails.csv")),
            custom_dir: reader.dir("CUSTOM_TRAILS_DIR"),
            custom_urls: split_words(urls).map(str::to_owned).collect(),
            feed_updates: settings.bool("USE_FEED_UPDATES"),
            disabled_feeds: lower_words(settings, "DISABLED_FEEDS"),
            enabled_feeds: lower_words(settings, "ENABLED_FEEDS"),
            custom_feeds: reader.list_file("CUSTOM_FEEDS_FILE").or_else(|| {
                let beside = reader.root.join("feeds.toml");
                beside.is_file().then_some(beside)
            }),
            feed_keys: feed_keys(settings),
            home_networks: NetworkSet::new(reader.networks("HOME_NETWORKS")),
            ip_minimum_feeds: reader.number("IP_MINIMUM_FEEDS"),
            disabled_info: reader.owned("DISABLED_TRAILS_INFO_REGEX"),
            update_period_secs: reader.number("UPDATE_PERIOD"),
            update_server: reader.owned("UPDATE_SERVER"),
            update_server_token: reader.owned("UPDATE_SERVER_TOKEN"),
            disable_updates: settings.bool("DISABLE_TRAIL_UPDATES"),
            repair_truncated: settings.bool("REPAIR_TRUNCATED_TRAILS"),
            allow_empty: settings.bool("ALLOW_EMPTY_TRAILS"),
            reload_min_ratio: settings.float("TRAIL_RELOAD_MIN_RATIO").unwrap_or(0.5),
            user_whitelist: reader.list_file("USER_WHITELIST"),
        }
    }
}

/// `AUTH_KEY_<FEED>` that are set, by the end of their names.
fn feed_keys(settings: &Settings) -> BTreeMap<String, String> {
    let keys = settings.iter().filter_map(|(name, setting)| {
        let feed = name.strip_prefix("AUTH_KEY_")?;
        let key = setting.items.first().filter(|key| !key.is_empty())?;
        Some((feed.to_owned(), key.clone()))
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            host_name: "box".into(),
            home: "/home/u".into(),
            current_dir: "/cwd".into(),
            memory_bytes: 1 << 34,
            cores: 8,
            ..Environment::default()
        }
    }

    fn read(text: &str) -> Result<(Config, Vec<Message>), ConfigError> {
        Config::parse(
            text,
            "maltrail.conf",
            Path::new("/opt/maltrail"),
            &environment(),
        )
    }

    #[test]
    fn feeds_of_ones_own_and_keys_are_read() {
        let root = std::env::temp_dir().join(format!("maltrail-feeds-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("folder");
        let parse = |text: &str| Config::parse(text, "f", &root, &environment());
        let (config, messages) =
            parse("AUTH_KEY_OTX 0123\nENABLED_FEEDS Ipsum, threatview\n").expect("valid");
        assert_eq!(messages, [], "keys take effect");
        assert_eq!(
            config.trails.feed_keys.get("OTX").map(String::as_str),
            Some("0123")
        );
        assert_eq!(config.trails.enabled_feeds, ["ipsum", "threatview"]);
        assert_eq!(config.trails.custom_feeds, None);
        assert!(
            config
                .trails
                .home_networks
                .contains([192, 168, 1, 1].into())
        );
        std::fs::write(root.join("feeds.toml"), "").expect("file");
        let (config, _) = parse("").expect("valid");
        assert_eq!(config.trails.custom_feeds, Some(root.join("feeds.toml")));
        let error = parse("CUSTOM_FEEDS_FILE /nowhere/feeds.toml\n").expect_err("missing");
        assert!(
            error
                .to_string()
                .contains("CUSTOM_FEEDS_FILE: missing file"),
            "{error}"
        );
        std::fs::remove_dir_all(&root).expect("removed");
    }

    #[test]
    fn the_file_is_the_given_one_or_that_of_the_environment() {
        let mut environment = Environment::default();
        let named = |environment: &Environment| Config::locate(None, environment);
        environment
            .variables
            .insert("MALTRAIL_CONFIG".into(), "/env.conf".into());
        assert_eq!(named(&environment), Path::new("/env.conf"));
        let given = Config::locate(Some(Path::new("given.conf")), &environment);
        assert_eq!(given, Path::new("given.conf"));
        environment
            .variables
            .insert("MALTRAIL_CONFIG".into(), String::new());
        // Tests run below the project's own file.
        assert!(named(&environment).ends_with("maltrail.conf"));
    }

    #[test]
    fn the_shipped_file_gives_what_it_says() {
        let (config, messages) = read(&options::shipped_file()).expect("valid");
        assert_eq!(messages, []);
        assert_eq!(config.server.http_address.as_deref(), Some("0.0.0.0"));
        assert_eq!(config.server.http_port, 8338);
        assert_eq!(config.server.use_ssl, SslMode::Auto);
        assert!(config.server.users[0].has_shipped_password());
        assert!(
            config.server.mask_custom && config.detect.heuristics && config.trails.feed_updates
        );
        assert_eq!(config.server.udp, None);
        assert_eq!(config.capture.interfaces, ["any"]);
        assert_eq!(
            config.capture.buffer_bytes,
            256 << 20,
            "10 % of 16 GiB, held at 256 MiB"
        );
        assert_eq!(config.log_dir, Path::new("/var/log/maltrail"));
        assert_eq!(
            config.trails.file,
            Path::new("/home/u/.maltrail/trails.csv")
        );
        assert_eq!(
            config.trails.custom_dir,
            Path::new("/opt/maltrail/trails/custom")
        );
        assert_eq!(config.output.format, LogFormat::Both);
        assert_eq!(config.detect.sensor_name, "box");
        assert_eq!(config.capture.workers, Workers::PerCore);
    }

    #[test]
    fn a_file_in_the_reference_s_form_is_read_unchanged() {
        let text = format!(
            r"# [Server]
HTTP_ADDRESS 0.0.0.0
HTTP_PORT 8338
USE_SSL false
USERS
    admin:9ab3cd9d67bf49d01f6a2e33d0bd9bc804ddbe6ce1ff5d219c42624851db5dbc:0:        # changeme!
ENABLE_MASK_CUSTOM true
UDP_ADDRESS ::
UDP_PORT 8337
IP_ALIASES
    8.8.8.8:google
    2001:db8::1:office
# [Sensor]
PROCESS_COUNT 16
CAPTURE_BUFFER 10%
MONITOR_INTERFACE eth0,eth1
CAPTURE_FILTER {}
SENSOR_NAME $HOSTNAME
DISABLED_FEEDS turris, ciarmy
UPDATE_PERIOD 86400
# [All]
LOG_DIR $SYSTEM_LOG_DIR/maltrail
",
            options::REFERENCE_CAPTURE_FILTER
        );
        let (config, messages) = read(&text).expect("valid");
        let texts: Vec<String> = messages.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(
            texts[0].contains("CAPTURE_FILTER") && texts[0].contains("treated as empty"),
            "{texts:?}"
        );
        assert_eq!(config.capture.filter, "");
        assert_eq!(config.capture.workers, Workers::AtMost(16));
        assert_eq!(config.capture.interfaces, ["eth0", "eth1"]);
        assert_eq!(config.server.udp, Some(("::".into(), 8337)));
        assert_eq!(config.server.use_ssl, SslMode::Off);
        assert!(config.server.users[0].has_shipped_password());
        assert_eq!(
            config.server.ip_aliases[1],
            ("2001:db8::1".into(), "office".into())
        );
        assert_eq!(config.trails.disabled_feeds, ["turris", "ciarmy"]);
    }

    #[test]
    fn all_mistakes_are_listed_at_once() {
        let error = read(
            "HTTP_PORT x
UDP_PORT 8337
USERS
  admin:abc:0
USER_WHITELIST /nope.txt
",
        )
        .expect_err("invalid")
        .to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(
            error.contains("maltrail.conf:2: UDP_PORT: needs UDP_ADDRESS as well"),
            "{error}"
        );
        assert!(
            error.contains("maltrail.conf:3: USERS: invalid USERS entry"),
            "{error}"
        );
        assert!(
            error.contains("maltrail.conf:5: USER_WHITELIST: missing file `/nope.txt`"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_says_so() {
        let error = Config::load(Path::new("/nonexistent/maltrail.conf"), &environment())
            .expect_err("missing");
        assert_eq!(
            error.to_string(),
            "missing configuration file `/nonexistent/maltrail.conf` (name one with -c FILE)"
        );
    }

    #[test]
    fn heuristics_have_one_switch_and_single_ones() {
        let (config, _) = read(
            "USE_HEURISTICS true
DISABLED_HEURISTICS Long_Domain, infection
",
        )
        .expect("valid");
        assert!(config.detect.runs("port_scanning") && !config.detect.runs("long_domain"));
        let (off, _) = read(
            "USE_HEURISTICS false
",
        )
        .expect("valid");
        assert!(!off.detect.runs("port_scanning"));
    }
}
