//! A program fetched by a short name: `/a.exe`.
//!
//! Left out: servers inside, queries with a parameter, names of [`MAX_NAME`] letters and more, and
//! paths with one of [`KNOWN`].

use maltrail_core::event::Kind;
use memchr::{memchr, memchr2, memrchr};

use crate::finding::Finding;
use crate::web::text::Url;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "direct_download";

/// Programs and what runs like one.
const EXTENSIONS: [&str; 19] = [
    ".apk", ".bin", ".chm", ".class", ".dll", ".egg", ".exe", ".hta", ".hwp", ".lnk", ".msi",
    ".pif", ".ps1", ".pyz", ".scr", ".sct", ".vsto", ".wbk", ".xpi",
];
/// Places of ordinary downloads.
const KNOWN: [&str; 7] = [
    "cgi",
    "/scripts/",
    "/_vti_bin/",
    "/bin/",
    "/pub/softpaq/",
    "/bios/",
    "/pc-axis/",
];
/// Length from which on a name is taken for a product's.
const MAX_NAME: usize = 10;

/// The name of the file that a path is about: its last segment, without query and parameters.
pub(crate) fn file_name(path: &str) -> &str {
    let bytes = path.as_bytes();
    let end = memchr2(b'?', b'#', bytes).unwrap_or(bytes.len());
    let page = bytes.get(..end).unwrap_or_default();
    let start = memrchr(b'/', page).map_or(0, |slash| slash.saturating_add(1));
    let last = path.get(start..end).unwrap_or_default();
    let parameters = memchr(b';', last.as_bytes());
    last.get(..parameters.unwrap_or(last.len())).unwrap_or(last)
}

/// Name and extension with its dot; dots at the start belong to the name.
fn split_extension(file: &str) -> Option<(&str, &str)> {
    let dots = file.len() - file.trim_start_matches('.').len();
    let dot = file.rfind('.').filter(|&dot| dot >= dots.max(1))?;
    file.split_at_checked(dot)
}

/// The finding for a request to a server outside.
pub(crate) fn check(url: &Url) -> Option<Finding<'static>> {
    let path = url.path();
    let (name, extension) = split_extension(file_name(path))?;
    if name.len() >= MAX_NAME || !EXTENSIONS.contains(&extension) {
        return None;
    }
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    if query.contains('=') || KNOWN.iter().any(|known| path.contains(known)) {
        return None;
    }
    Some(
        Finding::heuristic(
            NAME,
            Kind::Url,
            format!("{}({path})", url.host()),
            format!("direct {extension} download (suspicious)"),
        )
        .keyed(extension.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_start_at_the_last_dot() {
        for (file, wanted) in [
            ("a.exe", Some(("a", ".exe"))),
            ("a.tar.exe", Some(("a.tar", ".exe"))),
            (".exe", None),
            ("..a.exe", Some(("..a", ".exe"))),
            ("...", None),
            ("a", None),
            ("a.", Some(("a", "."))),
        ] {
            assert_eq!(split_extension(file), wanted, "{file}");
        }
    }

    #[test]
    fn the_file_is_the_last_segment() {
        assert_eq!(file_name("/x/a.exe?b=/c.d"), "a.exe");
        assert_eq!(file_name("/x/a.exe;v=1"), "a.exe");
        assert_eq!(file_name("/x/"), "");
    }
}
