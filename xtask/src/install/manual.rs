//! Manual pages and completions, from the definitions of both command lines and from the table of options.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use maltrail_core::config::options::{Kind, NAME_PREFIXES, OPTIONS, OptionSpec, Section, Shipped};

use super::layout::{CONFIG, LOGS, Layout, STATE};

/// The command lines of both programs: these files know nothing but clap, so that this task is built without libpcap.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../crates/maltrail-sensor/src/cli.rs"]
mod sensor;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../crates/maltrail-server/src/args.rs"]
mod server;

/// A file that is made.
pub(crate) type Made = (PathBuf, Vec<u8>);

/// Both programs under the names that they are installed as.
fn programs() -> [(&'static str, Command); 2] {
    [
        ("maltrail-sensor", sensor::Cli::command()),
        ("maltrail-server", server::Args::command()),
    ]
    .map(|(name, command)| (name, command.name(name).bin_name(name).display_name(name)))
}

/// Completions for bash, zsh and fish.
pub(crate) fn completions(layout: &Layout) -> Vec<Made> {
    let mut made = Vec::new();
    for (name, mut command) in programs() {
        for (shell, file) in [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (
                Shell::Fish,
                format!("fish/vendor_completions.d/{name}.fish"),
            ),
        ] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, name, &mut text);
            made.push((layout.share(&file), text));
        }
    }
    made
}

/// Manual pages: one for each program and each of its subcommands, and that of the configuration.
///
/// # Errors
/// When a page cannot be written to memory.
pub(crate) fn pages(layout: &Layout) -> anyhow::Result<Vec<Made>> {
    let mut made = Vec::new();
    for (name, mut command) in programs() {
        command = command.disable_help_subcommand(true);
        command.build();
        made.push((
            layout.man(1).join(format!("{name}.1")),
            page(&command, name)?,
        ));
        for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
            let full = format!("{name}-{}", part.get_name());
            let text = page(part, &full)?;
            made.push((layout.man(1).join(format!("{full}.1")), text));
        }
    }
    made.push((
        layout.man(5).join("maltrail.conf.5"),
        configuration().into_bytes(),
    ));
    Ok(made)
}

fn page(command: &Command, name: &str) -> anyhow::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone())
        .title(name.to_owned())
        .manual("Maltrail")
        .source(format!("maltrail {}", maltrail_core::VERSION));
    let mut text = Vec::new();
    man.render(&mut text).context("cannot make a manual page")?;
    text.extend(files().as_bytes());
    Ok(text)
}

fn files() -> String {
    let mut out = String::from(".SH FILES\n");
    for (path, what) in [
        (CONFIG, "Configuration of an installation; name it with -c."),
        (LOGS, "Day files, index and accounts."),
        (STATE, "The trail set."),
    ] {
        let _ = write!(out, ".TP\n.I {}\n{}\n", escape(path), escape(what));
    }
    out.push_str(".SH \"SEE ALSO\"\n");
    out.push_str(".BR maltrail\\-sensor (1),\n.BR maltrail\\-server (1),\n.BR maltrail.conf (5)\n");
    out
}

/// `maltrail.conf(5)`.
fn configuration() -> String {
    let mut out = format!(
        ".TH maltrail.conf 5 \"\" \"maltrail {}\" Maltrail\n\
         .SH NAME\nmaltrail.conf \\- configuration of the Maltrail sensor and server\n\
         .SH DESCRIPTION\n\
         One option a line: its name, blanks or an equals sign, its value. Lists are indented below their name.\n\
         A number sign starts a comment. Section lines as in INI files are allowed.\n\
         .PP\n\
         A variable\n.B MALTRAIL_\\fIOPTION\\fR\nin the environment overrides an option of the file.\n\
         .PP\n\
         .B maltrail\\-sensor \\-T\nchecks the file and says what is in force.\n",
        maltrail_core::VERSION
    );
    for section in [Section::Server, Section::Sensor, Section::All] {
        let title = match section {
            Section::Server => "OPTIONS OF THE SERVER",
            Section::Sensor => "OPTIONS OF THE SENSOR",
            Section::All => "OPTIONS OF BOTH",
        };
        let _ = writeln!(out, ".SH \"{title}\"");
        let options = OPTIONS.iter().filter(|option| option.section == section);
        options.for_each(|option| describe(option, &mut out));
    }
    out.push_str(".SH \"FAMILIES OF OPTIONS\"\n");
    for (prefix, doc) in NAME_PREFIXES {
        let _ = write!(
            out,
            ".TP\n.B {}\\fINAME\\fR\n{}\n",
            escape(prefix),
            escape(doc)
        );
    }
    out.push_str(&files());
    out
}

fn describe(option: &OptionSpec, out: &mut String) {
    let _ = write!(
        out,
        ".TP\n.B {}\n{}\n",
        escape(option.name),
        escape(option.doc)
    );
    if matches!(option.shipped, Shipped::Absent) {
        out.push_str("Accepted for old files.\n");
    }
    let _ = writeln!(out, "Type: {}.", escape(&kind(option.kind)));
    if !option.default.is_empty() {
        // A full stop at the end would look like a part of the value.
        let _ = writeln!(out, "Default: {}", escape(option.default));
    }
}

/// Type and bounds in words.
fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Int { min, max, .. } => format!("whole number, {min} to {max}"),
        Kind::Count { max } => format!("whole number up to {max}, or auto"),
        Kind::Float { min, max } => format!("number, {min} to {max}"),
        Kind::Port => "port, 1 to 65535".into(),
        Kind::Size => "size: bytes, kB, MB, GB or a percentage of the memory".into(),
        Kind::Text => "text".into(),
        Kind::Address => "host name or address".into(),
        Kind::Endpoints => "one or more host:port".into(),
        Kind::Receivers => {
            "one or more host:port, with udp://, udp5424://, tcp:// or tls:// in front or nothing"
                .into()
        }
        Kind::Socket => "address:port".into(),
        Kind::Choice(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Regex { .. } => "regular expression".into(),
        Kind::Words => "words, separated by commas".into(),
        Kind::Networks => "addresses and networks, separated by commas".into(),
        Kind::Block => "indented lines".into(),
        Kind::File => "file".into(),
        Kind::Dir => "folder; relative to that of the configuration".into(),
    }
}

/// Text of a line: backslashes and hyphens mean something else to roff, as do a full stop and a quote at the start.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layout() -> Layout {
        Layout::new(Path::new("/usr/local")).expect("layout")
    }

    #[test]
    fn every_option_and_subcommand_has_its_page() {
        let pages = pages(&layout()).expect("pages");
        let text = |name: &str| {
            let (_, text) = pages
                .iter()
                .find(|(path, _)| path.ends_with(name))
                .unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8_lossy(text).into_owned()
        };
        let conf = text("man5/maltrail.conf.5");
        for option in OPTIONS {
            assert!(
                conf.lines()
                    .any(|line| line == format!(".B {}", option.name)),
                "{}",
                option.name
            );
        }
        assert!(text("man1/maltrail-sensor.1").contains("\\-\\-test\\-config"));
        assert!(text("man1/maltrail-sensor-update.1").contains("\\-\\-force"));
        assert!(text("man1/maltrail-server-passwd.1").contains("USER"));
        assert!(!text("man1/maltrail-server.1").contains("keep"), "hidden");
    }

    #[test]
    fn roff_sees_no_command_in_a_text() {
        assert_eq!(escape(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escape("'a\\b-c"), "\\&'a\\eb\\-c");
    }

    #[test]
    fn pages_are_good_roff() {
        if !crate::shell::exists("groff") && !crate::shell::exists("mandoc") {
            println!("SKIPPED manual pages: neither groff nor mandoc is here");
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        for (path, text) in pages(&layout()).expect("pages") {
            let file = folder.path().join(path.file_name().expect("name"));
            std::fs::write(&file, text).expect("written");
            let command = if crate::shell::exists("mandoc") {
                vec!["mandoc", "-T", "lint", "-W", "error"]
            } else {
                // Long regular expressions cannot be broken over lines; that is no fault.
                vec!["groff", "-man", "-ww", "-Wbreak", "-z", "-Tutf8"]
            };
            let output = std::process::Command::new(command[0])
                .args(&command[1..])
                .arg(&file)
                .output()
                .expect("started");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.is_empty(),
                "{}: {}: {said}",
                file.display(),
                output.status
            );
        }
    }

    #[test]
    fn completions_are_good_scripts() {
        let made = completions(&layout());
        assert_eq!(made.len(), 6);
        let folder = tempfile::tempdir().expect("folder");
        for (path, text) in made {
            let shown = path.display().to_string();
            let text_read = String::from_utf8_lossy(&text);
            assert!(text_read.contains("maltrail-se"), "{shown}");
            let shell = ["bash", "zsh", "fish"]
                .into_iter()
                .find(|shell| shown.contains(&format!("/{shell}")))
                .expect("shell");
            if !crate::shell::exists(shell) {
                println!("SKIPPED completion of {shell}: it is not here");
                continue;
            }
            let file = folder.path().join("script");
            std::fs::write(&file, &text).expect("written");
            let good = std::process::Command::new(shell)
                .arg("-n")
                .arg(&file)
                .status()
                .expect("started");
            assert!(good.success(), "{shown}");
        }
    }
}
