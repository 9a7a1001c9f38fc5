//! Live detection: the worker that owns the captures and the engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::Engine;
use tracing::{error, warn};

use crate::app::Totals;
use crate::capture::live::{Interface, Polled};
use crate::sinks::SinkThread;

/// Packets taken from one interface before the others get their turn.
const TURN: usize = 1024;
/// Nap when no interface had a packet. The kernel's ring holds seconds of traffic; a blocking read
/// would hold up events, timers and a stop until the next packet.
const NAP: Duration = Duration::from_millis(5);

/// Captures until `stop`.
///
/// # Errors
/// When every interface has failed.
pub(crate) fn run(
    mut interfaces: Vec<Interface>,
    engine: &mut Engine,
    sinks: &SinkThread,
    stop: &AtomicBool,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let mut ticked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let mut out = Vec::new();
        let mut idle = true;
        let mut failed = None;
        for (at, interface) in interfaces.iter_mut().enumerate() {
            match turn(interface, engine, &mut out, totals) {
                Ok(packets) => idle &= packets == 0,
                Err(error) => {
                    error!("capture on `{}` ended: {error}", interface.name());
                    failed = Some(at);
                }
            }
        }
        if let Some(at) = failed {
            totals.add_stats(&interfaces.swap_remove(at).stats());
            if interfaces.is_empty() {
                bail!("no interface is left to capture on");
            }
        }
        if ticked.elapsed() >= Duration::from_secs(1) {
            engine.tick(Timestamp::now(), &mut out);
            ticked = Instant::now();
        }
        if !out.is_empty() {
            totals.events += out.len() as u64;
            sinks.offer(out);
        }
        if idle {
            std::thread::sleep(NAP);
        }
    }
    let mut out = Vec::new();
    engine.finish(Timestamp::now(), &mut out);
    totals.events += out.len() as u64;
    sinks.offer(out);
    for interface in &mut interfaces {
        let stats = interface.stats();
        totals.add_stats(&stats);
        if stats.dropped > 0 {
            warn!(
                "`{}`: the kernel dropped {} of {} packets (CAPTURE_BUFFER_SIZE gives it more room)",
                interface.name(),
                stats.dropped,
                stats.received
            );
        }
    }
    Ok(())
}

fn turn(
    interface: &mut Interface,
    engine: &mut Engine,
    out: &mut Vec<Event>,
    totals: &mut Totals,
) -> Result<usize, pcap::Error> {
    let link = interface.link();
    for taken in 0..TURN {
        match interface.poll()? {
            Polled::Packet { at, frame } => {
                totals.packets += 1;
                totals.last = at;
                engine.packet(link, at, frame, out);
            }
            Polled::Nothing => return Ok(taken),
        }
    }
    Ok(TURN)
}
