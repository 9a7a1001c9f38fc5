//! Both programs from end to end: captures in, day files, datagrams and answers out.

mod bad_input;
mod card;
mod delivery;
mod distribution;
mod faults;
mod live;
mod reload;
mod replay;
mod spread;
mod steady;
mod stopping;
mod updates;
