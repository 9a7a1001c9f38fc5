//! What looks bad without being listed. One file a heuristic; each carries its name in
//! `DISABLED_HEURISTICS`.

use maltrail_core::config::DetectConfig;

pub(crate) mod content_type;
pub(crate) mod ddos;
pub(crate) mod direct_download;
pub(crate) mod dns_exhaustion;
pub(crate) mod generated;
pub(crate) mod infection;
pub(crate) mod iot_download;
pub(crate) mod long_domain;
pub(crate) mod missing_host;
pub(crate) mod no_such_domain;
pub(crate) mod parked;
pub(crate) mod port_scanning;
pub(crate) mod proxy_probe;
pub(crate) mod scans;
pub(crate) mod seized_domain;
pub(crate) mod sinkhole;
pub(crate) mod sinkhole_response;
pub(crate) mod suspicious_name;
pub(crate) mod suspicious_request;
pub(crate) mod udp_scanning;
pub(crate) mod user_agent;
pub(crate) mod web_scanning;

/// Every detector by name, as reasons, counters and `DISABLED_HEURISTICS` have it; the first is for
/// what the trails list.
pub const RULES: [&str; 27] = [
    crate::finding::TRAIL,
    content_type::NAME,
    "ack_flood",
    "http_flood",
    "icmp_flood",
    "reflection",
    "syn_flood",
    "udp_flood",
    direct_download::NAME,
    dns_exhaustion::NAME,
    generated::NAME,
    infection::NAME,
    iot_download::NAME,
    long_domain::NAME,
    missing_host::NAME,
    no_such_domain::NAME,
    parked::NAME,
    port_scanning::NAME,
    proxy_probe::NAME,
    seized_domain::NAME,
    sinkhole::NAME,
    sinkhole_response::NAME,
    suspicious_name::NAME,
    suspicious_request::NAME,
    udp_scanning::NAME,
    user_agent::NAME,
    web_scanning::NAME,
];

/// Which heuristics run, decided once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// [`long_domain`].
    pub(crate) long_domain: bool,
    /// [`port_scanning`].
    pub(crate) port_scanning: bool,
    /// [`udp_scanning`].
    pub(crate) udp_scanning: bool,
    /// [`infection`].
    pub(crate) infection: bool,
    /// [`web_scanning`].
    pub(crate) web_scanning: bool,
    /// [`dns_exhaustion`].
    pub(crate) dns_exhaustion: bool,
}

impl Enabled {
    /// None of them.
    pub(crate) const OFF: Self = Self {
        long_domain: false,
        port_scanning: false,
        udp_scanning: false,
        infection: false,
        web_scanning: false,
        dns_exhaustion: false,
    };

    /// As configured: `USE_HEURISTICS` switches all of them.
    pub(crate) fn new(config: &DetectConfig) -> Self {
        Self {
            long_domain: config.runs(long_domain::NAME),
            port_scanning: config.runs(port_scanning::NAME),
            udp_scanning: config.runs(udp_scanning::NAME),
            infection: config.runs(infection::NAME),
            web_scanning: config.runs(web_scanning::NAME),
            dns_exhaustion: config.runs(dns_exhaustion::NAME),
        }
    }
}
