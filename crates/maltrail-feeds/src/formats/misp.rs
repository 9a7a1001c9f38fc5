//! MISP feeds: `manifest.json` names events, each a file of its own with attributes. Only attributes that
//! their author marked for detection (`to_ids`) are entries.

use std::io::BufRead;

use super::json::records;
use super::{FormatError, Sink};

/// Most events of an update, the newest.
const EVENTS: usize = 200;
/// Most events of a manifest that are looked at.
const MANIFEST: usize = 100_000;

/// The newest events of a manifest (`{"UUID": {"timestamp": "…"}}`), newest first.
///
/// # Errors
/// When it is no such manifest.
pub fn events(manifest: &mut dyn BufRead) -> Result<Vec<String>, FormatError> {
    use serde::Deserialize as _;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(default)]
        timestamp: serde_json::Value,
    }
    let mut reader = serde_json::Deserializer::from_reader(manifest);
    let events = BTreeMap::<String, Event>::deserialize(&mut reader)
        .map_err(|error| FormatError::Form(format!("no MISP manifest: {error}")))?;
    let is_id = |id: &str| {
        id.len() == 36
            && id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    let mut newest: Vec<(u64, String)> = events
        .into_iter()
        .filter(|(id, _)| is_id(id))
        .take(MANIFEST)
        .map(|(id, event)| {
            let text = event.timestamp.as_str().and_then(|text| text.parse().ok());
            (text.or(event.timestamp.as_u64()).unwrap_or(0), id)
        })
        .collect();
    newest.sort_unstable_by(|left, right| right.cmp(left));
    newest.truncate(EVENTS);
    Ok(newest.into_iter().map(|(_, id)| id).collect())
}

/// The attributes of one event.
pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let paths = ["Event.Attribute[]", "Event.Object[].Attribute[]"];
    records(
        body,
        &paths,
        &["type", "value", "to_ids"],
        |number, found| {
            let [kind, value, to_ids] = found else {
                return Ok(());
            };
            let (Some(kind), Some(value)) = (kind.first(), value.first()) else {
                return Ok(());
            };
            if !to_ids.iter().any(|flag| flag == "true" || flag == "1") {
                return Ok(());
            }
            match kind.as_str() {
                "domain" | "hostname" | "ip-dst" | "ip-src" => sink.add(number, value),
                "ip-dst|port" | "ip-src|port" | "hostname|port" => match value.split_once('|') {
                    Some((host, port)) if host.contains(':') => {
                        sink.add(number, &format!("[{host}]:{port}"))
                    }
                    Some((host, port)) if kind.starts_with("ip") => {
                        sink.add(number, &format!("{host}:{port}"))
                    }
                    Some((host, _)) => sink.add(number, host),
                    None => Ok(()),
                },
                "domain|ip" => value.split('|').try_for_each(|part| sink.add(number, part)),
                "url" => {
                    let rest = value
                        .split_once("://")
                        .map_or(value.as_str(), |(_, rest)| rest);
                    sink.add(number, rest)
                }
                "x509-fingerprint-sha1" => sink.add(number, &value.to_ascii_lowercase()),
                _ => Ok(()),
            }
        },
    )
}
