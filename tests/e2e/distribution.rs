//! One server hands its trail set to sensors elsewhere, which see attacks by it.

use std::fs;

use maltrail_tests::events::today;
use maltrail_tests::house::TestHouse;
use maltrail_tests::packet::{Host, Qtype, dns_query};
use maltrail_tests::pcap::{ETHERNET, Frame, pcap};

const ROWS: &str = "named-here.biz,lumma (malware),(static)\r\n\
    our-own-secret.biz,projectx (custom),(custom)\r\n\
    also-ours.biz,zeus (malware),(static) (+(custom))\r\n";

/// A question for each name of the rows.
fn questions(house: &TestHouse) -> std::path::PathBuf {
    let names = ["named-here.biz", "our-own-secret.biz", "also-ours.biz"];
    let frames: Vec<Frame> = names
        .iter()
        .enumerate()
        .map(|(at, name)| Frame {
            micros: 1_700_000_000_000_000 + at as u64,
            bytes: dns_query(
                Host::local("10.0.0.5").port(45_353),
                Host::local("10.0.0.1").port(53),
                name,
                Qtype::A,
            ),
        })
        .collect();
    house.write("names.pcap", pcap(ETHERNET, &frames))
}

#[test]
fn a_sensor_takes_the_set_of_a_server_without_the_operator_s_own_rows() {
    let mut server = TestHouse::new();
    server.write("trails.csv", ROWS);
    server.start_server(&[]);
    let mut sensor = TestHouse::new();
    sensor
        .set("UPDATE_SERVER", &format!("http://{}/trails", server.http()))
        .set("OFFLINE_TIMESTAMPS", "wallclock")
        .set("TRAIL_RELOAD_MIN_RATIO", "0");
    let update = sensor.run_sensor(&["update"]).expect_success();
    let rows = fs::read_to_string(sensor.path("trails.csv")).expect("a set");
    assert_eq!(
        rows,
        "named-here.biz,lumma (malware),(static)\r\n",
        "{}",
        update.all()
    );
    let _ = sensor.replay(&questions(&sensor)).expect_success();
    let events = sensor.day_file(&format!("{}.log", today()));
    assert!(events.contains("named-here.biz"), "{events}");
    assert!(
        !events.contains("secret") && !events.contains("also-ours"),
        "{events}"
    );
}

#[test]
fn a_sensor_with_a_token_gets_the_operator_s_own_rows_until_it_is_revoked() {
    let mut server = TestHouse::new();
    server.write("trails.csv", ROWS);
    server.start_server(&[]);
    let made = server.run_server(&["token", "add", "--sensor", "gate"]);
    let made = made.expect_success();
    let token = made.out.trim().to_owned();
    assert!(token.starts_with("mt_") && token.len() == 46, "{token}");
    let mut sensor = TestHouse::new();
    sensor
        .set("UPDATE_SERVER", &format!("http://{}/trails", server.http()))
        .set("UPDATE_SERVER_TOKEN", &token);
    let update = sensor.run_sensor(&["update"]).expect_success();
    let rows = || fs::read_to_string(sensor.path("trails.csv")).expect("a set");
    let all = "also-ours.biz,zeus (malware),(static) (+(custom))\r\n\
        named-here.biz,lumma (malware),(static)\r\n\
        our-own-secret.biz,projectx (custom),(custom)\r\n";
    assert_eq!(rows(), all, "{}", update.all());
    assert!(!update.all().contains(&token), "{}", update.all());
    let list = server.run_server(&["token", "list"]).expect_success().out;
    let (id, about) = list.split_once("  ").expect("a token");
    assert!(
        about.starts_with("gate  sensor  of the console  without end  last used"),
        "{about}"
    );
    assert!(!list.contains(&token), "{list}");
    let _ = server.run_server(&["token", "revoke", id]).expect_success();
    let refused = sensor.run_sensor(&["update"]);
    let refused = refused.expect_failure(&["UPDATE_SERVER_TOKEN", "revoked"]);
    assert!(!refused.all().contains(&token), "{}", refused.all());
    assert_eq!(rows(), all, "the old set stays");
}

#[test]
fn a_server_without_a_set_changes_nothing_at_a_sensor() {
    let mut server = TestHouse::new();
    server.start_server(&[]);
    let mut sensor = TestHouse::new();
    sensor.set("UPDATE_SERVER", &format!("http://{}/trails", server.http()));
    sensor.write("trails.csv", ROWS);
    let _ = sensor
        .run_sensor(&["update"])
        .expect_failure(&["UPDATE_SERVER"]);
    let rows = fs::read_to_string(sensor.path("trails.csv")).expect("a set");
    assert_eq!(rows, ROWS);
}
