//! ICMP and ICMPv6: only "is this an echo request" is of interest.
//!
//! One byte is needed, the message type.

use crate::proto;

/// Message type of an ICMP echo request (RFC 792).
const ECHO_REQUEST_V4: u8 = 8;
/// Message type of an ICMPv6 echo request (RFC 4443 section 4.1).
const ECHO_REQUEST_V6: u8 = 128;

/// Whether the message of protocol `proto` (ICMP or ICMPv6) is an echo request; `None` when there
/// is no type byte.
#[must_use]
pub fn is_echo_request(proto: u8, payload: &[u8]) -> Option<bool> {
    let wanted = if proto == proto::ICMPV6 {
        ECHO_REQUEST_V6
    } else {
        ECHO_REQUEST_V4
    };
    payload.first().map(|&kind| kind == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_request_type() {
        assert_eq!(is_echo_request(proto::ICMP, &[8, 0]), Some(true));
        assert_eq!(is_echo_request(proto::ICMP, &[128]), Some(false));
        assert_eq!(is_echo_request(proto::ICMPV6, &[128]), Some(true));
        assert_eq!(is_echo_request(proto::ICMPV6, &[8]), Some(false));
        assert_eq!(
            is_echo_request(proto::ICMP, &[0]),
            Some(false),
            "echo reply"
        );
        assert_eq!(is_echo_request(proto::ICMP, &[]), None);
    }

    /// Only the first byte is read: a longer message says the same, and one other type is a request.
    #[test]
    fn any_type_and_any_length() {
        for (proto, request) in [(proto::ICMP, 8), (proto::ICMPV6, 128)] {
            for kind in 0..=u8::MAX {
                let message = [kind, 0, 8, 128, 8, 128];
                for cut in 1..=message.len() {
                    let found = is_echo_request(proto, &message[..cut]);
                    assert_eq!(found, Some(kind == request), "{proto} {kind} {cut}");
                }
            }
        }
    }
}
