//! Any bytes as HTTP/2: a host is bounded, and written out plainly it is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::http2::{AuthorityBuf, MAX_AUTHORITY, authority};

fuzz_target!(|data: &[u8]| {
    let mut buffer = AuthorityBuf::default();
    let Some(name) = authority(data, &mut buffer) else {
        return;
    };
    assert!(!name.is_empty() && name.len() <= MAX_AUTHORITY);
    let Ok(length @ 0..127) = u8::try_from(name.len()) else {
        return;
    };
    let block = [&[0x82, 0x41, length][..], name.as_bytes()].concat();
    let header = [0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1];
    let again = [&header[..], &block].concat();
    let mut other = AuthorityBuf::default();
    assert_eq!(authority(&again, &mut other), Some(name));
});
