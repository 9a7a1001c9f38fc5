//! Log servers: whether each endpoint can be read and its name resolved. Nothing is sent.

use std::net::ToSocketAddrs as _;
use std::sync::mpsc;
use std::time::Duration;

use maltrail_core::config::Config;
use maltrail_core::config::settings::split_endpoint;

use super::Checks;

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config, checks: &mut Checks) {
    let output = &config.output;
    let syslog: Vec<String> = output
        .syslog_servers
        .iter()
        .map(|receiver| receiver.address.clone())
        .collect();
    let named = [
        ("LOG_SERVER", &output.log_servers),
        ("SYSLOG_SERVER", &syslog),
        ("LOGSTASH_SERVER", &output.logstash_servers),
    ];
    for (option, endpoints) in named {
        for endpoint in endpoints {
            check_one(option, endpoint, checks);
        }
    }
}

fn check_one(option: &str, endpoint: &str, checks: &mut Checks) {
    let plain = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let Some((host, port)) = split_endpoint(plain) else {
        checks.fail(
            "endpoint-invalid",
            &format!("{option}: `{endpoint}` is not `host:port`"),
            "Write it like 192.0.2.1:8337 or [2001:db8::1]:8337.",
        );
        return;
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    match resolve(host, port) {
        Ok(address) => checks.good(&format!("{option} `{endpoint}` is {address}")),
        Err(reason) => checks.warn(
            "endpoint-unresolved",
            &format!("{option}: the name in `{endpoint}` is not resolved: {reason}"),
            "Correct the name or the resolver (/etc/resolv.conf); until then nothing is sent there.",
        ),
    }
}

/// The first address. A resolver that does not answer is left behind in its thread.
fn resolve(host: String, port: u16) -> Result<String, String> {
    let (sender, receiver) = mpsc::channel();
    let asked = std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let found = (host.as_str(), port)
                .to_socket_addrs()
                .map(|mut found| found.next())
                .map_err(|error| error.to_string());
            let _ = sender.send(found);
        });
    asked.map_err(|error| error.to_string())?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(Some(address))) => Ok(address.to_string()),
        Ok(Ok(None)) => Err("it has no address".to_owned()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_and_bad_names() {
        let run = |endpoint| {
            let mut checks = Checks::silent();
            check_one("LOG_SERVER", endpoint, &mut checks);
            (checks.ids(), checks.text())
        };
        for (endpoint, address) in [
            ("127.0.0.1:8337", "is 127.0.0.1:8337"),
            ("[::1]:514", "is [::1]:514"),
        ] {
            let (ids, text) = run(endpoint);
            assert!(ids.is_empty() && text.contains(address), "{text}");
        }
        assert_eq!(run("127.0.0.1").0, ["endpoint-invalid"]);
        assert_eq!(run("no_such.invalid:514").0, ["endpoint-unresolved"]);
    }
}
