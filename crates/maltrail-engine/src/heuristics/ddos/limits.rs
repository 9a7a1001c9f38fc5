//! From which rate on something is an attack.
//!
//! | kind | counted per second | at least |
//! |---|---|---|
//! | syn | SYNs less completed connections | `DDOS_MIN_PPS` |
//! | icmp | messages not asked for | `DDOS_MIN_PPS` |
//! | reflection | answers not asked for | `DDOS_MIN_PPS` |
//! | ack | segments outside known connections | 4 × `DDOS_MIN_PPS` |
//! | udp | datagrams not asked for and not answered | 4 × `DDOS_MIN_PPS` |
//! | http | requests | `DDOS_HTTP_RPS` |
//! | reflector | answers five times as large as the questions, to one address | `DDOS_MIN_PPS` / 5 |
//!
//! With a baseline of the destination the limit is `DDOS_BASELINE_FACTOR` times that, if higher. A
//! baseline grows up to the values above and no farther, except that of HTTP, so no ramp is slow
//! enough to hide: it is found at the factor times these values at the latest.
//! Whole networks have twice the limits. Where only one direction is seen, nobody can tell what was
//! asked for: ack, udp and reflection have the limits of [`BLIND`] there and need many sources.

use maltrail_core::config::{DdosConfig, DetectConfig};

use super::kind::Flood;

/// Factor where the other direction is not seen.
pub(crate) const BLIND: f64 = 10.0;
/// Factor for answers where the questions are not seen: 10,000 a second of a busy resolver are ordinary.
const BLIND_ANSWERS: f64 = 20.0;
/// Sources that are needed where the other direction is not seen: a tunnel or a download has one.
pub(crate) const BLIND_SOURCES: f64 = 64.0;
/// Factor for HTTP before there is a baseline: a busy site looks like this when the sensor starts.
const COLD_HTTP: f64 = 10.0;
/// Factor for datagrams between our own hosts: logs, flow records, storage.
const INSIDE: f64 = 10.0;
/// Seconds after which a destination has a baseline.
pub(crate) const LEARNT_SECS: u32 = 30;

/// What is looked for, and from where on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    config: DdosConfig,
    enabled: [bool; Flood::COUNT],
    /// Whether whole networks are watched.
    pub(crate) carpets: bool,
    /// Whether attacks by our own hosts are reported.
    pub(crate) participation: bool,
}

/// What is known of a destination besides its counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Whether it is a whole network.
    pub(crate) network: bool,
    /// Whether what it sends is seen.
    pub(crate) heard: bool,
    /// Whether both ends are ours.
    pub(crate) inside: bool,
    /// Seconds for which it was watched.
    pub(crate) age: u32,
    /// Its usual rate.
    pub(crate) usual: f64,
}

impl Limits {
    /// As configured.
    pub(crate) fn new(config: &DetectConfig) -> Self {
        let on = config.runs("ddos");
        Self {
            config: config.ddos,
            enabled: Flood::ALL.map(|kind| on && config.runs(kind.name())),
            carpets: config.runs("carpet_bombing"),
            participation: config.runs("ddos_participation"),
        }
    }

    /// Whether anything is looked for.
    pub(crate) fn any(&self) -> bool {
        self.enabled.contains(&true)
    }

    /// Whether this kind is looked for.
    pub(crate) fn looks_for(&self, kind: Flood) -> bool {
        self.enabled.get(kind as usize) == Some(&true)
    }

    /// Packets a second below which a destination is not looked at: half of the lowest limit.
    pub(crate) fn watermark(&self) -> u32 {
        (self.config.min_pps / 10).clamp(8, 1000)
    }

    /// Seconds of quiet after which an attack is over.
    pub(crate) const fn quiet_secs(&self) -> u32 {
        self.config.quiet_secs
    }

    /// The configured limit.
    fn least(&self, kind: Flood) -> f64 {
        let pps = f64::from(self.config.min_pps);
        match kind {
            Flood::Syn | Flood::Icmp | Flood::Reflection => pps,
            Flood::Ack | Flood::Udp => 4.0 * pps,
            Flood::Http => f64::from(self.config.http_rps),
            Flood::Reflector => pps / 5.0,
        }
    }

    /// The limit of a destination.
    pub(crate) fn of(&self, kind: Flood, standing: &Standing) -> f64 {
        let mut least = self.least(kind);
        if standing.network {
            least *= 2.0;
        }
        least *= match kind {
            Flood::Ack | Flood::Udp if !standing.heard => BLIND,
            Flood::Reflection if !standing.heard => BLIND_ANSWERS,
            Flood::Udp if standing.inside => INSIDE,
            Flood::Http if standing.age < LEARNT_SECS => COLD_HTTP,
            _ => 1.0,
        };
        if standing.age < LEARNT_SECS {
            return least;
        }
        let raised = standing.usual * f64::from(self.config.baseline_factor);
        raised.max(least)
    }

    /// What of a rate goes into the baseline.
    pub(crate) fn learnt(&self, kind: Flood, rate: f64) -> f64 {
        match kind {
            Flood::Http => rate,
            _ => rate.min(self.least(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            config: DdosConfig::default(),
            enabled: [true; Flood::COUNT],
            carpets: true,
            participation: true,
        }
    }

    const KNOWN: Standing = Standing {
        network: false,
        heard: true,
        inside: false,
        age: 100,
        usual: 0.0,
    };

    #[test]
    fn a_baseline_raises_a_limit_and_grows_no_farther_than_it() {
        let of = |usual| limits().of(Flood::Syn, &Standing { usual, ..KNOWN });
        assert_eq!(of(0.0), 500.0);
        assert_eq!(of(125.0), 500.0);
        assert_eq!(of(250.0), 1000.0);
        assert_eq!(limits().learnt(Flood::Syn, 1e9), 500.0);
        assert_eq!(limits().learnt(Flood::Http, 1e9), 1e9);
        let cold = Standing {
            age: 3,
            usual: 1e9,
            ..KNOWN
        };
        assert_eq!(limits().of(Flood::Syn, &cold), 500.0);
    }

    #[test]
    fn what_cannot_be_told_needs_more() {
        let blind = Standing {
            heard: false,
            ..KNOWN
        };
        assert_eq!(limits().of(Flood::Udp, &blind), 20_000.0);
        assert_eq!(limits().of(Flood::Reflection, &blind), 10_000.0);
        assert_eq!(
            limits().of(Flood::Syn, &blind),
            500.0,
            "the handshake tells"
        );
        let network = Standing {
            network: true,
            ..KNOWN
        };
        assert_eq!(limits().of(Flood::Icmp, &network), 1000.0);
        let cold = Standing { age: 0, ..KNOWN };
        assert_eq!(limits().of(Flood::Http, &cold), 10_000.0);
        assert_eq!(limits().of(Flood::Http, &KNOWN), 1000.0);
    }
}
