//! Every operation of `/api/v1`: its handler, and what a type cannot say.

use serde_json::{Value, json};

use super::describe::{Described, Reply, Schemas, reference};
use crate::api;
use crate::api::session::SessionInfo;

/// A parameter of the query string: name, what it means, schema.
pub(super) type Parameter = (&'static str, &'static str, fn() -> Value);

/// Body and answer, made with the schemas they need.
type Describe = fn(&mut Schemas) -> (Option<Value>, Reply);

/// One operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) group: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) describe: Describe,
    /// Of an answer that is no JSON.
    pub(super) media: &'static [&'static str],
}

impl Operation {
    fn with(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend(parameters);
        self
    }

    const fn media(mut self, media: &'static [&'static str]) -> Self {
        self.media = media;
        self
    }

    /// The answer of a handler that makes its response by hand.
    const fn answers(mut self, describe: Describe) -> Self {
        self.describe = describe;
        self
    }
}

fn of<Parts, H: Described<Parts>>(schemas: &mut Schemas) -> (Option<Value>, Reply) {
    (H::body(schemas), H::reply(schemas))
}

fn op<Parts, H: Described<Parts>>(
    method: &'static str,
    path: &'static str,
    group: &'static str,
    summary: &'static str,
    _: H,
) -> Operation {
    Operation {
        method,
        path,
        group,
        summary,
        parameters: Vec::new(),
        describe: of::<Parts, H>,
        media: &[],
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

fn day() -> Value {
    json!({"type": "string", "format": "date"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

const DAY: Parameter = (
    "day",
    "The day, in the zone of the server; today without.",
    day,
);
const FROM: Parameter = ("from", "First of several days (instead of `day`).", day);
const TO: Parameter = (
    "to",
    "Last of several days, at most 31; today without.",
    day,
);
const Q: Parameter = ("q", "Search, see docs/search.md.", text);
const CURSOR: Parameter = ("cursor", "`next` of the page before.", text);
const LIMIT: Parameter = (
    "limit",
    "Items on a page.",
    || json!({"type": "integer", "minimum": 1, "maximum": 500}),
);
const SEV: Parameter = (
    "sev",
    "Severities, separated by commas: high, medium, low.",
    text,
);
const HIDDEN: Parameter = (
    "hidden",
    "What becomes of hidden threats.",
    || json!({"type": "string", "enum": ["exclude", "include", "only"], "default": "exclude"}),
);
const SORT: Parameter = ("sort", "Order.", || {
    json!({"type": "string", "default": "risk", "enum": ["risk", "uid", "count", "first", "last", "src", "dst",
        "dport", "proto", "type", "trail", "info", "sensor", "severity"]})
});
const DIR: Parameter = (
    "dir",
    "Direction of the order.",
    || json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
);
const SELECTION: [Parameter; 8] = [DAY, FROM, TO, Q, SEV, HIDDEN, SORT, DIR];
const DAYS: Parameter = (
    "days",
    "How many days, with `day` the last of them.",
    || json!({"type": "integer", "minimum": 1, "maximum": 31}),
);

/// All of them, by path.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = answers();
    all.extend(decisions());
    all.extend(accounts());
    all
}

/// What is stored and known.
fn answers() -> Vec<Operation> {
    let get = "get";
    vec![
        op(get, "/api/v1/threats", "threats", "Threats of a day or of several, with totals, facets, histogram", api::threats::threats)
            .with(&SELECTION)
            .with(&[
                LIMIT,
                ("offset", "Rows to leave out (instead of `cursor`).", count),
                CURSOR,
                ("include", "`facets`, `histogram`, separated by commas.", text),
            ]),
        op(get, "/api/v1/threats/{id}", "threats", "One threat and its newest 200 events", api::threat::threat).with(&[DAY]),
        op(get, "/api/v1/threats/{id}/events", "threats", "Every event of a threat on a day, newest first", api::threat_events::events)
            .with(&[DAY, LIMIT, CURSOR]),
        op(get, "/api/v1/threats/{id}/history", "threats", "Events of a threat per day", api::history::history).with(&[DAYS, DAY]),
        op(get, "/api/v1/stream", "threats", "Changes of the selected threats as server-sent events: hello, upsert, remove, resync", api::stream::stream)
            .with(&[DAY, Q, SEV, HIDDEN])
            .media(&["text/event-stream"]),
        op(get, "/api/v1/export", "threats", "The selected threats as a file, all of them", api::export::export)
            .with(&[("format", "Form of the file.", || {
                json!({"type": "string", "enum": ["csv", "json", "ndjson", "ioc", "stix", "misp"], "default": "csv"})
            })])
            .with(&SELECTION)
            .media(&["text/csv", "application/json", "application/x-ndjson", "text/plain", "application/stix+json"]),
        op(get, "/api/v1/query", "threats", "What a search means, part by part", api::query::query).with(&[Q]),
        op(get, "/api/v1/entities/{kind}/{value}", "threats", "What is known of an address (ip), name (domain), trail or sensor", api::entities::entity)
            .with(&[DAYS, DAY]),
        op(get, "/api/v1/explain", "server", "Whether an indicator is reported, and why", api::explain::explain)
            .with(&[("indicator", "Name, address, network, URL, path, digest or user agent, also defanged.", text)]),
        op(get, "/api/v1/days", "server", "Days with events, and how many", api::days::days).with(&[
            ("from", "First day; a year before the last without.", day),
            ("to", "Last day; today without.", day),
        ]),
        op(get, "/api/v1/sensors", "server", "Sensors that report", api::sensors::sensors),
        op(get, "/api/v1/feeds", "server", "How the feeds stood at the last update", api::feeds::feeds),
        op(get, "/api/v1/health", "server", "Counters of intake and index", api::health::health),
        op(get, "/api/v1/stats", "server", "How much is stored and counted", api::stats::stats),
        op(get, "/api/v1/trails/image", "server", "The trails for sensors", api::trails::image)
            .media(&["application/octet-stream"]),
        op(get, "/api/v1/openapi.json", "server", "This document", super::document),
    ]
}

/// What people say about threats.
fn decisions() -> Vec<Operation> {
    vec![
        op(
            "put",
            "/api/v1/triage",
            "triage",
            "Changes status, assignee, tags or hiding of threats",
            api::triage::edit,
        ),
        op(
            "get",
            "/api/v1/cases",
            "triage",
            "Threats that somebody decided about",
            api::triage::list,
        )
        .with(&[LIMIT, CURSOR]),
        op(
            "get",
            "/api/v1/tags",
            "triage",
            "Tags in use",
            api::triage::tags,
        ),
        op(
            "get",
            "/api/v1/assignees",
            "triage",
            "Who may be given work",
            api::triage::assignees,
        ),
        op(
            "get",
            "/api/v1/threats/{id}/notes",
            "triage",
            "Notes on a threat",
            api::notes::list,
        )
        .with(&[DAY]),
        op(
            "post",
            "/api/v1/threats/{id}/notes",
            "triage",
            "Adds a note",
            api::notes::add,
        )
        .with(&[DAY]),
        op(
            "put",
            "/api/v1/notes/{note}",
            "triage",
            "Changes a note",
            api::notes::edit,
        ),
        op(
            "delete",
            "/api/v1/notes/{note}",
            "triage",
            "Removes a note",
            api::notes::delete,
        ),
        op(
            "get",
            "/api/v1/views",
            "triage",
            "Saved views",
            api::views::list,
        ),
        op(
            "post",
            "/api/v1/views",
            "triage",
            "Saves a view",
            api::views::add,
        ),
        op(
            "put",
            "/api/v1/views/{view}",
            "triage",
            "Changes a view",
            api::views::edit,
        ),
        op(
            "delete",
            "/api/v1/views/{view}",
            "triage",
            "Removes a view",
            api::views::delete,
        ),
        op(
            "get",
            "/api/v1/aliases",
            "triage",
            "Names of addresses",
            api::views::aliases,
        ),
        op(
            "put",
            "/api/v1/aliases/{address}",
            "triage",
            "Names an address",
            api::views::set_alias,
        ),
    ]
}

/// Who may do what.
fn accounts() -> Vec<Operation> {
    fn signed_in<Parts, H: Described<Parts>>(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Operation {
        op(method, path, "accounts", summary, handler).answers(|schemas| {
            let schema = Some(reference::<SessionInfo>(schemas));
            (
                H::body(schemas),
                Reply {
                    status: 200,
                    schema,
                },
            )
        })
    }
    vec![
        op(
            "get",
            "/api/v1/session",
            "accounts",
            "Who asks",
            api::session::session,
        ),
        signed_in(
            "post",
            "/api/v1/login",
            "Signs in; sets the cookie",
            api::session::login,
        ),
        op(
            "post",
            "/api/v1/logout",
            "accounts",
            "Signs out",
            api::session::logout,
        )
        .answers(|_| {
            (
                None,
                Reply {
                    status: 204,
                    schema: None,
                },
            )
        }),
        signed_in(
            "post",
            "/api/v1/password",
            "Sets an own new password",
            api::session::password,
        ),
        op(
            "get",
            "/api/v1/sessions",
            "accounts",
            "Sign-ins",
            api::sessions::list,
        )
        .with(&[
            ("all", "`1`: those of everybody, for admins.", text),
            LIMIT,
            CURSOR,
        ]),
        op(
            "delete",
            "/api/v1/sessions",
            "accounts",
            "Ends all other own sign-ins",
            api::sessions::end_others,
        ),
        op(
            "delete",
            "/api/v1/sessions/{id}",
            "accounts",
            "Ends a sign-in",
            api::sessions::end,
        ),
        op(
            "get",
            "/api/v1/tokens",
            "accounts",
            "Tokens, without their secrets",
            api::tokens::list,
        )
        .with(&[LIMIT, CURSOR]),
        op(
            "post",
            "/api/v1/tokens",
            "accounts",
            "Makes a token; its secret is shown once",
            api::tokens::add,
        ),
        op(
            "delete",
            "/api/v1/tokens/{id}",
            "accounts",
            "Revokes a token",
            api::tokens::revoke,
        ),
        op(
            "get",
            "/api/v1/users",
            "accounts",
            "Accounts",
            api::users::list,
        )
        .with(&[LIMIT, CURSOR]),
        op(
            "put",
            "/api/v1/users/{name}",
            "accounts",
            "Changes the role of an account",
            api::users::set_role,
        ),
        op(
            "get",
            "/api/v1/audit",
            "accounts",
            "Who changed what",
            api::audit_log::list,
        )
        .with(&[
            ("actor", "Only changes by this account.", text),
            (
                "action",
                "Only this action, or this area before its dot.",
                text,
            ),
            ("object", "Only changes of this object.", text),
            LIMIT,
            CURSOR,
        ]),
        op(
            "get",
            "/api/v1/alerts",
            "server",
            "Alerts that wait or could not be delivered",
            api::alerts::list,
        )
        .with(&[LIMIT, CURSOR]),
    ]
}
