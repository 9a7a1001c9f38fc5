//! The one table of options.
//!
//! Each row names an option with its section, type, bounds, default, what the shipped file says and
//! what it means. Parsing, messages, `-T`, `--help`, the documentation and the shipped
//! `maltrail.conf` derive from it; nothing else in the product knows an option's name and bounds.

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Name as written in the file, capitals.
    pub name: &'static str,
    /// Who reads it.
    pub section: Section,
    /// Type and bounds.
    pub kind: Kind,
    /// Value when the file does not name it, in the file's own notation; empty = unset.
    pub default: &'static str,
    /// What the shipped file says.
    pub shipped: Shipped,
    /// What it means; one or more full sentences.
    pub doc: &'static str,
}

/// Sections of the shipped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Read by the server.
    Server,
    /// Read by the sensor.
    Sensor,
    /// Read by both.
    All,
}

impl Section {
    /// The section's heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Sensor => "Sensor",
            Self::All => "All",
        }
    }
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true/false`, also `1/0`, `yes/no`, `on/off`.
    Bool,
    /// Whole number. Outside of the bounds it is an error, or moved to the nearer one with a warning.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Whether a value outside is moved instead of refused.
        clamp: bool,
    },
    /// Whole number, or `auto/true/yes/on` for one per core (0 here).
    Count {
        /// Largest value.
        max: i64,
    },
    /// Decimal number within bounds; outside it is an error.
    Float {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// TCP or UDP port, 1-65535.
    Port,
    /// Bytes: digits, or with kB, MB, GB, or a percentage of the machine's memory.
    Size,
    /// Any text.
    Text,
    /// A host or address to listen on.
    Address,
    /// Several `host:port`.
    Endpoints,
    /// Several `host:port`, each with `udp://`, `udp5424://`, `tcp://` or `tls://` in front or nothing.
    Receivers,
    /// `address:port` with a numeric address.
    Socket,
    /// One of these words; each row is (canonical, other spellings).
    Choice(&'static [(&'static str, &'static [&'static str])]),
    /// A regular expression; look-around where `look` is set.
    Regex {
        /// Whether look-ahead and look-behind are allowed.
        look: bool,
    },
    /// Words separated by commas, semicolons or blanks.
    Words,
    /// Addresses and networks, separated like words.
    Networks,
    /// Indented items, one a line.
    Block,
    /// A file that is read; relative to the current directory.
    File,
    /// A folder; relative to the installation root.
    Dir,
}

/// What the shipped file says about an option.
#[derive(Clone, Copy, Debug)]
pub enum Shipped {
    /// This value.
    Value(&'static str),
    /// The line is there, commented out, with this example.
    Commented(&'static str),
    /// These indented items.
    Items(&'static [&'static str]),
    /// The block is there, commented out, with these examples.
    CommentedItems(&'static [&'static str]),
    /// Accepted for old files and not offered to new ones.
    Absent,
}

/// `REMOTE_SEVERITY_REGEX` as shipped.
pub const SHIPPED_SEVERITY_REGEX: &str = r"(?P<high>\((remote )?custom\)|malwaredomainlist|iot-malware|malware(?! (distribution|site))|adversary|ransomware)|(?P<medium>potential malware site|malware distribution|c2 cert)|(?P<low>mass scanner|reputation|attacker|spammer|compromised|crawler|scanning)";

/// The capture filter that the reference ships: treated as empty, because it hides IPv6, VLANs and
/// most TCP from detection (`spec` sensor §20 item 4).
pub const REFERENCE_CAPTURE_FILTER: &str = "udp or icmp or (tcp and (tcp[tcpflags] == tcp-syn or port 80 or port 1080 or port 3128 or port 8000 or port 8080 or port 8118 or (port 443 and tcp[((tcp[12]&0xf0)>>2)] = 0x16)))";

/// Prefixes of names that exist in any number.
pub const NAME_PREFIXES: &[(&str, &str)] = &[
    (
        "BLACKLIST_",
        "Rules of the block list served at /blacklist/<name>, as BLACKLIST.",
    ),
    ("AUTH_KEY_", "Key of a feed that asks for one."),
];

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int {
        min,
        max,
        clamp: false,
    }
}

const fn clamped(min: i64, max: i64) -> Kind {
    Kind::Int {
        min,
        max,
        clamp: true,
    }
}

const fn row(
    name: &'static str,
    section: Section,
    kind: Kind,
    default: &'static str,
    shipped: Shipped,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        section,
        kind,
        default,
        shipped,
        doc,
    }
}

use Kind::{
    Address, Block, Bool, Choice, Count, Dir, Endpoints, File, Float, Networks, Port, Receivers,
    Regex, Size, Socket, Text, Words,
};
use Section::{All, Sensor, Server};
use Shipped::{Absent, Commented, CommentedItems, Items, Value};

const PRIVATE: &str = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10";

/// Every option, in the order of the shipped file.
pub const OPTIONS: &[OptionSpec] = &[
    row(
        "HTTP_ADDRESS",
        Server,
        Address,
        "",
        Value("0.0.0.0"),
        "Address that the dashboard listens on; `::` for IPv6 and IPv4, `127.0.0.1` for this machine only.",
    ),
    row(
        "HTTP_PORT",
        Server,
        Port,
        "8338",
        Value("8338"),
        "Port of the dashboard and the API.",
    ),
    row(
        "USE_SSL",
        Server,
        Choice(&[
            ("auto", &[]),
            ("true", &["1", "yes", "on"]),
            ("false", &["0", "no", "off"]),
        ]),
        "auto",
        Value("auto"),
        "`auto`: plain HTTP on loopback, HTTPS elsewhere, on one port; `true`: HTTPS only; `false`: plain HTTP everywhere, passwords included.",
    ),
    row(
        "SSL_PEM",
        Server,
        File,
        "",
        Commented("/etc/maltrail/server.pem"),
        "Private key and certificate chain, both in one PEM file, read again when it changes. Without it the server makes a certificate of its own.",
    ),
    row(
        "ENABLE_HSTS",
        Server,
        Bool,
        "false",
        Commented("true"),
        "Tell browsers to use HTTPS only. Needs a certificate of your own.",
    ),
    row(
        "USERS",
        Server,
        Block,
        "",
        Items(&["admin:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918:0:"]),
        "Accounts: `name:hash:uid:networks`. The hash is SHA-256 in hex or argon2id (`server passwd NAME`); uid 1000 and above is a restricted user; networks limit what the user sees (empty = everything). The shipped account is admin with the password admin, to be changed at the first login.",
    ),
    row(
        "ENABLE_MASK_CUSTOM",
        Server,
        Bool,
        "false",
        Value("true"),
        "Hide the names of custom trails from restricted users.",
    ),
    row(
        "REOPEN_RESOLVED",
        Server,
        Bool,
        "true",
        Commented("false"),
        "A resolved threat that goes on is new again.",
    ),
    row(
        "ENABLE_LEGACY_LOGIN",
        Server,
        Bool,
        "false",
        Commented("true"),
        "Accept the hash-and-nonce login of old scripts, for SHA-256 entries only.",
    ),
    row(
        "ALLOW_ANONYMOUS",
        Server,
        Bool,
        "false",
        Commented("true"),
        "Without any USERS: let everybody read, not only this machine.",
    ),
    row(
        "TRUSTED_PROXIES",
        Server,
        Networks,
        "",
        Commented("192.0.2.1"),
        "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto count.",
    ),
    row(
        "UDP_ADDRESS",
        Server,
        Address,
        "",
        Commented("0.0.0.0"),
        "Address that takes events from remote sensors; needs UDP_PORT as well.",
    ),
    row(
        "UDP_PORT",
        Server,
        Port,
        "",
        Commented("8337"),
        "Port that takes events from remote sensors; needs UDP_ADDRESS as well.",
    ),
    row(
        "UDP_ALLOWLIST",
        Server,
        Networks,
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10",
        Commented("10.0.0.0/8"),
        "Senders whose events are taken; others are counted and named in the log.",
    ),
    row(
        "UDP_KEY",
        Server,
        Text,
        "",
        Commented("a long random text"),
        "Shared key of sensors and server: the server takes only events that show it, and sensors show it to LOG_SERVER. Old programs cannot.",
    ),
    row(
        "USE_SERVER_UPDATE_TRAILS",
        Server,
        Bool,
        "false",
        Commented("true"),
        "Let the server build trails and serve them at /trails.",
    ),
    row(
        "MAX_REQUEST_THREADS",
        Server,
        int(1, 100_000),
        "100",
        Commented("100"),
        "Requests handled at once.",
    ),
    row(
        "MAX_LIVE_STREAMS",
        Server,
        int(1, 100_000),
        "1000",
        Commented("1000"),
        "Live streams open at once.",
    ),
    row(
        "HUNT_TIME_BUDGET",
        Server,
        Float {
            min: 0.1,
            max: 3600.0,
        },
        "10.0",
        Commented("10"),
        "Seconds that a search over all days may take.",
    ),
    row(
        "IP_ALIASES",
        Server,
        Block,
        "",
        CommentedItems(&["192.0.2.5:web server", "192.0.2.0/24:office"]),
        "Labels for addresses, networks and ranges: `address:label`.",
    ),
    row(
        "HEADER_LOGO",
        Server,
        Text,
        "",
        Absent,
        "Text or picture (a path on this server or `data:image/…`) in place of the logo; other HTML is not shown.",
    ),
    row(
        "HOME_LAT",
        Server,
        Float {
            min: -90.0,
            max: 90.0,
        },
        "",
        Commented("45.81"),
        "Latitude of the map's home; needs HOME_LON as well.",
    ),
    row(
        "HOME_LON",
        Server,
        Float {
            min: -180.0,
            max: 180.0,
        },
        "",
        Commented("15.98"),
        "Longitude of the map's home; needs HOME_LAT as well.",
    ),
    row(
        "DISABLE_RIPE_LOOKUPS",
        Server,
        Bool,
        "true",
        Value("true"),
        "Do not ask RIPE for the country and operator of an address: it would tell a third party what an analyst looks at.",
    ),
    row(
        "INDEX_MAX_SIZE",
        Server,
        Size,
        "10GB",
        Commented("10GB"),
        "Size of the event index; beyond it the oldest days leave the index (their log files stay) and are indexed again when somebody asks for them.",
    ),
    row(
        "RETENTION_DAYS",
        Server,
        int(0, 36_500),
        "0",
        Commented("365"),
        "Delete the files of days older than this many days, packed ones and the index too; 0 keeps everything.",
    ),
    row(
        "COMPRESS_AFTER_DAYS",
        Server,
        int(0, 36_500),
        "0",
        Commented("30"),
        "Pack the log files of days older than this many days to `DATE.log.gz`, which stay searchable; 0 never does.",
    ),
    row(
        "FAIL2BAN_REGEX",
        Server,
        Regex { look: false },
        "",
        Value(
            "attacker|reputation|potential[^\"]*(web scan|directory traversal|injection|remote code|iot-malware download)|spammer|mass scanner",
        ),
        "Events whose line matches put their source on /fail2ban.",
    ),
    row(
        "FAIL2BAN_ALLOWLIST",
        Server,
        Networks,
        "",
        Items(&["127.0.0.1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
        "Clients that may read /fail2ban; nobody when unset.",
    ),
    row(
        "BLACKLIST",
        Server,
        Block,
        "",
        CommentedItems(&["src_ip !~ ^192.168. and dst_port ~ ^22$"]),
        "Rules of /blacklist: `field ~ regex` or `field !~ regex`, joined by ` and `; lines are alternatives.",
    ),
    row(
        "BLACKLIST_ALLOWLIST",
        Server,
        Networks,
        "",
        CommentedItems(&["10.0.0.0/8"]),
        "Clients that may read /blacklist; FAIL2BAN_ALLOWLIST when unset.",
    ),
    row(
        "ALERT_WEBHOOK_URL",
        Server,
        Text,
        "",
        Commented("https://hooks.example.com/services/T000"),
        "Address (http or https) that gets a POST for each threat of at least ALERT_SEVERITY; see docs/alerts.md.",
    ),
    row(
        "ALERT_SEVERITY",
        Server,
        Choice(&[("high", &[]), ("medium", &[]), ("low", &[])]),
        "high",
        Commented("high"),
        "Lowest severity that alerts.",
    ),
    row(
        "ALERT_FORMAT",
        Server,
        Text,
        "",
        Commented("{\"text\": \"%(severity)s: %(src_ip)s -> %(trail)s (%(info)s)\"}"),
        "Body of the POST; %(field)s is replaced by the event's field. Or one word: slack, mattermost, discord, ntfy, homeassistant, json.",
    ),
    row(
        "ALERT_THROTTLE",
        Server,
        int(0, 31_536_000),
        "0",
        Commented("300"),
        "Seconds during which a threat alerts once unless it gets worse; 0 = whenever it goes on.",
    ),
    row(
        "MONITOR_INTERFACE",
        Sensor,
        Words,
        "any",
        Value("any"),
        "Interfaces to capture on, separated by commas; `any` for all.",
    ),
    row(
        "CAPTURE_FILTER",
        Sensor,
        Text,
        "",
        Value(""),
        "BPF expression that admits packets; empty admits all. A filter blinds every detector whose packets it drops.",
    ),
    row(
        "CAPTURE_BUFFER",
        Sensor,
        Size,
        "10%",
        Value("10%"),
        "Memory for packets that wait: bytes, kB, MB, GB or a percentage.",
    ),
    row(
        "CAPTURE_BUFFER_SIZE",
        Sensor,
        Size,
        "",
        Commented("128MB"),
        "Ring of each worker, 4 MB to 1 GB; CAPTURE_BUFFER within 64 to 256 MB when unset.",
    ),
    row(
        "PROCESS_COUNT",
        Sensor,
        clamped(1, 1024),
        "",
        Commented("4"),
        "Number of analysis workers, at most the machine's cores and four; one per core when unset.",
    ),
    row(
        "CAPTURE_WORKERS",
        Sensor,
        Count { max: 1024 },
        "",
        Commented("auto"),
        "Exact number of analysis workers; `auto` is one per core.",
    ),
    row(
        "CAPTURE_FANOUT",
        Sensor,
        Count { max: 1024 },
        "",
        Absent,
        "Older name of CAPTURE_WORKERS.",
    ),
    row(
        "CAPTURE_FANOUT_MODE",
        Sensor,
        Choice(&[
            ("hash", &[]),
            ("lb", &["roundrobin", "round-robin"]),
            ("cpu", &[]),
            ("rollover", &[]),
            ("random", &[]),
            ("qm", &[]),
        ]),
        "hash",
        Absent,
        "How the kernel spreads packets; accepted for old files, workers are fed by own host.",
    ),
    row(
        "CAPTURE_FANOUT_DEFRAG",
        Sensor,
        Bool,
        "false",
        Absent,
        "Reassemble fragments before spreading packets.",
    ),
    row(
        "CAPTURE_FANOUT_GROUP",
        Sensor,
        int(0, 65_535),
        "",
        Absent,
        "Number of the kernel's fan-out group; automatic when unset.",
    ),
    row(
        "CAPTURE_SNAPLEN",
        Sensor,
        clamped(68, 262_144),
        "2000",
        Commented("2000"),
        "Bytes of each packet that are looked at.",
    ),
    row(
        "CAPTURE_TIMEOUT",
        Sensor,
        clamped(1, 60_000),
        "100",
        Commented("100"),
        "Milliseconds that the capture waits for a batch.",
    ),
    row(
        "CAPTURE_IMMEDIATE",
        Sensor,
        Bool,
        "false",
        Commented("true"),
        "Deliver each packet at once instead of in batches.",
    ),
    row(
        "OFFLINE_TIMESTAMPS",
        Sensor,
        Choice(&[("pcap", &[]), ("wallclock", &["wall-clock", "now"])]),
        "pcap",
        Commented("pcap"),
        "Time of replayed packets: from the capture, or the clock.",
    ),
    row(
        "RUN_AS",
        Sensor,
        Text,
        "",
        Commented("maltrail"),
        "User to become once the sockets are open.",
    ),
    row(
        "SENSOR_NAME",
        Sensor,
        Text,
        "",
        Commented("hq-core"),
        "Name of the sensor in every event; the host's name when unset.",
    ),
    row(
        "USE_HEURISTICS",
        Sensor,
        Bool,
        "false",
        Value("true"),
        "Report suspicious behaviour besides listed trails.",
    ),
    row(
        "DISABLED_HEURISTICS",
        Sensor,
        Words,
        "",
        Commented("long_domain"),
        "Heuristics to leave out: ack_flood carpet_bombing content_type ddos (all floods) ddos_participation direct_download dns_exhaustion entropy http_flood icmp_flood infection iot_download long_domain missing_host no_such_domain parked port_scanning proxy_probe reflection seized_domain sinkhole sinkhole_response suspicious_name suspicious_request syn_flood udp_flood udp_scanning user_agent web_scanning.",
    ),
    row(
        "SCAN_WINDOW",
        Sensor,
        clamped(1, 3600),
        "30",
        Commented("30"),
        "Seconds over which scans are counted.",
    ),
    row(
        "DDOS_MIN_PPS",
        Sensor,
        clamped(10, 10_000_000),
        "500",
        Commented("500"),
        "Packets a second at one address from which SYNs without a connection, ICMP and answers that nobody asked for are a flood; four times as many for ACK and UDP. See docs/ddos.md.",
    ),
    row(
        "DDOS_HTTP_RPS",
        Sensor,
        clamped(10, 10_000_000),
        "1000",
        Commented("1000"),
        "Requests a second to one web server from which they can be an HTTP flood.",
    ),
    row(
        "DDOS_BASELINE_FACTOR",
        Sensor,
        clamped(2, 1000),
        "4",
        Commented("4"),
        "How many times the usual rate of an address a flood must have, once that is known.",
    ),
    row(
        "DDOS_QUIET",
        Sensor,
        clamped(5, 3600),
        "30",
        Commented("30"),
        "Seconds of quiet after which a flood is over; pulses that are closer together are one attack.",
    ),
    row(
        "CHECK_TLS_SNI",
        Sensor,
        Bool,
        "true",
        Value("true"),
        "Match the names in TLS and QUIC hellos.",
    ),
    row(
        "CHECK_TLS_CERTIFICATES",
        Sensor,
        Bool,
        "true",
        Commented("true"),
        "Match the fingerprints of server certificates.",
    ),
    row(
        "CHECK_MISSING_HOST",
        Sensor,
        Bool,
        "false",
        Value("false"),
        "Report HTTP requests without a Host header.",
    ),
    row(
        "CHECK_HOST_DOMAINS",
        Sensor,
        Bool,
        "false",
        Value("false"),
        "Match the Host header of HTTP requests against domain trails.",
    ),
    row(
        "DOMAIN_CACHE_ENTRIES",
        Sensor,
        clamped(64, 10_000_000),
        "1000",
        Commented("1000"),
        "Names remembered as clean.",
    ),
    row(
        "USE_FAST_PREFILTER",
        Sensor,
        Bool,
        "false",
        Absent,
        "Accepted for old files; CHECK_TLS_SNI decides about names in hellos.",
    ),
    row(
        "FAST_FLOW_CUTOFF",
        Sensor,
        int(0, 1_000_000),
        "4",
        Absent,
        "Accepted for old files, without effect.",
    ),
    row(
        "FAST_ADMIT_LEVEL",
        Sensor,
        int(0, 3),
        "0",
        Absent,
        "Accepted for old files, without effect.",
    ),
    row(
        "FAST_ADMIT_ADAPTIVE",
        Sensor,
        Bool,
        "false",
        Absent,
        "Accepted for old files, without effect.",
    ),
    row(
        "DISABLE_CPU_AFFINITY",
        Sensor,
        Bool,
        "false",
        Absent,
        "Accepted for old files, without effect.",
    ),
    row(
        "USE_CAPTURE_AFFINITY",
        Sensor,
        Bool,
        "false",
        Absent,
        "Accepted for old files, without effect.",
    ),
    row(
        "USE_MULTIPROCESSING",
        Sensor,
        Bool,
        "false",
        Absent,
        "Accepted for old files; PROCESS_COUNT decides.",
    ),
    row(
        "USER_WHITELIST",
        Sensor,
        File,
        "",
        Commented("/etc/maltrail/whitelist.txt"),
        "File with names, addresses and networks that never alert, one a line.",
    ),
    row(
        "USER_IGNORELIST",
        Sensor,
        File,
        "",
        Commented("/etc/maltrail/ignore.txt"),
        "File with events to ignore: `src_ip;src_port;dst_ip;dst_port`, `*` for any.",
    ),
    row(
        "IGNORE_EVENTS_REGEX",
        Sensor,
        Regex { look: true },
        "",
        Commented("sql injection|long domain"),
        "Events whose text matches are ignored; letter case does not matter.",
    ),
    row(
        "USE_CONDENSED_STORAGE",
        Sensor,
        Bool,
        "true",
        Commented("true"),
        "Keep first and last sight of every address and name in LOG_DIR/meta.sqlite.",
    ),
    row(
        "EVENT_THROTTLE_MODE",
        Sensor,
        Choice(&[
            ("summarize", &["smart", ""]),
            ("legacy", &["python", "compat"]),
            ("off", &["none", "false", "disabled"]),
        ]),
        "summarize",
        Commented("summarize"),
        "`summarize`: the first few equal events of a window, then one summary that counts the others; `legacy`: as old sensors, where the others are lost; `off`: every event.",
    ),
    row(
        "EVENT_THROTTLE_WINDOW",
        Sensor,
        clamped(1, 86_400),
        "60",
        Commented("60"),
        "Seconds of a throttle window.",
    ),
    row(
        "EVENT_THROTTLE_BURST",
        Sensor,
        clamped(1, 1_000_000),
        "3",
        Commented("3"),
        "Events of one source and trail written at once in a window.",
    ),
    row(
        "EVENT_THROTTLE_MAX_KEYS",
        Sensor,
        clamped(1, 10_000_000),
        "50000",
        Commented("50000"),
        "Pairs of address and trail that are throttled at once; beyond it the oldest ones are summarized early.",
    ),
    row(
        "LOG_FORMAT",
        Sensor,
        Choice(&[("line", &[]), ("json", &[]), ("both", &[])]),
        "line",
        Value("both"),
        "Local log files: `line` (DATE.log), `json` (DATE.json) or `both`.",
    ),
    row(
        "LOG_JSON_PROFILE",
        Sensor,
        Choice(&[
            ("maltrail", &[]),
            ("eve", &["suricata"]),
            ("ecs", &["elastic"]),
        ]),
        "maltrail",
        Commented("maltrail"),
        "Shape of DATE.json: `maltrail` (every detail), `eve` (alert records as Suricata writes them) or `ecs` (Elastic Common Schema 8).",
    ),
    row(
        "LOG_SERVER",
        Sensor,
        Endpoints,
        "",
        Commented("192.0.2.107:8337"),
        "Server that gets every event, `host:port`; several are possible.",
    ),
    row(
        "LOG_SERVER_FORMAT",
        Sensor,
        Choice(&[("line", &[]), ("json", &[])]),
        "line",
        Commented("json"),
        "`line` for any server, `json` for ours: reasons, evidence and heartbeat.",
    ),
    row(
        "SYSLOG_SERVER",
        Sensor,
        Receivers,
        "",
        Commented("192.0.2.107:514"),
        "Receivers of CEF over syslog, several `host:port`. UDP; with `tcp://`, `tls://` or `udp5424://` in front as RFC 5424 messages.",
    ),
    row(
        "SYSLOG_CA",
        Sensor,
        File,
        "",
        Commented("/etc/maltrail/syslog-ca.pem"),
        "Certificates (PEM) that `tls://` receivers must be signed by, instead of those the system trusts.",
    ),
    row(
        "LOGSTASH_SERVER",
        Sensor,
        Endpoints,
        "",
        Commented("192.0.2.107:5000"),
        "Receivers of JSON datagrams, several `host:port`.",
    ),
    row(
        "REMOTE_SEVERITY_REGEX",
        Sensor,
        Regex { look: true },
        "",
        Value(SHIPPED_SEVERITY_REGEX),
        "Severity for syslog, Logstash and alerts: groups low, medium and high, searched in the info.",
    ),
    row(
        "DISABLE_LOCAL_LOG_STORAGE",
        Sensor,
        Bool,
        "false",
        Value("false"),
        "Write no local log files.",
    ),
    row(
        "STATS_ADDRESS",
        Sensor,
        Socket,
        "",
        Commented("127.0.0.1:8339"),
        "Address that serves metrics in Prometheus form.",
    ),
    row(
        "METRICS_INTERVAL",
        Sensor,
        int(0, 31_536_000),
        "3600",
        Commented("3600"),
        "Seconds between metrics lines on the console; 0 prints none.",
    ),
    row(
        "USE_FEED_UPDATES",
        Sensor,
        Bool,
        "false",
        Value("true"),
        "Fetch trails from the feeds.",
    ),
    row(
        "DISABLED_FEEDS",
        Sensor,
        Words,
        "",
        Value("turris, ciarmy, policeman, myip, alienvault"),
        "Feeds to leave out; `static` and `custom` name the bundled and the own lists.",
    ),
    row(
        "ENABLED_FEEDS",
        Sensor,
        Words,
        "",
        Commented("threatview, phishingdb"),
        "Feeds to use that are off by themselves; docs/feeds.md names them. One that needs a key is on when AUTH_KEY_<FEED> is set.",
    ),
    row(
        "CUSTOM_FEEDS_FILE",
        Sensor,
        File,
        "",
        Commented("/etc/maltrail/feeds.toml"),
        "File with feeds of your own; `feeds.toml` beside this file is used when it is there. docs/feeds.md has an example.",
    ),
    row(
        "IP_MINIMUM_FEEDS",
        Sensor,
        int(0, 1000),
        "3",
        Value("3"),
        "Number of feeds that must list an address before it becomes a trail; up to 1 = any.",
    ),
    row(
        "DISABLED_TRAILS_INFO_REGEX",
        Sensor,
        Regex { look: false },
        "",
        Commented("known attacker|tor exit node"),
        "Trails whose info matches are left out.",
    ),
    row(
        "UPDATE_PERIOD",
        Sensor,
        int(1, 31_536_000),
        "86400",
        Value("86400"),
        "Seconds between updates of the trails.",
    ),
    row(
        "CUSTOM_TRAILS_URL",
        Sensor,
        Text,
        "",
        Commented("https://lists.example.com/custom.txt"),
        "Own lists to fetch, separated by commas.",
    ),
    row(
        "CUSTOM_TRAILS_DIR",
        Sensor,
        Dir,
        "trails/custom",
        Commented("trails/custom"),
        "Folder with own lists: each *.txt, one trail a line.",
    ),
    row(
        "UPDATE_SERVER",
        Sensor,
        Text,
        "",
        Commented("http://192.0.2.107:8338/trails"),
        "Take the whole trail set from this server instead of building it.",
    ),
    row(
        "UPDATE_SERVER_TOKEN",
        Sensor,
        Text,
        "",
        Commented("mt_..."),
        "Token for UPDATE_SERVER, made there with `server token add --sensor NAME`: with it the set has the operator's own trails too. It is sent to no other host.",
    ),
    row(
        "DISABLE_TRAIL_UPDATES",
        Sensor,
        Bool,
        "false",
        Commented("true"),
        "Never build trails here, only use the file.",
    ),
    row(
        "REPAIR_TRUNCATED_TRAILS",
        Sensor,
        Bool,
        "true",
        Commented("false"),
        "Use expressions that end inside an open group, without their cut last alternative.",
    ),
    row(
        "LOG_DIR",
        All,
        Dir,
        "$SYSTEM_LOG_DIR/maltrail",
        Value("$SYSTEM_LOG_DIR/maltrail"),
        "Folder of the day files, the error log and the index.",
    ),
    row(
        "TRAILS_FILE",
        All,
        File,
        "~/.maltrail/trails.csv",
        Commented("~/.maltrail/trails.csv"),
        "The trail set. Under sudo `~` is root's home: name a full path when sensor and server run as different users.",
    ),
    row(
        "HOME_NETWORKS",
        All,
        Networks,
        PRIVATE,
        Commented(PRIVATE),
        "What is ours: decides direction, severity and whose behaviour is watched. The prefixes of the interfaces are added when unset.",
    ),
    row(
        "PROXY_ADDRESS",
        All,
        Text,
        "",
        Commented("http://192.0.2.1:3128"),
        "Proxy for everything that is fetched.",
    ),
    row(
        "SHOW_DEBUG",
        All,
        Bool,
        "false",
        Value("false"),
        "Print debug messages.",
    ),
    row(
        "DISABLE_CHECK_SUDO",
        All,
        Bool,
        "false",
        Value("false"),
        "Start without checking for the right to capture.",
    ),
    row(
        "ALLOW_EMPTY_TRAILS",
        All,
        Bool,
        "false",
        Commented("true"),
        "Start without any trail.",
    ),
    row(
        "TRAIL_RELOAD_MIN_RATIO",
        All,
        Float { min: 0.0, max: 1.0 },
        "0.5",
        Commented("0.5"),
        "Refuse a new trail set smaller than this share of the present one; 0 = never refuse.",
    ),
];

/// The row of this name, exact spelling in capitals.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// Whether a name belongs to a family such as `BLACKLIST_<NAME>`.
pub fn in_family(name: &str) -> bool {
    find(name).is_none()
        && NAME_PREFIXES.iter().any(|(prefix, _)| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        })
}

/// The option whose name is nearest to `name`, when near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    OPTIONS
        .iter()
        .map(|option| {
            (
                distance(name.as_bytes(), option.name.as_bytes()),
                option.name,
            )
        })
        .filter(|&(distance, known)| distance <= 1 + known.len() / 5)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// Levenshtein distance; inputs are option names, so quadratic is fine. A name longer than 64 bytes
/// is far from everything.
fn distance(left: &[u8], right: &[u8]) -> usize {
    if left.len() > 64 {
        return usize::MAX;
    }
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(a != b);
            current.push(
                replaced
                    .min(previous[column + 1] + 1)
                    .min(current[column] + 1),
            );
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

/// The shipped `maltrail.conf`.
pub fn shipped_file() -> String {
    let mut out = String::from(
        "# Configuration of sensor and server. One option a line: NAME value; lists are indented below\n\
         # their name; # starts a comment. NAME = value and [Section] lines work as well.\n\
         # An option that is absent or commented out has the value that its description names.\n",
    );
    for section in [Server, Sensor, All] {
        out.push_str(&format!("\n# [{}]\n", section.title()));
        for option in OPTIONS.iter().filter(|option| option.section == section) {
            write_shipped(option, &mut out);
        }
    }
    out
}

fn write_shipped(option: &OptionSpec, out: &mut String) {
    if matches!(option.shipped, Absent) {
        return;
    }
    out.push('\n');
    for line in wrap(option.doc, 98) {
        out.push_str(&format!("# {line}\n"));
    }
    let name = option.name;
    match option.shipped {
        Value("") => out.push_str(&format!("{name} \n")),
        Value(value) => out.push_str(&format!("{name} {value}\n")),
        Commented(value) => out.push_str(&format!("#{name} {value}\n")),
        Items(items) => {
            out.push_str(&format!("{name}\n"));
            items
                .iter()
                .for_each(|item| out.push_str(&format!("    {item}\n")));
        }
        CommentedItems(items) => {
            out.push_str(&format!("#{name}\n"));
            items
                .iter()
                .for_each(|item| out.push_str(&format!("#    {item}\n")));
        }
        Absent => {}
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if !last.is_empty() && last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every name of `spec/config.md` §4 and §Ours, and what came since.
    const SPEC_NAMES: &str = "HTTP_ADDRESS HTTP_PORT HOME_LAT HOME_LON DISABLE_RIPE_LOOKUPS USE_SSL SSL_PEM USERS \
        ENABLE_MASK_CUSTOM UDP_ADDRESS UDP_PORT USE_SERVER_UPDATE_TRAILS MAX_REQUEST_THREADS MAX_LIVE_STREAMS \
        HUNT_TIME_BUDGET IP_ALIASES HEADER_LOGO FAIL2BAN_REGEX FAIL2BAN_ALLOWLIST BLACKLIST_ALLOWLIST BLACKLIST \
        ALERT_WEBHOOK_URL ALERT_SEVERITY ALERT_FORMAT ALERT_THROTTLE MONITOR_INTERFACE CAPTURE_FILTER CAPTURE_BUFFER \
        CAPTURE_BUFFER_SIZE PROCESS_COUNT CAPTURE_WORKERS CAPTURE_FANOUT CAPTURE_FANOUT_MODE CAPTURE_FANOUT_DEFRAG \
        CAPTURE_IMMEDIATE CAPTURE_FANOUT_GROUP CAPTURE_SNAPLEN CAPTURE_TIMEOUT OFFLINE_TIMESTAMPS USE_FAST_PREFILTER \
        FAST_FLOW_CUTOFF FAST_ADMIT_LEVEL FAST_ADMIT_ADAPTIVE DISABLE_CPU_AFFINITY USE_CAPTURE_AFFINITY \
        USE_MULTIPROCESSING SENSOR_NAME USE_HEURISTICS DISABLED_HEURISTICS SCAN_WINDOW CHECK_TLS_CERTIFICATES \
        CHECK_MISSING_HOST CHECK_HOST_DOMAINS USER_WHITELIST USER_IGNORELIST IGNORE_EVENTS_REGEX \
        USE_CONDENSED_STORAGE EVENT_THROTTLE_MODE EVENT_THROTTLE_WINDOW EVENT_THROTTLE_BURST EVENT_THROTTLE_MAX_KEYS \
        DOMAIN_CACHE_ENTRIES LOG_SERVER SYSLOG_SERVER LOGSTASH_SERVER REMOTE_SEVERITY_REGEX DISABLE_LOCAL_LOG_STORAGE \
        STATS_ADDRESS METRICS_INTERVAL USE_FEED_UPDATES DISABLED_FEEDS IP_MINIMUM_FEEDS DISABLED_TRAILS_INFO_REGEX \
        UPDATE_PERIOD CUSTOM_TRAILS_URL CUSTOM_TRAILS_DIR UPDATE_SERVER UPDATE_SERVER_TOKEN DISABLE_TRAIL_UPDATES \
        REPAIR_TRUNCATED_TRAILS LOG_DIR TRAILS_FILE PROXY_ADDRESS SHOW_DEBUG DISABLE_CHECK_SUDO ALLOW_EMPTY_TRAILS \
        TRAIL_RELOAD_MIN_RATIO HOME_NETWORKS LOG_FORMAT LOG_SERVER_FORMAT RUN_AS CHECK_TLS_SNI ENABLE_HSTS \
        ENABLE_LEGACY_LOGIN ALLOW_ANONYMOUS TRUSTED_PROXIES UDP_ALLOWLIST UDP_KEY INDEX_MAX_SIZE RETENTION_DAYS \
        COMPRESS_AFTER_DAYS DDOS_MIN_PPS DDOS_HTTP_RPS DDOS_BASELINE_FACTOR DDOS_QUIET LOG_JSON_PROFILE SYSLOG_CA ENABLED_FEEDS CUSTOM_FEEDS_FILE REOPEN_RESOLVED";

    #[test]
    fn the_table_has_every_option_of_the_specification_once() {
        let known: HashSet<&str> = OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(known.len(), OPTIONS.len(), "a name occurs twice");
        let wanted: HashSet<&str> = SPEC_NAMES.split_whitespace().collect();
        assert_eq!(
            wanted.symmetric_difference(&known).collect::<Vec<_>>(),
            Vec::<&&str>::new()
        );
        assert!(in_family("BLACKLIST_SSH") && in_family("AUTH_KEY_OTX"));
        assert!(!in_family("BLACKLIST_ALLOWLIST") && !in_family("BLACKLIST_"));
    }

    #[test]
    fn each_row_is_documented_in_sentences() {
        for option in OPTIONS {
            assert!(
                option.doc.ends_with('.') && option.doc.len() > 20,
                "{}",
                option.name
            );
        }
    }

    #[test]
    fn slips_find_their_option() {
        assert_eq!(nearest("HTTP_PROT"), Some("HTTP_PORT"));
        assert_eq!(nearest("MONITOR_INTERFACES"), Some("MONITOR_INTERFACE"));
        assert_eq!(nearest("USE_HEURISTIC"), Some("USE_HEURISTICS"));
        assert_eq!(nearest("SOMETHING_ELSE_ENTIRELY"), None);
        assert_eq!(nearest(&"A".repeat(1000)), None);
    }

    /// The file at the top of the repository is the table's rendering; `cargo xtask bless` renews it.
    #[test]
    fn the_shipped_file_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../maltrail.conf");
        let shipped = std::fs::read_to_string(path).expect("maltrail.conf");
        assert!(
            shipped == shipped_file(),
            "maltrail.conf differs from the option table: run `cargo xtask bless`"
        );
    }
}
