//! From the configuration to remote receivers: which address gets what, and how.

use std::sync::Arc;

use maltrail_core::config::{Carrier, Config, LogServerFormat};
use maltrail_core::event::Seal;
use maltrail_core::time::Zone;

use super::encoder::{Encoder, Encoding, TrailsDate};
use super::endpoint::{Link, Plan, State};
use super::stream::StreamLink;
use super::tls::{self, Tls};
use super::udp::UdpLink;
use super::{RECEIVERS, SinkError};

/// The receivers that the configuration names.
pub(super) fn plans(config: &Config) -> Result<Vec<Plan>, SinkError> {
    let output = &config.output;
    let count =
        output.log_servers.len() + output.syslog_servers.len() + output.logstash_servers.len();
    if count > RECEIVERS {
        return Err(SinkError::TooMany(count));
    }
    let plain = Encoder {
        encoding: Encoding::Line,
        zone: Zone::local(),
        host: output.host_name.as_str().into(),
        severity: output.remote_severity.clone(),
        trails: TrailsDate::new(config.trails.file.clone()),
    };
    let datagrams = |option, address: &str, encoding| Plan {
        state: State::new(option, address),
        encoder: Encoder {
            encoding,
            ..plain.clone()
        },
        link: Box::new(UdpLink::new(address)),
        beats: encoding == Encoding::Json,
    };
    let mut plans = Vec::with_capacity(count);
    let of_log_server = match output.log_server_format {
        LogServerFormat::Line => Encoding::Line,
        LogServerFormat::Json => Encoding::Json,
    };
    let seal = config.server.udp_key.as_deref().map(Seal::new);
    for address in &output.log_servers {
        plans.push(Plan {
            link: Box::new(UdpLink::new(address).sealed(seal.clone())),
            ..datagrams("LOG_SERVER", address, of_log_server)
        });
    }
    for address in &output.logstash_servers {
        plans.push(datagrams("LOGSTASH_SERVER", address, Encoding::Logstash));
    }
    let mut roots = None;
    for receiver in &output.syslog_servers {
        let address = receiver.address.as_str();
        let tls = match receiver.carrier {
            Carrier::Udp => {
                plans.push(datagrams("SYSLOG_SERVER", address, Encoding::Cef));
                continue;
            }
            Carrier::UdpFramed => {
                plans.push(datagrams("SYSLOG_SERVER", address, Encoding::Rfc5424));
                continue;
            }
            Carrier::Tcp => None,
            Carrier::Tls => {
                let bad = |error| SinkError::Tls(address.to_owned(), error);
                let config = match &roots {
                    Some(config) => Arc::clone(config),
                    None => {
                        let made = tls::client(output.syslog_ca.as_deref()).map_err(bad)?;
                        Arc::clone(roots.insert(made))
                    }
                };
                Some(Tls::new(config, address).map_err(bad)?)
            }
        };
        let scheme = if tls.is_some() { "tls" } else { "tcp" };
        let state = State::new("SYSLOG_SERVER", &format!("{scheme}://{address}"));
        let link: Box<dyn Link> = Box::new(StreamLink::new(address, tls, Arc::clone(&state)));
        plans.push(Plan {
            state,
            encoder: Encoder {
                encoding: Encoding::Rfc5424,
                ..plain.clone()
            },
            link,
            beats: false,
        });
    }
    Ok(plans)
}
