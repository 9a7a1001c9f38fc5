//! The engine as its users see it: frames in, event lines out.

mod answers;
mod counting;
mod hellos;
mod http;
mod net;
mod properties;
mod reasons;
mod rules;
mod scans;
mod vectors;
