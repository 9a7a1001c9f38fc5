//! What is wrong with a list, line by line, for those who write it.
//!
//! An *error* is an entry that never matches or is refused; a *warning* one that is dropped, hides another or
//! means something else than it looks like; a *note* what the build mends by itself. Rules are asked where
//! they live (key normalisation, whitelist, expressions); only what the build lets pass silently is looked at
//! here. Findings are handed out as they are made, so nothing grows with a list but the table of its keys.

mod entry;

use std::collections::HashMap;
use std::fmt;

use maltrail_core::addr::NetworkSet;
use maltrail_core::trail::Whitelist;
use maltrail_core::trail::key::{key_hash, normalize};
use maltrail_core::trail::line::{Dialect, entry};

use crate::catalog::is_reference;

pub use entry::SITE_SUFFIXES;

/// Most bytes of a line that a finding shows.
const SHOWN: usize = 120;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Mended by the build.
    Note,
    /// Dropped, hidden or not what it looks like.
    Warning,
    /// Never matches.
    Error,
}

impl Level {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing about one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// How bad it is.
    pub level: Level,
    /// A word for it that stays the same.
    pub rule: &'static str,
    /// What stands there, shortened, without control characters.
    pub text: String,
    /// What it is and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            rule,
            text,
            message,
            ..
        } = self;
        write!(
            f,
            "{file}:{line}: {}: `{text}`: {message} [{rule}]",
            self.level.name()
        )
    }
}

/// What entries are compared with.
#[derive(Clone, Debug, Default)]
pub struct LintContext {
    /// Names and networks that never become trails.
    pub whitelist: Whitelist,
    /// Unroutable ranges.
    pub bogons: NetworkSet,
    /// Ranges of CDNs.
    pub cdns: NetworkSet,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LintCounts {
    /// Entries.
    pub entries: usize,
    /// Findings of each level: notes, warnings, errors.
    pub levels: [usize; 3],
}

/// Looks through one file. Files of the user follow the other dialect.
pub fn lint(
    file: &str,
    bytes: &[u8],
    dialect: Dialect,
    context: &LintContext,
    found: &mut dyn FnMut(Finding),
) -> LintCounts {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut lint = Lint {
        file,
        dialect,
        context,
        // As the build exempts them (`spec` trails §5).
        blameless: name.contains("sinkhole") || name.contains("parking"),
        found,
        counts: LintCounts::default(),
        keys: HashMap::new(),
        references: false,
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map_or(bytes, |rest| {
        lint.say(
            1,
            Level::Warning,
            "byte-order-mark",
            "",
            "the file starts with a byte order mark: save it without",
        );
        rest
    });
    for (at, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        lint.line(at, line);
    }
    lint.whole(bytes);
    lint.counts
}

struct Lint<'a> {
    file: &'a str,
    dialect: Dialect,
    context: &'a LintContext,
    blameless: bool,
    found: &'a mut dyn FnMut(Finding),
    counts: LintCounts,
    /// Keys of the file with their lines.
    keys: HashMap<u64, u32>,
    references: bool,
}

impl Lint<'_> {
    fn say(
        &mut self,
        line: usize,
        level: Level,
        rule: &'static str,
        text: &str,
        message: impl Into<String>,
    ) {
        self.counts.levels[level as usize] += 1;
        let shown = text.trim().chars().take(SHOWN);
        let text = shown.map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        });
        (self.found)(Finding {
            file: self.file.to_owned(),
            line,
            level,
            rule,
            text: text.collect(),
            message: message.into(),
        });
    }

    fn line(&mut self, at: usize, bytes: &[u8]) {
        let Ok(line) = std::str::from_utf8(bytes) else {
            let text = String::from_utf8_lossy(bytes);
            self.say(
                at,
                Level::Error,
                "encoding",
                &text,
                "not UTF-8: the line is left out",
            );
            return;
        };
        let line = match line.strip_suffix('\r') {
            Some(line) => {
                self.say(at, Level::Note, "line-end", line, "ends with CR LF");
                line
            }
            None => line,
        };
        if line.trim_end() != line {
            self.say(
                at,
                Level::Note,
                "trailing-blanks",
                line,
                "blanks at the end",
            );
        }
        let text = line.trim();
        if let Some(comment) = text.strip_prefix('#') {
            return self.comment(at, comment);
        }
        let Some(cleaned) = entry(text, self.dialect) else {
            return;
        };
        self.counts.entries += 1;
        if let Some((before, rest)) = text.split_once('#')
            && !before.ends_with([' ', '\t'])
        {
            let message = format!(
                "`#{}` is a comment and not part of the entry: if it is meant as one, put a blank before it",
                clip(rest)
            );
            self.say(at, Level::Warning, "glued-comment", text, message);
        }
        let written = text.split('#').next().unwrap_or(text).trim_end();
        match normalize(&cleaned, true) {
            Ok(key) => self.entry(at, written, &key),
            Err(error) => self.say(at, Level::Error, "refused", written, error.to_string()),
        }
    }

    fn comment(&mut self, at: usize, comment: &str) {
        let Some((word, rest)) = comment.trim_start_matches('#').trim().split_once(':') else {
            return;
        };
        if !is_reference(word.trim()) || !rest.contains("://") {
            return;
        }
        self.references = true;
        if word.trim() != "Reference" {
            let message = format!("`{}:` is understood; write `Reference:`", word.trim());
            self.say(at, Level::Note, "reference-spelling", comment, message);
        }
    }

    fn entry(&mut self, at: usize, written: &str, key: &str) {
        let line = u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(&first) = self.keys.get(&key_hash(key)) {
            let message = format!("the same as line {first}");
            self.say(at, Level::Warning, "duplicate", written, message);
            return;
        }
        self.keys.insert(key_hash(key), line);
        let mut sayings = Vec::new();
        entry::changes(written, key, &mut sayings);
        entry::faults(key, &mut sayings);
        entry::drops(key, self.context, self.blameless, &mut sayings);
        for (level, rule, message) in sayings {
            self.say(at, level, rule, written, message);
        }
    }

    /// What is about the file, not a line of it.
    fn whole(&mut self, bytes: &[u8]) {
        if self.counts.entries == 0 {
            self.say(1, Level::Warning, "empty", "", "the file has no entry");
        } else if !self.references && self.dialect == Dialect::Static {
            let message = "no `# Reference: URL` line says where the entries come from";
            self.say(1, Level::Warning, "no-reference", "", message);
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            let last = bytes.split(|byte| *byte == b'\n').count();
            self.say(
                last,
                Level::Note,
                "final-newline",
                "",
                "the last line has no line end",
            );
        }
    }
}

/// The start of a text.
fn clip(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use maltrail_core::addr::parse_net;

    use super::*;

    fn findings(file: &str, bytes: &[u8], dialect: Dialect) -> (Vec<String>, LintCounts) {
        let nets = |text: &str| NetworkSet::new(text.split(' ').filter_map(parse_net));
        let context = LintContext {
            whitelist: Whitelist::parse(["good.biz\nexact.biz\n8.8.8.0/24\n"]),
            bogons: nets("10.0.0.0/8"),
            cdns: nets("104.16.0.0/13"),
        };
        let mut found = Vec::new();
        let counts = lint(file, bytes, dialect, &context, &mut |finding| {
            found.push(format!(
                "{} {} {}",
                finding.line,
                finding.level.name(),
                finding.rule
            ));
        });
        (found, counts)
    }

    /// What is found in one line of a file that is fine otherwise.
    fn rules(line: &str) -> Vec<String> {
        let text = format!("# Reference: https://a.example/\n\n{line}\n");
        let (found, _) = findings(
            "trails/static/malware/x.txt",
            text.as_bytes(),
            Dialect::Static,
        );
        found.iter().map(|text| text[2..].to_owned()).collect()
    }

    #[test]
    fn each_rule_has_a_line_that_breaks_it() {
        for (line, wanted) in [
            ("evil.biz", &[][..]),
            ("evil.biz # seen in spam", &[]),
            ("/gate.php?id=", &[]),
            ("203.0.113.9:8080", &[]),
            ("198.51.100.0/24", &[]),
            ("[2001:db8::1]:443", &[]),
            ("xn--bcher-kva.biz", &[]),
            ("dga[0-9]+\\.biz", &[]),
            ("evil.biz ", &["note trailing-blanks"]),
            ("evil.biz\r", &["note line-end"]),
            ("5.9.9.256", &["error refused"]),
            ("*.evil.biz", &["error refused"]),
            ("evil.biz#x", &["warning glued-comment"]),
            ("http://evil.biz/a", &["note scheme"]),
            ("EVIL.biz", &["note capitals"]),
            ("www.evil.biz", &["note www"]),
            ("bücher.biz", &["note idna"]),
            ("2001:db8:0::1", &["note address-form"]),
            ("evil.biz/a//b", &["note slashes"]),
            ("evil.biz/a?b=1", &["warning query"]),
            ("evil\u{2013}one.biz", &["warning look-alike", "note idna"]),
            ("ev!l.biz", &["error name"]),
            ("evil..biz", &["error name"]),
            ("evil.b_z", &["error name"]),
            (&format!("{}.biz", "a".repeat(64)), &["error name"]),
            ("evil biz.com", &["error name"]),
            ("host.local", &["error site-suffix"]),
            ("203.0.113.9:66086", &["error port"]),
            ("203.0.113.9:0", &["error port"]),
            ("evil.biz:99999/a", &["error port"]),
            ("203.0.113.9:53:53", &["error address"]),
            ("182.86.133:8880", &["error address"]),
            ("evil.biz:8080", &["error name-port"]),
            ("203.0.113.0/7", &["error broad"]),
            ("exact.biz", &["warning whitelisted"]),
            ("sub.good.biz", &["warning shadowed"]),
            ("good.biz/x", &["warning shadowed"]),
            ("8.8.8.8", &["warning whitelisted"]),
            ("10.1.2.3", &["warning unroutable"]),
            ("192.168.1.1:80", &["warning unroutable"]),
            ("104.16.1.1/x", &["warning cdn"]),
            ("localhost", &["warning unroutable"]),
            ("dga[0-9+\\.*biz", &["error expression"]),
            ("a[0-9]{1,3}\\-(alpha|b", &["warning cut-expression"]),
        ] {
            assert_eq!(rules(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_file_is_looked_at_as_a_whole() {
        let file = "trails/static/malware/x.txt";
        let lint = |text: &[u8]| findings(file, text, Dialect::Static);
        let (found, counts) =
            lint(b"\xef\xbb\xbfa.biz\nA.biz\n\xff.biz\n# Refrence: https://a.example/\nb.biz");
        assert_eq!(
            found,
            [
                "1 warning byte-order-mark",
                "2 warning duplicate",
                "3 error encoding",
                "4 note reference-spelling",
                "5 note final-newline"
            ]
        );
        assert_eq!((counts.entries, counts.levels), (3, [2, 2, 1]));
        assert_eq!(lint(b"# nothing\n").0, ["1 warning empty"]);
        assert_eq!(lint(b"a.biz\n").0, ["1 warning no-reference"]);
        assert_eq!(
            findings("own/x.txt", b"http://a.biz/\n", Dialect::Custom).0,
            ["1 note scheme"]
        );
        let sinkhole = b"# Reference: https://a.example/\n104.16.1.1\n";
        assert_eq!(
            findings("trails/static/sinkhole_x.txt", sinkhole, Dialect::Static).0,
            [""; 0]
        );
    }

    #[test]
    fn a_finding_is_one_safe_line() {
        let mut lines = Vec::new();
        lint(
            "x.txt",
            b"/\x1b[31m\n",
            Dialect::Custom,
            &LintContext::default(),
            &mut |finding| {
                lines.push(finding.to_string());
            },
        );
        assert_eq!(
            lines,
            ["x.txt:1: error: `/\u{fffd}[31m`: it holds a control character [refused]"]
        );
    }

    /// Our own lists and the example for a user's have nothing to complain about.
    #[test]
    fn the_lists_of_the_product_are_clean() {
        let collection = crate::embedded::collection();
        let ranges = |name: &str| {
            let text = collection.data(name).into_owned();
            NetworkSet::new(text.lines().filter_map(|line| parse_net(line.trim())))
        };
        let context = LintContext {
            whitelist: Whitelist::parse([collection.data("whitelist.txt").as_ref()]),
            bogons: ranges("bogon_ranges.txt"),
            cdns: ranges("cdn_ranges.txt"),
        };
        let mut found = Vec::new();
        let mut entries = 0;
        let example = include_bytes!("../../../../trails/custom/example.txt.example");
        let own = [(
            "trails/custom/example.txt",
            example.as_slice(),
            Dialect::Custom,
        )];
        let shipped = collection
            .lists()
            .map(|list| (list.path.as_str(), list.bytes.as_slice(), Dialect::Static));
        for (path, bytes, dialect) in own.into_iter().chain(shipped) {
            let counts = lint(path, bytes, dialect, &context, &mut |finding| {
                found.push(finding.to_string());
            });
            entries += counts.entries;
        }
        assert_eq!(found, [""; 0]);
        assert!(entries > 150, "{entries} entries");
    }
}
