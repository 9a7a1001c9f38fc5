//! The table: filters, severities, order, pages, detail, live changes.

use maltrail_tests::events::Sighting;
use maltrail_tests::webdriver::left_out;

use crate::scene::{Scene, THREATS};

const QUERY: &str = "[data-testid=query-input]";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

#[test]
fn the_filter_box_narrows_the_table() {
    if left_out("the_filter_box_narrows_the_table") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    scene.reader.type_into(QUERY, "host07");
    scene.wait_for_rows(1);
    assert_eq!(scene.trails(), ["host07.zone-3.example"]);
    let count = scene.reader.text("[data-testid=result-count]");
    assert!(count.starts_with("1 of 60 threats"), "{count}");

    // Enter makes a chip; two chips must both match; the address holds them.
    scene.reader.type_into(QUERY, ENTER);
    let chips = scene.reader.attributes("[data-testid=chip]", "data-chip");
    assert_eq!(chips, ["host07"]);
    scene.reader.click("[data-testid=clear-filters]");
    scene.wait_for_rows(50);
    scene.reader.type_into(QUERY, &format!("type:dns{ENTER}"));
    scene.wait_for_rows(20);
    scene.reader.type_into(QUERY, &format!("zone-1{ENTER}"));
    scene.wait_for_rows(5);
    let trails = scene.trails();
    assert!(
        trails.iter().all(|trail| trail.contains("zone-1")),
        "{trails:?}"
    );
    let address = scene.reader.run("return location.search");
    assert_eq!(address, "?q=type%3Adns&q=zone-1");

    // A mistake is marked and the rows stay.
    scene.reader.type_into(QUERY, "sev:(high");
    scene.reader.find("[data-testid=query-error]");
    scene.wait_for_rows(5);
    scene.reader.type_into(QUERY, ESCAPE);

    // The same address gives the same rows to another reader, or after a reload.
    scene.reader.run("location.reload()");
    scene.wait_for_rows(5);
    assert_eq!(scene.trails(), trails);
}

#[test]
fn a_filter_without_a_match_says_so_and_leads_back() {
    if left_out("a_filter_without_a_match_says_so_and_leads_back") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    scene
        .reader
        .type_into(QUERY, &format!("nothing-like-this{ENTER}"));
    scene
        .reader
        .find("[data-testid=empty-state][data-kind=filter]");
    scene.reader.click("[data-testid=empty-state] button");
    scene.wait_for_rows(50);
    scene.expect_quiet_console();
}

#[test]
fn severity_pills_choose_and_show_counts() {
    if left_out("severity_pills_choose_and_show_counts") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    for severity in ["high", "medium", "low"] {
        let text = scene.reader.text(&format!("[data-testid=sev-{severity}]"));
        assert!(text.contains("20"), "{severity}: {text}");
    }
    scene.reader.click("[data-testid=sev-medium]");
    scene.wait_for_rows(20);
    let severities = scene.severities();
    assert!(
        severities.iter().all(|severity| severity == "medium"),
        "{severities:?}"
    );
    scene.reader.click("[data-testid=sev-low]");
    scene.wait_for_rows(40);
    assert_eq!(
        scene.reader.run("return location.search"),
        "?sev=medium%2Clow"
    );
    scene.reader.click("[data-testid=sev-all]");
    scene.wait_for_rows(50);

    // A facet does the same for a type.
    scene
        .reader
        .click("[data-testid=facet-type][data-value=URL]");
    scene.wait_for_rows(20);
    scene.expect_quiet_console();
}

#[test]
fn columns_sort_both_ways() {
    if left_out("columns_sort_both_ways") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    let severities = scene.severities();
    let rank = |s: &String| {
        ["high", "medium", "low"]
            .iter()
            .position(|known| known == s)
    };
    assert!(
        severities.iter().map(rank).is_sorted(),
        "by risk at first: {severities:?}"
    );

    scene.reader.click("[data-testid=sort-trail]");
    scene.reader.wait_until(
        "order by trail",
        "return document.querySelector('[data-testid=threat-row]')?.dataset.trail === 'host00.zone-0.example'",
    );
    assert!(scene.trails().is_sorted());
    let sorted = scene.reader.attributes("th[aria-sort]", "aria-sort");
    assert_eq!(sorted, ["ascending"]);

    scene.reader.click("[data-testid=sort-trail]");
    scene.reader.wait_until(
        "the other way",
        "return document.querySelector('[data-testid=threat-row]')?.dataset.trail === 'host59.zone-3.example'",
    );
    assert!(scene.trails().is_sorted_by(|a, b| a >= b));

    // By events: number 4, 9, … have five.
    scene.reader.click("[data-testid=sort-count]");
    scene.reader.wait_until(
        "order by events",
        "return document.querySelector('.c-n [title]')?.title === '5'",
    );
    let numbers: Vec<usize> = scene
        .trails()
        .iter()
        .map(|trail| trail[4..6].parse().unwrap())
        .collect();
    assert!(
        numbers.iter().map(|n| n % 5).is_sorted_by(|a, b| a >= b),
        "{numbers:?}"
    );

    // Back steps through what was done.
    scene.reader.run("history.back()");
    scene.reader.wait_until(
        "the order before",
        "return document.querySelector('[data-testid=threat-row]')?.dataset.trail === 'host59.zone-3.example'",
    );
    scene.expect_quiet_console();
}

#[test]
fn pages_hold_every_threat_once() {
    if left_out("pages_hold_every_threat_once") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    let address = scene.house.http();
    scene
        .reader
        .open(&format!("http://{address}/?size=25&sort=trail"));
    let mut seen = Vec::new();
    for (info, count) in [("1–25 of 60", 25), ("26–50 of 60", 25), ("51–60 of 60", 10)] {
        scene.reader.wait_until(
            info,
            &format!(
                "return document.querySelector('[data-testid=page-info]')?.innerText === {info:?}"
            ),
        );
        scene.wait_for_rows(count);
        seen.extend(scene.trails());
        if count == 25 {
            scene.reader.click("[data-testid=page-next]");
        }
    }
    assert!(seen.is_sorted() && seen.len() == THREATS, "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), THREATS);
    let last = scene
        .reader
        .run("return document.querySelector('[data-testid=page-next]').disabled");
    assert_eq!(last, true);
    scene.reader.click("[data-testid=page-prev]");
    scene.wait_for_rows(25);
    scene.expect_quiet_console();
}

#[test]
fn a_row_opens_its_detail_and_gives_the_focus_back() {
    if left_out("a_row_opens_its_detail_and_gives_the_focus_back") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    let address = scene.house.http();
    scene.reader.open(&format!("http://{address}/?q=host09"));
    scene.wait_for_rows(1);
    scene.reader.click("[data-testid=threat-row] a.trail");
    scene.reader.wait_until(
        "five events in the detail",
        "return document.querySelectorAll('[data-testid=drawer] tbody tr').length === 5",
    );
    let text = scene.reader.text("[data-testid=drawer]");
    for wanted in [
        "host09.zone-1.example",
        "demo rat",
        "10.20.10.10",
        "office",
        "(static)",
    ] {
        assert!(text.contains(wanted), "no `{wanted}` in {text}");
    }
    let id = scene
        .reader
        .attributes("[data-testid=threat-row]", "data-id")
        .remove(0);
    let address = scene.reader.run("return location.search");
    assert_eq!(address, format!("?q=host09&open={id}"));

    scene.reader.press(ESCAPE);
    scene.reader.wait_until(
        "no detail",
        "return !document.querySelector('[data-testid=drawer]')",
    );
    scene.reader.wait_until(
        "the focus on its row",
        &format!("return document.activeElement?.closest('tr')?.dataset.id === {id:?}"),
    );
    scene.reader.press(ENTER);
    scene.reader.find("[data-testid=drawer]");
    scene.reader.click("[data-testid=drawer-close]");
    scene.reader.wait_until(
        "no detail",
        "return !document.querySelector('[data-testid=drawer]')",
    );
    scene.expect_quiet_console();
}

/// A new event comes by UDP; nobody touches the page.
#[test]
fn a_new_threat_appears_by_itself() {
    if left_out("a_new_threat_appears_by_itself") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    scene.reader.wait_until(
        "the live stream",
        "return document.querySelector('[data-testid=live-toggle]')?.dataset.state === 'live'",
    );
    let fresh = Sighting {
        trail: "fresh.zone-9.example",
        info: "demo ransomware (malware)",
        micros: 77,
        ..Sighting::default()
    };
    scene.house.send([fresh.datagram()]);
    scene
        .reader
        .find("[data-testid=threat-row][data-trail='fresh.zone-9.example']");
    scene.reader.wait_until(
        "the new total",
        "return document.querySelector('[data-testid=result-count]').innerText.startsWith('61 threats')",
    );

    // A reader whose pointer is in the table is not disturbed: new rows are counted, then shown.
    let place = scene.reader.run(
        "const b = document.querySelector('[data-testid=threat-row]').getBoundingClientRect(); return [Math.round(b.x + 40), Math.round(b.y + 10)]",
    );
    let pixel = |at: usize| u32::try_from(place[at].as_u64().unwrap()).unwrap();
    scene.reader.point_at(pixel(0), pixel(1));
    let second = Sighting {
        trail: "second.zone-9.example",
        micros: 78,
        ..fresh
    };
    scene.house.send([second.datagram()]);
    scene.reader.find("[data-testid=new-bar]");
    assert_eq!(
        scene
            .reader
            .all("[data-trail='second.zone-9.example']")
            .len(),
        0
    );
    scene.reader.click("[data-testid=new-bar]");
    scene
        .reader
        .find("[data-testid=threat-row][data-trail='second.zone-9.example']");

    // More events of a row on the screen change it where it is.
    for micros in 100..107 {
        scene.house.send([Sighting { micros, ..fresh }.datagram()]);
    }
    scene.reader.wait_until(
        "eight events",
        "return document.querySelector(\"[data-trail='fresh.zone-9.example'] .c-n [title]\")?.title === '8'",
    );
    scene.expect_quiet_console();
}

/// The server goes away and comes back; the page says so and goes on.
#[test]
fn a_restart_of_the_server_is_survived() {
    if left_out("a_restart_of_the_server_is_survived") {
        return;
    }
    let mut scene = Scene::with_threats(1440);
    scene.reader.wait_until(
        "the live stream",
        "return document.querySelector('[data-testid=live-toggle]')?.dataset.state === 'live'",
    );
    let _ = scene.house.stop_server().expect_success();
    scene.reader.wait_until(
        "offline",
        "return document.querySelector('[data-testid=live-toggle]')?.dataset.state === 'offline'",
    );
    scene.wait_for_rows(50);
    scene.house.start_server(&["--keep-default-password"]);
    scene.reader.wait_until(
        "live again, or the form",
        "return document.querySelector('[data-testid=live-toggle]')?.dataset.state === 'live' || Boolean(document.querySelector('[data-testid=login-form]'))",
    );
}
