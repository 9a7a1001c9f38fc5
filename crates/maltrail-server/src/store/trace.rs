//! For the tests that kill the server: where it is at this moment.
//!
//! With the environment variable [`VARIABLE`] naming a file, one byte per [`Window`] of that file is 1 while a
//! thread is inside of it. A byte that a system call has written is there after any kill. Without the
//! variable this costs a comparison.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// Names the file.
const VARIABLE: &str = "MALTRAIL_KILL_TRACE";

/// What a kill may interrupt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// A batch is being appended to a day file.
    Append = 0,
    /// Rows and the offset are being committed to an index file.
    Commit = 1,
}

/// The file, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<File>);

impl Trace {
    pub(crate) fn from_environment() -> Self {
        let Some(path) = std::env::var_os(VARIABLE) else {
            return Self::default();
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(path);
        Self(
            file.inspect_err(
                |error| tracing::error!(%error, "cannot write the file of {VARIABLE}"),
            )
            .ok(),
        )
    }

    /// The window is open until what is returned is dropped.
    pub(crate) fn enter(&self, window: Window) -> Inside<'_> {
        self.mark(window, 1);
        Inside(self, window)
    }

    fn mark(&self, window: Window, byte: u8) {
        if let Some(file) = &self.0 {
            let _ = file.write_at(&[byte], window as u64);
        }
    }
}

/// Inside of a window.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Trace, Window);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.mark(self.1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_seen_while_it_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let trace = Trace(Some(File::create(&path).unwrap()));
        let bytes = || std::fs::read(&path).unwrap();
        {
            let _append = trace.enter(Window::Append);
            let _commit = trace.enter(Window::Commit);
            assert_eq!(bytes(), [1, 1]);
        }
        assert_eq!(bytes(), [0, 0]);
        drop(Trace::default().enter(Window::Commit));
    }
}
