//! Every recorded example of the reference's HTTP server, as a table. Rows that need more than one request
//! name their test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;
use std::io::Read;

use serde_json::Value;
use support::fixture::{PASSWORD, finish, fixture, open};
use support::{Answer, Client, TestServer, today};

struct Row {
    id: &'static str,
    server: &'static str,
    asker: &'static str,
    request: String,
    wanted: String,
}

fn rows() -> Vec<Row> {
    let today = today();
    let lines = include_str!("data/examples.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut columns = line.split('\t');
            let mut next = || columns.next().unwrap();
            Row {
                id: next(),
                server: next(),
                asker: next(),
                request: next().replace("{TODAY}", &today),
                wanted: next().replace("{TODAY}", &today),
            }
        })
        .collect()
}

/// Signed-in clients of a server, by name.
struct Askers<'a>(&'a TestServer, HashMap<&'static str, Client>);

impl Askers<'_> {
    fn get(&mut self, name: &'static str) -> Client {
        let server = self.0;
        let client = self.1.entry(name).or_insert_with(|| match name {
            "-" => server.client(),
            "forged" => Client {
                cookie: Some("maltrail_sessid=391bb960f5053f33022f1938d7adbc0c".into()),
                ..server.client()
            },
            name => server.signed_in(name, PASSWORD),
        });
        client.clone()
    }
}

fn ask(client: &Client, request: &str) -> Answer {
    let mut parts = request.split(" | ");
    let (method, target) = parts.next().unwrap().split_once(' ').unwrap();
    let (mut headers, mut body) = (Vec::new(), "");
    for part in parts {
        match part.strip_prefix("body ") {
            Some(text) => body = text,
            None => headers.push(part.split_once(": ").unwrap()),
        }
    }
    client.request(method, target, &headers, body.as_bytes())
}

/// What is wrong with an answer, if anything.
fn fault(answer: &Answer, wanted: &str) -> Option<String> {
    let mut body = answer.body.clone();
    if answer.header("content-encoding") == Some("gzip") {
        body.clear();
        flate2::read::GzDecoder::new(&answer.body[..])
            .read_to_end(&mut body)
            .unwrap();
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    for part in wanted.split(" | ") {
        let (word, rest) = part.split_once(' ').unwrap_or((part, ""));
        let holds = match word {
            "type" => answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with(rest)),
            "no" => answer.header(rest).is_none(),
            "=" => text == rest.replace("\\n", "\n"),
            "empty" => text.is_empty(),
            "json" => {
                serde_json::from_str::<Value>(&text).ok()
                    == Some(serde_json::from_str(rest).unwrap())
            }
            "lines" => {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                lines == rest.split(' ').collect::<Vec<_>>()
            }
            "has" => text.contains(rest),
            "hasnt" => !text.contains(rest),
            "error" => serde_json::from_str::<Value>(&text)
                .is_ok_and(|json| json["error"].is_string() && json["code"].is_string()),
            name if name.ends_with(':') => answer.header(name.trim_end_matches(':')) == Some(rest),
            status => answer.status.to_string() == status,
        };
        if !holds {
            return Some(format!(
                "not `{part}`: {} {:?}\n{text}",
                answer.status, answer.headers
            ));
        }
    }
    None
}

#[test]
fn every_recorded_example_has_its_answer() {
    let (f1, open) = (fixture(), open());
    let mut faults = Vec::new();
    let mut done = 0;
    {
        let mut askers = HashMap::from([
            ("F1", Askers(&f1, HashMap::new())),
            ("open", Askers(&open, HashMap::new())),
        ]);
        for row in rows() {
            let Some(server) = askers.get_mut(row.server) else {
                continue;
            };
            let answer = ask(&server.get(row.asker), &row.request);
            done += 1;
            if let Some(fault) = fault(&answer, &row.wanted) {
                faults.push(format!(
                    "{} {} as {}: {fault}",
                    row.id, row.request, row.asker
                ));
            }
        }
    }
    finish(f1);
    finish(open);
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(done > 140, "{done}");
}

#[test]
fn the_table_has_every_example_once_and_its_tests_exist() {
    let rows = rows();
    let numbers: Vec<String> = (1..=176).map(|number| format!("E{number:02}")).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, numbers);
    let here = concat!(include_str!("legacy.rs"), include_str!("surface.rs"));
    for row in rows {
        let Some(name) = row.request.strip_prefix("test ") else {
            continue;
        };
        let exists = match name.split_once(' ') {
            Some(("core", path)) => {
                include_str!("../../maltrail-core/src/config/users.rs").contains(last(path))
            }
            Some(("unit", path)) if path.contains("router") => {
                include_str!("../src/http/router.rs").contains(last(path))
            }
            Some(("unit", _)) => {
                include_str!("../src/http/listener.rs").contains("fn a_silent_client_is_closed")
            }
            _ => here.contains(&format!("fn {name}()")),
        };
        assert!(exists, "{}: {name}", row.id);
    }
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap()
}
