//! An HTTP/1.1 client of one request a connection: enough for the API and for a browser's driver.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take. A page load in a browser on a busy machine is the slowest.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Talks to one server and keeps its session cookie.
#[derive(Clone, Debug)]
pub struct Client {
    place: SocketAddr,
    cookie: Option<String>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// A client without a session.
    #[must_use]
    pub const fn new(place: SocketAddr) -> Self {
        Self {
            place,
            cookie: None,
        }
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, None)
    }

    /// `POST` of JSON.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(body))
    }

    /// `PUT` of JSON.
    #[track_caller]
    pub fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path, Some(body))
    }

    /// `DELETE`.
    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Answer {
        self.request("DELETE", path, None)
    }

    /// Whether a `GET` of `path` is answered with 200; a refused connection is a no.
    #[must_use]
    pub fn answers(&self, path: &str) -> bool {
        self.clone()
            .exchange("GET", path, None)
            .is_ok_and(|answer| answer.status == 200)
    }

    #[track_caller]
    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match self.exchange(method, path, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} http://{}{path}: {error}", self.place),
        }
    }

    /// Like the other methods, for callers that must not panic.
    ///
    /// # Errors
    /// When the connection fails or the answer is no HTTP.
    pub fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.place, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let cookie = self
            .cookie
            .as_ref()
            .map(|cookie| format!("Cookie: {cookie}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Maltrail: 1\r\n{cookie}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.place,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let answer = loop {
            let mut part = [0; 16 * 1024];
            let length = stream.read(&mut part)?;
            bytes.extend(part.get(..length).unwrap_or_default());
            if let Some(answer) = parse(&bytes, length == 0) {
                break answer;
            }
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.keep_cookie(&answer);
        Ok(answer)
    }

    fn keep_cookie(&mut self, answer: &Answer) {
        if let Some(text) = answer.header("set-cookie") {
            let pair = text.split(';').next().unwrap_or_default();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8], ended: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let rest = bytes.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let body = if value("transfer-encoding") == Some("chunked") {
        chunks(rest)?
    } else if let Some(length) = value("content-length").and_then(|text| text.parse().ok()) {
        rest.get(..length)?.to_vec()
    } else if ended || matches!(status, 204 | 304) {
        rest.to_vec()
    } else {
        return None;
    };
    Some(Answer {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
        headers,
    })
}

/// The body of a chunked answer, once its last chunk is there.
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|part| part == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_says_so() {
        let bytes = b"HTTP/1.1 401 Unauthorized\r\nX-A: b\r\nContent-Length: 4\r\n\r\nbody";
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut], false).is_none(), "{cut}");
        }
        let answer = parse(bytes, false).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (401, "body"));
        assert_eq!(answer.header("x-a"), Some("b"));
    }

    #[test]
    fn chunks_are_joined() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(bytes, false).unwrap().body, "abcde");
        assert!(parse(&bytes[..bytes.len() - 6], false).is_none());
    }
}
