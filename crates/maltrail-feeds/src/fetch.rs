//! Downloading, within bounds.
//!
//! TLS is verified; a proxy is honoured; size, time and redirects have limits. [`Fetch`] is the seam at
//! which tests put bodies of their own.

use std::io::Read as _;
use std::time::Duration;

/// Largest body in bytes. The largest list known, the archive of the public static list, has 16 MB.
pub(crate) const BODY_BYTES: u64 = 256 << 20;
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest download (`spec` trails §7 has 30 s for lists; the archive is larger).
const TOTAL: Duration = Duration::from_secs(300);
/// Redirects followed.
const REDIRECTS: usize = 5;

/// Why a download gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, no answer, broken answer.
    #[error("{0}")]
    Transport(String),
    /// Another status than 200.
    #[error("answer {0}")]
    Status(u16),
    /// More than the limit.
    #[error("more than {BODY_BYTES} bytes")]
    TooLarge,
}

/// Something that downloads.
pub trait Fetch {
    /// The body at `url`.
    ///
    /// # Errors
    /// When there is none, in time and within the limits.
    fn get(&self, url: &str) -> Result<Vec<u8>, FetchError>;
}

/// Downloads over HTTP and HTTPS.
#[derive(Debug)]
pub struct HttpFetch(reqwest::blocking::Client);

impl HttpFetch {
    /// A client, through `proxy` when there is one.
    ///
    /// # Errors
    /// When the proxy's address is not one, or the system has no root certificates.
    pub fn new(proxy: Option<&str>) -> Result<Self, FetchError> {
        // A second call finds the provider installed; that is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::blocking::Client::builder()
            .user_agent(concat!("Maltrail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS));
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(transport)?);
        }
        builder.build().map(Self).map_err(transport)
    }
}

fn transport(error: reqwest::Error) -> FetchError {
    // The cause is in the chain: "error sending request" alone helps nobody.
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    FetchError::Transport(text)
}

impl Fetch for HttpFetch {
    fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let answer = self.0.get(url).send().map_err(transport)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        let read = answer.take(BODY_BYTES + 1).read_to_end(&mut body);
        read.map_err(|error| FetchError::Transport(error.to_string()))?;
        if body.len() as u64 > BODY_BYTES {
            Err(FetchError::TooLarge)
        } else {
            Ok(body)
        }
    }
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

    #[test]
    fn bodies_arrive_and_other_answers_are_errors() {
        let fetch = HttpFetch::new(None).expect("client");
        let url = serve(vec![
            answer("200 OK", "", "5.9.9.1\n"),
            answer("302 Found", "Location: /elsewhere\r\n", ""),
            answer("200 OK", "", "moved"),
            answer("404 Not Found", "", "no"),
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned(),
        ]);
        assert_eq!(fetch.get(&url).expect("body"), b"5.9.9.1\n");
        assert_eq!(fetch.get(&url).expect("redirect"), b"moved");
        assert!(matches!(fetch.get(&url), Err(FetchError::Status(404))));
        assert!(
            matches!(fetch.get(&url), Err(FetchError::Transport(_))),
            "a cut body is no body"
        );
    }

    #[test]
    fn endless_redirects_end() {
        let fetch = HttpFetch::new(None).expect("client");
        let url = serve(vec![
            answer("302 Found", "Location: /again\r\n", "");
            REDIRECTS + 3
        ]);
        assert!(matches!(fetch.get(&url), Err(FetchError::Transport(_))));
    }

    #[test]
    fn a_proxy_is_used() {
        let proxy = serve(vec![answer("200 OK", "", "through the proxy")]);
        let fetch = HttpFetch::new(Some(&proxy)).expect("client");
        assert_eq!(
            fetch.get("http://lists.invalid/x").expect("body"),
            b"through the proxy"
        );
    }
}
