//! What a remote receiver gets of an event.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maltrail_core::event::cef::Cef;
use maltrail_core::event::datagram::DATAGRAM_BYTES;
use maltrail_core::event::{Event, RemoteSeverity, logstash};
use maltrail_core::time::{Day, Timestamp, Zone};

/// How long the date of the trails file is remembered (`spec` sensor §13).
const TRAILS_DATE: Duration = Duration::from_secs(300);

/// Form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The epoch second and the log line.
    Line,
    /// Our object, which holds the line.
    Json,
    /// The bare CEF line.
    Cef,
    /// CEF within RFC 5424.
    Rfc5424,
    /// The object for Logstash.
    Logstash,
}

/// Writes events in one form. Each receiver's thread has its own.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    pub(super) encoding: Encoding,
    pub(super) zone: Zone,
    pub(super) host: Arc<str>,
    pub(super) severity: RemoteSeverity,
    pub(super) trails: TrailsDate,
}

impl Encoder {
    /// Replaces `out` by the message; false when the event fits into none.
    pub(super) fn encode(&mut self, event: &Event, out: &mut String) -> bool {
        out.clear();
        match self.encoding {
            Encoding::Line => out.push_str(&event.to_datagram(&self.zone)),
            Encoding::Json => match event.to_json_datagram(&self.zone) {
                Some(object) => *out = object,
                None => return false,
            },
            Encoding::Logstash => logstash::write(event, &self.host, &self.severity, out),
            Encoding::Cef | Encoding::Rfc5424 => {
                let cef = Cef {
                    host: &self.host,
                    trails: self.trails.day(&self.zone),
                    severity: &self.severity,
                    zone: &self.zone,
                };
                if self.encoding == Encoding::Cef {
                    cef.write_datagram(event, out);
                } else {
                    cef.write_rfc5424(event, out);
                }
            }
        }
        // A stream takes more; no receiver of syslog does.
        out.len() <= DATAGRAM_BYTES
    }
}

/// The local day on which the trails file was last changed; today when there is none.
#[derive(Clone, Debug)]
pub(super) struct TrailsDate {
    file: PathBuf,
    known: Option<(Instant, Day)>,
}

impl TrailsDate {
    pub(super) const fn new(file: PathBuf) -> Self {
        Self { file, known: None }
    }

    fn day(&mut self, zone: &Zone) -> Day {
        if let Some((read, day)) = self.known
            && read.elapsed() < TRAILS_DATE
        {
            return day;
        }
        let changed = std::fs::metadata(&self.file).map_or_else(
            |_| Timestamp::now(),
            |meta| Timestamp::from_parts(meta.ctime(), 0),
        );
        let day = zone.day(changed);
        self.known = Some((Instant::now(), day));
        day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_the_trails_is_that_of_the_last_change_and_read_anew_at_times() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("trails.csv");
        let today = || Zone::UTC.day(Timestamp::now());
        let mut date = TrailsDate::new(file.clone());
        // Nothing is there: today. Then something is, but the answer is remembered.
        assert_eq!(date.day(&Zone::UTC), today());
        let remembered = today().plus(-9);
        date.known = Some((Instant::now(), remembered));
        std::fs::write(&file, "x").expect("file");
        assert_eq!(date.day(&Zone::UTC), remembered);
        // A file of another time zone's day: ctime cannot be set, so the zone is moved instead.
        let ctime = std::fs::metadata(&file).expect("file").ctime();
        date.known = None;
        let far = Zone::named("Pacific/Kiritimati").expect("zone data");
        assert_eq!(date.day(&far), far.day(Timestamp::from_parts(ctime, 0)));
        // The time that is asked for is that of the change, not of the content.
        let old = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        let open = std::fs::File::options().write(true).open(&file);
        open.and_then(|file| file.set_times(old)).expect("times");
        date.known = Some((
            Instant::now().checked_sub(TRAILS_DATE).expect("uptime"),
            remembered,
        ));
        assert_eq!(date.day(&Zone::UTC), today());
    }
}
