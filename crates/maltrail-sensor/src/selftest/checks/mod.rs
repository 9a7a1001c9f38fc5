//! The registry of checks.
//!
//! A check is a scene that can be played in two ways which differ in one place: with what must be found, and
//! as a near miss. Every detector of the engine ([`maltrail_engine::DETECTORS`]) has at least one.

mod addresses;
mod floods;
mod frames;
mod handling;
mod hellos;
mod names;
mod scans;
mod web;

pub(super) use self::floods::LIMITS;
use super::scene::Scene;

/// The detector of what trails list.
pub(super) const TRAIL: &str = "trail";

/// An option, or another name of `DISABLED_HEURISTICS`, that a check needs beside its detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A further heuristic.
    Heuristic(&'static str),
    /// `CHECK_TLS_SNI`.
    Sni,
    /// `CHECK_TLS_CERTIFICATES`.
    Certificates,
    /// `CHECK_MISSING_HOST`.
    MissingHost,
    /// `CHECK_HOST_DOMAINS`.
    HostDomains,
    /// `EVENT_THROTTLE_MODE summarize`.
    Throttle,
}

/// One check.
pub(super) struct Check {
    /// What users call it.
    pub(super) name: &'static str,
    /// The detector without which nothing is found.
    pub(super) rule: &'static str,
    pub(super) needs: &'static [Need],
    /// Rows of the trail set.
    pub(super) trails: &'static str,
    /// Engines that share the work.
    pub(super) workers: usize,
    /// What must be found, as [`Scene::finish`] says it; all that follows `…` is left open.
    pub(super) wanted: &'static [&'static str],
    /// What the near miss gives, usually nothing.
    pub(super) near: &'static [&'static str],
    /// Plays the scene; true for what must be found.
    pub(super) play: Play,
}

/// How a scene is played.
pub(super) type Play = fn(&mut Scene<'_>, bool);

impl Check {
    const fn new(
        name: &'static str,
        rule: &'static str,
        wanted: &'static [&'static str],
        play: Play,
    ) -> Self {
        Self {
            name,
            rule,
            needs: &[],
            trails: "",
            workers: 1,
            wanted,
            near: &[],
            play,
        }
    }

    /// A check of what these rows of trails list.
    const fn listed(
        name: &'static str,
        trails: &'static str,
        wanted: &'static [&'static str],
        play: Play,
    ) -> Self {
        Self {
            trails,
            ..Self::new(name, TRAIL, wanted, play)
        }
    }

    const fn trails(mut self, rows: &'static str) -> Self {
        self.trails = rows;
        self
    }

    const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    const fn near(mut self, near: &'static [&'static str]) -> Self {
        self.near = near;
        self
    }
}

/// All checks, in the order in which they run.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    [
        names::CHECKS,
        web::CHECKS,
        hellos::CHECKS,
        addresses::CHECKS,
        frames::CHECKS,
        scans::CHECKS,
        floods::CHECKS,
        handling::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// The first when it is to be found, else the second.
const fn pick<T: Copy>(hit: bool, found: T, near: T) -> T {
    if hit { found } else { near }
}

/// A listed name, the row that lists it, and one that is not.
const EVIL: &str = "evil.com,listed,reference\n";
const FOUND: &[&str] = &["DNS (www).evil.com | listed"];

/// A name below the listed one, or one that differs in a letter.
const fn evil(hit: bool) -> &'static str {
    pick(hit, "www.evil.com", "www.evim.com")
}
