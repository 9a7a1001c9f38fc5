//! `cargo xtask coverage`: which lines of a library its own tests run.
//!
//! The tests are built with the compiler's source-based coverage (`-C instrument-coverage`) under
//! `target/coverage/`; LLVM's own tools merge the counts of all test programs and map them to lines.
//! A line is covered when any instance of it ran, in any test program. Lines from `#[cfg(test)]` on
//! are left out, so tests do not count as covered code; documentation tests are not run.
//!
//! The counts can be read by tools of the compiler's LLVM version or a later one only; the tools of
//! `rustup component add llvm-tools` and those of the system are tried.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::shell::cargo;

/// Everything that a measurement writes.
const FOLDER: &str = "target/coverage";

#[derive(Args)]
pub(crate) struct Options {
    /// The package whose tests are run and whose lines are counted
    #[arg(long, short, default_value = "maltrail-wire")]
    package: String,
    /// List the lines that never ran
    #[arg(long)]
    lines: bool,
    /// Fail when less than this share of the lines ran
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0)]
    at_least: f64,
}

/// Measures and prints a row for each file.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let source = Path::new("crates").join(&options.package).join("src");
    ensure!(
        source.is_dir(),
        "{} is no folder: --package names a package under crates/",
        source.display()
    );
    let tools = Tools::find()?;
    let programs = run_tests(&options.package)?;
    let report = tools.report(&programs)?;
    let files = read_report(&report, &source.canonicalize()?, &|path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    })?;
    let total = print(&files, options.lines);
    ensure!(
        total.percent() >= options.at_least,
        "{}: {:.2} % of the lines ran, wanted are {} % (--lines lists the others)",
        options.package,
        total.percent(),
        options.at_least
    );
    Ok(())
}

/// Builds and runs the tests; returns the test programs. Their counts are in `FOLDER/counts`.
fn run_tests(package: &str) -> anyhow::Result<Vec<PathBuf>> {
    let counts = std::env::current_dir()?.join(FOLDER).join("counts");
    let test = |more: &[&str]| {
        let all = [
            &["test", "--tests", "--package", package, "--target-dir"][..],
            &[FOLDER],
            more,
        ];
        cargo(all.concat())
            .env("RUSTFLAGS", "-C instrument-coverage")
            .env("LLVM_PROFILE_FILE", counts.join("%p-%m.profraw"))
    };
    let built = test(&["--no-run", "--message-format=json-render-diagnostics"])
        .into_command()
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        built.status.success(),
        "the tests of {package} do not build"
    );
    let programs = test_programs(&String::from_utf8_lossy(&built.stdout));
    ensure!(!programs.is_empty(), "{package} has no tests");
    // Build scripts and macros are counted as well, and earlier runs left their counts.
    if counts.exists() {
        fs::remove_dir_all(&counts)
            .with_context(|| format!("cannot empty {}", counts.display()))?;
    }
    test(&["--quiet"]).check()?;
    Ok(programs)
}

/// The programs that cargo says it built as tests.
fn test_programs(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .collect()
}

/// LLVM's readers of coverage.
struct Tools {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Tools {
    fn find() -> anyhow::Result<Self> {
        let version = output(Command::new("rustc").arg("-vV"))?;
        let wanted = llvm_major(&version).context("`rustc -vV` does not say its LLVM version")?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let root = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let own = Path::new(root.trim())
            .join("lib/rustlib")
            .join(host.unwrap_or_default())
            .join("bin");
        let find = |name: &str| -> anyhow::Result<PathBuf> {
            let named = (wanted..wanted + 3).map(|major| format!("{name}-{major}").into());
            let all = [own.join(name)]
                .into_iter()
                .chain(named)
                .chain([name.into()]);
            for tool in all {
                let found = output(Command::new(&tool).arg("--version"));
                if found.is_ok_and(|text| llvm_major(&text).is_some_and(|major| major >= wanted)) {
                    return Ok(tool);
                }
            }
            bail!(
                "{name} of LLVM {wanted} or later is missing: `rustup component add llvm-tools`, or install \
                 the system's package llvm-{wanted}"
            )
        };
        Ok(Self {
            profdata: find("llvm-profdata")?,
            cov: find("llvm-cov")?,
        })
    }

    /// The counts of all test programs as one lcov report.
    fn report(&self, programs: &[PathBuf]) -> anyhow::Result<String> {
        let folder = Path::new(FOLDER);
        let mut raw: Vec<PathBuf> = fs::read_dir(folder.join("counts"))
            .context("the tests left no counts")?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        raw.sort();
        let merged = folder.join("merged.profdata");
        let mut merge = Command::new(&self.profdata);
        merge.args(["merge", "-sparse", "-o"]).arg(&merged);
        output(merge.args(raw))?;
        let mut export = Command::new(&self.cov);
        export.args(["export", "-format=lcov", "-instr-profile"]);
        export.arg(&merged);
        for program in programs {
            export.arg("-object").arg(program);
        }
        output(&mut export)
    }
}

/// The first number behind `LLVM version`, as rustc and LLVM's tools print it.
fn llvm_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("LLVM version")?;
    let version = version.trim_start_matches([':', ' ']);
    version.split('.').next()?.parse().ok()
}

/// What a program prints when it ends well.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .with_context(|| format!("cannot start `{name}`"))?;
    ensure!(
        done.status.success(),
        "`{name}` failed: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Lines of a file, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lines {
    /// How many can run.
    all: usize,
    /// Those that never ran.
    missed: Vec<usize>,
}

impl Lines {
    const fn ran(&self) -> usize {
        self.all - self.missed.len()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "files have fewer lines than 2^52"
    )]
    fn percent(&self) -> f64 {
        if self.all == 0 {
            return 0.0;
        }
        self.ran() as f64 * 100.0 / self.all as f64
    }
}

/// The lines of the files below `source` in an lcov report, without those of tests.
fn read_report(
    report: &str,
    source: &Path,
    read: &dyn Fn(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<BTreeMap<PathBuf, Lines>> {
    let mut files = BTreeMap::<PathBuf, Lines>::new();
    let mut current = None;
    for record in report.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            let path = Path::new(path);
            current = match path.strip_prefix(source) {
                Ok(inner) => Some((inner.to_owned(), first_test_line(&read(path)?))),
                Err(_) => None,
            };
        } else if let (Some((file, end)), Some(line)) = (&current, record.strip_prefix("DA:")) {
            let mut numbers = line.split(',').map(str::parse::<usize>);
            let (Some(Ok(number)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
                bail!("`{record}` is no line of an lcov report");
            };
            if number < *end {
                let lines = files.entry(file.clone()).or_default();
                lines.all += 1;
                if count == 0 {
                    lines.missed.push(number);
                }
            }
        }
    }
    ensure!(
        !files.is_empty(),
        "the report has no line of {}",
        source.display()
    );
    Ok(files)
}

/// The number of the line on which the tests of a file start; they are its end.
fn first_test_line(text: &str) -> usize {
    text.lines()
        .position(|line| line == "#[cfg(test)]")
        .map_or(usize::MAX, |at| at + 1)
}

/// Prints the table; returns its last row.
fn print(files: &BTreeMap<PathBuf, Lines>, missed: bool) -> Lines {
    let mut total = Lines::default();
    println!(
        "\n{:<24} {:>6} {:>6} {:>8}",
        "file", "lines", "ran", "percent"
    );
    let row = |name: &str, lines: &Lines| {
        let percent = lines.percent();
        println!(
            "{name:<24} {:>6} {:>6} {percent:>8.2}",
            lines.all,
            lines.ran()
        );
    };
    for (file, lines) in files {
        row(&file.to_string_lossy(), lines);
        if missed && !lines.missed.is_empty() {
            let numbers: Vec<String> = lines.missed.iter().map(usize::to_string).collect();
            println!("    never ran: {}", numbers.join(" "));
        }
        total.all += lines.all;
        total.missed.extend(&lines.missed);
    }
    row("all", &total);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_and_of_other_folders_do_not_count() {
        let report = "SF:/w/src/a.rs\nFN:1,a\nDA:1,4\nDA:2,0\nDA:5,0\nDA:6,9\nend_of_record\n\
                      SF:/other/src/a.rs\nDA:1,0\nend_of_record\n\
                      SF:/w/src/b/c.rs\nDA:7,1\nend_of_record\n";
        let read = |path: &Path| {
            Ok(match path.ends_with("a.rs") {
                true => "fn a() {\n}\n\n\n#[cfg(test)]\nmod tests {}\n".to_owned(),
                false => String::new(),
            })
        };
        let files = read_report(report, Path::new("/w/src"), &read).expect("report");
        let missed = |all, missed: &[usize]| Lines {
            all,
            missed: missed.to_vec(),
        };
        let wanted = [
            (PathBuf::from("a.rs"), missed(2, &[2])),
            (PathBuf::from("b/c.rs"), missed(1, &[])),
        ];
        assert_eq!(files, BTreeMap::from(wanted));
        let total = print(&files, true);
        assert_eq!((total.ran(), total.all), (2, 3));
        assert!(read_report(report, Path::new("/nowhere"), &read).is_err());
        assert!(read_report("SF:/w/src/b.rs\nDA:x", Path::new("/w/src"), &read).is_err());
    }

    #[test]
    fn versions_are_read_from_the_compiler_and_the_tools() {
        assert_eq!(llvm_major("host: x\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(llvm_major("Debian LLVM version 14.0.6\n  Opt"), Some(14));
        assert_eq!(llvm_major("gcc 12"), None);
    }

    #[test]
    fn only_test_programs_are_taken_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/t/build"}
{"reason":"compiler-artifact","profile":{"test":true},"executable":"/t/unit"}
{"reason":"compiler-artifact","profile":{"test":true},"executable":null}
{"reason":"build-finished","success":true}"#;
        assert_eq!(test_programs(messages), [PathBuf::from("/t/unit")]);
    }

    #[test]
    fn nothing_measured_is_not_full_coverage() {
        assert!(Lines::default().percent() < 1.0);
    }
}
