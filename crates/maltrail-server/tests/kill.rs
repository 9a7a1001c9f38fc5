//! kill -9 at any moment: what reached a day file is in the index exactly once after the restart, and a
//! damaged index is built anew. Nobody repairs anything.
//!
//! Where a kill fell is read from the server's trace (`store::trace`): at least half of them have to fall
//! into a write to a day file or a commit of the index. The long form:
//!
//!     cargo nextest run -p maltrail-server --run-ignored only -E 'test(two_hundred)'

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maltrail_core::event::EventId;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use support::{Client, config_text, datagram, line, today, wait};

/// A folder that servers are started on and killed.
struct Place {
    dir: tempfile::TempDir,
    http: u16,
    udp: u16,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let port = |address: std::io::Result<SocketAddr>| address.unwrap().port();
        let http = port(TcpListener::bind("127.0.0.1:0").unwrap().local_addr());
        let udp = port(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr());
        let place = Self { dir, http, udp };
        let text = config_text(&place.log_dir(), "")
            .replace("HTTP_PORT 8338", &format!("HTTP_PORT {http}"))
            .replace("UDP_PORT 8337", &format!("UDP_PORT {udp}"));
        std::fs::write(place.conf(), text).unwrap();
        place
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("maltrail.conf")
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn index(&self, day: &str) -> PathBuf {
        self.log_dir().join(format!("index/{day}.sqlite"))
    }

    fn trace(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    fn start(&self) -> Child {
        let child = Command::new(env!("CARGO_BIN_EXE_server"))
            .arg("-c")
            .arg(self.conf())
            .env("TZ", "UTC")
            .env("MALTRAIL_KILL_TRACE", self.trace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("the server to answer", || {
            TcpStream::connect(("127.0.0.1", self.http)).is_ok()
        });
        child
    }

    fn client(&self) -> Client {
        Client {
            address: SocketAddr::from(([127, 0, 0, 1], self.http)),
            cookie: None,
        }
    }

    /// Windows that are open: append, commit.
    fn windows(&self) -> [bool; 2] {
        let bytes = std::fs::read(self.trace()).unwrap_or_default();
        [0, 1].map(|at| bytes.get(at) == Some(&1))
    }

    /// Days with a file.
    fn days(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.log_dir()).unwrap();
        names
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".log")?.to_owned())
            })
            .collect()
    }

    /// Waits until the index has come to the end of every day file, and compares both.
    fn check(&self, sent: &HashSet<u64>) -> usize {
        let mut all = 0;
        for day in self.days() {
            let text = std::fs::read(self.log_dir().join(format!("{day}.log"))).unwrap();
            // A line that the kill cut is ended by the next write.
            let whole = text
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |end| end + 1);
            if whole == 0 {
                // Killed between the file's making and its first line: there is nothing to index.
                continue;
            }
            let lines: Vec<u64> = text[..whole]
                .split(|&byte| byte == b'\n')
                .map(|line| EventId::of_line(&String::from_utf8_lossy(line)).0)
                .collect();
            let stored: HashSet<u64> = lines
                .iter()
                .copied()
                .filter(|id| sent.contains(id))
                .collect();
            wait("the index", || {
                indexed_to(&self.index(&day)) == Some(whole as u64)
            });
            let index = open(&self.index(&day)).unwrap();
            let ids = numbers(&index, "SELECT eid FROM event");
            let once: HashSet<u64> = ids.iter().copied().collect();
            assert_eq!(
                once.len(),
                ids.len(),
                "{day}: an event is in the index twice"
            );
            let missing = stored.difference(&once).count();
            assert_eq!(
                missing, 0,
                "{day}: events of the day file are not in the index"
            );
            // Half lines of a kill may look like events; nothing else may.
            let cut = lines.iter().filter(|id| !sent.contains(id)).count();
            assert!(
                once.difference(&stored).count() <= cut,
                "{day}: events from nowhere"
            );
            let counted = numbers(&index, "SELECT SUM(count) FROM atom");
            assert_eq!(
                counted,
                [ids.len() as u64],
                "{day}: the sums are of other events"
            );
            all += stored.len();
        }
        all
    }
}

fn open(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    connection.busy_timeout(Duration::from_secs(5)).ok()?;
    Some(connection)
}

fn numbers(connection: &Connection, query: &str) -> Vec<u64> {
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|number| number.unwrap() as u64).collect()
}

fn indexed_to(path: &Path) -> Option<u64> {
    let query = "SELECT value FROM meta WHERE key = 'offset'";
    let offset = open(path)?.query_row(query, [], |row| row.get::<_, i64>(0));
    offset.ok().map(|offset| offset as u64)
}

/// Sends events of its own, as fast as the server takes them, until it is told to stop; gives their ids.
fn send(port: u16, from: u64, stop: &AtomicBool, next: &AtomicU64) -> Vec<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut ids = Vec::new();
    for n in from.. {
        if stop.load(Ordering::Relaxed) {
            next.store(n, Ordering::Relaxed);
            break;
        }
        let trail = format!("n{n}.evil{}.example", n % 40);
        let (epoch, line) = line(n as u32, &format!("10.0.{}.{}", n % 9, n % 240), &trail);
        ids.push(EventId::of_line(&line).0);
        // Refused while there is no server.
        let _ = socket.send_to(format!("{epoch} {line}\n").as_bytes(), ("127.0.0.1", port));
        if n % 20 == 19 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    ids
}

/// Kills servers under load at that many moments.
#[expect(clippy::print_stderr, reason = "says where the kills fell")]
fn kill_at(moments: u64) {
    let mut place = Place::new();
    let (mut sent, mut inside, mut next) = (HashSet::new(), [0, 0], 0);
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut kept = 0;
    let mut kills = 0;
    // On a busy machine a kill may come late; then there are more of them, up to twice as many.
    while kills < moments || (kills < 2 * moments && (inside[0] + inside[1]) * 2 < kills) {
        let moment = kills;
        kills += 1;
        if moment % 25 == 24 {
            // Small days make quick restarts.
            let mut last = place.start();
            kept += place.check(&sent);
            last.kill().unwrap();
            last.wait().unwrap();
            place = Place::new();
        }
        let mut server = place.start();
        place.check(&sent);
        let (stop, after) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (ending, counting, udp) = (Arc::clone(&stop), Arc::clone(&after), place.udp);
        let sender = std::thread::spawn(move || send(udp, next, &ending, &counting));
        std::thread::sleep(Duration::from_millis(20 + random(80)));
        // Of four moments one is anywhere; the others wait for a window, and some of it to pass.
        if let Some(window) = [Some(0), Some(1), Some(1), None][moment as usize % 4] {
            let late = Instant::now() + Duration::from_secs(5);
            while !place.windows()[window] && Instant::now() < late {
                std::hint::spin_loop();
            }
            let pause = Instant::now() + Duration::from_micros(random([40, 2000][window]));
            while Instant::now() < pause {
                std::hint::spin_loop();
            }
        }
        server.kill().unwrap();
        server.wait().unwrap();
        let open = place.windows();
        for (count, open) in inside.iter_mut().zip(open) {
            *count += u64::from(open);
        }
        inside[0] -= u64::from(open == [true, true]);
        stop.store(true, Ordering::Relaxed);
        sent.extend(sender.join().unwrap());
        next = after.load(Ordering::Relaxed);
    }
    let mut last = place.start();
    kept += place.check(&sent);
    last.kill().unwrap();
    last.wait().unwrap();
    let [append, commit] = inside;
    eprintln!(
        "{kills} kills: {commit} inside a commit, {append} inside a write only; {kept} events stored of {} sent",
        sent.len()
    );
    assert!(
        kept > moments as usize * 50,
        "only {kept} events were stored"
    );
    assert!(
        (append + commit) * 2 >= kills,
        "too few kills fell into a window: {append} writes, {commit} commits of {kills}"
    );
}

#[test]
fn killed_at_eight_moments_everything_is_there_once() {
    kill_at(8);
}

#[test]
#[ignore = "takes minutes"]
fn killed_at_two_hundred_moments_everything_is_there_once() {
    kill_at(200);
}

#[test]
fn a_damaged_index_is_built_anew_by_itself() {
    let place = Place::new();
    let day = today();
    let mut server = place.start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..3000_u32 {
        let trail = format!("x{}.example", n % 300);
        let datagram = datagram(n, &format!("10.0.{}.{}", n % 9, n % 240), &trail);
        socket.send_to(&datagram, ("127.0.0.1", place.udp)).unwrap();
        if n % 50 == 49 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let client = place.client();
    let stored = || client.get("/api/v1/health").json()["intake"]["stored"].clone();
    wait("the datagrams", || stored() == 3000);
    let rows = || {
        let mut threats = client.get("/api/v1/threats?limit=500&sort=uid").json();
        threats.as_object_mut().unwrap().remove("generation");
        threats
    };
    wait("the index", || rows()["all"]["events"] == 3000);
    let before = rows();
    let id = before["threats"][11]["id"].as_str().unwrap().to_owned();
    let detail = || client.get(&format!("/api/v1/threats/{id}")).json();
    let events = |detail: Value| detail["events"].clone();
    let detail_before = events(detail());
    assert!(
        detail_before
            .as_array()
            .is_some_and(|events| !events.is_empty())
    );
    server.kill().unwrap();
    server.wait().unwrap();

    let path = place.index(&day);
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 7] = [
        ("removed", |path| std::fs::remove_file(path).unwrap()),
        ("emptied", |path| std::fs::write(path, "").unwrap()),
        ("cut in half", |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("garbage", |path| {
            let len = std::fs::metadata(path).unwrap().len();
            std::fs::write(path, vec![0xa5; len as usize]).unwrap();
        }),
        ("garbage but its first page", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[4096..].fill(0xa5);
            std::fs::write(path, bytes).unwrap();
        }),
        ("garbage in its log", |path| {
            std::fs::write(path.with_extension("sqlite-wal"), [0xa5; 50_000]).unwrap();
        }),
        ("of another program", |path| {
            std::fs::remove_file(path).unwrap();
            let other = Connection::open(path).unwrap();
            other
                .execute_batch("CREATE TABLE meta (x); PRAGMA user_version = 1;")
                .unwrap();
        }),
    ];
    for (what, damage) in damages {
        // Everything into the file itself: what is only in the log could not be damaged.
        let whole = Connection::open(&path).unwrap();
        whole
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        drop(whole);
        damage(&path);
        let mut server = place.start();
        wait(what, || rows()["all"]["events"] == 3000);
        assert!(rows() == before, "{what}");
        assert!(events(detail()) == detail_before, "{what}");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    // Pages one by one: found at the start, or when they are read, or of no consequence.
    let good = std::fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    for page in (1..pages).step_by((pages / 6).max(1)) {
        let mut bytes = good.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let _ = std::fs::remove_file(path.with_extension("sqlite-wal"));
        let _ = std::fs::remove_file(path.with_extension("sqlite-shm"));
        let mut server = place.start();
        wait("the rows", || rows()["all"]["events"] == 3000);
        wait("the events", || {
            let answer = client.get(&format!("/api/v1/threats/{id}"));
            answer.status == 200 && events(answer.json()) == detail_before
        });
        assert!(rows() == before, "page {page}");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
