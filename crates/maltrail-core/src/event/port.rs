//! The ports of an event as numbers.
//!
//! A log line writes port 0 as `-`, as it writes "no port". Receivers of CEF, Logstash and other JSON
//! expect the number where the packet had one, so the two are told apart here: a TCP or UDP packet
//! between two named hosts always has ports.

use super::{Event, Members};

/// A port column as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortValue<'a> {
    /// One port, 0 included.
    Number(u16),
    /// Several, comma-joined, or `-` where there is none.
    Text(&'a str),
}

impl PortValue<'_> {
    /// The single port, or the first of several; `None` where there is none.
    #[must_use]
    pub fn first(self) -> Option<u16> {
        match self {
            Self::Number(port) => Some(port),
            Self::Text(text) => text.split(',').find_map(number),
        }
    }
}

impl Event {
    /// The source port.
    #[must_use]
    pub fn src_port_value(&self) -> PortValue<'_> {
        value(&self.src_port, &self.src_ip, &self.proto)
    }

    /// The destination port.
    #[must_use]
    pub fn dst_port_value(&self) -> PortValue<'_> {
        value(&self.dst_port, &self.dst_ip, &self.proto)
    }
}

fn value<'a>(port: &'a Members, address: &Members, proto: &str) -> PortValue<'a> {
    match port.as_str() {
        "-" if matches!(proto, "TCP" | "UDP") && address.addresses().count() == 1 => {
            PortValue::Number(0)
        }
        text => number(text).map_or(PortValue::Text(text), PortValue::Number),
    }
}

/// A port in its plain form: no sign, no leading zero.
fn number(text: &str) -> Option<u16> {
    let port: u16 = text.trim().parse().ok()?;
    (port.to_string() == text.trim()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Zone;

    fn ports(columns: &str) -> (String, Option<u16>) {
        let line = format!("\"2023-11-14 22:13:20.123456\" s {columns} IP x y z\n");
        let event = Event::parse_line(&line, &Zone::UTC).expect("line");
        let source = event.src_port_value();
        (format!("{source:?}"), source.first())
    }

    #[test]
    fn a_dash_is_zero_where_the_protocol_has_ports() {
        for (columns, wanted, first) in [
            ("192.0.2.1 - 192.0.2.2 1 TCP", "Number(0)", Some(0)),
            ("192.0.2.1 - 192.0.2.2 1 UDP", "Number(0)", Some(0)),
            ("192.0.2.1 - 192.0.2.2 - ICMP", "Text(\"-\")", None),
            // A flood from more hosts than can be named.
            ("- - 192.0.2.2 1 UDP", "Text(\"-\")", None),
            ("192.0.2.1 443 192.0.2.2 1 TCP", "Number(443)", Some(443)),
            (
                "192.0.2.1 80,443 192.0.2.2 1 TCP",
                "Text(\"80,443\")",
                Some(80),
            ),
            ("192.0.2.1 +5 192.0.2.2 1 TCP", "Text(\"+5\")", None),
            ("192.0.2.1 70000 192.0.2.2 1 TCP", "Text(\"70000\")", None),
        ] {
            assert_eq!(ports(columns), (wanted.to_owned(), first), "{columns}");
        }
    }
}
