//! The dashboard in a real Chromium, served by the real server.
//!
//! Each test has a server, a browser and a profile of its own. One browser runs at a time: two would
//! only make each other slow.

mod access;
mod list;
mod page;
mod reference;
mod scene;
mod triage;
mod units;
