//! What a handler takes and answers, read off its own type.
//!
//! A handler is an async function of extractors; [`Described`] walks their types: a [`JsonBody`] is the body of
//! the request, the result is the answer. So the document cannot say something else than the code.

use std::collections::BTreeMap;
use std::future::Future;

use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::JsonBody;
use crate::http::error::ApiError;

/// Schemas by name.
pub(super) type Schemas = BTreeMap<String, Value>;

/// Adds a type and what it is made of; returns how to refer to it.
pub(super) fn reference<T: ToSchema>(schemas: &mut Schemas) -> Value {
    let mut inner = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut inner);
    for (name, schema) in inner {
        let schema = serde_json::to_value(schema).unwrap_or_default();
        let known = schemas
            .entry(name.clone())
            .or_insert_with(|| schema.clone());
        debug_assert_eq!(*known, schema, "two types are called {name}");
    }
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// Part of a request.
pub(super) trait Part {
    /// The schema of a JSON body; most parts are none.
    fn body(_: &mut Schemas) -> Option<Value> {
        None
    }
}

impl<T> Part for State<T> {}
impl<T> Part for Extension<T> {}
impl<T> Part for Path<T> {}
impl<T, E> Part for Result<Path<T>, E> {}
impl Part for RawQuery {}
impl Part for HeaderMap {}

impl<T: ToSchema> Part for JsonBody<T> {
    fn body(schemas: &mut Schemas) -> Option<Value> {
        Some(reference::<T>(schemas))
    }
}

/// An answer that went well: its status, and the schema of its body.
pub(super) struct Reply {
    pub(super) status: u16,
    /// `None`: no body, or one whose form the table of operations says.
    pub(super) schema: Option<Value>,
}

/// A result of a handler.
pub(super) trait Answer {
    fn reply(schemas: &mut Schemas) -> Reply;
}

impl<T: ToSchema> Answer for Json<T> {
    fn reply(schemas: &mut Schemas) -> Reply {
        Reply {
            status: 200,
            schema: Some(reference::<T>(schemas)),
        }
    }
}

impl Answer for StatusCode {
    fn reply(_: &mut Schemas) -> Reply {
        Reply {
            status: 204,
            schema: None,
        }
    }
}

impl<T: ToSchema> Answer for (StatusCode, Json<T>) {
    fn reply(schemas: &mut Schemas) -> Reply {
        Reply {
            status: 201,
            schema: Some(reference::<T>(schemas)),
        }
    }
}

impl Answer for Response {
    fn reply(_: &mut Schemas) -> Reply {
        Reply {
            status: 200,
            schema: None,
        }
    }
}

impl<T: Answer> Answer for Result<T, ApiError> {
    fn reply(schemas: &mut Schemas) -> Reply {
        T::reply(schemas)
    }
}

/// What a handler takes and answers.
pub(super) trait Described<Parts> {
    fn body(schemas: &mut Schemas) -> Option<Value>;
    fn reply(schemas: &mut Schemas) -> Reply;
}

macro_rules! described {
    ($($part:ident)*) => {
        impl<H, F, $($part,)*> Described<($($part,)*)> for H
        where
            H: Fn($($part),*) -> F,
            F: Future,
            F::Output: Answer,
            $($part: Part,)*
        {
            fn body(schemas: &mut Schemas) -> Option<Value> {
                let _ = &schemas;
                let parts: Vec<Option<Value>> = vec![$($part::body(schemas)),*];
                parts.into_iter().flatten().next()
            }

            fn reply(schemas: &mut Schemas) -> Reply {
                <F::Output as Answer>::reply(schemas)
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);
described!(A B C D E G);
