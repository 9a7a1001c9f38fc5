//! One interface, several sockets: the kernel hands each packet to one of them.
//!
//! Which one is decided by a classic BPF program that does what [`Steering`] does: both directions of
//! an own host's packets go to one socket, so that flows and what is counted by host stay whole. It is a
//! few dozen instructions of straight code in the kernel; loads are relative to the network header, where
//! tags that the network card has taken off do not count.
//!
//! A packet without addresses that the program knows goes to the first socket. Bound:
//! [`MAX_NETWORKS`] networks; with more of them the program goes by the lower address, as for packets
//! with no end, or both ends, at home.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;
use maltrail_core::addr::NetworkSet;
use maltrail_engine::Steering;

/// Most networks that the program looks for: with it, it stays below the 4,096 instructions that the
/// kernel takes (`BPF_MAXINSNS`).
pub const MAX_NETWORKS: usize = 150;

/// Opcodes of classic BPF, as in `linux/filter.h`.
mod op {
    pub(super) const LD_ABS_W: u16 = 0x20;
    pub(super) const LD_IND_W: u16 = 0x40;
    pub(super) const LD_IND_H: u16 = 0x48;
    pub(super) const LD_MEM: u16 = 0x60;
    pub(super) const LDX_IMM: u16 = 0x01;
    pub(super) const LDX_MEM: u16 = 0x61;
    pub(super) const LD_IMM: u16 = 0x00;
    pub(super) const ST: u16 = 0x02;
    pub(super) const JA: u16 = 0x05;
    pub(super) const JEQ_K: u16 = 0x15;
    pub(super) const JEQ_X: u16 = 0x1d;
    pub(super) const JGT_X: u16 = 0x2d;
    pub(super) const AND_K: u16 = 0x54;
    pub(super) const MUL_K: u16 = 0x24;
    pub(super) const RSH_K: u16 = 0x74;
    pub(super) const XOR_X: u16 = 0xac;
    pub(super) const RET_A: u16 = 0x16;
    pub(super) const RET_K: u16 = 0x06;
}

/// Loads from here on count from the network header (`SKF_NET_OFF`).
const NETWORK: u32 = (-0x10_0000_i32) as u32;
/// Where the protocol of the frame is (`SKF_AD_OFF + SKF_AD_PROTOCOL`).
const PROTOCOL: u32 = (-0x1000_i32) as u32;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
/// Tags of VLANs (IEEE 802.1Q, 802.1ad, and an older number of the latter).
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const PPPOE: u32 = 0x8864;
/// Bytes of a tag behind the protocol that names it, and of a PPPoE and PPP header.
const TAG_BYTES: u32 = 4;
const PPPOE_BYTES: u32 = 8;
/// IPv4 and IPv6 over PPP (RFC 1661, RFC 5072).
const PPP_IPV4: u32 = 0x0021;
const PPP_IPV6: u32 = 0x0057;

/// Scratch memory: words of the source, of the destination, and whether each is at home.
const SRC: u32 = 0;
const DST: u32 = 4;
const SRC_HOME: u32 = 8;
const DST_HOME: u32 = 9;

/// One instruction, as the kernel takes it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// A place in the program that is jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

/// A program in the making. Conditional jumps reach only 255 instructions, so each one stands before an
/// unconditional jump.
#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    /// Where labels stand.
    places: Vec<Option<usize>>,
    /// Unconditional jumps and their labels.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn emit(&mut self, code: u16, k: u32) {
        self.code.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            k,
        });
    }

    fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    fn place(&mut self, label: Label) {
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.emit(op::JA, 0);
    }

    /// Jumps when the comparison holds, else goes on.
    fn jump_if(&mut self, code: u16, k: u32, label: Label) {
        self.code.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 1,
            k,
        });
        self.jump(label);
    }

    /// Jumps when the comparison does not hold, else goes on.
    fn jump_unless(&mut self, code: u16, k: u32, label: Label) {
        self.code.push(Instruction {
            code,
            jump_true: 1,
            jump_false: 0,
            k,
        });
        self.jump(label);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let place = self.places.get(label.0).copied().flatten();
            if let (Some(place), Some(jump)) = (place, self.code.get_mut(at)) {
                jump.k = u32::try_from(place - at - 1).unwrap_or_default();
            }
        }
        self.code
    }
}

/// The program for a network in which `home` is ours.
pub fn program(home: &NetworkSet) -> Vec<Instruction> {
    let mut networks = home.networks();
    if networks.len() > MAX_NETWORKS {
        networks.clear();
    }
    let mut asm = Assembler::default();
    let (v4, v6, tag, pppoe) = (asm.label(), asm.label(), asm.label(), asm.label());
    let (ppp, inner) = (asm.label(), asm.label());
    // X is where the IP header begins behind the network header.
    asm.emit(op::LDX_IMM, 0);
    asm.emit(op::LD_ABS_W, PROTOCOL);
    asm.jump_if(op::JEQ_K, IPV4, v4);
    asm.jump_if(op::JEQ_K, IPV6, v6);
    for number in TAGS {
        asm.jump_if(op::JEQ_K, number, tag);
    }
    asm.jump_if(op::JEQ_K, PPPOE, pppoe);
    asm.emit(op::RET_K, 0);
    asm.place(tag);
    asm.emit(op::LD_IND_H, NETWORK.wrapping_add(2));
    asm.emit(op::LDX_IMM, TAG_BYTES);
    asm.jump_if(op::JEQ_K, IPV4, v4);
    asm.jump_if(op::JEQ_K, IPV6, v6);
    asm.jump_if(op::JEQ_K, PPPOE, inner);
    asm.emit(op::RET_K, 0);
    asm.place(inner);
    asm.emit(op::LD_IND_H, NETWORK.wrapping_add(6));
    asm.emit(op::LDX_IMM, TAG_BYTES + PPPOE_BYTES);
    asm.jump(ppp);
    asm.place(pppoe);
    asm.emit(op::LD_IND_H, NETWORK.wrapping_add(6));
    asm.emit(op::LDX_IMM, PPPOE_BYTES);
    asm.place(ppp);
    asm.jump_if(op::JEQ_K, PPP_IPV4, v4);
    asm.jump_if(op::JEQ_K, PPP_IPV6, v6);
    asm.emit(op::RET_K, 0);
    asm.place(v4);
    family(&mut asm, &networks, 1, [12, 16]);
    asm.place(v6);
    family(&mut asm, &networks, 4, [8, 24]);
    asm.finish()
}

/// The choice among addresses of so many words that stand there in the header.
fn family(asm: &mut Assembler, networks: &[IpNet], words: u32, [src, dst]: [u32; 2]) {
    for word in 0..words {
        asm.emit(op::LD_IND_W, NETWORK.wrapping_add(src + 4 * word));
        asm.emit(op::ST, SRC + word);
        asm.emit(op::LD_IND_W, NETWORK.wrapping_add(dst + 4 * word));
        asm.emit(op::ST, DST + word);
    }
    let networks: Vec<(Vec<u32>, u32)> = networks
        .iter()
        .filter_map(|net| prefix(*net, words))
        .collect();
    at_home(asm, &networks, SRC, SRC_HOME);
    at_home(asm, &networks, DST, DST_HOME);
    let (take_src, take_dst, lower) = (asm.label(), asm.label(), asm.label());
    asm.emit(op::LDX_MEM, DST_HOME);
    asm.emit(op::LD_MEM, SRC_HOME);
    asm.jump_if(op::JEQ_X, 0, lower);
    asm.jump_if(op::JEQ_K, 1, take_src);
    asm.jump(take_dst);
    asm.place(lower);
    for word in 0..words {
        asm.emit(op::LDX_MEM, DST + word);
        asm.emit(op::LD_MEM, SRC + word);
        asm.jump_if(op::JGT_X, 0, take_dst);
        asm.jump_unless(op::JEQ_X, 0, take_src);
    }
    asm.place(take_src);
    spread(asm, SRC, words);
    asm.place(take_dst);
    spread(asm, DST, words);
}

/// The words of a network's address that a family of so many words has, and the mask of the last one.
fn prefix(net: IpNet, words: u32) -> Option<(Vec<u32>, u32)> {
    let bytes: Vec<u8> = match (net, words) {
        (IpNet::V4(net), 1) => net.network().octets().to_vec(),
        (IpNet::V6(net), 4) => net.network().octets().to_vec(),
        _ => return None,
    };
    let length = u32::from(net.prefix_len());
    let used = length.div_ceil(32).max(1) as usize;
    let last = length - (used as u32 - 1) * 32;
    let mask = u32::MAX.checked_shl(32 - last).unwrap_or_default();
    let words = bytes
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
        .take(used)
        .collect();
    Some((words, mask))
}

/// Notes in `result` whether the address in `address` is in one of the networks.
fn at_home(asm: &mut Assembler, networks: &[(Vec<u32>, u32)], address: u32, result: u32) {
    let (yes, end) = (asm.label(), asm.label());
    for (words, mask) in networks {
        let next = asm.label();
        for (place, &word) in (0_u32..).zip(words) {
            let is_last = place as usize + 1 == words.len();
            asm.emit(op::LD_MEM, address + place);
            if is_last {
                asm.emit(op::AND_K, *mask);
                asm.jump_if(op::JEQ_K, word, yes);
            } else {
                asm.jump_unless(op::JEQ_K, word, next);
            }
        }
        asm.place(next);
    }
    asm.emit(op::LD_IMM, 0);
    asm.jump(end);
    asm.place(yes);
    asm.emit(op::LD_IMM, 1);
    asm.place(end);
    asm.emit(op::ST, result);
}

/// Ends with the number of an address; the kernel takes the remainder.
fn spread(asm: &mut Assembler, address: u32, words: u32) {
    asm.emit(op::LD_MEM, address);
    for word in 1..words {
        asm.emit(op::LDX_MEM, address + word);
        asm.emit(op::XOR_X, 0);
    }
    asm.emit(op::MUL_K, Steering::SPREAD);
    asm.emit(op::RSH_K, Steering::SHIFT);
    asm.emit(op::RET_A, 0);
}

/// Lets a socket join the group `group` of its interface, and gives the group its program: the first
/// socket must, and for the others it is the same one again.
///
/// # Errors
/// When the kernel refuses: too old, or the group is used by another program in another way.
pub fn join(socket: BorrowedFd<'_>, group: u16, program: &[Instruction]) -> io::Result<()> {
    let mode = u32::from(group) | libc::PACKET_FANOUT_CBPF << 16;
    set_option(socket, libc::PACKET_FANOUT, &mode)?;
    let len = u16::try_from(program.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the program is too long"))?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut().cast(),
    };
    set_option(socket, libc::PACKET_FANOUT_DATA, &program)
}

#[expect(unsafe_code, reason = "no crate sets these options")]
fn set_option<T>(socket: BorrowedFd<'_>, name: i32, value: &T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: `value` is a whole T that lives until the call returns, and `size` is its size. Both
    // options take plain numbers; PACKET_FANOUT_DATA reads `len` instructions of `repr(C)` behind
    // `filter`, which the caller's slice holds, and copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use maltrail_core::addr::parse_net;
    use proptest::prelude::*;

    use super::*;

    /// A packet as the kernel has it: its protocol, and the bytes from the network header on.
    struct Packet {
        protocol: u32,
        bytes: Vec<u8>,
    }

    /// What the kernel makes of the program.
    fn interpret(program: &[Instruction], packet: &Packet) -> u32 {
        let load = |at: u32, size: u32| -> Option<u32> {
            let start = at.wrapping_sub(NETWORK) as usize;
            let bytes = packet.bytes.get(start..start + size as usize)?;
            Some(
                bytes
                    .iter()
                    .fold(0, |sum, &byte| sum << 8 | u32::from(byte)),
            )
        };
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        let mut memory = [0_u32; 16];
        loop {
            let Instruction {
                code,
                jump_true,
                jump_false,
                k,
            } = program[at];
            at += 1;
            let mut branch = |holds: bool| {
                at += usize::from(if holds { jump_true } else { jump_false });
            };
            let loaded = match code {
                op::LD_ABS_W if k == PROTOCOL => Some(packet.protocol),
                op::LD_IND_W => load(x.wrapping_add(k), 4),
                op::LD_IND_H => load(x.wrapping_add(k), 2),
                op::LD_MEM => Some(memory[k as usize]),
                op::LD_IMM => Some(k),
                op::AND_K => Some(a & k),
                op::MUL_K => Some(a.wrapping_mul(k)),
                op::RSH_K => Some(a >> k),
                op::XOR_X => Some(a ^ x),
                op::LDX_IMM => {
                    x = k;
                    continue;
                }
                op::LDX_MEM => {
                    x = memory[k as usize];
                    continue;
                }
                op::ST => {
                    memory[k as usize] = a;
                    continue;
                }
                op::JA => {
                    at += k as usize;
                    continue;
                }
                op::JEQ_K => {
                    branch(a == k);
                    continue;
                }
                op::JEQ_X => {
                    branch(a == x);
                    continue;
                }
                op::JGT_X => {
                    branch(a > x);
                    continue;
                }
                op::RET_A => return a,
                op::RET_K => return k,
                other => panic!("instruction {other:#x}"),
            };
            // A load beyond the packet ends the program with 0.
            let Some(loaded) = loaded else { return 0 };
            a = loaded;
        }
    }

    fn packet(src: IpAddr, dst: IpAddr, before: &[u8], protocol: Option<u32>) -> Packet {
        let mut bytes = before.to_vec();
        let own = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                bytes.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                IPV4
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                bytes.extend([0x60, 0, 0, 0, 0, 0, 6, 64]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                IPV6
            }
            _ => panic!("{src} {dst}"),
        };
        Packet {
            protocol: protocol.unwrap_or(own),
            bytes,
        }
    }

    fn home(nets: &[&str]) -> NetworkSet {
        NetworkSet::new(nets.iter().map(|net| parse_net(net).expect(net)))
    }

    fn homes() -> impl Strategy<Value = NetworkSet> {
        prop_oneof![
            Just(NetworkSet::private()),
            Just(home(&[])),
            Just(home(&["0.0.0.0/0", "::/0"])),
            Just(home(&[
                "192.0.2.7/32",
                "10.0.0.0/9",
                "2001:db8:1:2::/63",
                "2001:db8::5/128",
                "fd00::/33"
            ])),
        ]
    }

    fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        let v4 = prop_oneof![
            any::<u32>(),
            (0_u32..1024).prop_map(|n| 0x0a7f_ff00 + n),
            (0_u32..16).prop_map(|n| 0xc000_0200 + n),
        ];
        let v6 = prop_oneof![
            any::<u128>(),
            (any::<u64>(), 0_u128..4)
                .prop_map(|(low, net)| (0x2001_0db8_0001_0000 + net) << 64 | u128::from(low)),
            (0_u128..9).prop_map(|n| (0x2001_0db8 << 96) + n),
            any::<u64>().prop_map(|low| 0xfd00 << 112 | 1 << 95 | u128::from(low)),
        ];
        // An IPv4 address in IPv6 clothes counts as IPv4 elsewhere; no such packet is on a wire.
        let is_plain = |bits: &u128| bits >> 32 != 0xffff;
        prop_oneof![
            (v4.clone(), v4).prop_map(|(a, b)| (IpAddr::V4(a.into()), IpAddr::V4(b.into()))),
            (
                v6.clone().prop_filter("plain", is_plain),
                v6.prop_filter("plain", is_plain)
            )
                .prop_map(|(a, b)| (IpAddr::V6(a.into()), IpAddr::V6(b.into()))),
        ]
    }

    proptest! {
        #[test]
        fn the_kernel_chooses_as_the_engine_does(home in homes(), (src, dst) in addresses(), workers in 1_u32..9) {
            let program = program(&home);
            let steering = Steering::new(home, workers as usize);
            let ipv4 = src.is_ipv4();
            let inside = if ipv4 { [8, 0] } else { [0x86, 0xdd] };
            let ppp = if ipv4 { [0, 0x21] } else { [0, 0x57] };
            let tag = [&[0, 5][..], &inside].concat();
            let pppoe = [&[0x11, 0, 0, 1, 0, 9][..], &ppp].concat();
            let both = [&[0, 5, 0x88, 0x64][..], &pppoe].concat();
            let wanted = steering.worker(src, dst) as u32;
            for (before, protocol) in [
                (&[][..], None),
                (&tag, Some(0x8100)),
                (&tag, Some(0x88a8)),
                (&pppoe, Some(PPPOE)),
                (&both, Some(0x8100)),
            ] {
                let packet = packet(src, dst, before, protocol);
                prop_assert_eq!(interpret(&program, &packet) % workers, wanted, "{} {}", src, dst);
            }
        }
    }

    #[test]
    fn what_has_no_addresses_goes_to_the_first() {
        let program = program(&NetworkSet::private());
        let arp = Packet {
            protocol: 0x0806,
            bytes: vec![0; 60],
        };
        assert_eq!(interpret(&program, &arp), 0);
        let cut = Packet {
            protocol: IPV4,
            bytes: vec![0x45; 15],
        };
        assert_eq!(interpret(&program, &cut), 0);
    }

    #[test]
    fn the_largest_program_is_one_that_the_kernel_takes() {
        let nets = |count: u32| {
            NetworkSet::new(
                (0..count).map(|n| parse_net(&format!("2001:db8:{n:x}:1::/127")).expect("net")),
            )
        };
        let most = program(&nets(MAX_NETWORKS as u32)).len();
        assert!((3000..4096).contains(&most), "{most}");
        let more = program(&nets(MAX_NETWORKS as u32 + 1)).len();
        assert!(more < 200, "{more}");
    }
}
