//! The engine as its users see it: frames in, event lines out.

mod answers;
mod asides;
mod counting;
mod ddos;
mod heads;
mod hellos;
mod http;
mod net;
mod policy;
mod properties;
mod quic;
mod reasons;
mod rows;
mod rules;
mod scans;
mod traffic;
mod vectors;
mod workers;
