//! Subcommands about trails: what they read is the published set, the catalog beside it and list files.
//!
//! Each one is a function from texts to an answer, and a second one that writes the answer for a person or as
//! JSON. Exit codes: 0 and 1 are answers (see each command), 2 means that there is none.

pub(crate) mod explain;
pub(crate) mod lint;
pub(crate) mod trails;

/// The text without characters that a terminal would act on.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}
