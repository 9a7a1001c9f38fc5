//! Any bytes as the body of a list in any format: what comes out is bounded by what went in, clean text, of
//! the feed's kind, and nothing that everybody uses; unpacking ends at its limit.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use maltrail_core::addr::NetworkSet;
use maltrail_feeds::canary::Canaries;
use maltrail_feeds::fetch::Body;
use maltrail_feeds::formats::{Context, inflate::inflate, misp_events, parse};
use maltrail_feeds::registry::{Feed, feeds, read};

/// Limit of the unpacking.
const UNPACKED: u64 = 1 << 16;

/// Formats that no feed of the product has.
const OTHERS: &str = r#"
[[feed]]
name = "o1"
format = "suricata-dataset"
urls = ["https://x.example/"]
info = "x"
reference = "x"
[[feed]]
name = "o2"
format = "rpz"
urls = ["https://x.example/"]
info = "x"
reference = "x"
[[feed]]
name = "o3"
format = "regex"
pattern = '(?P<trail>\S+)=(?P<info>\S*)'
urls = ["https://x.example/"]
reference = "x"
[[feed]]
name = "o4"
format = "json"
records = "*[].a[]"
field = "b.c"
urls = ["https://x.example/"]
info = "x"
reference = "x"
"#;

static FEEDS: LazyLock<Vec<Feed>> = LazyLock::new(|| {
    let mut all = feeds().expect("ours");
    all.extend(read(OTHERS, Path::new("others")).expect("valid"));
    all
});
static CANARIES: LazyLock<Canaries> = LazyLock::new(|| Canaries::new(&NetworkSet::private()));

fuzz_target!(|input: &[u8]| {
    let [which, body @ ..] = input else { return };
    let feed = &FEEDS[*which as usize % FEEDS.len()];
    let context = Context {
        feed,
        canaries: &CANARIES,
        now: 1_795_543_062,
    };
    let (mut entries, mut bytes) = (0, 0);
    let result = parse(&context, &mut &*body, &mut |text, info, reference| {
        entries += 1;
        bytes += text.len();
        assert!(!text.is_empty() && !text.chars().any(char::is_control));
        assert!(info.len() <= 512 && reference.len() <= 512);
        assert_eq!(CANARIES.hit(text), None, "{text}");
        Ok(())
    });
    // A byte that is no UTF-8 becomes three; lower-casing may add one more; an address of a zone may be
    // shorter than its text.
    assert!(entries <= body.len() && bytes <= 48 * body.len().max(1));
    if let Ok(counts) = result {
        assert_eq!(counts.entries, entries);
        assert!(counts.samples.len() <= counts.refused);
    }
    if let Ok(events) = misp_events(&mut &*body) {
        assert!(events.len() <= 200);
    }
    if let Ok(unpacked) = inflate(Body::of(body).expect("memory"), "", UNPACKED) {
        assert!(unpacked.len() <= UNPACKED.max(body.len() as u64) + (64 << 10));
    }
});
