//! Where CEF goes: an entry of `SYSLOG_SERVER`.

use super::settings::split_endpoint;

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// `host:port` or `udp://`: the bare CEF line in a datagram, as the reference sends it.
    Udp,
    /// `udp5424://`: an RFC 5424 message in a datagram (RFC 5426).
    UdpFramed,
    /// `tcp://`: RFC 5424 messages with counted octets (RFC 6587 §3.4.1).
    Tcp,
    /// `tls://`: the same within TLS (RFC 5425).
    Tls,
}

/// Scheme, carrier.
const SCHEMES: &[(&str, Carrier)] = &[
    ("udp://", Carrier::Udp),
    ("udp5424://", Carrier::UdpFramed),
    ("tcp://", Carrier::Tcp),
    ("tls://", Carrier::Tls),
];

/// A receiver of syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// How it is spoken to.
    pub carrier: Carrier,
    /// `host:port` or `[v6]:port`.
    pub address: String,
}

impl Receiver {
    /// Reads an entry; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let known = SCHEMES.iter().find_map(|&(scheme, carrier)| {
            let head = text.get(..scheme.len())?;
            let rest = text.get(scheme.len()..)?;
            head.eq_ignore_ascii_case(scheme).then_some((carrier, rest))
        });
        let (carrier, address) = known.unwrap_or((Carrier::Udp, text));
        split_endpoint(address)?;
        Some(Self {
            carrier,
            address: address.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_names_the_carrier() {
        for (text, wanted) in [
            ("a:514", Some((Carrier::Udp, "a:514"))),
            (
                "udp://[2001:db8::1]:514",
                Some((Carrier::Udp, "[2001:db8::1]:514")),
            ),
            ("udp5424://a:514", Some((Carrier::UdpFramed, "a:514"))),
            ("tcp://a:601", Some((Carrier::Tcp, "a:601"))),
            (
                "TLS://siem.example:6514",
                Some((Carrier::Tls, "siem.example:6514")),
            ),
            ("tls://siem.example", None),
            ("http://a:80", None),
            ("tcp://", None),
            ("a", None),
            ("é:1", Some((Carrier::Udp, "é:1"))),
        ] {
            let found = Receiver::parse(text);
            let found = found.as_ref().map(|it| (it.carrier, it.address.as_str()));
            assert_eq!(found, wanted, "{text}");
        }
    }
}
