//! The shared vocabulary of sensor and server: time, addresses, names, trails, configuration and
//! the event format. Pure: text and bytes in, values out; the only file that is ever read here is
//! the one a caller hands over as text.

pub mod addr;
pub mod config;
pub mod event;
pub mod limits;
pub mod name;
pub mod time;
pub mod trail;

/// Version of the product, as printed by `--version` and sent in CEF lines.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
