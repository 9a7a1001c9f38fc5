//! `/ripe`: country or operator of an address, from the public data of stat.ripe.net.
//!
//! Off unless `DISABLE_RIPE_LOOKUPS false`. Only public addresses are asked about, the host is fixed, redirects
//! are not followed, an answer has at most [`BODY_BYTES`] and [`TIMEOUT`]. Answers are remembered for a week,
//! failures for ten minutes, [`MAX_KNOWN`] in all.

use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::store::lock;

/// Where the data comes from.
const HOST: &str = "https://stat.ripe.net";
/// Time for one look-up.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer in bytes.
const BODY_BYTES: u64 = 1 << 20;
/// Most remembered answers; beyond it all are forgotten.
const MAX_KNOWN: usize = 1000;
/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(7 * 86_400);
/// How long a failure counts.
const FAILED: Duration = Duration::from_secs(600);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Geo,
    Asn,
}

type Answer = Result<Value, String>;

/// The client and what it knows.
#[derive(Debug)]
pub(crate) struct Ripe {
    host: String,
    proxy: Option<String>,
    /// std lock: held for map operations only.
    known: Mutex<HashMap<(Kind, IpAddr), (Instant, Answer)>>,
}

impl Ripe {
    /// Asks RIPE, through `proxy` when there is one.
    pub(crate) fn new(proxy: Option<String>) -> Self {
        Self::of(HOST.to_owned(), proxy)
    }

    fn of(host: String, proxy: Option<String>) -> Self {
        Self {
            host,
            proxy,
            known: Mutex::default(),
        }
    }

    /// The answer for a public address, or why there is none. Blocks.
    pub(crate) fn ask(&self, kind: Kind, address: IpAddr) -> Answer {
        let key = (kind, address);
        if let Some((since, answer)) = lock(&self.known).get(&key) {
            let age = if answer.is_ok() { FRESH } else { FAILED };
            if since.elapsed() < age {
                return answer.clone();
            }
        }
        let answer = self.fetch(kind, address);
        let mut known = lock(&self.known);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, (Instant::now(), answer.clone()));
        answer
    }

    fn fetch(&self, kind: Kind, address: IpAddr) -> Answer {
        let call = match kind {
            Kind::Geo => "geoloc",
            Kind::Asn => "network-info",
        };
        let url = format!("{}/data/{call}/data.json?resource={address}", self.host);
        let body = self.get(&url).map_err(|error| {
            format!("stat.ripe.net cannot be asked: {error}; check the network and PROXY_ADDRESS")
        })?;
        let data: Value = serde_json::from_slice(&body)
            .map_err(|_| "stat.ripe.net gave an answer that is not JSON".to_owned())?;
        Ok(match kind {
            Kind::Geo => json!({"cc": country(&data).unwrap_or_default()}),
            Kind::Asn => json!({"asn": operator(&data).unwrap_or_default(), "holder": ""}),
        })
    }

    fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        // A second call finds the provider installed; that is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::blocking::Client::builder()
            .user_agent(concat!("Maltrail/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| error.to_string())?);
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        let answer = client.get(url).send().map_err(|error| chain(&error))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("answer {}", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        let read = answer.take(BODY_BYTES + 1).read_to_end(&mut body);
        read.map_err(|error| error.to_string())?;
        if body.len() as u64 > BODY_BYTES {
            return Err(format!("more than {BODY_BYTES} bytes"));
        }
        Ok(body)
    }
}

/// An error with its causes: "error sending request" alone helps nobody.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Two lower-case letters.
fn country(data: &Value) -> Option<String> {
    let code = data.pointer("/data/located_resources/0/locations/0/country")?;
    let code = code.as_str()?;
    let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| code.to_ascii_lowercase())
}

/// `AS` and a number.
fn operator(data: &Value) -> Option<String> {
    let number = data.pointer("/data/asns/0")?;
    let number = number
        .as_u64()
        .or_else(|| number.as_str()?.parse().ok())
        .and_then(|number| u32::try_from(number).ok())?;
    Some(format!("AS{number}"))
}

/// Whether anybody but this network could know an address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // 2000::/3 without documentation, Teredo and 6to4, which embed other addresses.
            (0x2000..0x4000).contains(&first)
                && !(first == 0x2001 && (second == 0xdb8 || second == 0))
                && first != 0x2002
                && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives each connection the next of `answers`; counts them.
    fn serve(answers: Vec<String>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (host, asked)
    }

    fn ok(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    #[test]
    fn answers_are_reduced_to_what_is_shown_and_remembered() {
        let geo = r#"{"data":{"located_resources":[{"locations":[{"country":"US"}]}]}}"#;
        let asn = r#"{"data":{"asns":["15169"],"prefix":"8.8.8.0/24"}}"#;
        let odd = r#"{"data":{"asns":["<script>"]}}"#;
        let (host, asked) = serve(vec![ok(geo), ok(asn), ok(odd)]);
        let ripe = Ripe::of(host, None);
        let address = IpAddr::from([8, 8, 8, 8]);
        assert_eq!(ripe.ask(Kind::Geo, address), Ok(json!({"cc": "us"})));
        assert_eq!(
            ripe.ask(Kind::Asn, address),
            Ok(json!({"asn": "AS15169", "holder": ""}))
        );
        assert_eq!(ripe.ask(Kind::Geo, address), Ok(json!({"cc": "us"})));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let other = IpAddr::from([9, 9, 9, 9]);
        assert_eq!(
            ripe.ask(Kind::Asn, other),
            Ok(json!({"asn": "", "holder": ""}))
        );
    }

    #[test]
    fn redirects_large_answers_and_silence_are_errors_that_say_what_to_do() {
        let (elsewhere, asked) = serve(vec![ok("{}")]);
        let redirect = format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (host, _) = serve(vec![redirect, ok(&" ".repeat(BODY_BYTES as usize + 1))]);
        let ripe = Ripe::of(host, None);
        let error = ripe.ask(Kind::Geo, IpAddr::from([8, 8, 8, 8])).unwrap_err();
        assert!(error.contains("answer 302"), "{error}");
        assert_eq!(
            asked.load(Ordering::SeqCst),
            0,
            "the redirect is not followed"
        );
        let error = ripe.ask(Kind::Geo, IpAddr::from([9, 9, 9, 9])).unwrap_err();
        assert!(error.contains("more than"), "{error}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let error = Ripe::of(host, None).ask(Kind::Asn, IpAddr::from([8, 8, 8, 8]));
        assert!(error.unwrap_err().contains("PROXY_ADDRESS"));
    }

    #[test]
    fn the_proxy_is_used() {
        let geo = r#"{"data":{"located_resources":[{"locations":[{"country":"de"}]}]}}"#;
        let (proxy, asked) = serve(vec![ok(geo)]);
        let ripe = Ripe::of("http://stat.invalid".into(), Some(proxy));
        let answer = ripe.ask(Kind::Geo, IpAddr::from([8, 8, 8, 8]));
        assert_eq!(
            (answer, asked.load(Ordering::SeqCst)),
            (Ok(json!({"cc": "de"})), 1)
        );
    }

    #[test]
    fn remembered_answers_are_bounded() {
        let ripe = Ripe::of("no host".into(), None);
        for n in 0..=MAX_KNOWN as u32 {
            let address = IpAddr::from((0x0808_0000 + n).to_be_bytes());
            let entry = (Instant::now(), Ok(json!({})));
            lock(&ripe.known).insert((Kind::Geo, address), entry);
        }
        assert!(ripe.ask(Kind::Geo, IpAddr::from([9, 9, 9, 9])).is_err());
        assert_eq!(lock(&ripe.known).len(), 1);
    }

    #[test]
    fn only_public_addresses_are_asked_about() {
        for inside in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.1.2.3",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "100.128.0.1", "2001:4860:4860::8888", "2a00::1"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
