//! One line for each attempt to get in, for tools that watch logs, such as fail2ban.
//!
//! ```text
//! Failed password for admin from 192.0.2.7 port 40000
//! ```
//!
//! The line goes to the system's log (facility `auth`, program `maltrail`) where there is one, else to the
//! server's own. What a stranger types cannot forge a second line or another address, and is not recorded
//! anywhere else.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use maltrail_core::time::{Timestamp, Zone};

use super::Peer;

/// Where the system's log takes lines.
const SYSLOG: &str = "/dev/log";
/// Facility 4 (auth), severity 6 (informational).
const PRIORITY: u8 = 4 * 8 + 6;
/// Characters of a name that are shown.
const MAX_NAME: usize = 64;

/// Writes the line of an attempt with a `kind` of secret.
pub(crate) fn attempt(kind: &'static str, name: &str, peer: Peer, accepted: bool) {
    let line = line(kind, name, peer, accepted);
    let now = Timestamp::now();
    if send(Path::new(SYSLOG), &record(&line, now, &Zone::local())).is_ok() {
        // Both may end in the same journal; counted twice, an attempt would be banned too early.
        tracing::debug!(target: "auth", "{line}");
    } else {
        tracing::info!(target: "auth", "{line}");
    }
}

/// Anything of the name but visible ASCII, blanks included, becomes `?`, and it is cut.
fn line(kind: &str, name: &str, peer: Peer, accepted: bool) -> String {
    let shown = |letter: char| {
        if letter.is_ascii_graphic() {
            letter
        } else {
            '?'
        }
    };
    let mut user: String = name.chars().take(MAX_NAME).map(shown).collect();
    if user.is_empty() {
        user.push('-');
    }
    let outcome = if accepted { "Accepted" } else { "Failed" };
    let mut line = format!("{outcome} {kind} for {user} from {}", peer.address);
    if let Some(port) = peer.port {
        line += &format!(" port {port}");
    }
    line
}

/// A record of the form that every local log daemon reads (RFC 3164).
fn record(line: &str, now: Timestamp, zone: &Zone) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut written = String::new();
    zone.write_log_time(now, &mut written);
    // 2026-11-24 10:00:00.000000
    let part = |from: usize, to: usize| written.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().unwrap_or(1).saturating_sub(1);
    let day = part(8, 10).trim_start_matches('0');
    format!(
        "<{PRIORITY}>{} {day:>2} {} maltrail[{}]: {line}",
        MONTHS.get(month).unwrap_or(&"Jan"),
        part(11, 19),
        std::process::id()
    )
}

/// Never waits: a log that is full or gone must not hold up a sign-in.
fn send(socket: &Path, record: &str) -> std::io::Result<()> {
    let own = UnixDatagram::unbound()?;
    own.set_nonblocking(true)?;
    own.send_to(record.as_bytes(), socket)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: Option<u16>) -> Peer {
        Peer {
            address: [192, 0, 2, 7].into(),
            port,
            remote: true,
            clear: false,
        }
    }

    #[test]
    fn a_name_cannot_forge_a_record_or_an_address() {
        for (name, shown) in [
            ("admin", "admin"),
            ("", "-"),
            ("root from 6.6.6.6 port 22", "root?from?6.6.6.6?port?22"),
            (
                "adm\r\nAccepted password for root from 6.6.6.6",
                "adm??Accepted?password?for?root?from?6.6.6.6",
            ),
            ("\u{1b}[2Jx\0\u{85}\u{2028}\u{202e}\u{e9}", "?[2Jx?????"),
            (";`id>pwned`$(id)", ";`id>pwned`$(id)"),
            ("%s%n<!version!>", "%s%n<!version!>"),
        ] {
            let line = line("password", name, peer(Some(4000)), false);
            assert_eq!(
                line,
                format!("Failed password for {shown} from 192.0.2.7 port 4000")
            );
            assert_eq!(line.split(' ').count(), 8, "{line}");
            assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
        let long = line("password", &"x".repeat(10_000), peer(None), true);
        let frame = "Accepted password for  from 192.0.2.7";
        assert_eq!(long.len(), frame.len() + MAX_NAME);
    }

    #[test]
    fn the_systems_log_gets_the_record_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(send(&path, "x").is_err());
        let log = UnixDatagram::bind(&path).unwrap();
        // 2026-11-04 05:06:07 UTC
        let now = Timestamp::from_parts(1_793_768_767, 0);
        send(
            &path,
            &record("Failed token for - from ::1", now, &Zone::UTC),
        )
        .unwrap();
        let mut read = [0; 200];
        let length = log.recv(&mut read).unwrap();
        assert_eq!(
            std::str::from_utf8(&read[..length]).unwrap(),
            format!(
                "<38>Nov  4 05:06:07 maltrail[{}]: Failed token for - from ::1",
                std::process::id()
            )
        );
        // A daemon that does not read holds up nobody.
        while send(&path, &"x".repeat(1000)).is_ok() {}
    }
}
