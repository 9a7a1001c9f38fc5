//! The page as a whole: narrow screens, hostile values, accessibility.

use std::path::Path;

use maltrail_tests::events::Sighting;
use maltrail_tests::webdriver::{Browser, left_out};
use serde_json::Value;

use crate::scene::{Scene, THREATS};

/// A phone's layout grows with its content, so the width that counts is the screen's.
#[track_caller]
fn expect_no_overflow(browser: &mut Browser, width: u64, what: &str) {
    let sizes = browser.run("return [document.documentElement.scrollWidth, innerWidth]");
    let (content, window) = (sizes[0].as_u64(), sizes[1].as_u64());
    assert!(
        content <= Some(width) && window == Some(width),
        "{what}: {content:?} px of content in {window:?} of {width} px"
    );
}

#[test]
fn a_phone_never_scrolls_sideways() {
    if left_out("a_phone_never_scrolls_sideways") {
        return;
    }
    let mut scene = Scene::with_threats(390);
    scene.wait_for_rows(50);
    expect_no_overflow(&mut scene.reader, 390, "the list");
    scene.reader.click("[data-testid=threat-row] a.trail");
    scene.reader.find("[data-testid=drawer] table");
    expect_no_overflow(&mut scene.reader, 390, "the detail");
    scene.reader.click("[data-testid=drawer-close]");
    scene.reader.type_into(
        "[data-testid=query-input]",
        "a-very-long-filter-text-that-does-not-fit-on-a-phone\u{e007}",
    );
    scene.reader.find("[data-testid=empty-state]");
    expect_no_overflow(&mut scene.reader, 390, "a long filter");
    scene.expect_quiet_console();
}

#[test]
fn the_gate_fits_a_phone() {
    if left_out("the_gate_fits_a_phone") {
        return;
    }
    let mut scene = Scene::installed(390);
    scene.reader.find("[data-testid=login-form]");
    expect_no_overflow(&mut scene.reader, 390, "the form");
}

/// The content policy is in force, and what it forbids is seen by the other tests.
#[test]
fn the_content_policy_forbids_what_is_inline() {
    if left_out("the_content_policy_forbids_what_is_inline") {
        return;
    }
    let mut scene = Scene::installed(1280);
    scene.reader.find("[data-testid=login-form]");
    scene.expect_quiet_console();
    let ran = scene.reader.run(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s);
         const p = document.createElement('p'); p.setAttribute('style', 'color: red'); document.body.append(p);
         const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);
         return Boolean(window.ran)",
    );
    assert_eq!(ran, false, "an inline script ran");
    let told = |console: &[String]| {
        ["script-src", "style-src", "img-src"].map(|rule| console.iter().any(|e| e.contains(rule)))
    };
    let console = scene.reader.console();
    assert_eq!(told(&console), [true; 3], "{console:#?}");
}

/// What came off the wire stays text.
#[test]
fn hostile_values_stay_text() {
    if left_out("hostile_values_stay_text") {
        return;
    }
    let mut scene = Scene::with_threats(1280);
    let long = format!("{}.example", "x".repeat(2000));
    let trails = [
        "<img/src=x/onerror=document.title='owned'>",
        "javascript:document.title='owned'",
        "{{7*7}}${7*7}",
        "\u{202e}elpmaxe.live\u{200b}",
        long.as_str(),
    ];
    for (at, trail) in trails.into_iter().enumerate() {
        let sighting = Sighting {
            trail,
            info: "<b>bold</b> (malware)",
            micros: 500 + at as u32,
            ..Sighting::default()
        };
        scene.house.send([sighting.datagram()]);
    }
    scene.reader.wait_until(
        "all of them",
        &format!(
            "return document.querySelector('[data-testid=result-count]').innerText.startsWith('{} threats')",
            THREATS + trails.len()
        ),
    );
    scene
        .reader
        .type_into("[data-testid=query-input]", "bold\u{e007}");
    scene.wait_for_rows(trails.len());
    let found = scene.trails();
    assert!(
        trails.iter().all(|trail| found.iter().any(|f| f == trail)),
        "{found:?}"
    );
    for _ in 0..trails.len() {
        scene.reader.click("[data-testid=threat-row] a.trail");
        scene.reader.find("[data-testid=drawer] table");
        scene.reader.press("j");
    }
    let elements = scene.reader.run("return [...document.querySelectorAll('main img, main b, main script, .drawer img, .drawer script')].length");
    assert_eq!(elements, 0, "no element came out of a value");
    assert!(
        scene.reader.title().starts_with("Maltrail"),
        "{}",
        scene.reader.title()
    );
    expect_no_overflow(&mut scene.reader, 1280, "a long trail");
    scene.expect_quiet_console();
}

/// Runs axe-core (tests/vendor) with the rules of WCAG 2.2 A and AA.
#[track_caller]
fn expect_accessible(browser: &mut Browser, what: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(path).expect("tests/vendor/axe-core/axe.min.js");
    browser.run(&format!("if (!window.axe) {{ {axe} }}"));
    let result = browser.run_async(
        "const done = arguments[arguments.length - 1];
         window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then(
           (r) => done({ checked: r.passes.length, violations: r.violations.map((v) => `${v.id} (${v.impact}): ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`).join(' | ')}`) }),
           (e) => done({ checked: 0, violations: [String(e)] }))",
    );
    assert!(result["checked"].as_u64() > Some(10), "{what}: {result:#}");
    assert_eq!(
        result["violations"],
        Value::Array(Vec::new()),
        "{what}: {result:#}"
    );
}

#[test]
fn the_pages_are_accessible_in_both_themes() {
    if left_out("the_pages_are_accessible_in_both_themes") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    scene.wait_for_rows(50);
    for theme in ["first theme", "other theme"] {
        expect_accessible(&mut scene.reader, &format!("{theme}, the list"));
        scene.reader.click("[data-testid=threat-row] a.trail");
        scene.reader.find("[data-testid=drawer] table");
        expect_accessible(&mut scene.reader, &format!("{theme}, the detail"));
        scene.reader.press("\u{e00c}");
        scene.reader.wait_until(
            "no detail",
            "return !document.querySelector('[data-testid=drawer]')",
        );
        scene.reader.click("[data-testid=theme-toggle]");
        // Colours fade for 120 ms.
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    scene.reader.click("[data-testid=sign-out]");
    scene.reader.find("[data-testid=login-form]");
    expect_accessible(&mut scene.reader, "the form");
}
