//! The datagram of `LOG_SERVER_FORMAT json`: the event's object, marked as ours, with its line.
//!
//! ```json
//! {"maltrail":1,"kind":"event","line":"\"2026-11-24 09:14:22.117034\" hq-core 10.0.0.5 …","id":"…", …}
//! ```
//!
//! Bound: [`DATAGRAM_BYTES`]. What does not fit goes without its evidence, then without its reasons,
//! then as the line and its time alone.

use serde::Serialize;

use super::json::JsonEvent;
use super::{Event, Evidence};
use crate::time::Zone;

/// Most bytes of a UDP datagram over IPv4, 65,535 less the headers of IP and UDP, that leave room for a seal.
pub const DATAGRAM_BYTES: usize = 65_507 - super::seal::SEAL_BYTES;

#[derive(Serialize)]
struct Whole<'a> {
    maltrail: u8,
    kind: &'static str,
    line: &'a str,
    #[serde(flatten)]
    event: JsonEvent<'a>,
}

#[derive(Serialize)]
struct Bare<'a> {
    maltrail: u8,
    kind: &'static str,
    line: &'a str,
    time: String,
}

/// Version of the object.
const VERSION: u8 = 1;
const KIND: &str = "event";

impl Event {
    /// The datagram for one of our servers; `None` when not even the line fits.
    pub fn to_json_datagram(&self, zone: &Zone) -> Option<String> {
        let line = self.to_line(zone);
        let line = line.trim_end_matches('\n');
        let whole = |event: &Self| {
            fitting(&Whole {
                maltrail: VERSION,
                kind: KIND,
                line,
                event: JsonEvent { event, zone },
            })
        };
        whole(self)
            .or_else(|| {
                let mut event = self.clone();
                event.details.evidence = Evidence::default();
                whole(&event).or_else(|| {
                    event.details.reasons.clear();
                    whole(&event)
                })
            })
            .or_else(|| {
                fitting(&Bare {
                    maltrail: VERSION,
                    kind: KIND,
                    line,
                    time: self.time.to_rfc3339(),
                })
            })
    }
}

fn fitting(object: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(object).ok()?;
    (text.len() <= DATAGRAM_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::Reason;

    fn event(trail: usize, key: usize) -> Event {
        let line = format!(
            "\"2023-11-14 22:13:20.123456\" s 192.0.2.1 1 203.0.113.7 443 TCP URL a.com/{} x r\n",
            "y".repeat(trail)
        );
        let mut event = Event::parse_line(&line, &Zone::UTC).expect("line");
        event.details.evidence = Evidence::around(&[7; 256], None).0;
        event.details.reasons.push(Reason {
            rule: "trail".into(),
            key: "k".repeat(key),
            field: "http.target".into(),
            offset: None,
            source: "r".into(),
        });
        event
    }

    fn sent(event: &Event) -> Option<Value> {
        let text = event.to_json_datagram(&Zone::UTC)?;
        assert!(text.len() <= DATAGRAM_BYTES && text.starts_with("{\"maltrail\":1,"));
        Some(serde_json::from_str(&text).expect("json"))
    }

    #[test]
    fn the_object_holds_the_line_and_everything_of_the_event() {
        let event = event(3, 3);
        let value = sent(&event).expect("fits");
        let line = value["line"].as_str().expect("text");
        assert_eq!(format!("{line}\n"), event.to_line(&Zone::UTC));
        let json = event.to_json_line(&Zone::UTC);
        let plain: Value = serde_json::from_str(&json).expect("json");
        for (name, member) in plain.as_object().expect("object") {
            assert_eq!(&value[name], member, "{name}");
        }
        assert_eq!(
            (&value["maltrail"], &value["kind"]),
            (&1.into(), &"event".into())
        );
    }

    #[test]
    fn what_does_not_fit_goes_without_its_details_and_at_last_not_at_all() {
        let has = |value: &Value, name: &str| value.get(name).is_some();
        // An empty key is left out, so the smallest one has a letter.
        let smallest = sent(&event(0, 1)).expect("fits").to_string();
        let room = DATAGRAM_BYTES - smallest.len() + 1;
        let exact = sent(&event(0, room)).expect("fits");
        assert!(has(&exact, "evidence"));
        let tight = sent(&event(0, room + 1)).expect("fits");
        assert!(!has(&tight, "evidence") && has(&tight, "reasons"));
        let tighter = sent(&event(0, DATAGRAM_BYTES)).expect("fits");
        assert!(!has(&tighter, "reasons") && has(&tighter, "trail"));
        let bare = sent(&event(40_000, 1)).expect("fits");
        assert!(!has(&bare, "trail") && has(&bare, "line") && has(&bare, "time"));
        let mut huge = event(1, 1);
        huge.trail = "y".repeat(DATAGRAM_BYTES);
        assert_eq!(sent(&huge), None);
    }
}
