//! The packet sensor: captures or replays, detects, and hands events to its sinks.
//!
//! ```text
//! capture file │ interfaces ─► Engine (one worker) ─► bounded queue ─► sinks (own thread):
//!               ▲           │ ignore rules                            day files │ LOG_SERVER │ console
//!          reload thread ◄── SIGHUP, a changed TRAILS_FILE
//! ```
//!
//! [`app`] is the only place that knows all parts. A slow or dead sink never delays a packet: live,
//! a full queue drops events and counts them; offline, where nothing is lost by waiting, it waits.

pub mod app;
pub mod capture;
pub mod cli;
mod console;
mod live;
pub mod observables;
mod offline;
mod outbox;
mod post;
mod privileges;
pub mod pulse;
mod reload;
mod selfcheck;
pub mod selftest;
mod sense;
pub mod sinks;
mod summary;
mod trails;
mod update;
pub mod vitals;
