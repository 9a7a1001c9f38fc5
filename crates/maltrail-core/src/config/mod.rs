//! `maltrail.conf`, checked once and then read-only.
//!
//! ```text
//! text ─ parse ─► raw settings (name, value, line) ─ options table ─► Settings (typed, with origin) ─► Config
//! ```
//!
//! [`parse`] understands the reference's `NAME value` form and real INI, freely mixed, and turns both
//! into one canonical INI text that `rust-ini` reads. [`options`] is the one table that names every
//! option with its type, bounds, default and description; messages, `-T`, `--help` and the shipped
//! file derive from it. [`Config`] is what programs use: plain typed fields, no text left to check.

mod build;
mod check;
pub mod diagnose;
pub mod options;
pub mod parse;
mod receiver;
pub mod settings;
mod typed;
pub mod users;

pub use build::ConfigError;
pub use diagnose::{Level, Message};
pub use receiver::{Carrier, Receiver};
pub use settings::{Environment, Origin, Settings};
pub use typed::{
    CaptureConfig, Config, DdosConfig, DetectConfig, JsonProfile, LogFormat, LogServerFormat,
    OutputConfig, ServerConfig, SslMode, ThrottleMode, TimestampSource, TrailsConfig, Workers,
};
pub use users::{PasswordHash, UserEntry};
