//! `GET /api/v1/openapi.json`: the API described by itself (OpenAPI 3.1).
//!
//! Bodies and answers come from the types of the handlers ([`describe`]), access from the route table, the rest
//! from [`operations`]. A test holds it against the route table, method by method; a snapshot in
//! `tests/openapi.json` shows each change (`cargo xtask bless` renews it). The page `/api` lists it.

mod describe;
mod operations;

use std::sync::LazyLock;

use axum::Json;
use serde_json::{Map, Value, json};

use crate::http::access::Access;
use crate::http::router::ROUTES;
use describe::Schemas;
use operations::{Operation, operations};

/// The document, made once.
static DOCUMENT: LazyLock<Value> = LazyLock::new(made);

pub(crate) async fn document() -> Json<Value> {
    Json(DOCUMENT.clone())
}

/// The document as the snapshot has it.
pub fn snapshot() -> String {
    let text = serde_json::to_string_pretty(&*DOCUMENT).unwrap_or_default();
    text + "\n"
}

fn made() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let described = described(&operation, &mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    schemas.insert("Error".into(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Maltrail",
            "version": maltrail_core::VERSION,
            "description": "Search language, paging and errors: docs/api.md, docs/search.md.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": crate::http::middleware::COOKIE},
                "token": {"type": "http", "scheme": "bearer", "description": "mt_..., see /api/v1/tokens"},
            },
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error", "code"],
        "properties": {
            "error": {"type": "string", "description": "For a person."},
            "code": {"type": "string", "description": "For a program."},
            "position": {"type": "integer", "description": "Of a wrong search: character, from 0."},
            "retry_after": {"type": "integer", "description": "Seconds."},
        },
    })
}

fn described(operation: &Operation, schemas: &mut Schemas) -> Value {
    let access = ROUTES.iter().find(|route| route.path == operation.path);
    let access = access.map_or(Access::Public, |route| route.access);
    let (body, reply) = (operation.describe)(schemas);
    let mut answer = json!({"description": "As asked."});
    if let Some(schema) = reply.schema {
        answer["content"] = json!({"application/json": {"schema": schema}});
    }
    for media in operation.media {
        answer["content"][*media] = json!({});
    }
    let mut described = json!({
        "operationId": operation_id(operation),
        "tags": [operation.group],
        "summary": operation.summary,
        "description": who(access, operation.method),
        "parameters": parameters(operation),
        "responses": {
            reply.status.to_string(): answer,
            "default": {
                "description": "Refused.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
        "security": security(access),
    });
    if let Some(schema) = body {
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    described
}

/// `get_threats_id_events`.
fn operation_id(operation: &Operation) -> String {
    let words = operation.path.trim_start_matches("/api/v1/");
    let words = words.replace(['{', '}'], "").replace(['/', '.', '-'], "_");
    format!("{}_{words}", operation.method)
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let inside = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let asked = operation.parameters.iter().map(|(name, text, schema)| {
        json!({"name": name, "in": "query", "description": text, "schema": schema()})
    });
    let header = json!({
        "name": "X-Maltrail", "in": "header",
        "description": "Needed with a cookie: a foreign page cannot send it.",
        "schema": {"type": "string", "const": "1"},
    });
    let header = (operation.method != "get").then_some(header);
    inside.chain(asked).chain(header).collect()
}

fn who(access: Access, method: &str) -> &'static str {
    match access {
        Access::Public => "For everybody.",
        Access::Read => "For whoever may read. Restricted accounts see their networks.",
        Access::ReadAll => "For whoever may read all networks.",
        Access::Analyst if method == "get" => "For whoever may read.",
        Access::Analyst => "For analysts and admins; token scope write.",
        Access::Admin => "For admins; token scope admin.",
        Access::Account | Access::Person => "For signed-in people, not for tokens.",
        Access::Sensor => "For sensors; token scope sensor.",
        Access::Fail2ban | Access::Blacklist => "For addresses of an allow-list.",
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Account | Access::Person => json!([{"cookie": []}]),
        _ => json!([{"cookie": []}, {"token": []}]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{Method, StatusCode};
    use tower::ServiceExt;

    use super::*;
    use crate::http::router::router;
    use crate::http::router::tests::{request, state};

    #[tokio::test]
    async fn it_describes_each_method_of_each_route_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let service = router(state(dir.path(), true));
        let paths = DOCUMENT["paths"].as_object().unwrap();
        let routes = ROUTES
            .iter()
            .filter(|route| route.path.starts_with("/api/v1/"));
        let known: BTreeSet<&str> = routes.clone().map(|route| route.path).collect();
        assert_eq!(
            paths.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            known
        );
        for route in routes {
            for method in [
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ] {
                let request = request(route.path, method.clone(), [127, 0, 0, 1], None);
                let answer = service.clone().oneshot(request).await.unwrap();
                let answers = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
                let described = paths[route.path]
                    .get(method.as_str().to_lowercase())
                    .is_some();
                assert_eq!(answers, described, "{method} {}", route.path);
            }
        }
    }

    #[test]
    fn references_lead_somewhere_and_ids_are_unique() {
        let text = DOCUMENT.to_string();
        let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
        let mut used = BTreeSet::new();
        for (at, found) in text.match_indices("#/components/schemas/") {
            let name = text[at + found.len()..].split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
            used.insert(name);
        }
        for name in schemas.keys() {
            assert!(used.contains(name.as_str()), "{name} is used by nothing");
        }
        let mut ids = BTreeSet::new();
        for operation in operations() {
            assert!(ids.insert(operation_id(&operation)), "{}", operation.path);
        }
        assert!(ids.len() > 35, "{}", ids.len());
    }

    #[test]
    fn bodies_and_answers_come_from_the_types() {
        let at = |path: &str, method: &str, pointer: &str| {
            DOCUMENT["paths"][path][method]
                .pointer(pointer)
                .cloned()
                .unwrap()
        };
        let schema = "/responses/200/content/application~1json/schema/$ref";
        assert_eq!(
            at("/api/v1/threats", "get", schema),
            "#/components/schemas/ThreatList"
        );
        let body = "/requestBody/content/application~1json/schema/$ref";
        assert_eq!(
            at("/api/v1/triage", "put", body),
            "#/components/schemas/TriageBody"
        );
        assert_eq!(
            at("/api/v1/login", "post", body),
            "#/components/schemas/LoginBody"
        );
        assert_eq!(
            at("/api/v1/login", "post", schema),
            "#/components/schemas/SessionInfo"
        );
        let events = &DOCUMENT["components"]["schemas"]["EventList"]["properties"];
        assert_eq!(
            events["events"]["items"]["$ref"],
            "#/components/schemas/Event"
        );
        assert!(events["next"].is_object());
    }
}
