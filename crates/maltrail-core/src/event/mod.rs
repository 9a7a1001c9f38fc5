//! One observation worth logging.
//!
//! An [`Event`] exists only once something was found; nothing on the packet path formats or
//! allocates before that. Its addresses and ports are *member lists* ([`Members`]): a condensed
//! event holds several, comma-joined, exactly as the log line writes them. [`mod@line`] is the log line
//! both ways, [`severity`] the one place where severity is computed.

pub mod cef;
pub mod datagram;
pub mod details;
mod ecs;
mod eve;
pub mod json;
pub mod line;
pub mod logstash;
mod port;
pub mod profiles;
pub mod seal;
pub mod severity;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::time::Timestamp;
pub use details::{Details, Direction, Evidence, Reason};
pub use line::{EventId, LineError};
pub use port::PortValue;
pub use seal::Seal;
pub use severity::{Context, RemoteSeverity, Severity};

/// The reference text of events that no trail but a heuristic explains.
pub const HEURISTIC: &str = "(heuristic)";

/// One line of the event log. Text fields hold what the columns mean, unquoted; an empty text is
/// written as `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the packet was seen.
    pub time: Timestamp,
    /// Name of the sensor.
    pub sensor: String,
    /// Sender of the packet that triggered the event.
    pub src_ip: Members,
    /// Its port, or `-` where the protocol has none.
    pub src_port: Members,
    /// Receiver of that packet.
    pub dst_ip: Members,
    /// Its port, or `-`.
    pub dst_port: Members,
    /// `TCP`, `UDP`, `ICMP` or another label of the protocol table.
    pub proto: Cow<'static, str>,
    /// What kind of indicator matched.
    pub kind: Kind,
    /// The indicator; parts that do not belong to it stand in parentheses.
    pub trail: String,
    /// What the indicator is, such as `lumma (malware)`.
    pub info: String,
    /// Where the indicator comes from: `(static)`, `(custom)`, `(heuristic)` or a feed's name.
    pub reference: String,
    /// What does not stand in the line.
    pub details: Details,
}

impl Event {
    /// Severity by the rule of the dashboard (`spec` dashboard §3), used in JSON, API and page,
    /// lowered by its [context](Context).
    pub fn severity(&self) -> Severity {
        Severity::in_context(&Context {
            kind: self.kind.as_str(),
            trail: &self.trail,
            info: &self.info,
            reference: &self.reference,
            src: self.src_ip.as_str(),
            direction: self.details.direction,
        })
    }
}

/// One or several values of a column, comma-joined as the log writes them; `-` when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Members(String);

impl Members {
    /// A column without a value.
    pub const fn none() -> Self {
        Self(String::new())
    }

    /// A column as it stands in a log line (already unquoted).
    pub fn from_text(text: &str) -> Self {
        Self(if text == "-" {
            String::new()
        } else {
            text.to_owned()
        })
    }

    /// The column's text: comma-joined, `-` when there is no value.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "-" } else { &self.0 }
    }

    /// Each single value, in order. None for an empty column.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0
            .split(',')
            .map(str::trim)
            .filter(|value| !value.is_empty() && *value != "-")
    }

    /// Each value that is an address.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.iter().filter_map(crate::addr::parse_ip)
    }
}

impl From<IpAddr> for Members {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl From<u16> for Members {
    /// compat: port 0 is written as `-`, as the reference writes the integer 0.
    fn from(port: u16) -> Self {
        if port == 0 {
            Self::none()
        } else {
            Self(port.to_string())
        }
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The type column of an event.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// Any other word of the letters A-Z, as other sensors may send.
            Other(Box<str>),
        }

        impl Kind {
            /// The word in the log line.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// The kind named by `text`: one or more letters A-Z.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => (!text.is_empty()
                        && text.len() <= MAX_KIND_BYTES
                        && text.bytes().all(|byte| byte.is_ascii_uppercase()))
                    .then(|| Self::Other(text.into())),
                }
            }
        }
    };
}

/// Longest type word that is accepted; the known ones have at most five letters.
const MAX_KIND_BYTES: usize = 16;

kinds! {
    /// A host name in DNS, TLS, QUIC or HTTP.
    Dns = "DNS",
    /// An address.
    Ip = "IP",
    /// An address with a port.
    IpPort = "IPORT",
    /// A URL, path or host of an HTTP request.
    Url = "URL",
    /// HTTP content other than the URL.
    Http = "HTTP",
    /// A user agent.
    Ua = "UA",
    /// A port under attack by one host.
    Port = "PORT",
    /// Many paths of one web server.
    Path = "PATH",
    /// A TLS certificate.
    Cert = "CERT",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_split_at_commas_and_know_nothing_from_a_dash() {
        let many = Members::from_text("10.0.0.1,203.0.113.7");
        assert_eq!(many.iter().collect::<Vec<_>>(), ["10.0.0.1", "203.0.113.7"]);
        assert_eq!(many.addresses().count(), 2);
        let none = Members::from_text("-");
        assert_eq!((none.iter().count(), none.as_str()), (0, "-"));
        assert_eq!(Members::from(0).as_str(), "-");
        assert_eq!(Members::from(443).as_str(), "443");
    }

    #[test]
    fn kinds_are_upper_case_words() {
        assert_eq!(Kind::parse("IPORT"), Some(Kind::IpPort));
        assert_eq!(
            Kind::parse("NEW").map(|kind| kind.to_string()).as_deref(),
            Some("NEW")
        );
        for bad in ["", "dns", "DNS2", "D NS", "ABCDEFGHIJKLMNOPQ"] {
            assert_eq!(Kind::parse(bad), None, "{bad:?}");
        }
    }
}
