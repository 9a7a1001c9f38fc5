//! The list of the API's operations.

use maltrail_tests::webdriver::left_out;

use crate::scene::Scene;

#[test]
fn the_api_s_page_lists_and_finds_operations() {
    if left_out("the_api_s_page_lists_and_finds_operations") {
        return;
    }
    let mut scene = Scene::installed(1280);
    let address = scene.house.http();
    // What the first page has said is its own affair.
    scene.reader.console();
    scene.reader.open(&format!("http://{address}/api"));
    let loaded = "return document.querySelectorAll('#operations details').length > 30 \
                  && document.getElementById('state').textContent.startsWith('Version ')";
    scene.reader.wait_until("the list", loaded);
    scene.reader.type_into("#filter", "/export");
    let shown = "return [...document.querySelectorAll('#operations details:not([hidden]) summary')] \
                 .map((node) => node.innerText)";
    scene.reader.wait_until(
        "one operation",
        "return document.querySelectorAll('#operations details:not([hidden])').length === 1",
    );
    let shown = scene.reader.run(shown)[0].to_string();
    assert!(shown.contains("/api/v1/export"), "{shown}");
    scene
        .reader
        .click("#operations details:not([hidden]) summary");
    let text = scene.reader.text("#operations details[open]");
    assert!(text.contains("format") && text.contains("ndjson"), "{text}");
    let overflow =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(scene.reader.run(overflow), 0);
    scene.expect_quiet_console();
}
