//! Any bytes as a request to a SOCKS proxy: the name lies inside the bytes, and the same request of
//! version 5 written from it is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::socks::target;

fuzz_target!(|data: &[u8]| {
    let Some(name) = target(data) else {
        return;
    };
    assert!(data.windows(name.len()).any(|part| part == name));
    if let Ok(length) = u8::try_from(name.len()) {
        let again = [&[5, 1, 0, 3, length][..], name, &[0, 80]].concat();
        assert_eq!(target(&again), Some(name));
    }
});
