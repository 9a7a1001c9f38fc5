//! The one-time code: proof that whoever sets the first password can read the server's console.
//!
//! Printed at start and kept in `LOG_DIR/first-login-code` with mode 0600 while a shipped password is
//! in force.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// Letters that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Characters; 60 random bits.
const LEN: usize = 12;

/// The code of this start.
#[derive(Debug)]
pub(crate) struct OneTimeCode {
    text: String,
    path: PathBuf,
}

impl OneTimeCode {
    /// Makes a code and writes its file.
    pub(crate) fn create(log_dir: &Path) -> std::io::Result<Self> {
        let mut random = [0_u8; LEN];
        getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
        let text: String = random
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
            .map(|&letter| char::from(letter))
            .collect();
        let path = file(log_dir);
        // A new file, so that neither an old mode nor a planted link survives.
        let _ = std::fs::remove_file(&path);
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(out, "{text}")?;
        Ok(Self { text, path })
    }

    /// Deletes the file of an earlier start.
    pub(crate) fn remove(log_dir: &Path) {
        let _ = std::fs::remove_file(file(log_dir));
    }

    /// Whether `text` is the code; letter case, blanks and dashes aside.
    pub(crate) fn is(&self, text: &str) -> bool {
        let typed: String = text
            .chars()
            .filter(|letter| !letter.is_whitespace() && *letter != '-')
            .take(LEN + 1)
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        bool::from(typed.as_bytes().ct_eq(self.text.as_bytes()))
    }

    /// The code, for the console.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the file.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn file(log_dir: &Path) -> PathBuf {
    log_dir.join("first-login-code")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_code_is_private_and_forgiving_about_its_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let code = OneTimeCode::create(dir.path()).unwrap();
        let text = code.text().to_owned();
        assert_eq!(text.len(), LEN);
        assert!(
            code.is(&text) && code.is(&format!(" {}-{} ", &text[..6].to_uppercase(), &text[6..]))
        );
        assert!(!code.is("") && !code.is(&text[1..]) && !code.is(&format!("{text}a")));
        assert_eq!(
            std::fs::metadata(code.path()).unwrap().mode() & 0o777,
            0o600
        );
        assert_ne!(OneTimeCode::create(dir.path()).unwrap().text(), text);
        code.forget();
        assert!(!code.path().exists());
    }
}
