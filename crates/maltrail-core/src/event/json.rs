//! The JSON object of an event: one line each in `DATE.json`, and what our API speaks.
//!
//! ```json
//! {"id":"…16 hex…","time":"2026-11-24T09:14:22.117034Z","sensor":"hq-core","src_ip":["10.0.0.5"],
//!  "src_port":["40000"],"dst_ip":["1.1.1.1"],"dst_port":["53"],"proto":"UDP","type":"DNS",
//!  "trail":"(www).evil.example","info":"lumma (malware)","reference":"(static)","severity":"high",
//!  "count":1,"direction":"out","reasons":[{"rule":"trail","key":"evil.example","field":"dns.question",
//!  "offset":12,"source":"(static)"}],"evidence":"EjQBAAAB…"}
//! ```
//!
//! Lists hold each member of a condensed event; a column without a value is an empty list. `count` is
//! how many events the object stands for, so that sums over it are exact. `id` is
//! that of the event's line, so an event that arrives both ways is recognised. The last three members
//! are left out when nothing is known ([`super::details`]).

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Event, EventId, Members};
use crate::time::Zone;

/// An event with the zone in which its line is written.
#[derive(Clone, Copy, Debug)]
pub struct JsonEvent<'a> {
    /// The event.
    pub event: &'a Event,
    /// Zone of the log lines, part of the event's identity.
    pub zone: &'a Zone,
}

struct List<'a>(&'a Members);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl Serialize for JsonEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "id",
            &EventId::of_line(&event.to_line(self.zone)).to_string(),
        )?;
        map.serialize_entry("time", &event.time.to_rfc3339())?;
        map.serialize_entry("sensor", &event.sensor)?;
        map.serialize_entry("src_ip", &List(&event.src_ip))?;
        map.serialize_entry("src_port", &List(&event.src_port))?;
        map.serialize_entry("dst_ip", &List(&event.dst_ip))?;
        map.serialize_entry("dst_port", &List(&event.dst_port))?;
        map.serialize_entry("proto", &event.proto)?;
        map.serialize_entry("type", event.kind.as_str())?;
        map.serialize_entry("trail", &event.trail)?;
        map.serialize_entry("info", &event.info)?;
        map.serialize_entry("reference", &event.reference)?;
        map.serialize_entry("severity", &event.severity())?;
        let details = &event.details;
        map.serialize_entry("count", &details.count())?;
        if let Some(direction) = details.direction {
            map.serialize_entry("direction", &direction)?;
        }
        if !details.reasons.is_empty() {
            map.serialize_entry("reasons", &details.reasons)?;
        }
        if !details.evidence.is_empty() {
            map.serialize_entry("evidence", &details.evidence)?;
        }
        map.end()
    }
}

impl Event {
    /// The JSON object on one line, with its newline.
    pub fn to_json_line(&self, zone: &Zone) -> String {
        let mut line = serde_json::to_string(&JsonEvent { event: self, zone }).unwrap_or_default();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Direction, Evidence, Reason};

    #[test]
    fn the_object_has_lists_and_the_line_s_id() {
        let line = "\"2023-11-14 22:13:20.123456\" s 192.0.2.1,192.0.2.2 - 203.0.113.7 443 TCP IP 203.0.113.7 \"badnet (malware)\" (static)\n";
        let event = Event::parse_line(line, &Zone::UTC).expect("line");
        let json = event.to_json_line(&Zone::UTC);
        assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).expect("json");
        assert_eq!(value["id"], EventId::of_line(line).to_string());
        assert_eq!(value["time"], "2023-11-14T22:13:20.123456Z");
        assert_eq!(
            value["src_ip"],
            serde_json::json!(["192.0.2.1", "192.0.2.2"])
        );
        assert_eq!(value["src_port"], serde_json::json!([]));
        assert_eq!(
            (value["type"].as_str(), value["severity"].as_str()),
            (Some("IP"), Some("high"))
        );
    }

    #[test]
    fn what_the_line_does_not_say_follows_the_severity() {
        let line = "\"2023-11-14 22:13:20.123456\" s 203.0.113.7 1 10.0.0.5 443 TCP IP 203.0.113.7 \"badnet (malware)\" (static)\n";
        let mut event = Event::parse_line(line, &Zone::UTC).expect("line");
        assert!(
            event
                .to_json_line(&Zone::UTC)
                .ends_with("\"severity\":\"high\",\"count\":1}\n")
        );
        event.details.count = 42;
        event.details.direction = Some(Direction::In);
        event.details.evidence = Evidence::around(b"GET /", None).0;
        event.details.reasons.push(Reason {
            rule: "trail".into(),
            key: "203.0.113.7".into(),
            field: "ip.src".into(),
            offset: None,
            source: "(static)".into(),
        });
        let wanted = r#""severity":"low","count":42,"direction":"in","reasons":[{"rule":"trail","key":"203.0.113.7","field":"ip.src","source":"(static)"}],"evidence":"R0VUIC8="}"#;
        let json = event.to_json_line(&Zone::UTC);
        assert!(json.trim_end().ends_with(wanted), "{json}");
    }
}
