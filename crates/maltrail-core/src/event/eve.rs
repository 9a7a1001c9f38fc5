//! `LOG_JSON_PROFILE eve`: the alert record of Suricata's EVE output.
//!
//! ```json
//! {"timestamp":"2023-11-14T22:13:20.123456+0000","flow_id":1234,"event_type":"alert","host":"sensor1",
//!  "src_ip":"192.0.2.10","src_port":40000,"dest_ip":"198.51.100.53","dest_port":53,"proto":"UDP",
//!  "app_proto":"dns","alert":{"action":"allowed","gid":1,"signature_id":1234567890,"rev":1,
//!  "signature":"MALTRAIL lumma (malware)","category":"Malware","severity":1},
//!  "dns":{"query":[{"type":"query","rrname":"www.evil.example"}]},"maltrail":{…}}
//! ```
//!
//! Addresses and ports are the first members; a field without a value is left out. `flow_id` is the same
//! for both ways of a connection, `signature_id` for everything with the same type, info and reference,
//! both on every machine and in every run.

use serde::Serialize;

use super::json::JsonEvent;
use super::profiles::{Application, Indicator, Own, first_address};
use super::{Event, EventId, Severity};
use crate::time::Zone;

/// First of the signature ids. Local rules begin at 1,000,000, those of known publishers lie below
/// 1,000,000,000, and an id has 32 bits.
const FIRST_SIGNATURE: u64 = 2_000_000_000;
/// Signature ids in use: up to 3,999,999,999.
const SIGNATURES: u64 = 2_000_000_000;
/// Bits of a flow id: what every reader of JSON holds exactly.
const FLOW_BITS: u32 = 53;

/// One record.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    timestamp: String,
    flow_id: u64,
    event_type: &'static str,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<Application>,
    alert: Alert,
    #[serde(flatten)]
    about: Option<About>,
    maltrail: Own<'a>,
}

#[derive(Serialize)]
struct Alert {
    action: &'static str,
    gid: u8,
    signature_id: u64,
    rev: u8,
    signature: String,
    category: &'static str,
    severity: u8,
}

/// What the protocol's own record would say.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum About {
    Dns {
        query: [Query; 1],
    },
    Http {
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_user_agent: Option<String>,
    },
    Tls {
        sni: String,
    },
    Quic {
        sni: String,
    },
}

#[derive(Serialize)]
struct Query {
    r#type: &'static str,
    rrname: String,
}

impl<'a> Record<'a> {
    pub(super) fn of(event: &'a Event, zone: &'a Zone) -> Self {
        let app_proto = Application::of(event);
        let text = |column| first_address(column).map(|address| address.to_string());
        Self {
            timestamp: event.time.to_rfc3339().replace('Z', "+0000"),
            flow_id: flow_id(event),
            event_type: "alert",
            host: &event.sensor,
            src_ip: text(&event.src_ip),
            src_port: event.src_port_value().first(),
            dest_ip: text(&event.dst_ip),
            dest_port: event.dst_port_value().first(),
            proto: &event.proto,
            app_proto,
            alert: Alert::of(event),
            about: about(event, app_proto),
            maltrail: Own(JsonEvent { event, zone }),
        }
    }
}

impl Alert {
    fn of(event: &Event) -> Self {
        let what = format!("{}\n{}\n{}", event.kind, event.info, event.reference);
        Self {
            action: "allowed",
            gid: 1,
            signature_id: FIRST_SIGNATURE + EventId::of_line(&what).0 % SIGNATURES,
            rev: 1,
            signature: format!("MALTRAIL {}", event.info),
            category: category(&event.info),
            severity: match event.severity() {
                Severity::High => 1,
                Severity::Medium => 2,
                Severity::Low => 3,
            },
        }
    }
}

/// What an info is about, coarsely.
pub(super) fn category(info: &str) -> &'static str {
    let info = info.to_ascii_lowercase();
    [
        ("malware", "Malware"),
        ("ransomware", "Malware"),
        ("scan", "Scanning"),
        ("attacker", "Attacker"),
        ("(suspicious)", "Suspicious"),
        ("reputation", "Reputation"),
    ]
    .into_iter()
    .find(|(phrase, _)| info.contains(phrase))
    .map_or("Trail", |(_, category)| category)
}

/// The same for both ways.
fn flow_id(event: &Event) -> u64 {
    let end = |ip, port: Option<u16>| format!("{:?} {port:?}", first_address(ip));
    let mut ends = [
        end(&event.src_ip, event.src_port_value().first()),
        end(&event.dst_ip, event.dst_port_value().first()),
    ];
    ends.sort();
    let [one, other] = ends;
    let text = format!("{} {one} {other}", event.proto);
    EventId::of_line(&text).0 >> (u64::BITS - FLOW_BITS)
}

fn about(event: &Event, application: Option<Application>) -> Option<About> {
    let http = |hostname, url, http_user_agent| About::Http {
        hostname,
        url,
        http_user_agent,
    };
    Some(match (application?, Indicator::of(event)) {
        (Application::Dns, Indicator::Name(rrname)) => About::Dns {
            query: [Query {
                r#type: "query",
                rrname,
            }],
        },
        (Application::Tls, Indicator::Name(sni)) => About::Tls { sni },
        (Application::Quic, Indicator::Name(sni)) => About::Quic { sni },
        (Application::Http, Indicator::Name(host)) => http(Some(host), None, None),
        (Application::Http, Indicator::Url(host, rest)) => {
            http(Some(host), (!rest.is_empty()).then_some(rest), None)
        }
        (Application::Http, Indicator::Agent(agent)) => http(None, None, Some(agent)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::profiles::tests::{event, parsed};
    use super::*;
    use crate::config::JsonProfile;

    fn record(columns: &str, field: &str) -> Value {
        parsed(JsonProfile::Eve, &event(columns, field))
    }

    /// Types as in Suricata's EVE schema (`etc/schema.json`): no text where a number belongs.
    #[track_caller]
    fn assert_shape(record: &Value) {
        let text = |value: &Value| value.is_string();
        let number = |value: &Value| value.is_u64();
        let time = record["timestamp"].as_str().expect("timestamp");
        assert!(time.len() == 31 && time.ends_with("+0000"), "{time}");
        assert!(
            record["flow_id"]
                .as_u64()
                .is_some_and(|id| id < 1 << FLOW_BITS)
        );
        assert_eq!(record["event_type"], "alert");
        for name in ["src_ip", "dest_ip"] {
            let good = |value: &Value| {
                value
                    .as_str()
                    .is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok())
            };
            assert!(record.get(name).is_none_or(good), "{name}: {record}");
        }
        for name in ["src_port", "dest_port"] {
            assert!(record.get(name).is_none_or(number), "{name}: {record}");
        }
        assert!(text(&record["proto"]) && text(&record["host"]), "{record}");
        let alert = &record["alert"];
        for name in ["gid", "signature_id", "rev", "severity"] {
            assert!(number(&alert[name]), "{name}: {record}");
        }
        for name in ["action", "signature", "category"] {
            assert!(text(&alert[name]), "{name}: {record}");
        }
        let id = alert["signature_id"].as_u64().expect("number");
        assert!(u32::try_from(id).is_ok() && id >= FIRST_SIGNATURE);
        assert!(record["maltrail"].is_object());
    }

    #[test]
    fn an_alert_has_the_fields_and_types_of_eve() {
        let found = record(
            "192.0.2.10 40000 198.51.100.53 53 UDP DNS (www).evil.example \"lumma (malware)\" (static)",
            "dns.question",
        );
        assert_shape(&found);
        assert_eq!(found["timestamp"], "2023-11-14T22:13:20.123456+0000");
        assert_eq!(found["src_ip"], "192.0.2.10");
        assert_eq!(
            (&found["src_port"], &found["dest_port"]),
            (&json!(40000), &json!(53))
        );
        assert_eq!(found["app_proto"], "dns");
        assert_eq!(
            found["dns"],
            json!({"query": [{"type": "query", "rrname": "www.evil.example"}]})
        );
        let alert = &found["alert"];
        assert_eq!(alert["signature"], "MALTRAIL lumma (malware)");
        assert_eq!(
            (&alert["severity"], &alert["category"]),
            (&json!(1), &json!("Malware"))
        );
    }

    #[test]
    fn protocols_have_their_own_members() {
        let of = |columns: &str, field: &str| {
            let found = record(&format!("192.0.2.10 4 203.0.113.7 80 {columns} x r"), field);
            assert_shape(&found);
            found
        };
        let url = of("TCP URL evil.example/a(?b=1)", "http.target");
        assert_eq!(
            url["http"],
            json!({"hostname": "evil.example", "url": "/a?b=1"})
        );
        assert_eq!(
            of("TCP UA sqlmap", "http.user_agent")["http"],
            json!({"http_user_agent": "sqlmap"})
        );
        assert_eq!(
            of("TCP DNS a.com", "tls.sni")["tls"],
            json!({"sni": "a.com"})
        );
        assert_eq!(
            of("UDP DNS a.com", "quic.sni")["quic"],
            json!({"sni": "a.com"})
        );
        let plain = of("TCP IP 203.0.113.7", "ip.dst");
        assert!(
            ["dns", "http", "tls", "app_proto"]
                .iter()
                .all(|name| plain.get(name).is_none())
        );
    }

    #[test]
    fn several_members_give_the_first_and_none_gives_no_field() {
        let several = record(
            "192.0.2.10,192.0.2.11 80,443 203.0.113.7,203.0.113.8 - ICMP IP x scanner r",
            "",
        );
        assert_shape(&several);
        assert_eq!(
            (&several["src_ip"], &several["src_port"]),
            (&json!("192.0.2.10"), &json!(80))
        );
        assert!(several.get("dest_port").is_none());
        assert_eq!(
            several["maltrail"]["src_ip"],
            json!(["192.0.2.10", "192.0.2.11"])
        );
        let flood = record("- - 203.0.113.7 53 UDP PORT 53 x r", "");
        assert_shape(&flood);
        assert!(flood.get("src_ip").is_none() && flood.get("src_port").is_none());
        assert_eq!(
            record("192.0.2.10 - 203.0.113.7 1 TCP IP x x r", "")["src_port"],
            0
        );
    }

    #[test]
    fn ids_are_stable_and_tell_flows_and_findings_apart() {
        let ids = |columns: &str| {
            let found = record(columns, "");
            let number = |value: &Value| value.as_u64().expect("number");
            (
                number(&found["flow_id"]),
                number(&found["alert"]["signature_id"]),
            )
        };
        let out = ids("192.0.2.10 40000 203.0.113.7 443 TCP IP 203.0.113.7 x r");
        let back = ids("203.0.113.7 443 192.0.2.10 40000 TCP IP 203.0.113.7 y r");
        assert_eq!(out.0, back.0, "both ways are one flow");
        assert_ne!(out.1, back.1, "another info");
        let other = ids("192.0.2.10 40001 203.0.113.7 443 TCP IP 203.0.113.8 x r");
        assert_ne!(out.0, other.0, "another port");
        assert_eq!(out.1, other.1, "the same finding");
        // SHA-256 of "IP\nx\nr", by another program: ids must not change between versions.
        assert_eq!(out.1, SIGNATURE_OF_X);
    }

    /// From `printf 'IP\nx\nr' | sha256sum`: the first 16 hex digits, modulo 2,000,000,000, plus as much.
    const SIGNATURE_OF_X: u64 = 3_944_647_109;
}
