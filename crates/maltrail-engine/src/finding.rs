//! What a detector returns: what was found, not yet where and when.

use std::borrow::Cow;
use std::net::IpAddr;

use maltrail_core::event::{Event, Kind, Members};
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;

use crate::flow::{Endpoint, Flow};

/// One finding. Made only when there is something to report, so it may allocate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding<'a> {
    /// What kind of indicator matched.
    pub(crate) kind: Kind,
    /// The indicator, with the parts that do not belong to it in parentheses.
    pub(crate) trail: String,
    /// What it is.
    pub(crate) info: Cow<'a, str>,
    /// Where it comes from.
    pub(crate) reference: Cow<'a, str>,
}

impl Finding<'_> {
    /// The event of this finding in a packet of `flow`.
    pub(crate) fn into_event(self, sensor: &str, time: Timestamp, flow: &Flow) -> Event {
        Event {
            time,
            sensor: sensor.to_owned(),
            src_ip: flow.src.ip.into(),
            src_port: port(flow.src),
            dst_ip: flow.dst.ip.into(),
            dst_port: port(flow.dst),
            proto: Cow::Borrowed(flow.proto),
            kind: self.kind,
            trail: self.trail,
            info: self.info.into_owned(),
            reference: self.reference.into_owned(),
        }
    }
}

fn port(end: Endpoint) -> Members {
    end.port.map_or_else(Members::none, Members::from)
}

/// `<address> (<name>)`: an address with what it was used for.
pub(crate) fn address_for(address: IpAddr, name: &str) -> String {
    format!("{address} ({name})")
}

/// `(<all but the last label>).<last label>`.
pub(crate) fn name_and_tld(name: HostName<'_>) -> String {
    let text = name.as_str();
    parent_of(text, text.len().saturating_sub(name.tld().len()))
}

/// `(<labels>).<parent>`, or the name itself when `start`, where the parent begins, is 0.
pub(crate) fn parent_of(name: &str, start: usize) -> String {
    let dropped = start.checked_sub(1).and_then(|dot| name.get(..dot));
    match (dropped, name.get(start..)) {
        (Some(dropped), Some(parent)) => format!("({dropped}).{parent}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    fn finding() -> Finding<'static> {
        Finding {
            kind: Kind::Ip,
            trail: "203.0.113.7".into(),
            info: "badnet".into(),
            reference: "r".into(),
        }
    }

    #[test]
    fn an_event_has_the_ends_of_its_packet() {
        let time = Timestamp::from_parts(1_700_000_000, 7);
        let flow = flow("192.0.2.10:0", "[2001:db8::66]:443", "TCP");
        let event = finding().into_event("sensor1", time, &flow);
        assert_eq!((event.time, event.sensor.as_str()), (time, "sensor1"));
        assert_eq!(
            (event.src_ip.as_str(), event.src_port.as_str()),
            ("192.0.2.10", "-")
        );
        assert_eq!(
            (event.dst_ip.as_str(), event.dst_port.as_str()),
            ("2001:db8::66", "443")
        );
        assert_eq!(
            (event.proto.as_ref(), event.info.as_str()),
            ("TCP", "badnet")
        );
    }

    #[test]
    fn ports_of_a_protocol_without_any_are_empty() {
        let flow = flow("192.0.2.10", "203.0.113.7", "GRE");
        let event = finding().into_event("s", Timestamp::default(), &flow);
        assert_eq!(
            (event.src_port.as_str(), event.dst_port.as_str()),
            ("-", "-")
        );
    }

    #[test]
    fn parents_stand_outside_the_parentheses() {
        assert_eq!(parent_of("a.b.evil.com", 4), "(a.b).evil.com");
        assert_eq!(parent_of("evil.com", 0), "evil.com");
        let name = HostName::new("a.b.evil.com").unwrap();
        assert_eq!(name_and_tld(name), "(a.b.evil).com");
    }
}
