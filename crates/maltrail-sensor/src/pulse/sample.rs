//! Which frames are looked at, decided from the packet's own bytes without decoding it.

use maltrail_wire::LinkType;

use super::SAMPLE;

const VLAN: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const VLAN_OLD: u16 = 0x9100;

/// Bits that must be zero in one packet of [`SAMPLE`].
pub(super) const MASK: u8 = (SAMPLE - 1) as u8;

const TCP: u8 = 6;
const UDP: u8 = 17;

fn word(frame: &[u8], at: usize) -> Option<u16> {
    let bytes = frame.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, VLAN | VLAN_SERVICE | VLAN_OLD)
}

/// Where the IP header stands if the frame is an ordinary one of its link type. A wrong place only
/// makes the choice another one.
#[inline]
fn ip_at(link: LinkType, frame: &[u8]) -> usize {
    match link {
        LinkType::ETHERNET => match word(frame, 12) {
            Some(kind) if is_tag(kind) => match word(frame, 16) {
                Some(kind) if is_tag(kind) => 22,
                _ => 18,
            },
            _ => 14,
        },
        LinkType::LINUX_SLL => match word(frame, 14) {
            Some(kind) if is_tag(kind) => 20,
            _ => 16,
        },
        LinkType::LINUX_SLL2 => match word(frame, 0) {
            Some(kind) if is_tag(kind) => 24,
            _ => 20,
        },
        LinkType::NULL | LinkType::LOOP | LinkType::PPP => 4,
        LinkType::RAW | LinkType::RAW_FILE | LinkType::IPV4 | LinkType::IPV6 => 0,
        _ => 14,
    }
}

/// Whether this frame is looked at: the low bits of the IP identification and of the checksum of TCP
/// or UDP, together, are zero. IPv6 has no identification.
#[inline]
pub(super) fn is_chosen(link: LinkType, frame: &[u8], mask: u8) -> bool {
    let ip = frame.get(ip_at(link, frame)..).unwrap_or_default();
    let Some(head) = ip.first_chunk::<20>() else {
        return false;
    };
    // Without options, which are rare; with options the bytes are others, and the same in a copy.
    let (header, id, proto) = match head[0] >> 4 {
        4 => (20, head[5], head[9]),
        6 => (40, 0, head[6]),
        _ => return false,
    };
    let checksum = match proto {
        TCP => header + 17,
        UDP => header + 7,
        _ => header + 3,
    };
    let checksum = ip.get(checksum).copied().unwrap_or_default();
    (id ^ checksum) & mask == 0
}

/// Number of the outer VLAN tag; 0 without one.
pub(super) fn vlan(link: LinkType, frame: &[u8]) -> u16 {
    let (kind, tag) = match link {
        LinkType::ETHERNET => (12, 14),
        LinkType::LINUX_SLL => (14, 16),
        LinkType::LINUX_SLL2 => (0, 20),
        _ => return 0,
    };
    match word(frame, kind) {
        Some(kind) if is_tag(kind) => word(frame, tag).unwrap_or_default() & 0x0fff,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_layer_does_not_change_the_choice() {
        for id in 0..=255u8 {
            let mut ip = vec![
                0x45, 0, 0, 40, 1, id, 0, 0, 64, 6, 9, 9, 192, 168, 1, 1, 203, 0, 113, 9,
            ];
            ip.extend([0; 16]);
            ip.extend([0xab, 0x3c, 0, 0]);
            let wanted = (id ^ 0x3c) & 31 == 0;
            let heads: [(u16, Vec<u8>); 7] = [
                (1, [vec![1; 12], vec![8, 0]].concat()),
                (1, [vec![1; 12], vec![0x81, 0, 0, 7, 8, 0]].concat()),
                (
                    1,
                    [vec![1; 12], vec![0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 8, 0]].concat(),
                ),
                (12, vec![]),
                (113, [vec![0; 14], vec![8, 0]].concat()),
                (276, [vec![8, 0], vec![0; 18]].concat()),
                (0, vec![2, 0, 0, 0]),
            ];
            for (link, head) in heads {
                let frame = [head, ip.clone()].concat();
                assert_eq!(
                    is_chosen(LinkType(link), &frame, MASK),
                    wanted,
                    "link {link}, id {id}"
                );
            }
        }
    }

    #[test]
    fn tags_are_numbered() {
        let tagged = [vec![1; 12], vec![0x81, 0, 0xe0, 42]].concat();
        assert_eq!(
            vlan(LinkType::ETHERNET, &tagged),
            42,
            "priority bits are no part of it"
        );
        assert_eq!(vlan(LinkType::ETHERNET, &[1; 13]), 0);
        assert_eq!(
            vlan(
                LinkType::LINUX_SLL,
                &[vec![0; 14], vec![0x81, 0, 0, 9]].concat()
            ),
            9
        );
        assert_eq!(
            vlan(
                LinkType::LINUX_SLL2,
                &[vec![0x81, 0], vec![0; 18], vec![0, 9]].concat()
            ),
            9
        );
        assert_eq!(vlan(LinkType::RAW, &tagged), 0);
    }
}
