//! The typed configuration: what the rest of the product reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::receiver::Receiver;
use super::settings::Settings;
use super::users::UserEntry;
use crate::addr::NetworkSet;
use crate::event::RemoteSeverity;

/// Everything of `maltrail.conf`, by reader.
#[derive(Clone, Debug)]
pub struct Config {
    /// What only the server reads.
    pub server: ServerConfig,
    /// How packets are captured.
    pub capture: CaptureConfig,
    /// What is detected.
    pub detect: DetectConfig,
    /// Where events go.
    pub output: OutputConfig,
    /// Where trails come from.
    pub trails: TrailsConfig,
    /// Folder that relative `*_DIR` options stand in: where the configuration file lies, or
    /// `MALTRAIL_ROOT`.
    pub root: PathBuf,
    /// `LOG_DIR`: day files, `error.log`, `meta.sqlite`.
    pub log_dir: PathBuf,
    /// `HOME_NETWORKS`: what "ours" means.
    pub home_networks: NetworkSet,
    /// `PROXY_ADDRESS`.
    pub proxy: Option<String>,
    /// `SHOW_DEBUG`.
    pub show_debug: bool,
    /// `DISABLE_CHECK_SUDO`.
    pub disable_check_sudo: bool,
    /// Every option with its value and origin, for `-T` and the settings page.
    pub settings: Settings,
}

/// Options of the server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `HTTP_ADDRESS`; `None` listens on all addresses.
    pub http_address: Option<String>,
    /// `HTTP_PORT`.
    pub http_port: u16,
    /// `USE_SSL`.
    pub use_ssl: SslMode,
    /// `SSL_PEM`: key and certificate in one file.
    pub ssl_pem: Option<PathBuf>,
    /// `ENABLE_HSTS`.
    pub hsts: bool,
    /// `USERS`; none means that reading is anonymous from loopback.
    pub users: Vec<UserEntry>,
    /// `ENABLE_MASK_CUSTOM`.
    pub mask_custom: bool,
    /// `REOPEN_RESOLVED`.
    pub reopen_resolved: bool,
    /// `ENABLE_LEGACY_LOGIN`.
    pub legacy_login: bool,
    /// `ALLOW_ANONYMOUS`.
    pub allow_anonymous: bool,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// `UDP_ADDRESS` and `UDP_PORT`: the event intake, off when unset.
    pub udp: Option<(String, u16)>,
    /// `UDP_ALLOWLIST`.
    pub udp_allowlist: NetworkSet,
    /// `UDP_KEY`.
    pub udp_key: Option<String>,
    /// `USE_SERVER_UPDATE_TRAILS`.
    pub update_trails: bool,
    /// `MAX_REQUEST_THREADS`: concurrent handlers.
    pub max_requests: u32,
    /// `MAX_LIVE_STREAMS`.
    pub max_streams: u32,
    /// `HUNT_TIME_BUDGET` in milliseconds.
    pub hunt_budget_ms: u64,
    /// `IP_ALIASES`: address, network or range as written, and its label.
    pub ip_aliases: Vec<(String, String)>,
    /// `HEADER_LOGO`, as written.
    pub header_logo: Option<String>,
    /// `HOME_LAT` and `HOME_LON`.
    pub home: Option<(f64, f64)>,
    /// `INDEX_MAX_SIZE` in bytes.
    pub index_max_bytes: u64,
    /// `RETENTION_DAYS`; 0 keeps everything.
    pub retention_days: u32,
    /// `COMPRESS_AFTER_DAYS`; 0 never compresses.
    pub compress_after_days: u32,
    /// `DISABLE_RIPE_LOOKUPS`.
    pub disable_ripe: bool,
}

/// `USE_SSL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// HTTP on loopback, HTTPS elsewhere, on one port.
    Auto,
    /// TLS only.
    On,
    /// Plain HTTP everywhere.
    Off,
}

/// Options of the capture.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// `MONITOR_INTERFACE`; `any` for all.
    pub interfaces: Vec<String>,
    /// `CAPTURE_FILTER`; empty admits everything.
    pub filter: String,
    /// `CAPTURE_SNAPLEN` in bytes.
    pub snaplen: u32,
    /// `CAPTURE_TIMEOUT` in milliseconds.
    pub timeout_ms: u32,
    /// `CAPTURE_IMMEDIATE`.
    pub immediate: bool,
    /// `CAPTURE_BUFFER_SIZE`, or `CAPTURE_BUFFER` within 64 MB and 256 MB, in bytes.
    pub buffer_bytes: u64,
    /// `PROCESS_COUNT` and `CAPTURE_WORKERS`.
    pub workers: Workers,
    /// `CAPTURE_FANOUT_GROUP`, its low 16 bits; `None` for one of this process.
    pub fanout_group: Option<u16>,
    /// `OFFLINE_TIMESTAMPS`.
    pub timestamps: TimestampSource,
    /// `RUN_AS`.
    pub run_as: Option<String>,
}

/// How many analysis workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// `PROCESS_COUNT`: at most this, the cores and four.
    AtMost(u32),
    /// `CAPTURE_WORKERS`: exactly this many.
    Exactly(u32),
    /// One per core, at most four.
    PerCore,
}

/// Most workers unless `CAPTURE_WORKERS` says otherwise: files of the reference ask for 16.
const MOST_WORKERS: u32 = 4;

impl Workers {
    /// How many that is on a machine with so many cores; at least one.
    #[must_use]
    pub fn count(self, cores: u32) -> usize {
        let count = match self {
            Self::Exactly(count) => count,
            Self::AtMost(count) => count.min(cores).min(MOST_WORKERS),
            Self::PerCore => cores.min(MOST_WORKERS),
        };
        count.max(1) as usize
    }
}

/// Where the time of a replayed packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampSource {
    /// The capture's records.
    Pcap,
    /// The clock at the moment of replay.
    WallClock,
}

/// Options of the detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectConfig {
    /// `SENSOR_NAME`, else the host's name.
    pub sensor_name: String,
    /// `USE_HEURISTICS`.
    pub heuristics: bool,
    /// `DISABLED_HEURISTICS`, lower-case.
    pub disabled_heuristics: Vec<String>,
    /// `SCAN_WINDOW` in seconds.
    pub scan_window_secs: u32,
    /// `CHECK_TLS_CERTIFICATES`.
    pub check_certificates: bool,
    /// `CHECK_TLS_SNI`.
    pub check_sni: bool,
    /// `CHECK_MISSING_HOST`.
    pub check_missing_host: bool,
    /// `CHECK_HOST_DOMAINS`.
    pub check_host_domains: bool,
    /// `DOMAIN_CACHE_ENTRIES`.
    pub domain_cache_entries: usize,
    /// `DDOS_*`.
    pub ddos: DdosConfig,
}

/// From which rate on something is a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdosConfig {
    /// `DDOS_MIN_PPS`.
    pub min_pps: u32,
    /// `DDOS_HTTP_RPS`.
    pub http_rps: u32,
    /// `DDOS_BASELINE_FACTOR`.
    pub baseline_factor: u32,
    /// `DDOS_QUIET` in seconds.
    pub quiet_secs: u32,
}

impl Default for DdosConfig {
    fn default() -> Self {
        Self {
            min_pps: 500,
            http_rps: 1000,
            baseline_factor: 4,
            quiet_secs: 30,
        }
    }
}

impl DetectConfig {
    /// Whether the heuristic of this name (as in `DISABLED_HEURISTICS`) runs.
    pub fn runs(&self, heuristic: &str) -> bool {
        self.heuristics
            && !self
                .disabled_heuristics
                .iter()
                .any(|name| name == heuristic)
    }
}

/// Options of the sinks and of policy.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// `DISABLE_LOCAL_LOG_STORAGE`.
    pub disable_local: bool,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `LOG_JSON_PROFILE`.
    pub json_profile: JsonProfile,
    /// Name of this host, as CEF and Logstash name the sensor.
    pub host_name: String,
    /// `LOG_SERVER`: each `host:port`.
    pub log_servers: Vec<String>,
    /// `LOG_SERVER_FORMAT`.
    pub log_server_format: LogServerFormat,
    /// `SYSLOG_SERVER`.
    pub syslog_servers: Vec<Receiver>,
    /// `SYSLOG_CA`.
    pub syslog_ca: Option<PathBuf>,
    /// `LOGSTASH_SERVER`: each `host:port`.
    pub logstash_servers: Vec<String>,
    /// `REMOTE_SEVERITY_REGEX`.
    pub remote_severity: RemoteSeverity,
    /// `EVENT_THROTTLE_MODE`.
    pub throttle: ThrottleMode,
    /// `EVENT_THROTTLE_WINDOW` in seconds.
    pub throttle_window_secs: u32,
    /// `EVENT_THROTTLE_BURST`.
    pub throttle_burst: u32,
    /// `EVENT_THROTTLE_MAX_KEYS`.
    pub throttle_max_keys: usize,
    /// `USE_CONDENSED_STORAGE`.
    pub condensed_store: bool,
    /// `USER_IGNORELIST`.
    pub ignore_list: Option<PathBuf>,
    /// `IGNORE_EVENTS_REGEX`, when it compiles.
    pub ignore_regex: Option<String>,
    /// `STATS_ADDRESS`.
    pub stats_address: Option<SocketAddr>,
    /// `METRICS_INTERVAL` in seconds; 0 prints none.
    pub metrics_interval_secs: u32,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `DATE.log` only.
    Line,
    /// `DATE.json` only.
    Json,
    /// Both.
    Both,
}

/// `LOG_JSON_PROFILE`: shape of `DATE.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonProfile {
    /// Our own object.
    #[default]
    Maltrail,
    /// Alert records of Suricata's EVE.
    Eve,
    /// Elastic Common Schema.
    Ecs,
}

/// `LOG_SERVER_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogServerFormat {
    /// The reference's datagram.
    Line,
    /// A JSON object that holds the line.
    Json,
}

/// `EVENT_THROTTLE_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleMode {
    /// The first few of a window, then one summary.
    Summarize,
    /// The old sensor's buckets.
    Legacy,
    /// Every event.
    Off,
}

/// Options of the trail set.
#[derive(Clone, Debug)]
pub struct TrailsConfig {
    /// `TRAILS_FILE`.
    pub file: PathBuf,
    /// `CUSTOM_TRAILS_DIR`.
    pub custom_dir: PathBuf,
    /// `CUSTOM_TRAILS_URL`.
    pub custom_urls: Vec<String>,
    /// `USE_FEED_UPDATES`.
    pub feed_updates: bool,
    /// `DISABLED_FEEDS`, lower-case; may hold `static` and `custom`.
    pub disabled_feeds: Vec<String>,
    /// `ENABLED_FEEDS`, lower-case.
    pub enabled_feeds: Vec<String>,
    /// `CUSTOM_FEEDS_FILE`; `feeds.toml` beside the configuration when that is there.
    pub custom_feeds: Option<PathBuf>,
    /// `AUTH_KEY_<FEED>`: keys of feeds by the end of the option's name.
    pub feed_keys: BTreeMap<String, String>,
    /// `HOME_NETWORKS`: no list makes a trail of them.
    pub home_networks: NetworkSet,
    /// `IP_MINIMUM_FEEDS`.
    pub ip_minimum_feeds: u32,
    /// `DISABLED_TRAILS_INFO_REGEX`.
    pub disabled_info: Option<String>,
    /// `UPDATE_PERIOD` in seconds.
    pub update_period_secs: u64,
    /// `UPDATE_SERVER`.
    pub update_server: Option<String>,
    /// `UPDATE_SERVER_TOKEN`.
    pub update_server_token: Option<String>,
    /// `DISABLE_TRAIL_UPDATES`.
    pub disable_updates: bool,
    /// `REPAIR_TRUNCATED_TRAILS`.
    pub repair_truncated: bool,
    /// `ALLOW_EMPTY_TRAILS`.
    pub allow_empty: bool,
    /// `TRAIL_RELOAD_MIN_RATIO`, 0 = off.
    pub reload_min_ratio: f64,
    /// `USER_WHITELIST`.
    pub user_whitelist: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_ask_for_more_workers_than_are_of_use() {
        for (workers, cores, wanted) in [
            (Workers::AtMost(16), 8, 4),
            (Workers::AtMost(16), 2, 2),
            (Workers::AtMost(1), 8, 1),
            (Workers::AtMost(0), 8, 1),
            (Workers::PerCore, 3, 3),
            (Workers::PerCore, 64, 4),
            (Workers::Exactly(16), 8, 16),
        ] {
            assert_eq!(workers.count(cores), wanted, "{workers:?} on {cores}");
        }
    }
}
