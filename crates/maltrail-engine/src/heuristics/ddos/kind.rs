//! Kinds of attacks, their names and texts.
//!
//! Severity follows from the text by the rule of core: `(suspicious)` is medium, `(malware)` high.
//! So an attack on somebody is medium, and one that our own hosts take part in is high.

/// What is sent at a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flood {
    /// SYNs whose connections never complete.
    Syn,
    /// Segments of connections that do not exist: ACK, RST, FIN, SYN-ACK.
    Ack,
    /// Datagrams nobody answers.
    Udp,
    /// ICMP nobody asked for.
    Icmp,
    /// Answers of services nobody asked.
    Reflection,
    /// HTTP requests.
    Http,
    /// Answers much larger than the questions, sent by our own server to one address.
    Reflector,
}

impl Flood {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Syn,
        Self::Ack,
        Self::Udp,
        Self::Icmp,
        Self::Reflection,
        Self::Http,
        Self::Reflector,
    ];

    /// The name in `DISABLED_HEURISTICS`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn_flood",
            Self::Ack => "ack_flood",
            Self::Udp => "udp_flood",
            Self::Icmp => "icmp_flood",
            Self::Reflection | Self::Reflector => "reflection",
            Self::Http => "http_flood",
        }
    }

    /// What events call it; `service` is that of the reflectors.
    pub(crate) fn text(self, service: Service) -> String {
        match self {
            Self::Syn => "syn flood".to_owned(),
            Self::Ack => "ack flood".to_owned(),
            Self::Udp => "udp flood".to_owned(),
            Self::Icmp => "icmp flood".to_owned(),
            Self::Http => "http flood".to_owned(),
            Self::Reflection => format!("{} reflection", service.name),
            Self::Reflector => format!("{} reflector abuse", service.name),
        }
    }

    /// The protocol in events.
    pub(crate) const fn proto(self, v6: bool) -> &'static str {
        match self {
            Self::Syn | Self::Ack | Self::Http => "TCP",
            Self::Udp | Self::Reflection | Self::Reflector => "UDP",
            Self::Icmp if v6 => "ICMPV6",
            Self::Icmp => "ICMP",
        }
    }

    /// Whether the reflectors' service belongs to it.
    pub(crate) const fn is_reflected(self) -> bool {
        matches!(self, Self::Reflection | Self::Reflector)
    }
}

/// A UDP service that answers more than it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its name in events.
    pub(crate) name: &'static str,
    /// Its port.
    pub(crate) port: u16,
}

/// How many services are known.
pub(crate) const SERVICES: usize = 7;

/// The services, by position.
pub(crate) const SERVICE: [Service; SERVICES] = [
    service("dns", 53),
    service("ntp", 123),
    service("ssdp", 1900),
    service("memcached", 11211),
    service("cldap", 389),
    service("snmp", 161),
    service("chargen", 19),
];

const fn service(name: &'static str, port: u16) -> Service {
    Service { name, port }
}

/// The position of the service on this port.
#[inline]
pub(crate) const fn service_at(port: u16) -> Option<u8> {
    Some(match port {
        53 => 0,
        123 => 1,
        1900 => 2,
        11211 => 3,
        389 => 4,
        161 => 5,
        19 => 6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_core::event::Severity;

    #[test]
    fn kinds_and_services_stand_at_their_numbers() {
        for (at, kind) in Flood::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
        for (at, service) in SERVICE.iter().enumerate() {
            assert_eq!(service_at(service.port).map(usize::from), Some(at));
        }
        assert_eq!(service_at(443), None);
    }

    #[test]
    fn no_kind_has_a_word_of_another_severity() {
        for kind in Flood::ALL {
            for service in SERVICE {
                let text = kind.text(service);
                let of = |info: String| Severity::of(&info, "(heuristic)");
                assert_eq!(
                    of(format!("potential {text} ddos (suspicious)")),
                    Severity::Medium
                );
                let own = format!("potential {text} ddos participation (malware)");
                assert_eq!(of(own), Severity::High);
            }
        }
    }
}
