//! The description of the API is what was committed, and a running server gives it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::TestServer;
use support::fixture::{PASSWORD, finish, fixture};

/// `BLESS=1` renews the snapshot, as `cargo xtask bless` does.
#[test]
fn each_change_of_the_api_shows_in_the_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let now = maltrail_server::openapi::snapshot();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == now,
        "The API has changed. Look at it, then renew tests/openapi.json by `cargo xtask bless`."
    );
}

#[test]
fn it_is_served_with_a_page_that_needs_no_other_server() {
    let server = TestServer::start("");
    let client = server.client();
    let document = client.get("/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let page = client.get("/api");
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    assert!(!text.contains("://"), "no link leaves this server");
    assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onclick"));
    for part in text
        .split("src=\"")
        .skip(1)
        .chain(text.split("href=\"").skip(1))
    {
        let path = part.split('"').next().unwrap();
        if path.starts_with('/') {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
}

/// Whether a value has the shape that a schema names. Knows what our schemas use.
fn fits(value: &Value, schema: &Value, all: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return fits(value, &all[name], all).map_err(|error| format!("{name}: {error}"));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().try_for_each(|part| fits(value, part, all));
    }
    if let Some(parts) = schema["oneOf"].as_array() {
        let any = parts.iter().any(|part| fits(value, part, all).is_ok());
        return any
            .then_some(())
            .ok_or_else(|| format!("{value} fits none"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&is) {
        return Err(format!("{value} is no {types:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], all)?;
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap();
            if !members.contains_key(name) {
                return Err(format!("`{name}` is missing"));
            }
        }
        for (name, property) in properties {
            if let Some(member) = members.get(name) {
                fits(member, property, all).map_err(|error| format!("{name}: {error}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn answers_fit_their_schemas() {
    let server = fixture();
    let client = server.signed_in("admin", PASSWORD);
    let document = client.get("/api/v1/openapi.json").json();
    let all = &document["components"]["schemas"];
    let list = client.get("/api/v1/threats").json();
    let id = list["threats"][0]["id"].as_str().unwrap().to_owned();
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let get = &methods["get"];
        let schema = get.pointer("/responses/200/content/application~1json/schema");
        let Some(schema) = schema.filter(|_| get.is_object()) else {
            continue;
        };
        if path == "/api/v1/export" {
            continue;
        }
        let url = path
            .replace("{id}", &id)
            .replace("{kind}", "ip")
            .replace("{value}", "10.0.0.5");
        let query = if path == "/api/v1/threats" {
            "?include=facets,histogram"
        } else {
            "?q=sev:high&indicator=evil.com"
        };
        let answer = client.get(&format!("{url}{query}"));
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        fits(&answer.json(), schema, all).unwrap_or_else(|error| panic!("{path}: {error}"));
        checked += 1;
    }
    assert!(checked >= 18, "{checked}");
    let wrong = client.get("/api/v1/threats?q=sev:urgent").json();
    fits(&wrong, &all["Error"], all).unwrap();
    finish(server);
}
