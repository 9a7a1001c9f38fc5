//! Every bound of the core as a named constant: value, unit, reason.

/// Longest host name in bytes without the final dot (RFC 1035 §2.3.4 leaves 253 visible ones).
pub const NAME_BYTES: usize = 253;
/// Labels that fit into 255 wire bytes (RFC 1035 §2.3.4): one length byte and one letter each.
pub const NAME_LABELS: usize = 127;
/// Longest label in bytes (RFC 1035 §2.3.4).
pub const LABEL_BYTES: usize = 63;
/// Longest event line in bytes that is read back. A line holds at most one condensed event of
/// 1,000 members (sensor §11), each at most 40 bytes of address and 6 of port.
pub const EVENT_LINE_BYTES: usize = 64 * 1024;
/// Columns of an event line.
pub const EVENT_COLUMNS: usize = 11;
/// Longest trail key in bytes. The longest shipped one has 575 (`spec` trails §2.4).
pub const TRAIL_KEY_BYTES: usize = 4096;
/// Most regular-expression trails compiled at once. 27 ship; each costs a few kB and a share of
/// one pass over a name.
pub const TRAIL_PATTERNS: usize = 4096;
/// Size limit of the compiled pattern set in bytes: a hostile list must not eat the memory.
pub const PATTERN_PROGRAM_BYTES: usize = 64 * 1024 * 1024;
/// Longest configuration file in bytes; the shipped one has about 20 kB, IP_ALIASES may be long.
pub const CONFIG_BYTES: usize = 16 * 1024 * 1024;
