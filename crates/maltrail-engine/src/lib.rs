//! Detection: packets in, events out.
//!
//! ```text
//! frame ─ decode ─► packet ─ extract ─► observation ─ matching │ heuristics ─► finding ─ policy ─► event
//!                     │  └─── hello ──► name, cert ──┘
//!                   heads: messages over several segments come back as one packet
//! ```
//!
//! [`Engine`] is a function of packets, their times, the trail set, the configuration and its own
//! state: it reads no clock, does no input or output and never logs. One worker owns one engine. A
//! detector returns a finding and never emits; policy decides which findings become events.
//!
//! Guarantees: no reachable panic (indexing and unwrapping are denied outside tests), no allocation
//! for a packet that matches nothing, every collection bounded and its losses counted in
//! [`Counters`].

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod across;
mod brief;
mod burst;
mod census;
mod counters;
mod decode;
mod engine;
mod extract;
mod finding;
mod flights;
mod flow;
mod heads;
mod hello;
mod heuristics;
pub mod lookup;
mod matching;
mod merger;
mod observables;
mod observation;
mod policy;
mod state;
mod steering;
mod web;

pub use across::Notes;
pub use counters::Counters;
pub use engine::{Engine, EngineConfig};
pub use heuristics::RULES as DETECTORS;
pub use heuristics::user_agent::{UserAgents, UserAgentsError};
pub use merger::Merger;
pub use observables::{MAX_KEYS, NAME_BYTES, Observable, Observables, Row, Window};
pub use policy::ignore::{IgnoreRules, Ignored, MAX_FAULTS, MAX_RULES, RuleFault, RuleFaults};
pub use policy::{Policy, PolicyConfig, PolicyCounters};
pub use steering::{Dispatcher, Route, Steering};
