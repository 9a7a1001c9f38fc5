//! What the engine has counted: plain numbers, read by the programs.

use maltrail_core::event::{Event, Kind};
use maltrail_wire::Drop;

use crate::heads;
use crate::hello::Seen;
use crate::heuristics::RULES;
use crate::observation::Observation;

/// Counters of one engine, all since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to the engine.
    pub packets: u64,
    /// Frames that are no usable packet, by reason, in the order of [`Drop::ALL`].
    pub drops: [u64; Drop::COUNT],
    /// Observations by kind.
    pub observations: [u64; Observation::NAMES.len()],
    /// Packets that show nothing of interest.
    pub unobserved: u64,
    /// Packets skipped as repetitions of one examined in the same second.
    pub repeats: u64,
    /// Names not examined because they were found clean before.
    pub clean_names: u64,
    /// Events handed out.
    pub events: u64,
    /// Events handed out, by type; types that the engine does not produce are 0.
    pub kinds: [u64; KINDS.len()],
    /// Events handed out, by the detector of their first reason.
    pub rules: [u64; RULES.len()],
    /// Findings dropped because an endpoint is whitelisted.
    pub whitelisted: u64,
    /// Findings dropped because the other address type of the same name was reported.
    pub folded: u64,
    /// Findings that became further reasons of an event of the same packet.
    pub merged: u64,
    /// Clean names forgotten to make room.
    pub clean_name_evictions: u64,
    /// Reported questions forgotten to make room, so that a later one may be reported twice.
    pub fold_evictions: u64,
    /// TCP segments that only probe a port; they show nothing by themselves.
    pub probes: u64,
    /// Pairs of hosts, and hosts with a service, forgotten to make room while scans are looked for.
    pub scan_evictions: u64,
    /// Reports of scans put off to a later packet because too many were due in one second.
    pub scan_deferrals: u64,
    /// Domains, and names of domains, forgotten to make room while exhaustion is looked for.
    pub exhaustion_evictions: u64,
    /// Names and domains that do not exist, forgotten to make room.
    pub no_such_domain_evictions: u64,
    /// Destinations forgotten to make room while floods are looked for.
    pub ddos_evictions: u64,
    /// Link types forgotten to make room.
    pub link_evictions: u64,
    /// HTTP requests left out because too many stood before them in their segment.
    pub http_requests_left: u64,
    /// User agents found clean and forgotten to make room.
    pub user_agent_evictions: u64,
    /// Trail sets adopted after the first.
    pub trail_sets: u64,
    /// Findings in answers dropped because they were reported for the same client lately.
    pub answers_known: u64,
    /// Reported names forgotten to make room, so that an answer may be reported again.
    pub reported_evictions: u64,
    /// CNAME targets not examined because their answer has too many.
    pub answer_targets_lost: u64,
    /// Names said beside what a packet shows: away from port 53, behind a first question, to proxies.
    pub asides: u64,
    /// Packets that show a hello and nothing else.
    pub hellos: u64,
    /// Host names read in TLS hellos.
    pub tls_names: u64,
    /// Host names read in QUIC hellos.
    pub quic_names: u64,
    /// Certificates read.
    pub certificates: u64,
    /// QUIC packets that look like the first of a client and could not be opened.
    pub quic_unread: u64,
    /// Pieces of QUIC hellos left out because there were too many.
    pub quic_pieces_lost: u64,
    /// QUIC hellos that did not come in one packet.
    pub quic_flights: u64,
    /// Such hellos forgotten to make room.
    pub quic_flight_evictions: u64,
    /// TCP segments that are part of a message over several, or repeat part of one.
    pub head_segments: u64,
    /// Messages put together, or parts of them, examined like a packet.
    pub head_messages: u64,
    /// Heads of streams begun: first segments of messages that go on.
    pub heads_begun: u64,
    /// Heads completed.
    pub heads_completed: u64,
    /// Heads that made room for others.
    pub heads_evicted: u64,
    /// Heads given up because they were too long.
    pub heads_too_long: u64,
    /// Heads given up because a gap in them was not filled.
    pub heads_gaps: u64,
    /// Heads given up because they waited too long.
    pub heads_expired: u64,
    /// Heads that turned out to be no message, or were overtaken by a new connection.
    pub heads_dropped: u64,
    /// Segments of heads left out because of too many gaps.
    pub head_pieces_lost: u64,
    /// Segments of messages that were examined already.
    pub head_repeats: u64,
    /// Heads that wait now.
    pub heads_waiting: u64,
    /// Bytes that they hold now.
    pub heads_bytes: u64,
    /// Addresses and names left out of what was seen, as too many were new.
    pub observables_refused: u64,
}

/// Types of events, as their counters are named.
const KINDS: [(Kind, &str); 9] = [
    (Kind::Dns, "events_dns"),
    (Kind::Ip, "events_ip"),
    (Kind::IpPort, "events_iport"),
    (Kind::Url, "events_url"),
    (Kind::Http, "events_http"),
    (Kind::Ua, "events_ua"),
    (Kind::Port, "events_port"),
    (Kind::Path, "events_path"),
    (Kind::Cert, "events_cert"),
];

/// Names of the observation counters.
const OBSERVED: [&str; Observation::NAMES.len()] = [
    "seen_syn",
    "seen_datagram",
    "seen_contact",
    "seen_dns_query",
    "seen_http_request",
    "seen_http_response",
    "seen_dns_answer",
];

impl Counters {
    /// Every counter with its name; drop reasons have the name of their reason.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let drops = Drop::ALL.iter().zip(self.drops);
        let kinds = KINDS.iter().zip(self.kinds);
        [
            ("packets", self.packets),
            ("unobserved", self.unobserved),
            ("repeats", self.repeats),
            ("clean_names", self.clean_names),
            ("events", self.events),
            ("whitelisted", self.whitelisted),
            ("folded", self.folded),
            ("merged", self.merged),
            ("clean_name_evictions", self.clean_name_evictions),
            ("fold_evictions", self.fold_evictions),
            ("probes", self.probes),
            ("scan_evictions", self.scan_evictions),
            ("scan_deferrals", self.scan_deferrals),
            ("exhaustion_evictions", self.exhaustion_evictions),
            ("no_such_domain_evictions", self.no_such_domain_evictions),
            ("ddos_evictions", self.ddos_evictions),
            ("link_evictions", self.link_evictions),
            ("http_requests_left", self.http_requests_left),
            ("user_agent_evictions", self.user_agent_evictions),
            ("trail_sets", self.trail_sets),
            ("answers_known", self.answers_known),
            ("reported_evictions", self.reported_evictions),
            ("answer_targets_lost", self.answer_targets_lost),
            ("asides", self.asides),
            ("hellos", self.hellos),
            ("tls_names", self.tls_names),
            ("quic_names", self.quic_names),
            ("certificates", self.certificates),
            ("quic_unread", self.quic_unread),
            ("quic_pieces_lost", self.quic_pieces_lost),
            ("quic_flights", self.quic_flights),
            ("quic_flight_evictions", self.quic_flight_evictions),
            ("head_segments", self.head_segments),
            ("head_messages", self.head_messages),
            ("heads_begun", self.heads_begun),
            ("heads_completed", self.heads_completed),
            ("heads_evicted", self.heads_evicted),
            ("heads_too_long", self.heads_too_long),
            ("heads_gaps", self.heads_gaps),
            ("heads_expired", self.heads_expired),
            ("heads_dropped", self.heads_dropped),
            ("head_pieces_lost", self.head_pieces_lost),
            ("head_repeats", self.head_repeats),
            ("heads_waiting", self.heads_waiting),
            ("heads_bytes", self.heads_bytes),
            ("observables_refused", self.observables_refused),
        ]
        .into_iter()
        .chain(drops.map(|(reason, count)| (reason.name(), count)))
        .chain(OBSERVED.into_iter().zip(self.observations))
        .chain(kinds.map(|(&(_, name), count)| (name, count)))
    }

    /// Events by the detector of their first reason: `trail`, and the names of `DISABLED_HEURISTICS`.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        RULES.into_iter().zip(self.rules)
    }

    /// How many frames were refused for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.drops.get(reason.index()).copied().unwrap_or_default()
    }

    pub(crate) fn drop(&mut self, reason: Drop) {
        if let Some(count) = self.drops.get_mut(reason.index()) {
            *count += 1;
        }
    }

    pub(crate) fn observe(&mut self, observation: &Observation<'_>) {
        if let Some(count) = self.observations.get_mut(observation.index()) {
            *count += 1;
        }
    }

    /// Takes over what was read in hellos.
    pub(crate) const fn hellos(&mut self, seen: Seen) {
        self.tls_names = seen.tls_names;
        self.quic_names = seen.quic_names;
        self.certificates = seen.certificates;
        self.quic_unread = seen.quic_unread;
        self.quic_pieces_lost = seen.quic_pieces_lost;
        self.quic_flights = seen.quic_flights;
        self.quic_flight_evictions = seen.quic_flight_evictions;
    }

    /// Takes over what happened to heads, and how many wait with how many bytes.
    pub(crate) const fn heads(&mut self, seen: heads::Seen, waiting: usize, bytes: usize) {
        self.heads_begun = seen.begun;
        self.heads_completed = seen.completed;
        self.heads_evicted = seen.evicted;
        self.heads_too_long = seen.too_long;
        self.heads_gaps = seen.gaps;
        self.heads_expired = seen.expired;
        self.heads_dropped = seen.dropped;
        self.head_pieces_lost = seen.pieces_lost;
        self.head_repeats = seen.repeated;
        self.heads_waiting = waiting as u64;
        self.heads_bytes = bytes as u64;
    }

    /// Somebody else counts events.
    pub(crate) const fn forget_events(&mut self) {
        self.events = 0;
        self.kinds = [0; KINDS.len()];
        self.rules = [0; RULES.len()];
    }

    /// An event was not handed out after all.
    pub(crate) fn take_back(&mut self, event: &Event) {
        self.tell(event, |count| *count = count.saturating_sub(1));
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.tell(event, |count| *count += 1);
    }

    fn tell(&mut self, event: &Event, change: impl Fn(&mut u64)) {
        change(&mut self.events);
        let mut kinds = KINDS.iter().zip(&mut self.kinds);
        if let Some((_, count)) = kinds.find(|((known, _), _)| *known == event.kind) {
            change(count);
        }
        let rule = event.details.reasons.first().map(|reason| &*reason.rule);
        let mut rules = RULES.iter().zip(&mut self.rules);
        if let Some((_, count)) = rules.find(|(known, _)| Some(**known) == rule) {
            change(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use maltrail_core::event::Reason;

    use super::*;

    #[test]
    fn every_counter_has_its_own_name() {
        let counters = Counters::default();
        let names: Vec<&str> = counters.iter().map(|(name, _)| name).collect();
        let distinct: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.contains(&"link_arp") && names.contains(&"events_dns"));
        for kind in Observation::NAMES {
            assert!(names.contains(&format!("seen_{kind}").as_str()), "{kind}");
        }
    }

    fn event(kind: &str) -> Event {
        let line = format!(
            "\"2023-11-14 12:00:00.000000\" s 192.0.2.1 1 203.0.113.7 443 TCP {kind} x y r\n"
        );
        Event::parse_line(&line, &maltrail_core::time::Zone::UTC).unwrap()
    }

    #[test]
    fn a_first_reason_counts_for_its_detector() {
        let mut counters = Counters::default();
        let mut found = event("IP");
        for rule in ["port_scanning", "trail"] {
            found.details.reasons.push(Reason {
                rule: rule.into(),
                key: String::new(),
                field: "packet".into(),
                offset: None,
                source: String::new(),
            });
        }
        counters.event(&found);
        let told: Vec<_> = counters.rules().filter(|&(_, count)| count > 0).collect();
        assert_eq!(told, [("port_scanning", 1)]);
        counters.take_back(&found);
        assert!(counters.rules().all(|(_, count)| count == 0));
    }

    #[test]
    fn counts_arrive_under_their_name() {
        let mut counters = Counters::default();
        for kind in ["DNS", "IPORT", "NEW"] {
            counters.event(&event(kind));
        }
        counters.observe(&Observation::Contact);
        counters.drop(Drop::ALL[1]);
        let get = |wanted| counters.iter().find(|&(name, _)| name == wanted).unwrap().1;
        assert_eq!(
            (get("events"), get("events_dns"), get("events_iport")),
            (3, 1, 1)
        );
        assert_eq!(
            (get("seen_contact"), get("seen_syn"), get("link_arp")),
            (1, 0, 1)
        );
        assert_eq!(counters.dropped(Drop::ALL[1]), 1);
    }
}
