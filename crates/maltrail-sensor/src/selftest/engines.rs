//! One engine, or several that work as one.

use std::sync::Arc;

use maltrail_core::addr::NetworkSet;
use maltrail_core::event::Event;
use maltrail_core::time::Timestamp;
use maltrail_core::trail::{TrailSet, Whitelist};
use maltrail_engine::{Dispatcher, Engine, Merger, Steering};
use maltrail_wire::LinkType;

use super::scene::Stage;

/// What looks at packets.
pub(super) enum Engines {
    One(Box<Engine>),
    Several(Box<Team>),
}

impl Engines {
    /// So many engines as the stage says; none when its trails cannot be used.
    pub(super) fn new(stage: &Stage<'_>, whitelist: &str) -> Option<Self> {
        let rows = stage.trails.as_bytes();
        let trails = TrailSet::from_csv(rows, Whitelist::parse([whitelist]), true).ok()?;
        let trails = Arc::new(trails);
        let whitelist = Arc::new(Whitelist::parse([whitelist]));
        Some(if stage.workers > 1 {
            Self::Several(Box::new(Team::new(stage, &trails, &whitelist)))
        } else {
            let engine = Engine::new(stage.config.clone(), trails, whitelist);
            Self::One(Box::new(engine))
        })
    }

    /// How many have got packets.
    #[cfg(test)]
    pub(super) fn at_work(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(team) => {
                let scouts = team.scouts.iter();
                scouts.filter(|scout| scout.counters().packets > 0).count()
            }
        }
    }

    pub(super) fn packet(
        &mut self,
        link: LinkType,
        at: Timestamp,
        frame: &[u8],
        out: &mut Vec<Event>,
    ) {
        match self {
            Self::One(engine) => engine.packet(link, at, frame, out),
            Self::Several(team) => team.packet(link, at, frame, out),
        }
    }

    pub(super) fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        match self {
            Self::One(engine) => engine.finish(now, out),
            Self::Several(team) => team.finish(now, out),
        }
    }
}

/// Several engines, steered and merged as a replay does it.
pub(super) struct Team {
    scouts: Vec<Engine>,
    dispatcher: Dispatcher,
    merger: Merger,
    order: u64,
}

impl Team {
    fn new(stage: &Stage<'_>, trails: &Arc<TrailSet>, whitelist: &Arc<Whitelist>) -> Self {
        let scout = |_| {
            let (trails, whitelist) = (Arc::clone(trails), Arc::clone(whitelist));
            Engine::scout(stage.config.clone(), trails, whitelist, stage.workers)
        };
        let steering = Steering::new(NetworkSet::private(), stage.workers);
        Self {
            scouts: (0..stage.workers).map(scout).collect(),
            dispatcher: Dispatcher::new(steering),
            merger: Merger::new(stage.config.clone(), Arc::clone(whitelist)),
            order: 0,
        }
    }

    fn packet(&mut self, link: LinkType, at: Timestamp, frame: &[u8], out: &mut Vec<Event>) {
        self.order += 1;
        let route = self.dispatcher.route(link, at, frame);
        if route.turn {
            for scout in &mut self.scouts {
                scout.note_time(self.order, at);
            }
        }
        if let Some(scout) = self.scouts.get_mut(route.worker) {
            scout.note(self.order, link, at, frame);
        }
        if self.order.is_multiple_of(97) {
            self.merge(out);
        }
    }

    fn finish(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        self.order += 1;
        for scout in &mut self.scouts {
            scout.note_end(self.order, now);
        }
        self.merge(out);
        self.merger.finish(now, out);
    }

    fn merge(&mut self, out: &mut Vec<Event>) {
        for (worker, scout) in self.scouts.iter_mut().enumerate() {
            self.merger.put(worker, scout.take_notes());
        }
        self.merger.merge(u64::MAX, out);
    }
}
