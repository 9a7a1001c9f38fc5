//! `cargo xtask run`: both programs on this machine, with everything they write under `target/run/`.
//!
//! The sample capture is replayed in a loop with the clock's time, so the dashboard is alive without
//! any network; with the right to capture, a second sensor watches the real interfaces as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::shell::{cargo, program};
use crate::tools::{Tool, ensure_all};

/// Files of a run.
const FOLDER: &str = "target/run";
/// The capture that is replayed.
const SAMPLE: &str = "tests/corpus/sample.pcap";
/// Pause between two replays.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// Replay the sample capture only, even with the right to capture
    #[arg(long)]
    demo: bool,
    /// Address of the dashboard. Another one than loopback asks for a new password at the first login
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port of the dashboard
    #[arg(long, default_value_t = 8338)]
    port: u16,
    /// Build the trails from this archive or folder of the public static list
    #[arg(long, value_name = "PATH")]
    trails: Option<PathBuf>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", hide = true)]
    seconds: Option<u64>,
}

/// Builds, starts and waits until stopped.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure_all(&[Tool::Linker, Tool::Libpcap])?;
    println!("building (the first time takes some minutes)");
    cargo([
        "build",
        "--release",
        "-p",
        "maltrail-sensor",
        "-p",
        "maltrail-server",
    ])
    .check()?;
    let place = SocketAddr::new(options.address, options.port);
    if let Err(error) = TcpListener::bind(place) {
        bail!(
            "cannot listen on {place}: {error} (is another dashboard running? --port names another port)"
        );
    }
    let intake = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .context("no free UDP port")?;
    let config = write_config(options, intake.port())?;
    if let Some(path) = &options.trails {
        program(
            "target/release/sensor",
            [
                "update".as_ref(),
                "--offline".as_ref(),
                "-c".as_ref(),
                config.as_os_str(),
                "--from".as_ref(),
                path.as_os_str(),
            ],
        )
        .check()?;
    }
    let stop = stop_flag()?;
    let mut house = House::default();
    let mut server = vec!["-c".into(), config.clone().into_os_string()];
    if options.address.is_loopback() {
        server.push("--keep-default-password".into());
    }
    house.start(
        "server",
        program("target/release/server", server).into_command(),
    )?;
    wait_for(place, &mut house)?;
    let live = !options.demo && may_capture();
    if live {
        let sensor = program(
            "target/release/sensor",
            ["-q".as_ref(), "-c".as_ref(), config.as_os_str()],
        );
        house.start("live sensor", sensor.into_command())?;
    }
    greet(options, place, live);
    demo(options, &config, &stop, &mut house)
}

/// Replays the sample until stopped.
fn demo(
    options: &Options,
    config: &Path,
    stop: &AtomicBool,
    house: &mut House,
) -> anyhow::Result<()> {
    let end = options
        .seconds
        .map(|secs| Instant::now() + Duration::from_secs(secs));
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
        if Instant::now() >= next && !house.runs("demo sensor") {
            let sensor = program(
                "target/release/sensor",
                [
                    "-q".as_ref(),
                    "-c".as_ref(),
                    config.as_os_str(),
                    "--timestamps".as_ref(),
                    "wallclock".as_ref(),
                    "--speed".as_ref(),
                    "2".as_ref(),
                    "-r".as_ref(),
                    SAMPLE.as_ref(),
                ],
            );
            house.start(
                "demo sensor",
                sensor.env("MALTRAIL_SENSOR_NAME", "demo").into_command(),
            )?;
        }
        for (name, good) in house.ended() {
            match name {
                "demo sensor" if good => next = Instant::now() + PAUSE,
                "live sensor" => println!("the live sensor ended; the sample goes on"),
                name => bail!("the {name} ended by itself (its messages are above)"),
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("stopping");
    house.stop();
    Ok(())
}

fn greet(options: &Options, place: SocketAddr, live: bool) {
    println!();
    println!("    dashboard   http://{place}/");
    println!("    login       admin, password admin");
    println!();
    println!(
        "The sample capture ({SAMPLE}) is replayed in a loop with the present time; it is not your network."
    );
    if live {
        println!("The interfaces of this machine are watched as well.");
    } else if !options.demo {
        println!(
            "No right to capture here: run this with sudo to watch this machine's interfaces as well."
        );
    }
    println!();
    println!("For real use: edit maltrail.conf (MONITOR_INTERFACE, LOG_DIR, USERS), then");
    println!("    sudo target/release/sensor -c maltrail.conf");
    println!("    target/release/server -c maltrail.conf");
    println!();
    println!("Logs, state and trails of this run are in {FOLDER}/. Ctrl-C stops everything.");
}

fn write_config(options: &Options, udp_port: u16) -> anyhow::Result<PathBuf> {
    let folder = std::env::current_dir()?.join(FOLDER);
    fs::create_dir_all(folder.join("logs"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let shown = folder.display();
    // The hash is that of `admin`, as in the shipped file.
    let text = format!(
        "# Written by `cargo xtask run`; changes are lost.\n\
         HTTP_ADDRESS {address}\nHTTP_PORT {port}\nUSERS\n    admin:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918:0:\n\
         UDP_ADDRESS 127.0.0.1\nUDP_PORT {udp_port}\nLOG_SERVER 127.0.0.1:{udp_port}\nLOG_SERVER_FORMAT json\nDISABLE_LOCAL_LOG_STORAGE true\n\
         MONITOR_INTERFACE any\nUSE_HEURISTICS true\nLOG_DIR {shown}/logs\nTRAILS_FILE {shown}/trails.csv\n",
        address = options.address,
        port = options.port,
    );
    let path = folder.join("maltrail.conf");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Waits until the server answers.
fn wait_for(place: SocketAddr, house: &mut House) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        if let Some((name, _)) = house.ended().first() {
            bail!("the {name} ended by itself (its messages are above)");
        }
        if answers(place) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the server does not answer on {place}")
}

fn answers(place: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&place, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Root, or CAP_NET_RAW.
fn may_capture() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> 13 & 1 == 1)
}

fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register(*signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// The programs of a run. All are stopped when it ends, however it ends.
#[derive(Default)]
struct House(Vec<(&'static str, Child)>);

impl House {
    fn start(
        &mut self,
        name: &'static str,
        mut command: std::process::Command,
    ) -> anyhow::Result<()> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        self.0.push((name, child));
        Ok(())
    }

    fn runs(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// Programs that ended, and whether well; they are forgotten.
    fn ended(&mut self) -> Vec<(&'static str, bool)> {
        let mut ended = Vec::new();
        self.0.retain_mut(|(name, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                ended.push((*name, status.success()));
                false
            }
            Err(_) => false,
        });
        ended
    }

    /// Sensors first, then the server.
    fn stop(&mut self) {
        while let Some((name, mut child)) = self.0.pop() {
            let pid = rustix::process::Pid::from_child(&child);
            let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let started = Instant::now();
            while asked.is_ok()
                && matches!(child.try_wait(), Ok(None))
                && started.elapsed() < Duration::from_secs(10)
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            if matches!(child.try_wait(), Ok(None)) {
                println!("the {name} did not stop in 10 s and is ended");
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_run_is_valid_and_stays_in_its_folder() {
        let options = Options {
            demo: true,
            address: IpAddr::from([127, 0, 0, 1]),
            port: 8338,
            trails: None,
            seconds: None,
        };
        let folder = tempfile::tempdir().expect("folder");
        let before = std::env::current_dir().expect("folder");
        std::env::set_current_dir(folder.path()).expect("folder");
        let path = write_config(&options, 8337);
        std::env::set_current_dir(before).expect("folder");
        let environment = maltrail_core::config::Environment::default();
        let (config, messages) =
            maltrail_core::config::Config::load(&path.expect("file"), &environment).expect("valid");
        assert_eq!(messages, []);
        assert!(
            config
                .log_dir
                .starts_with(folder.path().canonicalize().expect("folder"))
        );
        assert_eq!(config.output.log_servers, ["127.0.0.1:8337"]);
        ensure_sane(&config).expect("sane");
    }

    use anyhow::ensure;

    fn ensure_sane(config: &maltrail_core::config::Config) -> anyhow::Result<()> {
        ensure!(config.server.users.len() == 1 && config.server.users[0].has_shipped_password());
        Ok(())
    }
}
