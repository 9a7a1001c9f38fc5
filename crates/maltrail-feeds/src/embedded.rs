//! The lists that ship with the product, inside the binary: a machine without a network detects
//! something.

use rust_embed::Embed;

use crate::collection::Collection;

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../../trails"]
struct Files;

/// The text of `trails/feeds.toml`.
pub fn feeds() -> String {
    Files::get("feeds.toml").map_or_else(String::new, |file| {
        String::from_utf8_lossy(&file.data).into_owned()
    })
}

/// The embedded collection. `trails/data/*` are its data lists.
pub fn collection() -> Collection {
    Collection::of(Files::iter().filter_map(|path| {
        let bytes = Files::get(&path)?.data.into_owned();
        let path = path
            .strip_prefix("data/")
            .map_or_else(|| format!("trails/{path}"), |name| format!("data/{name}"));
        Some((path, bytes))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{AssembleOptions, Sources, assemble};

    #[test]
    fn every_embedded_line_is_a_trail() {
        let sources = Sources {
            collections: vec![collection()],
            ..Sources::default()
        };
        let (built, report) = assemble(&sources, &AssembleOptions::default(), &mut |_, _| {});
        assert_eq!(report.lines, []);
        assert_eq!(report.dropped.values().sum::<usize>(), 0);
        assert!(built.len() > 50, "{} trails", built.len());
    }
}
