//! The packet sensor: captures or replays, detects, and hands events to its sinks.
//!
//! ```text
//! capture file │ interfaces ─► one Engine, or several and a Merger ─► policy ─► bounded queue ─► sinks (own threads):
//!               ▲                                                                               day files │ receivers │ console
//!          reload thread ◄── SIGHUP, changed trails, whitelists, ignore lists
//! ```
//!
//! [`app`] reads the command line, `sense` is the only place that knows all parts. A slow or dead sink never delays a packet: live,
//! a full queue drops events and counts them; offline, where nothing is lost by waiting, it waits.

pub mod app;
pub mod capture;
pub mod cli;
mod commands;
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
