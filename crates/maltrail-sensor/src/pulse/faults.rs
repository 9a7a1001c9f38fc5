//! From numbers to what is wrong, in words: a pure function of two snapshots.
//!
//! Each fault has an id that `docs/troubleshooting.md` explains, what was seen with its numbers, and the next
//! step. Each needs a minimum of evidence, so that a quiet network is no fault. Numbers of the last minute
//! decide; where a minute is too short for a judgement that does not age (one direction, copies, DNS), those since
//! the start do.

use crate::vitals::Snapshot;

use super::facts::{PulseFacts, VlanFacts};
use super::links::LinkState;

mod capture;
mod mirror;
mod product;

/// Every id, in the order of urgency.
pub const FAULT_IDS: [&str; 18] = [
    "worker-stopped",
    "interface-down",
    "no-packets",
    "kernel-drops",
    "filter-blind",
    "not-promiscuous",
    "one-direction",
    "doubled-packets",
    "dns-missing",
    "dns-one-sided",
    "vlan-silent",
    "frames-cut",
    "frames-merged",
    "clock-off",
    "clock-year",
    "trails-builtin",
    "trails-stale",
    "events-lost",
];

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; may be as intended.
    Note,
    /// Something is missed.
    Warning,
    /// Nothing, or hardly anything, is detected.
    Error,
}

impl Severity {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of [`FAULT_IDS`].
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, with numbers.
    pub text: String,
    /// The next step.
    pub next: &'static str,
}

/// What is wrong now, judged by the numbers of `now` and those of about a minute ago.
pub fn faults(now: &Snapshot, before: &Snapshot) -> Vec<Fault> {
    let mut found = Vec::new();
    product::workers(now, &mut found);
    product::trails(now, &mut found);
    product::losses(now, before, &mut found);
    product::year(now, &mut found);
    capture::links(now, &mut found);
    capture::silence(now, before, &mut found);
    capture::drops(now, before, &mut found);
    capture::filter(now, before, &mut found);
    for (name, total) in &now.pulse {
        let earlier = before.pulse.iter().find(|(known, _)| known == name);
        let fresh = earlier.map_or_else(|| total.clone(), |(_, earlier)| total.since(earlier));
        mirror::judge(name, &fresh, total, &mut found);
    }
    let place = |fault: &Fault| FAULT_IDS.iter().position(|id| *id == fault.id);
    found.sort_by_key(place);
    found
}

/// Per hundred, for texts; 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use maltrail_core::time::Timestamp;

    use super::*;
    use crate::vitals::tests::healthy;
    use crate::vitals::{EndpointVitals, InterfaceVitals};

    const MINUTE: i64 = 3660;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(1_790_000_000 + secs, 0)
    }

    /// An ordinary mirror port after `minutes` minutes of 10,000 packets each.
    fn well(minutes: u64) -> PulseFacts {
        let n = minutes;
        PulseFacts {
            packets: n * 10_000,
            last: at(3660),
            sampled: n * 640,
            longest: 1514,
            comparable: n * 600,
            doubled: n,
            tcp: n * 500,
            outward: n * 220,
            inward: n * 240,
            dns_questions: n * 10,
            dns_answers: n * 10,
            ..PulseFacts::default()
        }
    }

    fn link() -> LinkState {
        LinkState {
            name: "eth7".to_owned(),
            up: true,
            carrier: true,
            promiscuous: true,
            loopback: false,
            mtu: 1500,
            rx_packets: 0,
        }
    }

    /// A sensor without a fault, now and a minute ago.
    fn sensor() -> (Snapshot, Snapshot) {
        let (mut before, mut now) = (healthy(MINUTE - 60), healthy(MINUTE));
        before.pulse = vec![("eth7".to_owned(), well(60))];
        now.pulse = vec![("eth7".to_owned(), well(61))];
        before.links = vec![link()];
        now.links = vec![LinkState {
            rx_packets: 12_000,
            ..link()
        }];
        (now, before)
    }

    fn ids(now: &Snapshot, before: &Snapshot) -> Vec<&'static str> {
        faults(now, before).iter().map(|fault| fault.id).collect()
    }

    /// What a change to a healthy sensor provokes.
    fn after(change: impl Fn(&mut Snapshot, &mut Snapshot)) -> Vec<&'static str> {
        let (mut now, mut before) = sensor();
        change(&mut now, &mut before);
        ids(&now, &before)
    }

    /// The same for the facts of the mirror port.
    fn mirror(change: impl Fn(&mut PulseFacts)) -> Vec<&'static str> {
        after(|now, _| change(&mut now.pulse[0].1))
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_healthy_sensor_and_a_quiet_network_have_no_fault() {
        let (now, before) = sensor();
        assert_eq!(faults(&now, &before), []);
        // At its start, nothing was seen.
        assert_eq!(ids(&healthy(5), &healthy(0)), NONE);
        // A few packets of one kind.
        let quiet = after(|now, before| {
            before.pulse[0].1 = PulseFacts::default();
            now.pulse[0].1 = PulseFacts {
                packets: 800,
                sampled: 50,
                comparable: 50,
                doubled: 25,
                tcp: 50,
                outward: 50,
                cut: 90,
                oversized: 90,
                last: at(3660),
                ..PulseFacts::default()
            };
        });
        assert_eq!(quiet, NONE);
    }

    #[test]
    fn every_id_is_provoked_by_a_test_of_this_file() {
        let text = include_str!("faults.rs");
        let (_, tests) = text.split_once("mod tests {").expect("the tests");
        for id in FAULT_IDS {
            assert!(tests.contains(&format!("[\"{id}\"]")), "{id}");
        }
        let distinct: BTreeSet<&str> = FAULT_IDS.into_iter().collect();
        assert_eq!(distinct.len(), FAULT_IDS.len());
    }

    /// docs/troubleshooting.md explains every fault under its id.
    #[test]
    fn every_fault_is_explained() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/troubleshooting.md");
        let docs = std::fs::read_to_string(path).expect("docs/troubleshooting.md");
        let explained: Vec<&str> = docs
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .collect();
        for id in FAULT_IDS.iter().chain(crate::selfcheck::CHECK_IDS) {
            assert!(
                explained.contains(id),
                "docs/troubleshooting.md does not explain {id}"
            );
        }
        for id in &explained {
            let known = FAULT_IDS.contains(id) || crate::selfcheck::CHECK_IDS.contains(id);
            assert!(
                known,
                "docs/troubleshooting.md explains {id}, which nothing says"
            );
        }
        let distinct: BTreeSet<&&str> = explained.iter().collect();
        assert_eq!(distinct.len(), explained.len(), "an id is explained twice");
    }

    #[test]
    fn a_stopped_worker() {
        assert_eq!(
            after(|now, _| now.workers[1].alive = false),
            ["worker-stopped"]
        );
        let late = |secs| after(move |now, _| now.workers[1].heartbeat = at(MINUTE - secs));
        assert_eq!(late(60), ["worker-stopped"]);
        assert_eq!(late(20), NONE, "one long turn");
    }

    #[test]
    fn an_interface_that_is_off() {
        assert_eq!(after(|now, _| now.links[0].up = false), ["interface-down"]);
        assert_eq!(
            after(|now, _| now.links[0].carrier = false),
            ["interface-down"]
        );
        let other = |now: &mut Snapshot, _: &mut Snapshot| {
            now.links.push(LinkState {
                name: "eth8".to_owned(),
                ..LinkState::default()
            });
        };
        assert_eq!(after(other), NONE, "nobody listens on it");
    }

    #[test]
    fn no_packets_for_a_minute() {
        let silent = |now: &mut Snapshot, before: &mut Snapshot| {
            for index in 0..2 {
                now.workers[index].packets = before.workers[index].packets;
            }
            now.pulse = before.pulse.clone();
        };
        assert_eq!(after(silent), ["no-packets"]);
        let shortly = |now: &mut Snapshot, before: &mut Snapshot| {
            silent(now, before);
            before.time = at(MINUTE - 30);
        };
        assert_eq!(after(shortly), NONE);
        let one = |now: &mut Snapshot, before: &mut Snapshot| {
            silent(now, before);
            now.workers[0].packets += 1;
        };
        assert_eq!(after(one), NONE);
    }

    #[test]
    fn drops_of_the_kernel() {
        let dropped = |count| {
            after(move |now, before| {
                let received = before.interfaces[0].received;
                now.interfaces[0].received = received + 20_000;
                now.interfaces[0].dropped = before.interfaces[0].dropped + count;
            })
        };
        assert_eq!(dropped(21), ["kernel-drops"]);
        assert_eq!(dropped(19), NONE, "below a thousandth");
        let few = after(|now, before| {
            now.interfaces[0].received = before.interfaces[0].received + 100;
            now.interfaces[0].dropped = before.interfaces[0].dropped + 9;
        });
        assert_eq!(few, NONE, "nine packets are no evidence");
        let at_start = after(|now, before| {
            before.interfaces.clear();
            now.interfaces[0].received = 20_000;
            now.interfaces[0].dropped = 10_000;
        });
        assert_eq!(at_start, ["kernel-drops"], "before the first numbers");
    }

    #[test]
    fn a_filter_that_admits_next_to_nothing() {
        let admits = |filtered, received| {
            after(move |now, before| {
                now.setup.filtered = filtered;
                now.links[0].rx_packets = 100_000;
                now.interfaces[0].received = before.interfaces[0].received + received;
            })
        };
        assert_eq!(admits(true, 999), ["filter-blind"]);
        assert_eq!(admits(true, 1000), NONE);
        assert_eq!(admits(false, 999), NONE);
        let quiet = after(|now, before| {
            now.setup.filtered = true;
            now.links[0].rx_packets = 900;
            now.interfaces[0].received = before.interfaces[0].received;
        });
        assert_eq!(quiet, NONE);
        let any = after(|now, before| {
            now.setup.filtered = true;
            now.links[0].rx_packets = 100_000;
            for snapshot in [now, before] {
                snapshot.interfaces = vec![InterfaceVitals {
                    name: "any".to_owned(),
                    received: 5,
                    ..InterfaceVitals::default()
                }];
            }
        });
        assert_eq!(any, ["filter-blind"]);
    }

    #[test]
    fn an_interface_that_is_not_promiscuous() {
        assert_eq!(
            after(|now, _| now.links[0].promiscuous = false),
            ["not-promiscuous"]
        );
        let lo = after(|now, _| {
            now.links[0].promiscuous = false;
            now.links[0].loopback = true;
        });
        assert_eq!(lo, NONE);
    }

    #[test]
    fn one_direction_only() {
        let ways = |outward, inward| {
            mirror(move |facts| {
                facts.outward = well(60).outward + outward;
                facts.inward = well(60).inward + inward;
            })
        };
        assert_eq!(ways(400, 0), ["one-direction"]);
        assert_eq!(ways(0, 400), ["one-direction"]);
        assert_eq!(ways(400, 3), NONE, "some comes back");
        assert_eq!(
            ways(199, 0),
            NONE,
            "too little in a minute, and before there were both"
        );
        let always = after(|now, before| {
            for (snapshot, outward) in [(now, 205), (before, 200)] {
                (snapshot.pulse[0].1.outward, snapshot.pulse[0].1.inward) = (outward, 0);
            }
        });
        assert_eq!(always, ["one-direction"], "a quiet mirror, since its start");
    }

    #[test]
    fn packets_that_come_twice() {
        let copies = |comparable, doubled| {
            mirror(move |facts| {
                facts.comparable = well(60).comparable + comparable;
                facts.doubled = well(60).doubled + doubled;
            })
        };
        assert_eq!(copies(1000, 500), ["doubled-packets"]);
        assert_eq!(copies(1000, 50), ["doubled-packets"]);
        assert_eq!(copies(1000, 49), NONE);
        assert_eq!(
            copies(400, 200),
            NONE,
            "too little in a minute, and all was well before"
        );
    }

    #[test]
    fn no_dns_at_all() {
        let seen = |packets: u64, dns| {
            after(move |now, before| {
                before.pulse[0].1 = PulseFacts::default();
                let facts = &mut now.pulse[0].1;
                (facts.packets, facts.dns_questions, facts.dns_answers) = (packets, dns, dns);
            })
        };
        assert_eq!(seen(160_000, 0), ["dns-missing"]);
        assert_eq!(seen(160_000, 1), NONE);
        assert_eq!(seen(159_999, 0), NONE);
    }

    #[test]
    fn dns_of_one_side() {
        let sides = |questions, answers| {
            mirror(move |facts| {
                facts.dns_questions = well(60).dns_questions + questions;
                facts.dns_answers = well(60).dns_answers + answers;
            })
        };
        assert_eq!(sides(100, 0), ["dns-one-sided"]);
        assert_eq!(sides(0, 100), ["dns-one-sided"]);
        assert_eq!(sides(100, 1), NONE);
        assert_eq!(sides(49, 0), NONE);
    }

    #[test]
    fn a_vlan_that_fell_silent() {
        let vlan = |frames, silent: i64, untagged| {
            mirror(move |facts| {
                facts.vlans = vec![
                    VlanFacts {
                        id: 20,
                        frames,
                        first: at(MINUTE - 10_000),
                        last: at(MINUTE - silent),
                    },
                    VlanFacts {
                        id: 30,
                        frames: 99_999,
                        first: at(0),
                        last: at(MINUTE),
                    },
                    VlanFacts {
                        id: 0,
                        frames: untagged,
                        first: at(MINUTE - 10_000),
                        last: at(MINUTE - silent),
                    },
                ];
            })
        };
        assert_eq!(vlan(5000, 901, 0), ["vlan-silent"]);
        assert_eq!(vlan(5000, 899, 0), NONE, "not long enough");
        assert_eq!(vlan(500, 901, 0), NONE, "it was always quiet");
        assert_eq!(vlan(100_000, 86_401, 0), NONE, "it is gone");
        assert_eq!(vlan(0, 901, 5000), NONE, "untagged frames are no VLAN");
        let all = after(|now, before| {
            now.pulse[0].1.vlans = vec![VlanFacts {
                id: 20,
                frames: 5000,
                first: at(MINUTE - 10_000),
                last: at(MINUTE - 2000),
            }];
            now.pulse[0].1.sampled = before.pulse[0].1.sampled + 99;
        });
        assert_eq!(all, NONE, "nothing else flows either");
    }

    #[test]
    fn frames_that_are_cut() {
        let cut = |cut| mirror(move |facts| facts.cut = cut);
        assert_eq!(cut(100), ["frames-cut"]);
        assert_eq!(cut(99), NONE);
    }

    #[test]
    fn frames_that_were_merged() {
        let merged = |oversized| mirror(move |facts| facts.oversized = oversized);
        assert_eq!(merged(100), ["frames-merged"]);
        assert_eq!(merged(99), NONE);
    }

    #[test]
    fn packets_of_another_time() {
        let skewed = |ticks, micros| {
            mirror(move |facts| {
                facts.skewed_ticks = ticks;
                facts.skew_micros = micros;
            })
        };
        assert_eq!(skewed(5, -6_000_000), ["clock-off"]);
        assert_eq!(skewed(4, -6_000_000), NONE, "a burst that was late");
    }

    #[test]
    fn a_clock_in_the_past() {
        let year = |secs| {
            after(move |now, before| {
                now.time = Timestamp::from_parts(secs, 0);
                now.setup.started = Timestamp::from_parts(secs - 4000, 0);
                before.time = Timestamp::from_parts(secs - 60, 0);
                for worker in &mut now.workers {
                    worker.heartbeat = now.time;
                }
                now.trails.written = Some(now.time);
            })
        };
        assert_eq!(year(1_704_067_199), ["clock-year"]);
        assert_eq!(year(1_704_067_200), NONE);
    }

    #[test]
    fn trails_that_are_old_or_only_built_in() {
        assert_eq!(
            after(|now, _| now.trails.written = None),
            ["trails-builtin"]
        );
        let aged = |hours: i64, period| {
            after(move |now, _| {
                now.trails.written = Some(at(MINUTE - hours * 3600));
                now.setup.update_period_secs = period;
            })
        };
        assert_eq!(aged(26, Some(86_400)), ["trails-stale"]);
        assert_eq!(aged(24, Some(86_400)), NONE, "the update is just under way");
        assert_eq!(aged(26, None), NONE, "somebody else updates them");
        assert_eq!(aged(7 * 24 + 1, None), ["trails-stale"]);
        assert_eq!(aged(7 * 24 + 1, Some(30 * 86_400)), ["trails-stale"]);
    }

    #[test]
    fn events_that_are_lost() {
        assert_eq!(after(|now, _| now.sinks.failed = 1), ["events-lost"]);
        assert_eq!(after(|now, _| now.sinks.dropped = 1), ["events-lost"]);
        let endpoint = |before_lost, now_lost| {
            after(move |now, before| {
                for (snapshot, lost) in [(now, now_lost), (before, before_lost)] {
                    snapshot.sinks.endpoints = vec![EndpointVitals {
                        name: "log.example:8337".to_owned(),
                        sent: 5,
                        lost,
                    }];
                }
            })
        };
        assert_eq!(endpoint(3, 4), ["events-lost"]);
        assert_eq!(endpoint(4, 4), NONE, "it works again");
    }

    #[test]
    fn texts_have_numbers_and_a_next_step() {
        let (mut now, before) = sensor();
        now.pulse[0].1.outward = well(60).outward + 400;
        now.pulse[0].1.inward = well(60).inward;
        let found = faults(&now, &before);
        assert!(
            found[0].text.contains("`eth7`") && found[0].text.contains("400"),
            "{found:?}"
        );
        assert!(found[0].next.ends_with('.'), "{found:?}");
    }
}
