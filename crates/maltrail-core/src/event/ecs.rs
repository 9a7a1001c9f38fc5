//! `LOG_JSON_PROFILE ecs`: a document of the Elastic Common Schema 8.
//!
//! ```json
//! {"@timestamp":"2023-11-14T22:13:20.123456Z","ecs":{"version":"8.11.0"},"message":"lumma (malware): www.evil.example",
//!  "event":{"kind":"alert","category":["intrusion_detection","malware"],"type":["info"],"module":"maltrail",
//!  "dataset":"maltrail.event","severity":3,"id":"…","reason":"lumma (malware): www.evil.example"},
//!  "source":{"ip":"192.0.2.10","port":40000},"destination":{"ip":"198.51.100.53","port":53},
//!  "network":{"transport":"udp","type":"ipv4","protocol":"dns","direction":"outbound"},
//!  "rule":{"name":"lumma (malware)","category":"Malware","reference":"(static)"},
//!  "threat":{"indicator":{"type":"domain-name","name":"www.evil.example","url":{"domain":"www.evil.example"},
//!  "provider":"(static)"}},"observer":{"name":"sensor1","type":"sensor","vendor":"Maltrail","version":"…"},
//!  "maltrail":{…}}
//! ```
//!
//! `event.severity` is 1 low, 2 medium, 3 high. Addresses and ports are the first members; a field
//! without a value is left out.

use std::net::IpAddr;

use serde::Serialize;

use super::eve::category;
use super::json::JsonEvent;
use super::profiles::{Application, Indicator, Own, first_address};
use super::{Direction, Event, EventId};
use crate::VERSION;
use crate::time::Zone;

/// Version of the schema.
const SCHEMA: &str = "8.11.0";

/// One document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    ecs: Ecs,
    message: String,
    event: About,
    #[serde(skip_serializing_if = "End::is_empty")]
    source: End,
    #[serde(skip_serializing_if = "End::is_empty")]
    destination: End,
    network: Network,
    rule: Rule<'a>,
    threat: Threat<'a>,
    observer: Observer<'a>,
    maltrail: Own<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct About {
    kind: &'static str,
    category: Vec<&'static str>,
    r#type: [&'static str; 1],
    module: &'static str,
    dataset: &'static str,
    severity: u8,
    id: String,
    reason: String,
}

#[derive(Serialize)]
struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl End {
    const fn is_empty(&self) -> bool {
        self.ip.is_none() && self.port.is_none()
    }
}

#[derive(Serialize)]
struct Network {
    transport: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Application>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    category: &'static str,
    reference: &'a str,
}

#[derive(Serialize)]
struct Threat<'a> {
    indicator: Found<'a>,
}

/// `threat.indicator`.
#[derive(Serialize)]
struct Found<'a> {
    r#type: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    provider: &'a str,
}

#[derive(Serialize)]
struct Url {
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Serialize)]
struct Observer<'a> {
    name: &'a str,
    r#type: &'static str,
    vendor: &'static str,
    version: &'static str,
}

impl<'a> Document<'a> {
    pub(super) fn of(event: &'a Event, zone: &'a Zone) -> Self {
        let reason = format!("{}: {}", event.info, event.trail);
        let (src, dst) = (first_address(&event.src_ip), first_address(&event.dst_ip));
        let kind = category(&event.info);
        let mut categories = vec!["intrusion_detection"];
        if kind == "Malware" {
            categories.push("malware");
        }
        Self {
            timestamp: event.time.to_rfc3339(),
            ecs: Ecs { version: SCHEMA },
            message: reason.clone(),
            event: About {
                kind: "alert",
                category: categories,
                r#type: ["info"],
                module: "maltrail",
                dataset: "maltrail.event",
                severity: event.severity() as u8,
                id: EventId::of_line(&event.to_line(zone)).to_string(),
                reason,
            },
            source: End {
                ip: src,
                port: event.src_port_value().first(),
            },
            destination: End {
                ip: dst,
                port: event.dst_port_value().first(),
            },
            network: Network {
                transport: transport(&event.proto),
                r#type: src
                    .or(dst)
                    .map(|ip| if ip.is_ipv4() { "ipv4" } else { "ipv6" }),
                protocol: Application::of(event),
                direction: event.details.direction.map(direction),
            },
            rule: Rule {
                name: &event.info,
                category: kind,
                reference: &event.reference,
            },
            threat: Threat {
                indicator: Found::of(event),
            },
            observer: Observer {
                name: &event.sensor,
                r#type: "sensor",
                vendor: "Maltrail",
                version: VERSION,
            },
            maltrail: Own(JsonEvent { event, zone }),
        }
    }
}

/// IANA's keyword in small letters, as the schema asks for.
fn transport(proto: &str) -> String {
    match proto {
        "ICMPV6" => "ipv6-icmp".to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "outbound",
        Direction::In => "inbound",
        Direction::Inside => "internal",
        Direction::Outside => "external",
    }
}

impl<'a> Found<'a> {
    fn of(event: &'a Event) -> Self {
        let found = |r#type, name| Self {
            r#type,
            name,
            ip: None,
            port: None,
            url: None,
            provider: &event.reference,
        };
        let domain = |domain| Url {
            original: None,
            domain,
            path: None,
        };
        match Indicator::of(event) {
            Indicator::Address(ip, port) => Self {
                ip: Some(ip),
                port,
                ..found(family(ip.is_ipv4()), ip.to_string())
            },
            Indicator::Network(network) => found(family(!network.contains(':')), network),
            Indicator::Name(name) => Self {
                url: Some(domain(name.clone())),
                ..found("domain-name", name)
            },
            Indicator::Url(host, rest) => {
                let whole = format!("{host}{rest}");
                let path = rest.split(['?', '#']).next().unwrap_or_default();
                Self {
                    url: Some(Url {
                        original: Some(whole.clone()),
                        path: (!path.is_empty()).then(|| path.to_owned()),
                        ..domain(host)
                    }),
                    ..found("url", whole)
                }
            }
            Indicator::Port(port) => Self {
                port: Some(port),
                ..found("port", port.to_string())
            },
            Indicator::Agent(agent) => found("software", agent),
            Indicator::Certificate(print) => found("x509-certificate", print),
            Indicator::Other(text) => found("artifact", text),
        }
    }
}

const fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "ipv4-addr" } else { "ipv6-addr" }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::profiles::tests::{event, parsed};
    use super::*;
    use crate::config::JsonProfile;

    /// `threat.indicator.type` of ECS 8.11, field reference.
    const INDICATORS: &[&str] = &[
        "autonomous-system",
        "artifact",
        "directory",
        "domain-name",
        "email-addr",
        "file",
        "ipv4-addr",
        "ipv6-addr",
        "mac-addr",
        "mutex",
        "port",
        "process",
        "software",
        "url",
        "user-account",
        "windows-registry-key",
        "x509-certificate",
    ];

    fn document(columns: &str, field: &str) -> Value {
        let document = parsed(JsonProfile::Ecs, &event(columns, field));
        assert_shape(&document);
        document
    }

    /// Types as in the schema: keyword, long, ip, date; the words that it allows.
    #[track_caller]
    fn assert_shape(document: &Value) {
        let text = |path: &str| document.pointer(path).is_some_and(Value::is_string);
        for path in [
            "/@timestamp",
            "/message",
            "/ecs/version",
            "/event/kind",
            "/event/module",
            "/event/dataset",
            "/event/id",
            "/event/reason",
            "/network/transport",
            "/rule/name",
            "/rule/reference",
            "/rule/category",
            "/threat/indicator/name",
            "/threat/indicator/provider",
            "/observer/name",
            "/observer/type",
            "/observer/vendor",
            "/observer/version",
        ] {
            assert!(text(path), "{path}: {document}");
        }
        assert_eq!(document["event"]["kind"], "alert");
        for path in ["/event/category", "/event/type"] {
            assert!(
                document.pointer(path).is_some_and(Value::is_array),
                "{path}"
            );
        }
        assert!(document["event"]["severity"].is_u64(), "{document}");
        for path in ["/source/ip", "/destination/ip", "/threat/indicator/ip"] {
            let ip = document.pointer(path);
            let good = |ip: &Value| ip.as_str().is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
            assert!(ip.is_none_or(good), "{path}: {document}");
        }
        for path in [
            "/source/port",
            "/destination/port",
            "/threat/indicator/port",
        ] {
            assert!(
                document.pointer(path).is_none_or(Value::is_u64),
                "{path}: {document}"
            );
        }
        let kind = document["threat"]["indicator"]["type"]
            .as_str()
            .expect("text");
        assert!(INDICATORS.contains(&kind), "{kind}");
        let protocol = document["network"].get("protocol");
        assert!(
            protocol.is_none_or(|word| ["dns", "http", "tls", "quic"].iter().any(|it| word == it))
        );
    }

    #[test]
    fn a_name_in_a_question_is_a_domain_indicator() {
        let line = "192.0.2.10 40000 198.51.100.53 53 UDP DNS (www).evil.example \"lumma (malware)\" (static)";
        let found = document(line, "dns.question");
        assert_eq!(found["@timestamp"], "2023-11-14T22:13:20.123456Z");
        assert_eq!(found["source"], json!({"ip": "192.0.2.10", "port": 40000}));
        assert_eq!(
            found["destination"],
            json!({"ip": "198.51.100.53", "port": 53})
        );
        let network =
            json!({"transport": "udp", "type": "ipv4", "protocol": "dns", "direction": "outbound"});
        assert_eq!(found["network"], network);
        assert_eq!(found["event"]["severity"], 3);
        assert_eq!(
            found["event"]["category"],
            json!(["intrusion_detection", "malware"])
        );
        assert_eq!(found["event"]["id"], found["maltrail"]["id"]);
        let indicator = json!({"type": "domain-name", "name": "www.evil.example", "provider": "(static)",
            "url": {"domain": "www.evil.example"}});
        assert_eq!(found["threat"]["indicator"], indicator);
    }

    #[test]
    fn indicators_have_the_fields_of_their_kind() {
        let of = |columns: &str| {
            let columns = format!("192.0.2.10 4 203.0.113.7 80 {columns} x r");
            document(&columns, "packet")["threat"]["indicator"].clone()
        };
        let with = |mut value: Value| {
            value["provider"] = json!("r");
            value
        };
        for (columns, wanted) in [
            (
                "TCP IPORT [2001:db8::66]:443",
                json!({"type": "ipv6-addr", "name": "2001:db8::66", "ip": "2001:db8::66", "port": 443}),
            ),
            (
                "TCP IP 203.0.113.0/24",
                json!({"type": "ipv4-addr", "name": "203.0.113.0/24"}),
            ),
            (
                "TCP URL a.com/b(?c=1)",
                json!({"type": "url", "name": "a.com/b?c=1",
                "url": {"original": "a.com/b?c=1", "domain": "a.com", "path": "/b"}}),
            ),
            (
                "TCP PORT 445",
                json!({"type": "port", "name": "445", "port": 445}),
            ),
            (
                "TCP UA sqlmap",
                json!({"type": "software", "name": "sqlmap"}),
            ),
            (
                "TCP CERT ab",
                json!({"type": "x509-certificate", "name": "ab"}),
            ),
            (
                "TCP HTTP title",
                json!({"type": "artifact", "name": "title"}),
            ),
        ] {
            assert_eq!(of(columns), with(wanted), "{columns}");
        }
    }

    #[test]
    fn several_members_give_the_first_and_none_gives_no_field() {
        let several = document(
            "192.0.2.10,192.0.2.11 80,443 2001:db8::1 - ICMPV6 IP x scanner r",
            "",
        );
        assert_eq!(several["source"], json!({"ip": "192.0.2.10", "port": 80}));
        assert_eq!(several["destination"], json!({"ip": "2001:db8::1"}));
        assert_eq!(several["network"]["transport"], "ipv6-icmp");
        assert_eq!(several["maltrail"]["src_port"], json!(["80", "443"]));
        let flood = document("- - 203.0.113.7 53 UDP PORT 53 x r", "");
        assert!(flood.get("source").is_none(), "{flood}");
        assert_eq!(flood["event"]["category"], json!(["intrusion_detection"]));
    }
}
