//! Indicators in the formats of other programs: STIX 2.1 and MISP.
//!
//! Ids are made from the indicator alone (UUID version 5), so a later export names the same object again.

use std::fmt::Write as _;

use maltrail_core::event::Severity;
use maltrail_core::time::Timestamp;
use serde_json::{Value, json};

use super::indicators::{Indicator, Kind};

/// The name space for URLs of RFC 9562 §6.6.
const URL_SPACE: [u8; 16] = [
    0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
];
/// What every text of ours begins with, so that no other maker names the same object.
const OURS: &str = "https://github.com/stamparm/maltrail/";

/// UUID version 5 of a text (RFC 9562 §5.5).
pub(crate) fn uuid(text: &str) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(&URL_SPACE);
    digest.update(OURS.as_bytes());
    digest.update(text.as_bytes());
    let digest = digest.finish();
    let mut bytes = [0_u8; 16];
    for (slot, byte) in bytes.iter_mut().zip(digest.as_ref()) {
        *slot = *byte;
    }
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Milliseconds, as STIX wants times.
fn stix_time(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    match text.split_once('.') {
        Some((secs, rest)) => format!("{secs}.{:.3}Z", rest.trim_end_matches('Z')),
        None => text,
    }
}

/// The object that says who made the others.
pub(crate) fn stix_identity() -> Value {
    json!({
        "type": "identity",
        "spec_version": "2.1",
        "id": format!("identity--{}", uuid("identity")),
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": "Maltrail",
        "identity_class": "system",
    })
}

/// Indicator and sighting; none for what STIX has no pattern for.
pub(crate) fn stix(text: &str, about: &Indicator) -> Option<[Value; 2]> {
    let pattern = stix_pattern(text, about.kind)?;
    let id = format!("indicator--{}", uuid(&pattern));
    let creator = format!("identity--{}", uuid("identity"));
    let (first, last) = (stix_time(about.first), stix_time(about.last));
    let mut indicator = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": id,
        "created_by_ref": creator,
        "created": first,
        "modified": last,
        "name": format!("{}: {text}", about.info),
        "description": about.reference,
        "indicator_types": ["malicious-activity"],
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": first,
        "labels": [about.severity.as_str()],
    });
    if about.is_destination {
        indicator["indicator_types"] = json!(["anomalous-activity"]);
    }
    let sighting = json!({
        "type": "sighting",
        "spec_version": "2.1",
        "id": format!("sighting--{}", uuid(&format!("{id} {first}"))),
        "created_by_ref": creator,
        "created": first,
        "modified": last,
        "first_seen": first,
        "last_seen": last,
        "count": about.events.min(999_999_999),
        "sighting_of_ref": id,
    });
    Some([indicator, sighting])
}

fn stix_pattern(text: &str, kind: Kind) -> Option<String> {
    let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
    let address = |text: &str| {
        if text.contains(':') {
            format!("ipv6-addr:value = '{text}'")
        } else {
            format!("ipv4-addr:value = '{text}'")
        }
    };
    Some(match kind {
        Kind::Name => format!("[domain-name:value = '{quoted}']"),
        Kind::Address => format!("[{}]", address(text)),
        Kind::Endpoint => {
            let (host, port) = text.rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']);
            format!(
                "[network-traffic:dst_ref.type = '{}' AND network-traffic:dst_ref.value = '{host}' AND network-traffic:dst_port = {port}]",
                if host.contains(':') {
                    "ipv6-addr"
                } else {
                    "ipv4-addr"
                }
            )
        }
        Kind::Url if text.contains("://") => format!("[url:value = '{quoted}']"),
        Kind::Url => format!("[url:value LIKE '%{}%']", quoted.replace('%', "\\%")),
        Kind::UserAgent => format!(
            "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = '{quoted}']"
        ),
        Kind::Other => return None,
    })
}

/// Start of a MISP event; attributes follow.
pub(crate) fn misp_event(title: &str, day: &str, threat_level: u8) -> Value {
    json!({
        "uuid": uuid(&format!("event {title}")),
        "info": title,
        "date": day,
        "threat_level_id": threat_level.to_string(),
        "analysis": "2",
        "distribution": "0",
        "published": false,
        "Orgc": {"name": "Maltrail", "uuid": uuid("identity")},
    })
}

/// MISP's number of a severity: 1 is high.
pub(crate) const fn misp_level(severity: Severity) -> u8 {
    match severity {
        Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
    }
}

/// An attribute. Destinations are not for detection: other sites may live at the address.
pub(crate) fn misp(text: &str, about: &Indicator, title: &str) -> Value {
    let (kind, value) = match about.kind {
        Kind::Name => ("domain", text.to_owned()),
        Kind::Address => ("ip-dst", text.to_owned()),
        Kind::Endpoint => ("ip-dst|port", endpoint(text)),
        Kind::Url => ("url", text.to_owned()),
        Kind::UserAgent => ("user-agent", text.to_owned()),
        Kind::Other => ("other", text.to_owned()),
    };
    json!({
        "uuid": uuid(&format!("attribute {title} {kind} {text}")),
        "type": kind,
        "category": if kind == "other" { "Other" } else { "Network activity" },
        "value": value,
        "to_ids": about.kind != Kind::Other && !about.is_destination,
        "comment": format!("{} · {} · {} events", about.info, about.reference, about.events),
        "first_seen": about.first.to_rfc3339(),
        "last_seen": about.last.to_rfc3339(),
        "timestamp": about.last.secs().to_string(),
        "distribution": "5",
    })
}

/// `address|port`.
fn endpoint(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((host, port)) => format!("{}|{port}", host.trim_matches(['[', ']'])),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: Kind) -> Indicator {
        Indicator {
            kind,
            info: "lumma (malware)".into(),
            reference: "(static)".into(),
            severity: Severity::High,
            first: Timestamp::from_parts(1_700_000_000, 117_034),
            last: Timestamp::from_parts(1_700_000_060, 0),
            events: 7,
            is_destination: false,
        }
    }

    #[test]
    fn ids_are_version_5_and_stay() {
        let id = uuid("x");
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'5'));
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(id, uuid("x"));
        assert_ne!(id, uuid("y"));
    }

    #[test]
    fn patterns_say_what_they_match_and_quotes_stay_inside() {
        for (kind, text, wanted) in [
            (
                Kind::Name,
                "evil.example",
                "[domain-name:value = 'evil.example']",
            ),
            (Kind::Address, "1.2.3.4", "[ipv4-addr:value = '1.2.3.4']"),
            (
                Kind::Address,
                "2001:db8::1",
                "[ipv6-addr:value = '2001:db8::1']",
            ),
            (
                Kind::Url,
                "http://e.example/a'b\\",
                "[url:value = 'http://e.example/a\\'b\\\\']",
            ),
            (
                Kind::Url,
                "e.example/a%b",
                "[url:value LIKE '%e.example/a\\%b%']",
            ),
            (
                Kind::Endpoint,
                "[2001:db8::1]:443",
                "[network-traffic:dst_ref.type = 'ipv6-addr' AND network-traffic:dst_ref.value = '2001:db8::1' AND network-traffic:dst_port = 443]",
            ),
        ] {
            assert_eq!(stix_pattern(text, kind).as_deref(), Some(wanted));
        }
        assert_eq!(stix_pattern("445", Kind::Other), None);
    }

    #[test]
    fn objects_point_at_each_other() {
        let [indicator, sighting] = stix("evil.example", &seen(Kind::Name)).unwrap();
        assert_eq!(sighting["sighting_of_ref"], indicator["id"]);
        assert_eq!(indicator["created_by_ref"], stix_identity()["id"]);
        assert_eq!(indicator["valid_from"], "2023-11-14T22:13:20.117Z");
        assert_eq!(sighting["count"], 7);
    }

    #[test]
    fn attributes_have_the_types_of_misp() {
        let attribute = misp("1.2.3.4:80", &seen(Kind::Endpoint), "t");
        assert_eq!(
            (
                &attribute["type"],
                &attribute["value"],
                &attribute["to_ids"]
            ),
            (&json!("ip-dst|port"), &json!("1.2.3.4|80"), &json!(true))
        );
        let other = misp("445", &seen(Kind::Other), "t");
        assert_eq!(
            (&other["type"], &other["to_ids"]),
            (&json!("other"), &json!(false))
        );
    }
}
