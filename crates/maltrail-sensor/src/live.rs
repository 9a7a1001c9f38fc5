//! Live detection: the worker that owns the captures and the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_engine::{Engine, IgnoreRules};
use tracing::{error, warn};

use crate::app::Totals;
use crate::capture::live::{Interface, Polled};
use crate::reload::Reloads;
use crate::sinks::SinkThread;

/// Packets taken from one interface before the others get their turn.
const TURN: usize = 1024;
/// Nap when no interface had a packet. The kernel's ring holds seconds of traffic; a blocking read
/// would hold up events, timers and a stop until the next packet.
const NAP: Duration = Duration::from_millis(5);

/// What one worker works with.
pub(crate) struct Worker<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) sinks: &'a SinkThread,
    /// Where new lists come from.
    pub(crate) reloads: &'a Reloads,
    pub(crate) ignore: Arc<IgnoreRules>,
    pub(crate) stop: &'a AtomicBool,
}

impl Worker<'_> {
    /// Captures until `stop`.
    ///
    /// # Errors
    /// When every interface has failed.
    pub(crate) fn run(
        mut self,
        mut interfaces: Vec<Interface>,
        totals: &mut Totals,
    ) -> anyhow::Result<()> {
        let mut ticked = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.adopt();
            let mut out = Vec::new();
            let mut idle = true;
            let mut failed = None;
            for (at, interface) in interfaces.iter_mut().enumerate() {
                match turn(interface, self.engine, &mut out, totals) {
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
                self.engine.tick(Timestamp::now(), &mut out);
                ticked = Instant::now();
            }
            self.report(out, totals);
            if idle {
                std::thread::sleep(NAP);
            }
        }
        let mut out = Vec::new();
        self.engine.finish(Timestamp::now(), &mut out);
        self.report(out, totals);
        losses(&mut interfaces, totals);
        Ok(())
    }

    /// Takes new lists when there are any: a few pointers, between packets.
    fn adopt(&mut self) {
        if let Some(lists) = self.reloads.take() {
            self.engine.set_trails(lists.trails, lists.whitelist);
            self.ignore = lists.ignore;
        }
    }

    fn report(&self, mut events: Vec<Event>, totals: &mut Totals) {
        if events.is_empty() {
            return;
        }
        totals.admit(&self.ignore, &mut events);
        if !events.is_empty() {
            self.sinks.offer(events);
        }
    }
}

fn losses(interfaces: &mut [Interface], totals: &mut Totals) {
    for interface in interfaces {
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
