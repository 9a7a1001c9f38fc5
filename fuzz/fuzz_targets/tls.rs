//! Any bytes as a TCP payload: a name or certificate is a part of it that stays the same when more
//! follows, and a host name in lower case is one again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::tls::hello::MAX_HOST_NAME;
use maltrail_wire::tls::{ClientHello, HostNameBuf, first_certificate, is_handshake};

fuzz_target!(|data: &[u8]| {
    let name = server_name(data);
    let certificate = first_certificate(data);
    if name.is_some() {
        assert!(is_handshake(data));
        assert!(certificate.is_none() || data.len() > 40);
    }
    if let Some(certificate) = certificate {
        assert!(!certificate.is_empty() && certificate.len() + 15 <= data.len());
    }
    let longer = [data, &[0x16, 3, 3, 0, 0]].concat();
    assert!(name.is_none() || server_name(&longer) == name);
    assert!(certificate.is_none() || first_certificate(&longer) == certificate);

    let mut buffer = HostNameBuf::default();
    if let Some(text) = name.and_then(|name| buffer.lower(name)) {
        assert!(text.len() <= MAX_HOST_NAME && text.contains('.'));
        let text = text.to_owned();
        assert_eq!(buffer.lower(text.as_bytes()), Some(text.as_str()));
    }
});

fn server_name(payload: &[u8]) -> Option<&[u8]> {
    ClientHello::in_records(payload)?.server_name()
}
