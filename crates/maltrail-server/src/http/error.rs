//! One error type, one JSON shape: `{"error": text for a person, "code": word for a program}`.
//!
//! The client gets what it can act on; causes inside the server are logged where they happen.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::auth::Refused;
use crate::auth::grants::Grant;
use crate::desk::DeskError;
use crate::query::parse::QueryError;

/// A refused request.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    text: String,
    position: Option<usize>,
    retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            position: None,
            retry_after: None,
        }
    }

    /// A parameter that cannot be understood.
    pub(crate) fn parameter(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parameter", text)
    }

    pub(crate) fn login() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "login", "Sign in first.")
    }

    pub(crate) fn must_change() -> Self {
        let text = "This password ships with the product. Set a new one first.";
        Self::new(StatusCode::FORBIDDEN, "must_change", text)
    }

    /// The account's role is too low.
    pub(crate) fn role() -> Self {
        let text = "The role of this account does not allow it; an admin can change roles.";
        Self::new(StatusCode::FORBIDDEN, "role", text)
    }

    /// The token was not made for this.
    pub(crate) fn scope(grant: Grant) -> Self {
        let text = format!("This token lacks the scope `{}`.", grant.word());
        Self::new(StatusCode::FORBIDDEN, "scope", text)
    }

    /// Only for people with a sign-in, so that a leaked token cannot make more of itself.
    pub(crate) fn no_tokens() -> Self {
        let text = "This needs a sign-in; tokens cannot do it.";
        Self::new(StatusCode::FORBIDDEN, "token", text)
    }

    /// A token that opens more than machines fetch in the clear anyway, from another machine over plain
    /// HTTP.
    pub(crate) fn clear_token() -> Self {
        let text = "This token must not cross a network unencrypted. Use HTTPS, and revoke it: it may have been seen. USE_SSL false in maltrail.conf allows plain HTTP.";
        Self::new(StatusCode::FORBIDDEN, "clear_token", text)
    }

    /// Nothing of it can be filtered by network.
    pub(crate) fn restricted() -> Self {
        let text =
            "This account sees some networks only; what is kept here belongs to all of them.";
        Self::new(StatusCode::FORBIDDEN, "restricted", text)
    }

    pub(crate) fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "The request does not come from this site's own page.",
        )
    }

    /// A password from another machine over plain HTTP. It has been sent already; refusing it keeps
    /// people from making a habit of it.
    pub(crate) fn clear_password() -> Self {
        let text = "Passwords must not cross a network unencrypted. Sign in over HTTPS: the same address with https:// (or through an HTTPS proxy, TRUSTED_PROXIES). USE_SSL false in maltrail.conf allows plain HTTP.";
        Self::new(StatusCode::FORBIDDEN, "clear_password", text)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
    }

    pub(crate) fn too_large() -> Self {
        let text = "The request body is too large.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body", text)
    }

    pub(crate) fn busy(secs: u64) -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "The server is busy. Try again.",
        );
        error.retry_after = Some(secs);
        error
    }

    pub(crate) fn unavailable() -> Self {
        let text = "The server cannot do this now; its log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        let text = error.to_string();
        match error {
            DeskError::Invalid(_) => Self::new(StatusCode::BAD_REQUEST, "invalid", text),
            DeskError::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, "full", text),
            DeskError::Missing => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            DeskError::Foreign => Self::new(StatusCode::FORBIDDEN, "foreign", text),
            DeskError::File(error) => {
                tracing::error!(%error, "state file: cannot read or write it");
                Self::unavailable()
            }
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let mut answer = Self::new(StatusCode::BAD_REQUEST, "query", error.message);
        answer.position = Some(error.position);
        answer
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied => Self::new(
                StatusCode::UNAUTHORIZED,
                "denied",
                "Wrong name or password.",
            ),
            Refused::Wait(secs) => {
                let text = format!("Too many attempts. Try again in {secs} s.");
                let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "wait", text);
                error.retry_after = Some(secs);
                error
            }
            Refused::Weak(weak) => Self::new(StatusCode::BAD_REQUEST, "weak", weak.to_string()),
            Refused::Code => {
                let text = "Wrong one-time code. The server printed it at start and keeps it in first-login-code in LOG_DIR.";
                Self::new(StatusCode::FORBIDDEN, "code", text)
            }
            Refused::Token => Self::new(
                StatusCode::UNAUTHORIZED,
                "token",
                "This token is not known here, has expired or was revoked.",
            ),
            Refused::Unavailable => Self::unavailable(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.text, "code": self.code});
        if let (Some(map), Some(position)) = (body.as_object_mut(), self.position) {
            map.insert("position".into(), position.into());
        }
        if let (Some(map), Some(secs)) = (body.as_object_mut(), self.retry_after) {
            map.insert("retry_after".into(), secs.into());
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(secs) = self.retry_after {
            let name: HeaderName = header::RETRY_AFTER;
            response.headers_mut().insert(name, HeaderValue::from(secs));
        }
        response
    }
}
