//! Triage in the page: status, assignee, tags, notes, hiding; what another analyst does appears by itself.

use maltrail_tests::webdriver::left_out;
use serde_json::json;

use crate::scene::{Scene, THREATS};

const ENTER: &str = "\u{e007}";

/// The only row that matches, opened.
fn opened(scene: &mut Scene, query: &str) -> String {
    let address = scene.house.http();
    scene.reader.open(&format!("http://{address}/?q={query}"));
    scene.wait_for_rows(1);
    scene.reader.click("[data-testid=threat-row] a.trail");
    scene.reader.find("[data-testid=status-new]");
    scene
        .reader
        .attributes("[data-testid=threat-row]", "data-id")
        .remove(0)
}

#[track_caller]
fn wait_pressed(scene: &mut Scene, status: &str) {
    scene.reader.wait_until(
        &format!("{status} is pressed"),
        &format!(
            "return document.querySelector('[data-testid=status-{status}]')?.getAttribute('aria-pressed') === 'true'"
        ),
    );
}

#[test]
fn a_decision_is_made_by_click_and_key_and_kept() {
    if left_out("a_decision_is_made_by_click_and_key_and_kept") {
        return;
    }
    let mut scene = Scene::with_threats(1600);
    let id = opened(&mut scene, "host09");
    scene.reader.click("[data-testid=status-investigating]");
    wait_pressed(&mut scene, "investigating");
    scene
        .reader
        .type_into("[data-testid=tag-input]", &format!("APT, vpn{ENTER}"));
    scene.reader.wait_until(
        "two tags",
        "return [...document.querySelectorAll('.drawer .tag-text')].map((t) => t.textContent).join() === 'apt,vpn'",
    );
    scene.reader.run(
        "const s = document.querySelector('[data-testid=assignee]'); s.value = 'admin'; s.dispatchEvent(new Event('change', { bubbles: true }));",
    );
    let mut client = scene.house.signed_in();
    let row = |client: &mut maltrail_tests::http::Client| {
        client.get("/api/v1/threats?q=host09&hidden=include").json()["threats"][0].clone()
    };
    scene.reader.wait_until(
        "the assignee in the row",
        "return document.querySelector('[data-testid=threat-row] .c-st .who')?.title === 'Assigned to admin'",
    );
    let kept = row(&mut client);
    assert_eq!(
        (&kept["status"], &kept["assignee"], &kept["tags"]),
        (
            &json!("investigating"),
            &json!("admin"),
            &json!(["apt", "vpn"])
        )
    );
    // Keys act on the open threat, but not while a field has the focus.
    scene
        .reader
        .run("document.querySelector('.drawer-bar button:last-child').focus()");
    scene.reader.press("e");
    wait_pressed(&mut scene, "resolved");
    scene.reader.press("f");
    wait_pressed(&mut scene, "false_positive");
    assert_eq!(row(&mut client)["status"], "false_positive");

    // The address leads another reader to the same threats.
    let address = scene.house.http();
    scene
        .reader
        .open(&format!("http://{address}/?q=status%3Afp&q=tag%3Aapt"));
    scene.wait_for_rows(1);
    let ids = scene
        .reader
        .attributes("[data-testid=threat-row]", "data-id");
    assert_eq!(ids, [id]);
    scene.expect_quiet_console();
}

#[test]
fn notes_are_written_read_and_deleted_as_text() {
    if left_out("notes_are_written_read_and_deleted_as_text") {
        return;
    }
    let mut scene = Scene::with_threats(1280);
    opened(&mut scene, "host10");
    let hostile = "<img src=x onerror=document.title='owned'> first";
    scene.reader.type_into("[data-testid=note-input]", hostile);
    scene.reader.click("[data-testid=note-add]");
    scene.reader.wait_until(
        "the note",
        "return document.querySelectorAll('[data-testid=note]').length === 1",
    );
    assert_eq!(scene.reader.text("[data-testid=note] p"), hostile);
    assert_eq!(
        scene
            .reader
            .run("return document.querySelectorAll('.drawer img').length"),
        0
    );
    let field = scene
        .reader
        .run("return document.querySelector('[data-testid=note-input]').value");
    assert_eq!(field, "");
    let delete = "[data-testid=note] header .linkbtn";
    scene.reader.click(delete);
    assert_eq!(scene.reader.text(delete), "Really delete?");
    scene.reader.click(delete);
    scene.reader.wait_until(
        "no note",
        "return document.querySelectorAll('[data-testid=note]').length === 0",
    );
    assert!(scene.reader.title().starts_with("Maltrail"));
    scene.expect_quiet_console();
}

#[test]
fn hidden_threats_leave_the_list_and_come_back() {
    if left_out("hidden_threats_leave_the_list_and_come_back") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    opened(&mut scene, "host11");
    scene.reader.click("[data-testid=hide]");
    scene.wait_for_rows(0);
    scene.reader.click("[data-testid=show-hidden]");
    scene.wait_for_rows(1);
    assert_eq!(
        scene
            .reader
            .run("return location.search")
            .as_str()
            .map(|search| search.contains("hidden=only")),
        Some(true)
    );
    scene.reader.click("[data-testid=hide]");
    scene.wait_for_rows(0);
    scene.reader.click("[data-testid=leave-hidden]");
    scene.wait_for_rows(1);
    scene.expect_quiet_console();
}

#[test]
fn another_analysts_decision_appears_by_itself() {
    if left_out("another_analysts_decision_appears_by_itself") {
        return;
    }
    let mut scene = Scene::with_threats(1600);
    let id = opened(&mut scene, "host12");
    let mut other = scene.house.signed_in();
    let answer = other.put(
        "/api/v1/triage",
        &json!({"ids": [id], "status": "investigating", "add_tags": ["elsewhere"]}),
    );
    assert_eq!(answer.json()["changed"], 1);
    wait_pressed(&mut scene, "investigating");
    scene.reader.wait_until(
        "the tag",
        "return document.querySelector('.drawer .tag-text')?.textContent === 'elsewhere'",
    );
    let added = other.post(
        &format!("/api/v1/threats/{id}/notes"),
        &json!({"text": "from elsewhere"}),
    );
    assert_eq!(added.status, 201);
    scene.reader.wait_until(
        "the note",
        "return document.querySelector('[data-testid=note] p')?.textContent === 'from elsewhere'",
    );
    // All threats together, as a script would do it.
    let all = other.put(
        "/api/v1/triage",
        &json!({"all": {"q": "zone-1"}, "add_tags": ["bulk"]}),
    );
    assert_eq!(all.json()["selected"], THREATS / 4);
    scene.expect_quiet_console();
}

#[test]
fn a_named_address_shows_its_name_and_filters_by_address() {
    if left_out("a_named_address_shows_its_name_and_filters_by_address") {
        return;
    }
    let mut scene = Scene::with_threats(1600);
    let named = scene.house.signed_in().put(
        "/api/v1/aliases/10.20.10.14",
        &json!({"label": "<b>printer</b>"}),
    );
    assert_eq!(named.status, 204);
    let address = scene.house.http();
    scene
        .reader
        .open(&format!("http://{address}/?q=src%3A10.20.10.14%2F32"));
    scene.wait_for_rows(1);
    let source = "[data-testid=threat-row] .c-src";
    scene.reader.wait_until(
        "the name",
        "return document.querySelector('[data-testid=threat-row] .c-src button')?.textContent === '<b>printer</b>'",
    );
    assert!(scene.reader.text(source).contains("10.20.10.14"));
    scene.reader.open(&format!("http://{address}/?q=host13"));
    scene.wait_for_rows(1);
    scene.reader.click("[data-testid=threat-row] .c-src button");
    scene.reader.wait_until(
        "the chip",
        "return location.search.includes('src%3A10.20.10.14%2F32')",
    );
    scene.expect_quiet_console();
}
