//! A datagram that is a JSON object: an event with its details, or a sensor's heartbeat.
//!
//! Sensors send them with `LOG_SERVER_FORMAT json`. The object of an event holds its line, which is
//! checked and stored like any other; the rest of the object goes into `DATE.json` beside it.

use serde_json::{Map, Value};

use maltrail_core::event::EventId;

use super::line::Reject;

/// Version of the objects that are understood.
const VERSION: u64 = 1;

/// What an object is.
#[derive(Debug)]
pub(crate) enum Object {
    /// An event: its line, and its second where that is told.
    Event {
        line: String,
        epoch: Option<i64>,
        members: Map<String, Value>,
    },
    /// A heartbeat.
    Heartbeat(Map<String, Value>),
}

/// Reads an object.
pub(crate) fn read(text: &str) -> Result<Object, Reject> {
    let mut members: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| Reject::Object("it is no JSON object"))?;
    if members.remove("maltrail").and_then(|value| value.as_u64()) != Some(VERSION) {
        return Err(Reject::Object("its member `maltrail` is not 1"));
    }
    let kind = members.remove("kind");
    match kind.as_ref().and_then(Value::as_str) {
        Some("event") => {
            let Some(Value::String(line)) = members.remove("line") else {
                return Err(Reject::Object("it has no member `line`"));
            };
            let time = members.get("time").and_then(Value::as_str);
            let epoch = time.and_then(maltrail_core::time::Timestamp::parse_rfc3339);
            Ok(Object::Event {
                line,
                epoch: epoch.map(|time| time.secs()),
                members,
            })
        }
        Some("heartbeat") => Ok(Object::Heartbeat(members)),
        _ => Err(Reject::Object("its member `kind` is unknown")),
    }
}

/// The line of `DATE.json`: what the sensor says, under the id that the line has here. `None` when it
/// says no more than the line.
pub(crate) fn json_line(id: EventId, mut members: Map<String, Value>) -> Option<String> {
    members.get("trail")?;
    members.insert("id".to_owned(), id.to_string().into());
    Some(Value::Object(members).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_an_event_a_heartbeat_or_nothing() {
        let event = r#"{"maltrail":1,"kind":"event","line":"x","time":"2026-11-19T08:00:00.5Z","trail":"t","id":"0"}"#;
        let Ok(Object::Event {
            line,
            epoch,
            members,
        }) = read(event)
        else {
            panic!("no event");
        };
        assert_eq!((line.as_str(), epoch), ("x", Some(1_795_075_200)));
        assert_eq!(
            json_line(EventId(10), members).as_deref(),
            Some(r#"{"id":"000000000000000a","time":"2026-11-19T08:00:00.5Z","trail":"t"}"#)
        );
        assert!(matches!(
            read(r#"{"maltrail":1,"kind":"heartbeat","sensor":"s"}"#),
            Ok(Object::Heartbeat(members)) if members.len() == 1
        ));
        for bad in [
            "{",
            "{}",
            "[1]",
            r#"{"maltrail":2,"kind":"event","line":"x"}"#,
            r#"{"maltrail":1,"kind":"event"}"#,
            r#"{"maltrail":1,"kind":"event","line":7}"#,
            r#"{"maltrail":1,"kind":"news"}"#,
            r#"{"maltrail":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let deep = format!(
            r#"{{"maltrail":1,"kind":"event","line":"x","a":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert!(read(&deep).is_err(), "nesting is bounded");
    }

    #[test]
    fn an_object_with_a_line_alone_is_no_json_line() {
        assert_eq!(json_line(EventId(1), Map::new()), None);
    }
}
