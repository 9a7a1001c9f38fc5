//! Any bytes as the sections of a trail image, with checksums that fit: no lookup panics or runs on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_core::addr::parse_ip;
use maltrail_core::trail::{Origin, TrailSet, TrailSetBuilder, Whitelist};
use std::io::{Read as _, Seek as _};
use std::sync::LazyLock;

/// A sound image, of which the input changes bytes.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = TrailSetBuilder::new(Whitelist::default());
    for (key, reference) in [
        ("evil.com", "r"),
        ("5.5.5.5", "r"),
        ("5.5.5.5:1", "r"),
        ("5.0.0.0/8", "r"),
        ("2001:db8::1", "r"),
        ("ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12", "sslbl"),
        (r"a[0-9]+\.b", "(static)"),
    ] {
        builder.push(key, "i", reference);
    }
    let mut file = tempfile::tempfile().expect("a file");
    builder.write(&file, &Origin::default()).expect("an image");
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("an image");
    bytes
});

fuzz_target!(|changes: Vec<(u16, u8)>| {
    let mut bytes = SOUND.clone();
    for (at, value) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] = value;
    }
    let Ok(set) = TrailSet::of_image_bytes(bytes) else {
        return;
    };
    for text in ["5.5.5.5", "5.1.1.1", "2001:db8::1", "::"] {
        let address = parse_ip(text).expect("an address");
        let _ = (set.ip(address), set.ip_port(address, 1), set.net(address));
    }
    let _ = (
        set.name_or_parent("a.evil.com", |_, _| true),
        set.text_or_longer(1, "aevil.com"),
        set.pattern("a1.b"),
        set.certificate(&[0xab; 20]),
        set.find("5.0.0.0/8", "r"),
        set.rows().count(),
    );
});
