//! Downloads over HTTP and HTTPS.
//!
//! TLS is verified; a proxy is honoured; size, time, speed and redirects have limits. Broken connections,
//! 429 and 5xx are asked again after a pause, other answers are final. A redirect never leads from HTTPS to
//! HTTP, and a request with a key never to another host.

use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{
    ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::redirect::{Attempt, Policy};

use super::{Answer, BodyWriter, Fetch, FetchError, Fresh, Request};

/// Longest `ETag` or `Last-Modified` that is remembered.
const VALIDATOR_BYTES: usize = 1024;
/// Failed connections in a row after which nothing is asked twice any more: the network is not there.
const OUTAGE: usize = 8;

/// Bounds of a download.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for headers, and between two pieces of a body.
    pub idle: Duration,
    /// Longest download (`spec` trails §7 has 30 s for lists; the archive is larger).
    pub total: Duration,
    /// When the mean speed begins to count.
    pub grace: Duration,
    /// Smallest mean speed.
    pub bytes_per_sec: u64,
    /// Redirects followed.
    pub redirects: usize,
    /// Pauses before the second try, the third, …; none means one try.
    pub pauses: Vec<Duration>,
    /// Longest `Retry-After` that is waited for; a longer one ends the tries.
    pub retry_after: Duration,
    /// Certificates trusted beside those of the system, in DER.
    pub roots: Vec<Vec<u8>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            bytes_per_sec: 1024,
            redirects: 5,
            pauses: vec![Duration::from_secs(1), Duration::from_secs(4)],
            retry_after: Duration::from_secs(20),
            roots: Vec::new(),
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct HttpFetch {
    client: Client,
    /// For requests with a key.
    faithful: Client,
    limits: Limits,
    lost: AtomicUsize,
}

impl HttpFetch {
    /// A client, through `proxy` when there is one.
    ///
    /// # Errors
    /// When the proxy's address is not one, or the system has no root certificates.
    pub fn new(proxy: Option<&str>) -> Result<Self, FetchError> {
        Self::with_limits(proxy, Limits::default())
    }

    /// A client with other bounds.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(proxy: Option<&str>, limits: Limits) -> Result<Self, FetchError> {
        // A second call finds the provider installed; that is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: client(proxy, &limits, false)?,
            faithful: client(proxy, &limits, true)?,
            limits,
            lost: AtomicUsize::new(0),
        })
    }

    /// How long to wait before another try; `None` when there is none.
    fn pause(&self, failure: &Failure, tried: usize) -> Option<Duration> {
        let again = match failure.error {
            FetchError::Status(code) => code == 429 || (500..600).contains(&code),
            FetchError::Transport(_) => {
                !failure.is_final && self.lost.fetch_add(1, Ordering::Relaxed) < OUTAGE
            }
            _ => false,
        };
        let pause = *self.limits.pauses.get(tried)?;
        match failure.retry_after {
            _ if !again => None,
            Some(asked) if asked > self.limits.retry_after => None,
            Some(asked) => Some(asked.max(pause)),
            None => Some(pause),
        }
    }

    fn once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let started = Instant::now();
        let client = if request.key.is_some() {
            &self.faithful
        } else {
            &self.client
        };
        let mut asked = client.get(request.url);
        if let Some((name, value)) = request.key {
            let name = HeaderName::try_from(name)
                .map_err(|_| FetchError::Transport(format!("`{name}` is no header's name")))?;
            asked = asked.header(name, value);
        }
        if let Some(etag) = request.etag {
            asked = asked.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = request.last_modified {
            asked = asked.header(IF_MODIFIED_SINCE, date);
        }
        let answer = asked.send().map_err(failure)?;
        match answer.status() {
            StatusCode::OK => self.take(answer, request.max_bytes, started),
            StatusCode::NOT_MODIFIED if request.is_conditional() => Ok(Answer::Unchanged),
            status => Err(Failure {
                error: FetchError::Status(status.as_u16()),
                retry_after: header(&answer, RETRY_AFTER.as_str())
                    .and_then(|text| text.trim().parse().ok())
                    .map(Duration::from_secs),
                is_final: false,
            }),
        }
    }

    /// Reads the body within the limits.
    fn take(
        &self,
        mut answer: Response,
        max_bytes: u64,
        started: Instant,
    ) -> Result<Answer, Failure> {
        if answer.content_length().is_some_and(|len| len > max_bytes) {
            return Err(FetchError::TooLarge(max_bytes).into());
        }
        let mut body = BodyWriter::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = answer
                .read(&mut chunk)
                .map_err(|error| FetchError::Transport(chain(&error)))?;
            if count == 0 {
                break;
            }
            let chunk = chunk.get(..count).unwrap_or(&chunk);
            body.write_all(chunk).map_err(FetchError::Spool)?;
            if body.len() > max_bytes {
                return Err(FetchError::TooLarge(max_bytes).into());
            }
            let took = started.elapsed();
            let slow = took > self.limits.grace
                && (body.len() as f64) < self.limits.bytes_per_sec as f64 * took.as_secs_f64();
            if slow || took > self.limits.total {
                return Err(FetchError::TooSlow {
                    bytes: body.len(),
                    secs: took.as_secs(),
                }
                .into());
            }
        }
        Ok(Answer::Fresh(Fresh {
            etag: header(&answer, ETAG.as_str()),
            last_modified: header(&answer, LAST_MODIFIED.as_str()),
            body: body.finish(),
        }))
    }
}

impl Fetch for HttpFetch {
    fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
        let mut tried = 0;
        loop {
            let failure = match self.once(request) {
                Ok(answer) => {
                    self.lost.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let Some(pause) = self.pause(&failure, tried) else {
                return Err(failure.error);
            };
            std::thread::sleep(pause);
            tried += 1;
        }
    }
}

/// An error, and what it says about another try.
struct Failure {
    error: FetchError,
    retry_after: Option<Duration>,
    is_final: bool,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self {
            error,
            retry_after: None,
            is_final: false,
        }
    }
}

fn client(proxy: Option<&str>, limits: &Limits, faithful: bool) -> Result<Client, FetchError> {
    let redirects = limits.redirects;
    let mut builder = Client::builder()
        .user_agent(concat!("Maltrail/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .timeout(limits.idle)
        .redirect(Policy::custom(move |attempt| {
            match refusal(&attempt, redirects, faithful) {
                Some(reason) => attempt.error(reason),
                None => attempt.follow(),
            }
        }));
    let mut roots = Vec::new();
    for der in &limits.roots {
        roots.push(reqwest::Certificate::from_der(der).map_err(transport)?);
    }
    if !roots.is_empty() {
        builder = builder.tls_certs_merge(roots);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(transport)?);
    }
    builder.build().map_err(transport)
}

/// Why a redirect is not followed.
fn refusal(attempt: &Attempt<'_>, redirects: usize, faithful: bool) -> Option<String> {
    let next = attempt.url();
    let before = attempt.previous().last()?;
    if attempt.previous().len() > redirects {
        Some(format!("more than {redirects} in a row"))
    } else if before.scheme() == "https" && next.scheme() != "https" {
        Some(format!("from https to {}", next.scheme()))
    } else if faithful && before.host() != next.host() {
        Some("to another host, with a key".to_owned())
    } else {
        None
    }
}

fn failure(error: reqwest::Error) -> Failure {
    if error.is_redirect() {
        let reason = error.source().map_or_else(|| error.to_string(), chain);
        return FetchError::Redirect(reason).into();
    }
    let is_final = is_certificate(&error);
    Failure {
        is_final,
        ..transport(error).into()
    }
}

/// Whether the server's certificate was refused: asking again changes nothing.
fn is_certificate(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let inner = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref());
        let found = cause.downcast_ref::<rustls::Error>().or(inner);
        if matches!(found, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = cause.source();
    }
    false
}

fn transport(error: reqwest::Error) -> FetchError {
    // The address may hold a key of the user's.
    FetchError::Transport(chain(&error.without_url()))
}

/// An error with its causes: "error sending request" alone helps nobody.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn header(answer: &Response, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    (value.len() <= VALIDATOR_BYTES).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers each connection with the next of `answers`.
    fn serve(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let place = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{place}/list.txt")
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    }

    fn quick() -> HttpFetch {
        let limits = Limits {
            pauses: vec![Duration::from_millis(1); 2],
            ..Limits::default()
        };
        HttpFetch::with_limits(None, limits).expect("client")
    }

    fn body(fetch: &HttpFetch, request: &Request<'_>) -> Result<Vec<u8>, FetchError> {
        match fetch.get(request)? {
            Answer::Fresh(mut fresh) => Ok(fresh.body.bytes(1 << 20)?),
            Answer::Unchanged => Ok(b"unchanged".to_vec()),
        }
    }

    #[test]
    fn bodies_arrive_and_other_answers_are_errors() {
        let url = serve(vec![
            answer("200 OK", "", "5.9.9.1\n"),
            answer("302 Found", "Location: /elsewhere\r\n", ""),
            answer("200 OK", "", "moved"),
            answer("404 Not Found", "", "no"),
            answer("304 Not Modified", "", ""),
        ]);
        let (fetch, request) = (quick(), Request::plain(&url));
        assert_eq!(body(&fetch, &request).expect("body"), b"5.9.9.1\n");
        assert_eq!(body(&fetch, &request).expect("redirect"), b"moved");
        assert!(matches!(
            body(&fetch, &request),
            Err(FetchError::Status(404))
        ));
        let unasked = body(&fetch, &request);
        assert!(
            matches!(unasked, Err(FetchError::Status(304))),
            "{unasked:?}"
        );
    }

    #[test]
    fn what_may_pass_is_asked_again_and_nothing_else() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned();
        let url = serve(vec![
            answer("503 Service Unavailable", "", ""),
            cut.clone(),
            answer("200 OK", "", "at last"),
            answer("429 Too Many Requests", "Retry-After: 3600\r\n", ""),
            answer("403 Forbidden", "", ""),
            cut.clone(),
            cut.clone(),
            cut,
        ]);
        let (fetch, request) = (quick(), Request::plain(&url));
        assert_eq!(body(&fetch, &request).expect("third try"), b"at last");
        assert!(matches!(
            body(&fetch, &request),
            Err(FetchError::Status(429))
        ));
        assert!(matches!(
            body(&fetch, &request),
            Err(FetchError::Status(403))
        ));
        let cut = body(&fetch, &request);
        assert!(matches!(cut, Err(FetchError::Transport(_))), "{cut:?}");
    }

    #[test]
    fn endless_redirects_end() {
        let url = serve(vec![
            answer("302 Found", "Location: /again\r\n", "");
            Limits::default().redirects + 3
        ]);
        let error = body(&quick(), &Request::plain(&url)).expect_err("endless");
        assert_eq!(error.to_string(), "redirect refused: more than 5 in a row");
    }

    #[test]
    fn a_key_is_sent_and_never_to_another_host() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let url = format!(
            "http://{}/x?key=s3cret",
            listener.local_addr().expect("address")
        );
        let seen = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("request");
            let mut request = [0; 4096];
            let count = stream.read(&mut request).expect("request");
            let redirect = answer("302 Found", "Location: http://127.0.0.2:9/\r\n", "");
            stream.write_all(redirect.as_bytes()).expect("answer");
            String::from_utf8_lossy(&request[..count]).to_ascii_lowercase()
        });
        let request = Request {
            key: Some(("Auth-Key", "s3cret")),
            ..Request::plain(&url)
        };
        let error = body(&quick(), &request).expect_err("redirect").to_string();
        assert_eq!(error, "redirect refused: to another host, with a key");
        assert!(seen.join().expect("server").contains("auth-key: s3cret"));
        let error = body(&quick(), &request).expect_err("gone").to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_proxy_is_used() {
        let proxy = serve(vec![answer("200 OK", "", "through the proxy")]);
        let fetch = HttpFetch::new(Some(&proxy)).expect("client");
        let got = body(&fetch, &Request::plain("http://lists.invalid/x"));
        assert_eq!(got.expect("body"), b"through the proxy");
    }
}
