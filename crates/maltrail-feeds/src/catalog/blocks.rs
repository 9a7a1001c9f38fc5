//! What the comments of a list say about its entries: reference URLs per block, and other names.
//!
//! `# Reference: URL` stands above the entries it documents; several may stand there. A blank line behind
//! an entry ends the block. `# Aliases: a, b` holds for the whole file. Bounds: [`URL_BYTES`] a URL,
//! [`BLOCK_URLS`] a block, [`TEXT_BYTES`] a file; what goes beyond is left out.

/// Longest URL that is kept, in bytes.
const URL_BYTES: usize = 1024;
/// Most URLs of a block.
const BLOCK_URLS: usize = 32;
/// Most bytes of all URLs of a file. The richest one known has 0.4 MB.
const TEXT_BYTES: usize = 8 << 20;
/// Most bytes of other names.
const ALIAS_BYTES: usize = 4096;

/// Reads a file line by line.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Lines `first_line url url…`, in order of lines.
    pub(crate) text: String,
    /// Other names, as written.
    pub(crate) aliases: String,
    /// URLs of the comments since the last block began.
    urls: Vec<String>,
    /// Whether the block has an entry.
    begun: bool,
    /// Whether the block before it had URLs, so that one without has to be told.
    told: bool,
}

impl Blocks {
    /// Takes a line that is blank or a comment.
    pub(crate) fn remark(&mut self, line: &str) {
        let Some(comment) = line.trim().strip_prefix('#') else {
            if self.begun {
                self.end();
            }
            return;
        };
        let comment = comment.trim_start_matches('#').trim();
        let Some((word, rest)) = comment.split_once(':') else {
            return;
        };
        let word = word.trim();
        if word.eq_ignore_ascii_case("aliases") || word.eq_ignore_ascii_case("alias") {
            self.other_names(rest.trim());
        } else if is_reference(word) {
            if self.begun {
                self.end();
            }
            let urls = rest
                .split([' ', '\t', ','])
                .filter(|url| url.contains("://") && url.len() <= URL_BYTES)
                .filter(|url| !url.contains(|letter: char| letter.is_control()));
            let room = BLOCK_URLS.saturating_sub(self.urls.len());
            self.urls.extend(urls.take(room).map(str::to_owned));
        }
    }

    /// Takes the number of a line that holds an entry.
    #[inline]
    pub(crate) fn entry(&mut self, line: u32) {
        if !self.begun {
            self.begin(line);
        }
    }

    fn begin(&mut self, line: u32) {
        self.begun = true;
        if self.urls.is_empty() && !self.told {
            return;
        }
        self.told = !self.urls.is_empty();
        let bytes: usize = self.urls.iter().map(|url| url.len() + 1).sum();
        if self.text.len() + bytes + 12 > TEXT_BYTES {
            return;
        }
        self.text.push_str(&line.to_string());
        for url in &self.urls {
            self.text.extend([" ", url]);
        }
        self.text.push('\n');
    }

    fn end(&mut self) {
        self.urls.clear();
        self.begun = false;
    }

    fn other_names(&mut self, names: &str) {
        if self.aliases.len() + names.len() + 2 > ALIAS_BYTES
            || names.contains(|letter: char| letter.is_control())
        {
            return;
        }
        if !self.aliases.is_empty() {
            self.aliases.push_str(", ");
        }
        self.aliases.push_str(names);
    }
}

/// `Reference`, and the ways in which it is misspelt: the word in front of a URL begins with `ref` or `rer`.
pub(crate) fn is_reference(word: &str) -> bool {
    let mut letters = word.chars().map(|letter| letter.to_ascii_lowercase());
    word.len() <= 12
        && letters.next() == Some('r')
        && letters.next() == Some('e')
        && letters
            .next()
            .is_some_and(|letter| matches!(letter, 'f' | 'r'))
}

/// The URLs of the block that holds `line`, of a text that [`Blocks`] made.
pub(crate) fn urls_of(text: &str, line: u32) -> Vec<String> {
    let mut found = "";
    for block in text.lines() {
        let (first, urls) = block.split_once(' ').unwrap_or((block, ""));
        match first.parse::<u32>() {
            Ok(first) if first <= line => found = urls,
            _ => break,
        }
    }
    found
        .split(' ')
        .filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Blocks {
        let mut blocks = Blocks::default();
        for (at, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                blocks.remark(line);
            } else {
                blocks.entry(at);
            }
        }
        blocks
    }

    #[test]
    fn a_reference_documents_the_entries_below_it_up_to_the_next_blank_line() {
        let blocks = read(
            "# Aliases: one, two\n\n# Reference: https://a.example/1\n# Refrence: https://a.example/2\n\n\
             a.biz\n# a note\nb.biz\n\nc.biz\n\n# Reference: https://b.example/\nd.biz\n# Reference: https://c.example/\ne.biz\n",
        );
        assert_eq!(blocks.aliases, "one, two");
        for (line, wanted) in [
            (5, &[][..]),
            (6, &["https://a.example/1", "https://a.example/2"]),
            (8, &["https://a.example/1", "https://a.example/2"]),
            (10, &[]),
            (13, &["https://b.example/"]),
            (15, &["https://c.example/"]),
            (900, &["https://c.example/"]),
        ] {
            assert_eq!(urls_of(&blocks.text, line), wanted, "line {line}");
        }
    }

    #[test]
    fn what_is_no_url_is_no_reference_and_everything_is_bounded() {
        let mut text = String::from("# Reference: see below\na.biz\n\n");
        for at in 0..BLOCK_URLS + 9 {
            text.push_str(&format!("# Reference: https://a.example/{at}\n"));
        }
        text.push_str("b.biz\n");
        let blocks = read(&text);
        assert_eq!(urls_of(&blocks.text, 2), [""; 0]);
        assert_eq!(urls_of(&blocks.text, 60).len(), BLOCK_URLS);
        let long = format!(
            "# Reference: https://a.example/{}\nc.biz\n",
            "x".repeat(URL_BYTES)
        );
        assert_eq!(urls_of(&read(&long).text, 2), [""; 0]);
        let mut many = Blocks::default();
        let url = format!("# Reference: https://{}/", "x".repeat(1000));
        for line in 0..10_000 {
            many.remark(&url);
            many.entry(line);
        }
        assert!(many.text.len() <= TEXT_BYTES && many.text.len() > TEXT_BYTES - 2048);
        let mut names = Blocks::default();
        (0..1000).for_each(|_| names.remark("# Aliases: another one"));
        assert!(names.aliases.len() <= ALIAS_BYTES);
    }

    #[test]
    fn a_damaged_text_gives_no_url() {
        assert_eq!(urls_of("x y z\n1 https://a.example", 5), [""; 0]);
        assert_eq!(urls_of("", 5), [""; 0]);
    }
}
