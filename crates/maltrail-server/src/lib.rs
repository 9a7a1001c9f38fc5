//! The server: takes events from any number of sensors, keeps them, and answers questions about them.
//!
//! [`store`] holds day files, their index and the days in memory; [`intake`] feeds it.

#[allow(dead_code)]
mod auth;
#[allow(dead_code)]
mod intake;
#[allow(dead_code)]
mod query;
#[allow(dead_code)]
mod store;
