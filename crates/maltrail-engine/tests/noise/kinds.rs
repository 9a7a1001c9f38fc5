//! The kinds of traffic of the benign day, and how often a day each happens.

use crate::day::Day;
use crate::{mail, office, servers, web};

/// One kind: an event is traced to its name.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Occurrences a day on the whole site.
    pub(crate) per_day: f64,
    /// Whether they follow the hours of the office.
    pub(crate) office: bool,
    pub(crate) run: fn(&mut Day),
}

const fn office(name: &'static str, per_day: f64, run: fn(&mut Day)) -> Kind {
    Kind {
        name,
        per_day,
        office: true,
        run,
    }
}

const fn always(name: &'static str, per_day: f64, run: fn(&mut Day)) -> Kind {
    Kind {
        name,
        per_day,
        office: false,
        run,
    }
}

/// All kinds. Rates are those of 50 people at work: 200 pages, 4 system updates and 40 searches each.
pub(crate) const KINDS: &[Kind] = &[
    office("browse tls", 8_000.0, web::browse_tls),
    office("browse http", 400.0, web::browse_http),
    office("quic", 3_000.0, web::quic),
    office("cdn labels", 2_000.0, web::cdn_labels),
    office("long cdn labels", 60.0, web::long_labels),
    office("os update", 200.0, web::os_update),
    office("small installer", 3.0, web::small_installer),
    office("captive portal check", 1_500.0, web::captive),
    office("ocsp", 1_500.0, web::ocsp),
    office("searches and forms", 600.0, web::forms),
    office("rest json", 1_500.0, web::rest),
    office("app agents", 2_000.0, web::agents),
    office("websocket", 150.0, web::websocket),
    office("git http", 60.0, web::git),
    always("apt mirror", 80.0, web::apt),
    office("hls video", 60.0, web::hls),
    office("doh", 1_500.0, office::doh),
    office("dot", 300.0, office::dot),
    office("video call", 60.0, office::call),
    always("wireguard", 24.0, office::wireguard),
    office("bittorrent", 400.0, office::bittorrent),
    always("backup", 5.0, office::backup),
    office("speed test", 6.0, office::speed_test),
    office("ad logon", 400.0, office::logon),
    office("ad names", 2_000.0, office::ad_names),
    office("netbios", 1_000.0, office::netbios),
    office("smb", 800.0, office::smb),
    office("printer", 200.0, office::printer),
    always("mdns ssdp llmnr", 10_000.0, office::multicast),
    always("iot beacon", 5_000.0, office::iot),
    office("antivirus lookups", 1_500.0, office::antivirus),
    office("chrome probes", 400.0, office::chrome_probes),
    office("mistyped names", 60.0, office::mistyped),
    office("passive ftp", 8.0, office::ftp),
    always("recursive resolver", 20_000.0, servers::recursion),
    always("authoritative dns", 20_000.0, servers::authoritative),
    always("ntp server", 40_000.0, servers::ntp),
    always("ping sweep", 1_440.0, servers::sweep),
    always("snmp polling", 1_440.0, servers::snmp),
    always("http checks", 1_440.0, servers::http_checks),
    always("tcp checks", 2_880.0, servers::tcp_checks),
    always("syslog", 20_000.0, servers::syslog),
    always("visitors", 3_000.0, servers::visitor),
    always("crawler", 30.0, servers::crawler),
    office("flash crowd", 1.0, servers::flash_crowd),
    always("mail in", 2_000.0, mail::inbound),
    office("mail out", 500.0, mail::outbound),
];
