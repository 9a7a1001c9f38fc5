//! Delivers alerts, one at a time, in a thread of its own.
//!
//! Each alert is sent at least once: it leaves the queue after an answer of 2xx. It is sent twice only when the
//! server ends, or the answer does not arrive, between the receiver taking it and the queue noting that; both carry
//! the same `X-Maltrail-Alert`. No answer, 408, 425, 429 and 5xx are tried again, for [`KEEP`]; other answers mean
//! that the receiver does not want this alert. Redirects are not followed. Answers are read up to their head only.

use std::sync::Arc;
use std::time::Duration;

use maltrail_core::time::Timestamp;
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};

use super::form::{Body, Form};
use super::queue::{Queue, Waiting};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(15);
/// How long an alert is tried.
const KEEP: i64 = 24 * 3600;
/// Longest pause before an alert is tried again, in seconds.
const MAX_PAUSE: u64 = 300;
/// Longest pause that a receiver may ask for, in seconds.
const MAX_ASKED: u64 = 3600;
/// Longest pause of all alerts while the receiver fails, in seconds.
const MAX_REST: u64 = 60;
/// How long the thread sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(1);

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// Seconds that the receiver asks to wait, and why it failed.
    Later(Option<u64>, String),
    Refused(String),
}

/// Where alerts go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) form: Form,
    /// `PROXY_ADDRESS`
    pub(crate) proxy: Option<String>,
}

pub(crate) struct Sender {
    queue: Arc<Queue>,
    target: Target,
    /// Attempts that failed in a row, whichever alert.
    failures: u32,
}

impl Sender {
    pub(crate) const fn new(queue: Arc<Queue>, target: Target) -> Self {
        Self {
            queue,
            target,
            failures: 0,
        }
    }

    /// Works until the queue is stopped.
    pub(crate) fn run(mut self) {
        let client = match client(self.target.proxy.as_deref()) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!("alerts: nothing is sent: {error}; check PROXY_ADDRESS");
                return;
            }
        };
        while !self.queue.is_over() {
            match self.step(&client) {
                Ok(true) if self.failures == 0 => {}
                Ok(true) => {
                    let rest = pause(self.failures).min(MAX_REST);
                    self.queue.wait(Duration::from_secs(rest), false);
                }
                Ok(false) => self.queue.wait(IDLE, true),
                Err(error) => {
                    self.queue.counters.errors.add(1);
                    tracing::error!(%error, "alerts: cannot use state.sqlite; trying again");
                    self.queue.wait(Duration::from_secs(5), false);
                }
            }
        }
    }

    /// Tries the next alert; false when none is due.
    fn step(&mut self, client: &Client) -> rusqlite::Result<bool> {
        let Some(alert) = self.queue.due(Timestamp::now())? else {
            return Ok(false);
        };
        let outcome = attempt(client, &self.target, &alert);
        let now = Timestamp::now();
        match outcome {
            Outcome::Taken => {
                if self.failures > 0 {
                    tracing::info!("alerts: the receiver takes alerts again");
                }
                self.failures = 0;
                self.queue.sent(alert.id)?;
            }
            Outcome::Later(_, error) if is_too_old(&alert, now) => {
                self.fail(&error);
                tracing::warn!(alert = alert.id, "alerts: given up after a day: {error}");
                self.queue.bury(alert.id, &error)?;
            }
            Outcome::Later(asked, error) => {
                self.fail(&error);
                let wait = pause(alert.attempts + 1);
                let wait = wait.max(asked.unwrap_or(0).min(MAX_ASKED));
                let due = now.plus_micros(wait.cast_signed() * 1_000_000);
                self.queue.retry(alert.id, due, &error)?;
            }
            Outcome::Refused(error) => {
                // The receiver is there.
                self.failures = 0;
                tracing::warn!(alert = alert.id, "alerts: not delivered: {error}");
                self.queue.bury(alert.id, &error)?;
            }
        }
        Ok(true)
    }

    fn fail(&mut self, error: &str) {
        if self.failures == 0 {
            tracing::warn!("alerts: the receiver fails: {error}; trying again");
        }
        self.failures = self.failures.saturating_add(1);
    }
}

fn is_too_old(alert: &Waiting, now: Timestamp) -> bool {
    now.secs() - alert.queued.secs() >= KEEP
}

/// Seconds before attempt `failed` + 1: 1, 2, 4, up to [`MAX_PAUSE`].
fn pause(failed: u32) -> u64 {
    1_u64
        .checked_shl(failed.saturating_sub(1).min(32))
        .unwrap_or(MAX_PAUSE)
        .min(MAX_PAUSE)
}

fn client(proxy: Option<&str>) -> Result<Client, String> {
    // A second call finds the provider installed; that is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("Maltrail/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(ATTEMPT)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0);
    builder = match proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(text)?),
        None => builder.no_proxy(),
    };
    builder.build().map_err(text)
}

fn attempt(client: &Client, target: &Target, alert: &Waiting) -> Outcome {
    let Body {
        content_type,
        headers,
        text: body,
    } = target.form.body(&alert.fields);
    let mut request = client
        .post(target.url.clone())
        .header(CONTENT_TYPE, content_type)
        .header("X-Maltrail-Alert", alert.id.to_string())
        .header("X-Maltrail-Reason", &alert.reason);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    match request.body(body).send() {
        Ok(answer) => {
            let asked = answer.headers().get(RETRY_AFTER);
            let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            judge(answer.status(), asked)
        }
        Err(error) => Outcome::Later(None, text(error)),
    }
}

fn judge(status: StatusCode, asked: Option<u64>) -> Outcome {
    let answer = format!("answer {}", status.as_u16());
    match status.as_u16() {
        _ if status.is_success() => Outcome::Taken,
        408 | 425 | 429 => Outcome::Later(asked, answer),
        _ if status.is_redirection() => Outcome::Refused(format!(
            "{answer}: redirects are not followed; put the final address into ALERT_WEBHOOK_URL"
        )),
        400..500 => Outcome::Refused(answer),
        _ => Outcome::Later(asked, answer),
    }
}

/// An error and its causes, without the address: that is a secret.
fn text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<u64> = (0..12).map(pause).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause(u32::MAX), 300);
    }

    #[test]
    fn answers_decide_what_becomes_of_an_alert() {
        for (status, wanted) in [
            (200, "taken"),
            (204, "taken"),
            (301, "refused"),
            (307, "refused"),
            (400, "refused"),
            (404, "refused"),
            (408, "later"),
            (429, "later"),
            (500, "later"),
            (503, "later"),
        ] {
            let outcome = judge(StatusCode::from_u16(status).unwrap(), Some(7));
            let found = match outcome {
                Outcome::Taken => "taken",
                Outcome::Later(asked, _) => {
                    assert_eq!(asked, Some(7));
                    "later"
                }
                Outcome::Refused(_) => "refused",
            };
            assert_eq!(found, wanted, "{status}");
        }
    }
}
