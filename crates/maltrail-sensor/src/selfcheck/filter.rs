//! What a capture filter hides from detection.

use pcap::{BpfProgram, Capture, Linktype};

use super::Checks;
use super::probes::{DETECTORS, Detector, probes};

/// What a filter does to one detector.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Full,
    /// Without these probes.
    Partial(Vec<&'static str>),
    None,
}

pub(super) fn check(filter: &str, checks: &mut Checks) {
    if filter.is_empty() {
        checks.good("no filter: every packet is looked at");
        return;
    }
    let program = match compile(filter) {
        Ok(program) => program,
        Err(error) => {
            checks.fail(
                "filter-invalid",
                &format!("CAPTURE_FILTER `{filter}` does not compile: {error}"),
                "Correct it (`man pcap-filter`), or leave it empty.",
            );
            return;
        }
    };
    let sights = sights(&program);
    let names = |wanted: fn(&Sight) -> bool| -> Vec<&str> {
        let matching = sights.iter().filter(|(_, sight)| wanted(sight));
        matching.map(|(detector, _)| detector.name).collect()
    };
    let full = names(|sight| *sight == Sight::Full);
    if full.len() == sights.len() {
        checks.good(&format!(
            "CAPTURE_FILTER `{filter}` compiles and hides nothing that is detected"
        ));
        return;
    }
    if !full.is_empty() {
        checks.good(&format!(
            "CAPTURE_FILTER compiles; fully seen: {}",
            full.join(", ")
        ));
    }
    let blind = names(|sight| *sight == Sight::None);
    if !blind.is_empty() {
        checks.warn(
            "filter-blinds",
            &format!("CAPTURE_FILTER `{filter}` blinds: {}", blind.join(", ")),
            "Leave CAPTURE_FILTER empty unless this is meant.",
        );
    }
    for (detector, sight) in &sights {
        if let Sight::Partial(hidden) = sight {
            checks.warn(
                "filter-blinds",
                &format!(
                    "CAPTURE_FILTER hides from {}: {}",
                    detector.name,
                    hidden.join(", ")
                ),
                "Leave CAPTURE_FILTER empty unless this is meant.",
            );
        }
    }
}

fn compile(filter: &str) -> Result<BpfProgram, pcap::Error> {
    Capture::dead(Linktype::ETHERNET)?.compile(filter, true)
}

fn sights(program: &BpfProgram) -> Vec<(&'static Detector, Sight)> {
    let refused: Vec<&str> = probes()
        .into_iter()
        .filter(|probe| !program.filter(&probe.frame))
        .map(|probe| probe.name)
        .collect();
    DETECTORS
        .iter()
        .map(|detector| {
            let hidden: Vec<&'static str> = detector
                .probes
                .iter()
                .filter(|probe| refused.contains(probe))
                .copied()
                .collect();
            let sight = match hidden.len() {
                0 => Sight::Full,
                count if count == detector.probes.len() => Sight::None,
                _ => Sight::Partial(hidden),
            };
            (detector, sight)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use maltrail_core::config::options::REFERENCE_CAPTURE_FILTER;

    use super::*;

    fn sight(filter: &str, name: &str) -> Sight {
        let program = compile(filter).expect("a filter");
        let found = sights(&program)
            .into_iter()
            .find(|(detector, _)| detector.name == name);
        found.expect("a detector").1
    }

    #[test]
    fn the_old_default_has_its_known_gaps() {
        let of = |name| sight(REFERENCE_CAPTURE_FILTER, name);
        assert_eq!(
            of("port_scanning"),
            Sight::Partial(vec![
                "SYN of IPv6",
                "SYN with ECN",
                "NULL probe",
                "FIN probe",
                "Xmas probe"
            ])
        );
        assert_eq!(of("traffic in VLANs"), Sight::None);
        assert_eq!(of("traffic in PPPoE"), Sight::None);
        assert_eq!(of("ends of tunnels"), Sight::None);
        assert_eq!(of("udp_scanning"), Sight::Full);
        assert_eq!(of("dns_exhaustion"), Sight::Full);
        assert_eq!(
            of("names in TLS"),
            Sight::Partial(vec![
                "TLS hello of IPv6",
                "TLS hello on 8443",
                "later segment of a TLS hello"
            ])
        );
    }

    #[test]
    fn simple_filters_are_judged_as_one_would_expect() {
        assert_eq!(sight("", "traffic in VLANs"), Sight::Full);
        assert_eq!(
            sight("udp port 53", "names in DNS"),
            Sight::Partial(vec!["DNS over TCP"])
        );
        assert_eq!(sight("udp port 53", "HTTP requests"), Sight::None);
        assert_eq!(
            sight("ip or ip6 or (vlan and (ip or ip6))", "traffic in VLANs"),
            Sight::Partial(vec!["SYN in two VLANs"])
        );
    }

    #[test]
    fn results_are_said_with_their_id() {
        let run = |filter| {
            let mut checks = Checks::silent();
            check(filter, &mut checks);
            (checks.failures, checks.warnings, checks.ids())
        };
        assert_eq!(run(""), (0, 0, vec![]));
        assert_eq!(run("tcp or"), (1, 0, vec!["filter-invalid"]));
        let (failures, warnings, ids) = run("udp port 53");
        assert!(failures == 0 && warnings > 1 && ids.iter().all(|id| *id == "filter-blinds"));
    }
}
