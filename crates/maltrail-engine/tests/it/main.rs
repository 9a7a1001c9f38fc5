//! The engine as its users see it: frames in, event lines out.

mod answers;
mod ddos;
mod hellos;
mod http;
mod net;
mod properties;
mod rules;
mod scans;
mod traffic;
mod vectors;
