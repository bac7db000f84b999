//! A folder of files, served as it is.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tower_http::services::ServeDir;
use tower_service::Service as _;

use crate::server::StartError;

/// What a folder is asked for by its own name.
const INDEX: &str = "index.html";

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// With no links in it.
    root: PathBuf,
    service: ServeDir,
}

impl Files {
    /// Makes sure that it is there.
    pub(super) fn open(dir: &Path) -> Result<Self, StartError> {
        let root = dir.canonicalize().and_then(|root| match root.is_dir() {
            true => Ok(root),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        });
        let root = root.map_err(|source| StartError::Static { path: dir.to_owned(), source })?;
        let service = ServeDir::new(&root);
        Ok(Self { root, service })
    }

    /// Whether it has a page of its own for `/`.
    pub(super) fn has_index(&self) -> bool {
        self.root.join(INDEX).is_file()
    }

    /// The file that is asked for. Nothing if it is not there, or is not to be seen.
    pub(super) async fn respond(&self, request: Request) -> Option<Response> {
        let wanted = inside(request.uri().path())?;
        let root = self.root.clone();
        let is_ours = tokio::task::spawn_blocking(move || is_within(&root, &root.join(wanted))).await;
        if !is_ours.unwrap_or(false) {
            return None;
        }
        let response = self.service.clone().call(request).await.unwrap_or_else(|never| match never {});
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let mut response = response.map(Body::new);
        // Kept, but asked for again each time: what was saved is seen.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Some(response)
    }
}

/// The path within the folder that a request names; nothing if it leads out of it, or to a file that is hidden.
fn inside(path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let mut inside = PathBuf::new();
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let is_end = names.peek().is_none();
        if name.starts_with('.') || name.contains(['\\', '\0']) || (name.is_empty() && !is_end) {
            return None;
        }
        inside.push(name);
    }
    Some(inside)
}

/// Whether what is found at `path`, all links followed, is in `root`.
fn is_within(root: &Path, path: &Path) -> bool {
    let ends_within =
        |path: &Path| path.canonicalize().is_ok_and(|end| end.starts_with(root) && !is_hidden(root, &end));
    // A folder is answered with its page, which may be a link too.
    ends_within(path) && (!path.is_dir() || !path.join(INDEX).exists() || ends_within(&path.join(INDEX)))
}

/// A link to a file that is hidden shows it no more than its own name does.
fn is_hidden(root: &Path, end: &Path) -> bool {
    let names = end.strip_prefix(root).into_iter().flat_map(Path::components);
    names.into_iter().any(|name| name.as_os_str().as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_inside_or_nowhere() {
        for (path, expected) in [
            ("/", Some("")),
            ("/a.html", Some("a.html")),
            ("/a/b%20c.js", Some("a/b c.js")),
            ("/a/", Some("a/")),
            ("/../x", None),
            ("/a/../../x", None),
            ("/%2e%2e/x", None),
            ("/a%2f..%2f..%2fx", None),
            ("/..%5cx", None),
            ("/.git/config", None),
            ("/a/.env", None),
            ("//etc/passwd", None),
            ("/a//b", None),
            ("/a%00.html", None),
            ("/%ff", None),
            ("*", None),
        ] {
            assert_eq!(inside(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
