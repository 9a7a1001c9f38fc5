//! Where packets come from: capture files ([`mod@file`]) or the wire ([`live`]).

pub mod fanout;
pub mod file;
pub mod live;
mod pcapng;
mod source;
