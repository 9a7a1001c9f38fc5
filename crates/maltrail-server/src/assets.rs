//! The page: files of `html/`, embedded, or read from a folder while developing.
//!
//! `/` is `index.html`; a name without extension also means `NAME.html`. Every file has an ETag and
//! is revalidated, so a new version shows at once and an unchanged one costs a 304.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::auth::password::sha256_hex;
use crate::http::error::ApiError;
use crate::http::params::percent_decode;
use crate::state::AppState;

#[derive(RustEmbed)]
#[folder = "../../html"]
#[allow_missing = true]
struct Html;

/// Endings that are never served, although such files may lie beside the page.
const REFUSED: [&str; 8] = ["py", "pyc", "md", "txt", "bak", "conf", "zip", "orig"];

/// Serves a file or says 404.
pub(crate) async fn serve(State(state): State<AppState>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        return response;
    }
    let Some(name) = file_name(request.uri().path()) else {
        return ApiError::not_found().into_response();
    };
    let html = state.html.clone();
    let found = match html {
        None => embedded(&name),
        Some(dir) => tokio::task::spawn_blocking(move || on_disk(&dir, &name))
            .await
            .ok()
            .flatten(),
    };
    match found {
        Some(file) => answer(file, request.headers()),
        None => ApiError::not_found().into_response(),
    }
}

/// The file that a path names: decoded once, inside the folder, of a kind that is served.
fn file_name(path: &str) -> Option<String> {
    let path = percent_decode(path)?;
    let name = path.strip_prefix('/')?;
    if name.is_empty() {
        return Some("index.html".into());
    }
    let odd = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with('~');
    if name.contains(['\\', '\0']) || name.split('/').any(odd) {
        return None;
    }
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    let refused = REFUSED
        .iter()
        .any(|refused| ending.eq_ignore_ascii_case(refused));
    (!refused || name == "robots.txt").then(|| name.to_owned())
}

struct Asset {
    name: String,
    bytes: Cow<'static, [u8]>,
    etag: String,
}

fn embedded(name: &str) -> Option<Asset> {
    let (name, file) = [name.to_owned(), format!("{name}.html")]
        .into_iter()
        .find_map(|name| Html::get(&name).map(|file| (name, file)))?;
    let hash = file.metadata.sha256_hash();
    let etag: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(Asset {
        name,
        bytes: file.data,
        etag,
    })
}

fn on_disk(dir: &Path, name: &str) -> Option<Asset> {
    let root = dir.canonicalize().ok()?;
    let inside = |path: PathBuf| {
        path.canonicalize()
            .ok()
            .filter(|path| path.starts_with(&root) && path.is_file())
    };
    let (name, path) = [name.to_owned(), format!("{name}.html")]
        .into_iter()
        .find_map(|name| inside(root.join(&name)).map(|path| (name, path)))?;
    let bytes = std::fs::read(path).ok()?;
    let etag = sha256_hex(&bytes).chars().take(24).collect();
    Some(Asset {
        name,
        bytes: bytes.into(),
        etag,
    })
}

fn answer(asset: Asset, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", asset.etag);
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    let fresh = known.is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == etag)
    });
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(asset.bytes.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(&asset.name)),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "csv" => "text/csv; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(file_name("/").as_deref(), Some("index.html"));
        assert_eq!(file_name("/js/main%2Ejs").as_deref(), Some("js/main.js"));
        for bad in [
            "/../etc/passwd",
            "/js/../../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/..%2fetc/passwd",
            "/js/..\\x",
            "/js%5c..%5cx",
            "/a%00.js",
            "//etc/passwd",
            "/.git/config",
            "/README.txt",
            "/x.MD",
            "/main.js~",
            "/%ff",
            "",
        ] {
            assert_eq!(file_name(bad), None, "{bad}");
        }
        assert_eq!(file_name("/robots.txt").as_deref(), Some("robots.txt"));
        // Decoded once: this is a file named `%2e%2e`, not a step up.
        assert_eq!(file_name("/%252e%252e/x").as_deref(), Some("%2e%2e/x"));
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let html = dir.path().join("html");
        std::fs::create_dir(&html).unwrap();
        std::fs::write(dir.path().join("secret.js"), "x").unwrap();
        std::fs::write(html.join("page.html"), "page").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.js"), html.join("link.js")).unwrap();
        assert!(on_disk(&html, "link.js").is_none());
        assert_eq!(
            on_disk(&html, "page").map(|asset| asset.name).as_deref(),
            Some("page.html")
        );
    }
}
