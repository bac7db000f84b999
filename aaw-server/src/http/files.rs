//! Static files of a folder.

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

use crate::error::StartError;

/// The file that is served for a folder.
const INDEX: &str = "index.html";

/// A folder of static files. Hidden files, and links that lead to one or out of the folder, are not served.
#[derive(Debug, Clone)]
pub(super) struct StaticFiles {
    /// The canonical path: it contains no links.
    root: PathBuf,
    service: ServeDir,
}

impl StaticFiles {
    /// Opens the folder.
    ///
    /// # Errors
    /// [`StartError::Static`] if there is no such folder.
    pub(super) fn open(dir: &Path) -> Result<Self, StartError> {
        let root = dir.canonicalize().and_then(|root| match root.is_dir() {
            true => Ok(root),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        });
        let root = root.map_err(|source| StartError::Static { path: dir.to_owned(), source })?;
        let service = ServeDir::new(&root);
        Ok(Self { root, service })
    }

    /// Whether the folder has a page for `/`.
    pub(super) fn has_index(&self) -> bool {
        self.root.join(INDEX).is_file()
    }

    /// Responds with the requested file; `None` if it does not exist or must not be served.
    pub(super) async fn respond(&self, request: Request) -> Option<Response> {
        let path = relative_path(request.uri().path())?;
        let root = self.root.clone();
        let may_be_served = tokio::task::spawn_blocking(move || is_within(&root, &root.join(path))).await;
        if !may_be_served.unwrap_or(false) {
            return None;
        }
        let response = self.service.clone().call(request).await.unwrap_or_else(|never| match never {});
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let mut response = response.map(Body::new);
        // Browsers may store the file, but validate it at each use, so that a changed file is seen at once.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Some(response)
    }
}

/// The path within the folder that a request names; `None` if it leads out of the folder or to a hidden file.
fn relative_path(path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let mut relative = PathBuf::new();
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        if name.starts_with('.') || name.contains(['\\', '\0']) || (name.is_empty() && !is_last) {
            return None;
        }
        relative.push(name);
    }
    Some(relative)
}

/// Whether `path`, with all links resolved, is a file of `root` that is not hidden.
fn is_within(root: &Path, path: &Path) -> bool {
    let resolves_within =
        |path: &Path| path.canonicalize().is_ok_and(|target| target.starts_with(root) && !is_hidden(root, &target));
    // For a folder its index file is served, which may be a link too.
    resolves_within(path) && (!path.is_dir() || !path.join(INDEX).exists() || resolves_within(&path.join(INDEX)))
}

/// Whether the file, or a folder above it, is hidden. A link with a visible name does not make it visible.
fn is_hidden(root: &Path, target: &Path) -> bool {
    let names = target.strip_prefix(root).into_iter().flat_map(Path::components);
    names.into_iter().any(|name| name.as_os_str().as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_within_the_folder_and_names_no_hidden_file() {
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
            assert_eq!(relative_path(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
