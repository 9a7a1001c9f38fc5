//! Any text as a configuration: it is read or refused, every message names a line that exists, and a
//! text without errors is read the same way twice.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use maltrail_core::config::{Config, ConfigError, Environment};

fuzz_target!(|text: &str| {
    let environment = Environment {
        memory_bytes: 1 << 30,
        cores: 2,
        ..Environment::default()
    };
    let lines = text.split('\n').count();
    let read = || Config::parse(text, "f", Path::new("/"), &environment);
    let (messages, good) = match read() {
        Ok((_, messages)) => (messages, true),
        Err(ConfigError::Invalid(messages)) => (messages, false),
        Err(error) => panic!("{error}"),
    };
    assert!(
        messages
            .iter()
            .filter_map(|message| message.line)
            .all(|line| (1..=lines).contains(&line))
    );
    assert_eq!(read().is_ok(), good);
});
