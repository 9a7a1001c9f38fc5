//! Several engines that work as one.
//!
//! ```text
//! packets ─ by own host ─┬► Engine::note ─► Notes ─┐
//!                        └► Engine::note ─► Notes ─┴► Merger: census, in order ─► events
//! ```
//!
//! Packets of one own host go to one engine ([`Steering`](crate::Steering)), so all that belongs to a host,
//! a pair or a flow stays whole. The rest is counted here, in the order of the packets, so that the
//! events are those of one engine.
//!
//! Bound: the notes that were put and not merged yet, which the caller limits.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::Arc;

use maltrail_core::event::Event;
use maltrail_core::event::details::MAX_REASONS;
use maltrail_core::name::HostName;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::Whitelist;

use crate::across::{Item, Noted, Notes};
use crate::census::{Census, Due};
use crate::counters::Counters;
use crate::engine::{Desk, EngineConfig, Exhausted, Report, Seen};
use crate::flow::Flow;

/// Merges the notes of several engines.
#[derive(Debug)]
pub struct Merger {
    /// What each engine has said.
    queues: Vec<VecDeque<Batch>>,
    waiting: usize,
    config: EngineConfig,
    whitelist: Arc<Whitelist>,
    census: Census,
    counters: Counters,
    /// The packet at hand.
    at: Timestamp,
    flow: Option<Flow>,
    /// Whether what is left of its message is nothing.
    repeats: bool,
    /// Where its events begin in what is handed out.
    first: usize,
    exhausted: Exhausted,
}

/// Notes of which a part may be reported.
#[derive(Debug)]
struct Batch {
    items: Peekable<std::vec::IntoIter<Noted>>,
    texts: Notes,
}

impl Batch {
    fn new(mut notes: Notes) -> Self {
        Self {
            items: std::mem::take(&mut notes.items).into_iter().peekable(),
            texts: notes,
        }
    }

    /// The number of what comes next.
    fn order(&mut self) -> Option<u64> {
        Some(self.items.peek()?.order)
    }
}

impl Merger {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(config: EngineConfig, whitelist: Arc<Whitelist>) -> Self {
        Self {
            queues: Vec::new(),
            waiting: 0,
            census: Census::new(&config),
            config,
            whitelist,
            counters: Counters::default(),
            at: Timestamp::default(),
            flow: None,
            repeats: false,
            first: 0,
            exhausted: Exhausted::No,
        }
    }

    /// Adopts the whitelist of a new trail set, and forgets what was judged by the old one.
    pub fn set_trails(&mut self, whitelist: Arc<Whitelist>) {
        self.whitelist = whitelist;
        self.census.bursts.forget_seen();
    }

    /// What was counted here: events and what made room; to be added to what the engines counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        self.census.count(&mut counters);
        counters
    }

    /// Takes what engine `worker` noted; it is reported by [`Merger::merge`].
    pub fn put(&mut self, worker: usize, notes: Notes) {
        if worker >= self.queues.len() {
            self.queues.resize_with(worker + 1, VecDeque::new);
        }
        if let Some(queue) = self.queues.get_mut(worker)
            && !notes.is_empty()
        {
            self.waiting += notes.len();
            queue.push_back(Batch::new(notes));
        }
    }

    /// How many things were said and are not reported yet.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Reports what waits with a number of at most `until`, in the common order. Notes of one engine are
    /// in order already; among equal numbers the engine that stands first comes first.
    pub fn merge(&mut self, until: u64, out: &mut Vec<Event>) {
        let mut queues = std::mem::take(&mut self.queues);
        loop {
            let orders = queues.iter_mut().enumerate();
            let next = orders
                .filter_map(|(at, queue)| Some((queue.front_mut()?.order()?, at)))
                .min()
                .filter(|&(order, _)| order <= until);
            let Some((order, at)) = next else { break };
            let Some(queue) = queues.get_mut(at) else {
                break;
            };
            // All that one engine says under a number stays together.
            while let Some(batch) = queue.front_mut() {
                while let Some(noted) = batch.items.next_if(|noted| noted.order == order) {
                    self.waiting = self.waiting.saturating_sub(1);
                    self.item(noted, &batch.texts, out);
                }
                if batch.order().is_some() {
                    break;
                }
                queue.pop_front();
            }
        }
        self.queues = queues;
    }

    /// Lets time pass; what came due.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.time(now, out);
    }

    /// Ends what was going on: nothing more will be seen.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.time(now, out);
        let due = Due {
            floods: self.census.ddos.finish(),
            ..Due::default()
        };
        self.due(now, due, out);
    }

    fn time(&mut self, at: Timestamp, out: &mut Vec<Event>) {
        if !self.census.turns(at.secs()) {
            return;
        }
        let due = self.census.advance(at.secs());
        if !due.is_empty() {
            self.due(at, due, out);
        }
    }

    #[cold]
    fn due(&mut self, at: Timestamp, due: Due, out: &mut Vec<Event>) {
        let mut desk = Desk {
            config: &self.config,
            whitelist: &self.whitelist,
            counters: &mut self.counters,
        };
        desk.due(at, due, out);
    }

    fn item(&mut self, noted: Noted, texts: &Notes, out: &mut Vec<Event>) {
        match noted.item {
            Item::Time(at) => {
                self.time(at, out);
                (self.repeats, self.first) = (false, out.len());
            }
            Item::Packet(at, brief) => {
                self.time(at, out);
                self.census.ddos.packet(brief.src, brief.dst, || brief);
                (self.at, self.flow) = (at, Some(brief.flow()));
                (self.repeats, self.first) = (false, out.len());
            }
            Item::Message(_) => (self.repeats, self.first) = (false, out.len()),
            _ if self.repeats => {}
            Item::Burst(_, hash) => {
                let (second, bursts) = (self.at.secs(), &mut self.census.bursts);
                self.repeats = self.flow.is_some_and(|flow| match hash {
                    None => bursts.syn_repeats(second, &flow),
                    Some(hash) => bursts.datagram_repeats(second, &flow, &hash.to_ne_bytes()),
                });
                self.counters.repeats += u64::from(self.repeats);
            }
            Item::Listed { syn: true } => self.census.bursts.syn_listed(),
            Item::Listed { syn: false } => self.census.bursts.datagram_listed(),
            Item::Syn => self.with_flow(|scans, flow| scans.syn(flow)),
            Item::Probe => self.with_flow(|scans, flow| scans.probe(flow)),
            Item::Datagram => self.with_flow(|scans, flow| scans.datagram(flow)),
            Item::Request(request) => {
                let (flow, place) = *request;
                self.census.scans.place(&flow, place);
            }
            Item::Question {
                at,
                flow,
                name,
                message,
                ..
            } => {
                let message = texts.kept(message);
                if let Some(name) = text(texts.kept(name)) {
                    self.exhausted = self.about(at, &flow, message, out, |report, census| {
                        report.questioned(census, name)
                    });
                }
            }
            Item::Missing {
                at,
                flow,
                name,
                message,
                counted,
                generated,
                ..
            } => {
                let message = texts.kept(message);
                let means = text(texts.kept(name)).is_some_and(|name| {
                    self.about(at, &flow, message, out, |report, census| {
                        report.counted(census, name, counted)
                    })
                });
                if let Some(event) = generated.filter(|_| means) {
                    self.add(*event, out);
                }
            }
            Item::Long(_, events) => {
                let (long, instead) = *events;
                let event = match self.exhausted {
                    Exhausted::Yes => instead,
                    Exhausted::No | Exhausted::Unknown => long,
                };
                if let Some(event) = event {
                    self.add(event, out);
                }
            }
            Item::Event(event) => self.add(*event, out),
        }
    }

    /// Asks the census about a DNS message, and reports what it says.
    fn about<T>(
        &mut self,
        at: Timestamp,
        flow: &Flow,
        message: &[u8],
        out: &mut Vec<Event>,
        ask: impl FnOnce(&mut Report<'_>, &mut Census) -> T,
    ) -> T {
        let mut desk = Desk {
            config: &self.config,
            whitelist: &self.whitelist,
            counters: &mut self.counters,
        };
        let mut report = desk.report(at, flow, out);
        report.seen = Seen::message(message);
        report.seen.question();
        report.first = self.first;
        ask(&mut report, &mut self.census)
    }

    fn with_flow(&mut self, note: impl FnOnce(&mut crate::heuristics::scans::Scans, &Flow)) {
        if let Some(flow) = &self.flow {
            note(&mut self.census.scans, flow);
        }
    }

    /// An event of an engine, which may be a further reason of one reported here.
    fn add(&mut self, event: Event, out: &mut Vec<Event>) {
        let same = |known: &&mut Event| known.kind == event.kind && known.trail == event.trail;
        let mut of_packet = out.iter_mut().skip(self.first);
        if let Some(known) = of_packet.find(same) {
            let room = MAX_REASONS.saturating_sub(known.details.reasons.len());
            let reasons = event.details.reasons.iter().take(room);
            known.details.reasons.extend(reasons.map(|reason| {
                let mut reason = reason.clone();
                reason.offset = None;
                reason
            }));
            self.counters.merged += 1;
            return;
        }
        self.counters.event(&event);
        out.push(event);
    }
}

fn text(bytes: &[u8]) -> Option<HostName<'_>> {
    HostName::new(std::str::from_utf8(bytes).ok()?)
}
