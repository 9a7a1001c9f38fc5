//! `LOG_DIR/cleared.txt`: addresses that the operator has dealt with. One a line, with the moment up to
//! which its events are settled (`YYYY-MM-DD HH:MM:SS`), else the time the file was last changed; `#` starts
//! a comment. Read for every question, so that an edit counts at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::time::UNIX_EPOCH;

use maltrail_core::addr::parse_ip;
use maltrail_core::time::{Timestamp, Zone};

/// Most bytes that are read.
const MAX_BYTES: u64 = 4 << 20;

/// Address → moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleared(HashMap<IpAddr, Timestamp>);

impl Cleared {
    /// Reads the file; nothing is cleared when there is none.
    pub(crate) fn read(log_dir: &Path, zone: &Zone) -> Self {
        let Ok(file) = File::open(log_dir.join("cleared.txt")) else {
            return Self::default();
        };
        let changed = file.metadata().and_then(|meta| meta.modified()).ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let micros = changed.map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        });
        let mut bytes = Vec::new();
        if let Err(error) = file.take(MAX_BYTES).read_to_end(&mut bytes) {
            tracing::warn!(%error, "cannot read cleared.txt in LOG_DIR");
        }
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(&text, Timestamp::from_micros(micros), zone)
    }

    fn parse(text: &str, changed: Timestamp, zone: &Zone) -> Self {
        let mut cleared = HashMap::new();
        for line in text.lines() {
            let line = line
                .split_once('#')
                .map_or(line, |(before, _)| before)
                .trim();
            let (address, moment) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let Some(address) = parse_ip(address) else {
                continue;
            };
            let moment = zone.parse_log_time(moment.trim()).unwrap_or(changed);
            let known = cleared.entry(address.to_canonical()).or_insert(moment);
            *known = moment.max(*known);
        }
        Self(cleared)
    }

    /// Whether an event of this source at this time is settled.
    pub(crate) fn covers(&self, source: IpAddr, time: Timestamp) -> bool {
        self.0.get(&source).is_some_and(|moment| time <= *moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_events_list_an_address_again() {
        let changed = Timestamp::from_parts(1_795_000_000, 0);
        let text = "# seen\n10.0.0.6\n10.0.0.8 2026-11-24 00:00:00 # by night\n10.0.0.9 soon\nnobody 2026-11-24 00:00:00\n2001:db8:0::1\n";
        let cleared = Cleared::parse(text, changed, &Zone::UTC);
        let at = |text: &str| Zone::UTC.parse_log_time(text).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(cleared.covers(ip("10.0.0.8"), at("2026-11-24 00:00:00")));
        assert!(!cleared.covers(ip("10.0.0.8"), at("2026-11-24 00:00:01")));
        for address in ["10.0.0.6", "10.0.0.9", "2001:db8::1"] {
            assert!(cleared.covers(ip(address), changed), "{address}");
            assert!(
                !cleared.covers(ip(address), changed.plus_micros(1)),
                "{address}"
            );
        }
        assert!(!cleared.covers(ip("10.0.0.7"), changed));
    }
}
