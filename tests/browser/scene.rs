//! What most tests start from: a server with events of today and a reader in front of it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use maltrail_tests::events::{Sighting, now};
use maltrail_tests::house::TestHouse;
use maltrail_tests::webdriver::Browser;

/// Held while a browser runs.
static ONE: Mutex<()> = Mutex::new(());

/// A browser that has the machine for itself.
pub(crate) struct Reader {
    browser: Browser,
    _turn: MutexGuard<'static, ()>,
}

impl Reader {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        // A test that failed while it held the turn has dropped its browser.
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            browser: Browser::start(width, height),
            _turn: turn,
        }
    }
}

impl Deref for Reader {
    type Target = Browser;
    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Browser {
        &mut self.browser
    }
}

/// Threats in [`Scene::with_threats`], a third of each severity.
pub(crate) const THREATS: usize = 60;

/// A server and somebody who looks at it.
pub(crate) struct Scene {
    pub(crate) reader: Reader,
    pub(crate) house: TestHouse,
}

impl Scene {
    /// A server as installed, and its first page.
    pub(crate) fn installed(width: u32) -> Self {
        Self::start(width, &[])
    }

    fn start(width: u32, arguments: &[&str]) -> Self {
        let mut reader = Reader::new(width, 900);
        let mut house = TestHouse::new();
        house.start_server(arguments);
        let address = house.http();
        reader.open(&format!("http://{address}/"));
        Self { reader, house }
    }

    /// A reader who is signed in and sees the table of [`THREATS`] threats.
    pub(crate) fn with_threats(width: u32) -> Self {
        let mut scene = Self::start(width, &["--keep-default-password"]);
        scene.house.send(threats());
        let mut client = scene.house.signed_in();
        let started = Instant::now();
        while client.get("/api/v1/threats").json()["total"] != THREATS {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the events never arrived"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        scene.sign_in("admin", "admin");
        scene.reader.click("[data-testid=change-keep]");
        scene.reader.find("[data-testid=threat-row]");
        // Away from the table, where a pointer would hold new rows back.
        scene.reader.point_at(2, 2);
        scene
    }

    pub(crate) fn sign_in(&mut self, name: &str, password: &str) {
        self.reader.type_into("[data-testid=login-username]", name);
        self.reader
            .type_into("[data-testid=login-password]", password);
        self.reader.click("[data-testid=login-submit]");
    }

    /// Trails of the rows on the screen, in order.
    pub(crate) fn trails(&mut self) -> Vec<String> {
        self.reader
            .attributes("[data-testid=threat-row]", "data-trail")
    }

    /// Severities of the rows on the screen, in order.
    pub(crate) fn severities(&mut self) -> Vec<String> {
        self.reader
            .attributes("[data-testid=threat-row]", "data-severity")
    }

    /// Waits until this many rows are on the screen.
    #[track_caller]
    pub(crate) fn wait_for_rows(&mut self, count: usize) {
        let script = format!(
            "return document.querySelectorAll('[data-testid=threat-row]').length === {count} \
             && !document.querySelector('table[aria-busy=true]')"
        );
        self.reader.wait_until(&format!("{count} rows"), &script);
    }

    /// Fails when the console has errors; a violated content policy is one.
    #[track_caller]
    pub(crate) fn expect_quiet_console(&mut self) {
        let loud: Vec<_> = self
            .reader
            .console()
            .into_iter()
            .filter(|entry| entry.starts_with("SEVERE") || entry.starts_with("WARNING"))
            .collect();
        assert_eq!(loud, Vec::<String>::new());
    }
}

/// Threat number `n` has `n % 5 + 1` events; none is in the future.
fn threats() -> Vec<String> {
    let mut datagrams = Vec::new();
    let now = now();
    // Not before midnight: all of them belong to today.
    let (start, midnight) = (now - 90, now - now % 86_400);
    for n in 0..THREATS {
        let (kind, info) = match n % 3 {
            0 => ("DNS", "demo rat (malware)"),
            1 => ("URL", "demo phishing (malicious)"),
            _ => ("IP", "mass scanner"),
        };
        let trail = format!("host{n:02}.zone-{}.example", n % 4);
        let src = format!("10.20.10.{}", n + 1);
        for event in 0..n % 5 + 1 {
            let sighting = Sighting {
                secs: midnight.max(start + n as u64),
                micros: event as u32,
                src: &src,
                sport: 40_000 + event as u16,
                kind,
                trail: &trail,
                info,
                ..Sighting::default()
            };
            datagrams.push(sighting.datagram());
        }
    }
    datagrams
}
