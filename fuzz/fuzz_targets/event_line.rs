//! Any text as a datagram: what is read is written again as a line that reads to the same event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_core::event::Event;
use maltrail_core::time::Zone;

fuzz_target!(|datagram: &str| {
    let Ok((event, _)) = Event::parse_datagram(datagram, &Zone::UTC) else {
        return;
    };
    let line = event.to_line(&Zone::UTC);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(Event::parse_line(&line, &Zone::UTC).as_ref(), Ok(&event));
    let json: Result<serde_json::Value, _> = serde_json::from_str(&event.to_json_line(&Zone::UTC));
    assert!(json.is_ok());
});
