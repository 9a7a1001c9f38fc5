//! The unit tests of the dashboard's modules, which are a page of their own.

use std::path::Path;

use maltrail_tests::static_files::StaticFiles;
use maltrail_tests::webdriver::left_out;

use crate::scene::Reader;

#[test]
fn the_modules_pass_their_own_tests() {
    if left_out("the_modules_pass_their_own_tests") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = StaticFiles::start(root.to_owned());
    let mut reader = Reader::new(1280, 900);
    reader.open(&format!("http://{}/tests/js/index.html", files.address()));
    reader.wait_until("the result", "return document.title.startsWith('done ')");
    let title = reader.title();
    let passed = title
        .strip_prefix("done ")
        .and_then(|rest| rest.strip_suffix(" passed 0 failed"))
        .and_then(|count| count.parse::<usize>().ok());
    let result = reader.text("#result");
    assert!(
        passed.is_some_and(|passed| passed > 20),
        "{title}\n{result}"
    );
}
