//! A real browser, spoken to by WebDriver (W3C) over plain HTTP.
//!
//! One [`Browser`] is one chromedriver and one headless Chromium with a profile of its own in a
//! temporary folder. Both run in a process group of their own, which is ended when the value is
//! dropped, whatever happened. Waiting is by asking again, up to [`PATIENCE`].

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Client;
use crate::programs::{PATIENCE, Running};
use crate::report;

/// Name of an element reference in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Pause between two looks at the page.
const LOOK: Duration = Duration::from_millis(50);

/// Set by `cargo xtask test --without-browser`.
const WITHOUT: &str = "MALTRAIL_TEST_WITHOUT_BROWSER";

/// Whether browser tests are left out; says so once for each.
#[must_use]
pub fn left_out(test: &str) -> bool {
    let left_out = std::env::var_os(WITHOUT).is_some_and(|value| value == "1");
    if left_out {
        report::skipped(test, &format!("{WITHOUT}=1"));
    }
    left_out
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    driver: Client,
    session: String,
    process: Running,
    _profile: TempDir,
}

/// Something on the page.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Browser {
    /// Starts a browser whose window has this size.
    ///
    /// # Panics
    /// When Chromium or its driver are missing or do not start.
    #[must_use]
    pub fn start(width: u32, height: u32) -> Self {
        let chromium = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(program)
            .expect("Chromium is missing (`cargo xtask test` installs it)");
        let chromedriver = program("chromedriver")
            .expect("chromedriver is missing (`cargo xtask test` installs it)");
        let profile = TempDir::with_prefix("maltrail-browser-").expect("a temporary folder");
        let mut command = Command::new(chromedriver);
        command
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null());
        // What a browser keeps beside its profile goes into the same folder.
        command
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path());
        let mut process = Running::start("chromedriver", command);
        process.wait_until_said("started successfully on port ");
        let port = process
            .said()
            .split_once("started successfully on port ")
            .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
            .expect("a port number");
        let mut browser = Self {
            driver: Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            session: String::new(),
            process,
            _profile: profile,
        };
        browser.open_session(&chromium, width, height);
        browser
    }

    fn open_session(&mut self, chromium: &std::path::Path, width: u32, height: u32) {
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-default-apps".to_owned(),
            "--lang=en-US".to_owned(),
            format!("--window-size={width},{height}"),
            format!(
                "--user-data-dir={}",
                self._profile.path().join("profile").display()
            ),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = self.driver.post("/session", &wanted);
        assert_eq!(answer.status, 200, "no browser session: {answer:?}");
        let id = answer.json()["value"]["sessionId"]
            .as_str()
            .map(str::to_owned);
        self.session = id.expect("a session id");
        // A window cannot be narrower than about 500 px; the page's own area can.
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
    }

    #[track_caller]
    fn command(&mut self, path: &str, body: &Value) -> Value {
        match self.try_command(path, body) {
            Ok(value) => value,
            Err(error) => panic!("WebDriver {path} {body}: {error:#}"),
        }
    }

    #[track_caller]
    fn try_command(&mut self, path: &str, body: &Value) -> Result<Value, Value> {
        let path = format!("/session/{}{path}", self.session);
        let answer = self.driver.post(&path, body);
        let value = answer.json()["value"].clone();
        if answer.status == 200 {
            Ok(value)
        } else {
            Err(value)
        }
    }

    /// Sends a command of Chromium's own protocol.
    #[track_caller]
    pub fn devtools(&mut self, command: &str, parameters: &Value) -> Value {
        self.command(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// Runs the body of a function in the page and gives what it returns.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs a script whose last argument is the function to call with its result.
    #[track_caller]
    pub fn run_async(&mut self, script: &str) -> Value {
        self.command("/execute/async", &json!({"script": script, "args": []}))
    }

    /// Elements that a CSS selector finds now.
    #[track_caller]
    pub fn all(&mut self, css: &str) -> Vec<Element> {
        let found = self.command("/elements", &json!({"using": "css selector", "value": css}));
        let element = |value: &Value| Some(Element(value[ELEMENT].as_str()?.to_owned()));
        found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(element)
            .collect()
    }

    /// The first element that a CSS selector finds, which may appear later.
    #[track_caller]
    pub fn find(&mut self, css: &str) -> Element {
        let started = Instant::now();
        loop {
            if let Some(element) = self.all(css).into_iter().next() {
                return element;
            }
            self.give_up_after(started, css);
        }
    }

    #[track_caller]
    fn give_up_after(&mut self, started: Instant, what: &str) {
        if started.elapsed() > PATIENCE / 3 {
            let text = self.run("return document.body.innerText");
            let console = self.console();
            panic!("never on the page: {what}\nconsole: {console:?}\npage: {text}");
        }
        std::thread::sleep(LOOK);
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, script: &str) {
        let started = Instant::now();
        while self.run(script) != true {
            self.give_up_after(started, what);
        }
    }

    /// Clicks, waiting for the element to appear.
    #[track_caller]
    pub fn click(&mut self, css: &str) {
        self.act(css, "click", &json!({}));
    }

    /// Types into an element. `\u{e007}` is Enter, `\u{e00c}` Escape.
    #[track_caller]
    pub fn type_into(&mut self, css: &str, text: &str) {
        self.act(css, "value", &json!({"text": text}));
    }

    /// The page may redraw between finding and acting: then it is found anew.
    #[track_caller]
    fn act(&mut self, css: &str, action: &str, body: &Value) {
        let started = Instant::now();
        loop {
            let Element(id) = self.find(css);
            match self.try_command(&format!("/element/{id}/{action}"), body) {
                Ok(_) => return,
                Err(error) if started.elapsed() > PATIENCE / 3 => {
                    panic!("{action} {css}: {error:#}")
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Moves the pointer to a place in the page, in CSS pixels.
    #[track_caller]
    pub fn point_at(&mut self, x: u32, y: u32) {
        let step = json!({"type": "pointerMove", "duration": 0, "x": x, "y": y});
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": [step]});
        self.command("/actions", &json!({"actions": [mouse]}));
    }

    /// Presses and releases a key where the focus is.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let steps = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keys = json!({"type": "key", "id": "keys", "actions": steps});
        self.command("/actions", &json!({"actions": [keys]}));
    }

    /// The text of the first element, as a reader sees it.
    #[track_caller]
    pub fn text(&mut self, css: &str) -> String {
        self.find(css);
        let script = format!("return document.querySelector({css:?})?.innerText ?? ''");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// An attribute of each element that a selector finds.
    #[track_caller]
    pub fn attributes(&mut self, css: &str, name: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({css:?})].map((e) => e.getAttribute({name:?}) ?? '')"
        );
        let found = self.run(&script);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        found.as_array().into_iter().flatten().map(text).collect()
    }

    /// The title of the page.
    #[track_caller]
    pub fn title(&mut self) -> String {
        self.run("return document.title")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What the console got since the last call, severest level first in each entry.
    #[track_caller]
    pub fn console(&mut self) -> Vec<String> {
        let entries = self.command("/se/log", &json!({"type": "browser"}));
        let text = |entry: &Value| {
            let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", field("level"), field("message"))
        };
        entries.as_array().into_iter().flatten().map(text).collect()
    }

    /// A picture of the page as PNG, for a person who looks into a failure.
    #[track_caller]
    pub fn screenshot(&mut self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        self.driver.get(&path).json()["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Lets Chromium end by itself; what is left goes with the group.
            let path = format!("/session/{}", self.session);
            let _ = self.driver.exchange("DELETE", &path, None);
        }
        if let Some(group) = i32::try_from(self.process.pid())
            .ok()
            .and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Where a program is, as the shell would find it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
