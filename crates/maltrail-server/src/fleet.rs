//! Which sensors report, and how they are.
//!
//! A sensor says so every 15 seconds: in a datagram, when it sends JSON objects to this server, or in
//! `LOG_DIR/status-SENSOR.json`, when it runs on this machine. Of several the latest counts. Bounds:
//! [`MAX_SENSORS`] sensors, the one heard least recently goes first; of a heartbeat only known members
//! are kept, texts up to [`MAX_TEXT`] bytes and [`MAX_FAULTS`] faults.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use maltrail_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// Most sensors remembered.
pub(crate) const MAX_SENSORS: usize = 1024;
/// Most bytes of a text.
const MAX_TEXT: usize = 512;
/// Most faults of one heartbeat.
const MAX_FAULTS: usize = 32;
/// Largest status file that is read.
const MAX_FILE: u64 = 64 << 10;
/// A sensor that was silent for this long is gone: six heartbeats.
pub(crate) const SILENT_SECS: i64 = 90;

/// What was heard of one sensor.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Sensor)]
pub(crate) struct Contact {
    /// Its name.
    pub(crate) sensor: String,
    /// When it was heard last, by the clock of this server.
    pub(crate) heard: String,
    /// Seconds since then.
    pub(crate) age: i64,
    /// Whether that is too long.
    pub(crate) silent: bool,
    /// The sender of the datagram; `None` for a file on this machine.
    #[schema(value_type = Option<String>)]
    pub(crate) from: Option<IpAddr>,
    /// How far its clock is ahead of ours, in seconds.
    pub(crate) clock_ahead: Option<i64>,
    /// What it says: version, time, pps, drops, trails, selftest, faults.
    pub(crate) status: Map<String, Value>,
}

#[derive(Clone, Debug)]
struct Heard {
    at: Timestamp,
    from: Option<IpAddr>,
    status: Map<String, Value>,
}

/// All sensors that were heard.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    // A std lock: held for a look-up or a copy, never across an await.
    sensors: Mutex<HashMap<String, Heard>>,
}

impl Fleet {
    /// Takes a heartbeat; false when it names no sensor.
    pub(crate) fn hear(
        &self,
        now: Timestamp,
        from: Option<IpAddr>,
        mut said: Map<String, Value>,
    ) -> bool {
        let Some(Value::String(sensor)) = said.remove("sensor") else {
            return false;
        };
        if sensor.is_empty() || sensor.len() > MAX_TEXT || sensor.contains(char::is_control) {
            return false;
        }
        let mut sensors = self.sensors.lock().unwrap_or_else(PoisonError::into_inner);
        if !sensors.contains_key(&sensor) && sensors.len() >= MAX_SENSORS {
            let oldest = sensors.iter().min_by_key(|(_, heard)| heard.at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                sensors.remove(&name);
            }
        }
        let status = known(&said);
        sensors.insert(
            sensor,
            Heard {
                at: now,
                from,
                status,
            },
        );
        true
    }

    /// Every sensor, by name, with those that left a file in `log_dir`.
    pub(crate) fn contacts(&self, now: Timestamp, log_dir: &Path) -> Vec<Contact> {
        let mut sensors = self
            .sensors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (sensor, heard) in files(log_dir) {
            let newer = |known: &Heard| known.at < heard.at;
            if sensors.get(&sensor).is_none_or(newer) {
                sensors.insert(sensor, heard);
            }
        }
        let mut contacts: Vec<Contact> = sensors
            .into_iter()
            .map(|(sensor, heard)| contact(sensor, heard, now))
            .collect();
        contacts.sort_by(|one, other| one.sensor.cmp(&other.sensor));
        contacts
    }
}

fn contact(sensor: String, heard: Heard, now: Timestamp) -> Contact {
    let age = now.secs().saturating_sub(heard.at.secs()).max(0);
    let time = heard.status.get("time").and_then(Value::as_str);
    let time = time.and_then(Timestamp::parse_rfc3339);
    Contact {
        sensor,
        heard: heard.at.to_rfc3339(),
        age,
        silent: age > SILENT_SECS,
        from: heard.from,
        clock_ahead: time.map(|time| time.secs().saturating_sub(heard.at.secs())),
        status: heard.status,
    }
}

/// The members that are kept, each in its form.
fn known(said: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in said {
        let value = match (name.as_str(), value) {
            ("version" | "time", Value::String(text)) => short(text),
            ("pps" | "drops", Value::Number(_)) => value.clone(),
            ("trails", Value::Object(trails)) => numbers(trails),
            ("selftest", Value::Object(counts)) => numbers(counts),
            ("faults", Value::Array(faults)) => {
                Value::Array(faults.iter().take(MAX_FAULTS).filter_map(fault).collect())
            }
            _ => continue,
        };
        kept.insert(name.clone(), value);
    }
    kept
}

fn short(text: &str) -> Value {
    Value::String(text.chars().take(MAX_TEXT).collect())
}

fn numbers(object: &Map<String, Value>) -> Value {
    let numbers = object.iter().filter(|(_, value)| value.is_number());
    Value::Object(
        numbers
            .take(8)
            .map(|(name, value)| (name.chars().take(32).collect(), value.clone()))
            .collect(),
    )
}

fn fault(fault: &Value) -> Option<Value> {
    let text = |name| fault.get(name)?.as_str().map(short);
    let mut kept = Map::new();
    kept.insert("id".to_owned(), text("id")?);
    kept.insert("text".to_owned(), text("text")?);
    Some(Value::Object(kept))
}

/// The heartbeats that sensors on this machine left in the log folder.
fn files(log_dir: &Path) -> Vec<(String, Heard)> {
    let entries = fs::read_dir(log_dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("status-") && name.ends_with(".json")
        })
        .take(MAX_SENSORS)
        .filter_map(|entry| {
            let file = fs::File::open(entry.path()).ok()?;
            let written = file
                .metadata()
                .ok()
                .filter(fs::Metadata::is_file)?
                .modified();
            let mut text = String::new();
            file.take(MAX_FILE).read_to_string(&mut text).ok()?;
            let mut said: Map<String, Value> = serde_json::from_str(&text).ok()?;
            let Some(Value::String(sensor)) = said.remove("sensor") else {
                return None;
            };
            let since = written.ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            let at = Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?);
            let status = known(&said);
            Some((
                sensor,
                Heard {
                    at,
                    from: None,
                    status,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_parts(1_795_075_200, 0);

    fn said(sensor: &str) -> Map<String, Value> {
        let beat = json!({
            "sensor": sensor, "version": "1", "time": "2026-11-19T08:00:05.000000Z", "pps": 7, "drops": 0,
            "trails": {"count": 5, "note": "x"}, "selftest": null,
            "faults": [{"id": "no-packets", "text": "none", "more": 1}, 7], "evil": "<b>"
        });
        beat.as_object().expect("object").clone()
    }

    #[test]
    fn a_sensor_is_heard_and_falls_silent() {
        let folder = tempfile::tempdir().expect("folder");
        let fleet = Fleet::default();
        assert!(fleet.hear(NOW, Some([192, 0, 2, 1].into()), said("edge")));
        let contact = &fleet.contacts(NOW, folder.path())[0];
        assert_eq!(
            (contact.sensor.as_str(), contact.age, contact.silent),
            ("edge", 0, false)
        );
        assert_eq!(contact.clock_ahead, Some(5));
        assert_eq!(
            Value::Object(contact.status.clone()),
            json!({"version": "1", "time": "2026-11-19T08:00:05.000000Z", "pps": 7, "drops": 0,
                   "trails": {"count": 5}, "faults": [{"id": "no-packets", "text": "none"}]})
        );
        let later = Timestamp::from_parts(NOW.secs() + SILENT_SECS + 1, 0);
        assert!(fleet.contacts(later, folder.path())[0].silent);
    }

    #[test]
    fn the_file_of_a_sensor_on_this_machine_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let text =
            json!({"maltrail": 1, "kind": "heartbeat", "sensor": "here", "pps": 3}).to_string();
        fs::write(folder.path().join("status-here.json"), text).expect("file");
        fs::write(folder.path().join("status-cut.json"), "{\"sensor\":\"cu").expect("file");
        let contacts = Fleet::default().contacts(Timestamp::now(), folder.path());
        assert_eq!(contacts.len(), 1, "{contacts:?}");
        assert!(contacts[0].age < 60 && contacts[0].from.is_none());
    }

    #[test]
    fn heartbeats_without_a_name_are_refused_and_too_many_push_out_the_oldest() {
        let fleet = Fleet::default();
        assert!(!fleet.hear(NOW, None, Map::new()));
        assert!(!fleet.hear(NOW, None, said("")));
        assert!(!fleet.hear(NOW, None, said("a\nb")));
        for n in 0..=MAX_SENSORS {
            let at = Timestamp::from_parts(NOW.secs() + n as i64, 0);
            assert!(fleet.hear(at, None, said(&format!("s{n:04}"))));
        }
        let folder = tempfile::tempdir().expect("folder");
        let contacts = fleet.contacts(NOW, folder.path());
        assert_eq!(contacts.len(), MAX_SENSORS);
        assert_eq!(contacts[0].sensor, "s0001");
    }
}
