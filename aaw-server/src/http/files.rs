//! Static files of a folder.

use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf, absolute, is_separator};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode_str;
use tower_http::services::ServeFile;
use tower_service::Service as _;

use super::error::HttpError;
use crate::error::StartError;

/// The file that is served for a folder.
const INDEX: &str = "index.html";

/// The folder at the top whose files are served although its name is that of a hidden one (RFC 8615): certificate
/// authorities and apps look for files there.
const WELL_KNOWN: &str = ".well-known";

/// A folder of static files. Hidden files, and links that lead to one or out of the folder, are not served.
///
/// Links are resolved at each request, also one that is the folder itself: a new release is published by changing it.
#[derive(Debug, Clone)]
pub(super) struct StaticFiles {
    /// An absolute path, which may contain links.
    dir: PathBuf,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A regular file.
    File {
        /// The canonical path.
        target: PathBuf,
        /// The path by which it was requested, which may contain links.
        named: PathBuf,
    },
    /// A folder, named without the slash at the end that relative links in its page need.
    FolderWithoutSlash,
}

impl StaticFiles {
    /// Checks that there is such a folder.
    ///
    /// # Errors
    /// [`StartError::Static`] if there is none.
    pub(super) fn open(dir: &Path) -> Result<Self, StartError> {
        let opened = dir.metadata().and_then(|metadata| match metadata.is_dir() {
            true => absolute(dir),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        });
        opened.map(|dir| Self { dir }).map_err(|source| StartError::Static { path: dir.to_owned(), source })
    }

    /// Responds with the requested file; `None` if it does not exist or must not be served.
    pub(super) async fn respond(&self, request: Request) -> Option<Response> {
        let path = relative_path(request.uri().path())?;
        let dir = self.dir.clone();
        let found = tokio::task::spawn_blocking(move || resolve(&dir, path)).await.ok()??;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let error = "Expected the method GET or HEAD: this is a file";
            return Some(HttpError::method_not_allowed("GET, HEAD", error).into_response());
        }
        match found {
            Found::File { target, named } => respond_with_file(&target, &named, request).await,
            Found::FolderWithoutSlash => Some(redirect_to_folder(request.uri())),
        }
    }
}

/// Finds the regular file that `path`, with all links resolved, leads to; `None` if there is none within the folder, or
/// if it is hidden.
fn resolve(dir: &Path, path: PathBuf) -> Option<Found> {
    let root = dir.canonicalize().ok()?;
    let within = |path: &Path| {
        let target = path.canonicalize().ok()?;
        let is_served = target.strip_prefix(&root).is_ok_and(|relative| !is_hidden(relative));
        let metadata = target.metadata().ok().filter(|_| is_served)?;
        Some((target, metadata))
    };
    // Opening a pipe would wait for a writer, and a device may do anything.
    let file =
        |(target, metadata): (PathBuf, Metadata), named| metadata.is_file().then_some(Found::File { target, named });
    let found = within(&root.join(&path))?;
    if !found.1.is_dir() {
        return file(found, path);
    }
    let index = file(within(&found.0.join(INDEX))?, path.join(INDEX))?;
    // `/` is the empty path, and `/a/` one that ends with a separator.
    let has_slash = path.as_os_str().as_encoded_bytes().last().is_none_or(|last| is_separator(char::from(*last)));
    Some(if has_slash { index } else { Found::FolderWithoutSlash })
}

/// Responds with a file. The name that was requested decides about its type: a link may lead to a file with any name.
async fn respond_with_file(target: &Path, named: &Path, request: Request) -> Option<Response> {
    let mut response = ServeFile::new(target).call(request).await.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::NOT_FOUND {
        return None;
    }
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_TYPE) {
        let typed = if named.extension().is_some() { named } else { target };
        headers.insert(CONTENT_TYPE, content_type(typed));
    }
    // Browsers may store the file, but validate it at each use, so that a changed file is seen at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response.map(Body::new))
}

/// The media type for the extension of a file. Without a charset a browser guesses one, often that of its user's
/// language; JSON and SVG are UTF-8 by their own standards.
fn content_type(file: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(file).first_or_octet_stream();
    let media_type = match guess.essence_str() {
        // The names that RFC 9239 made obsolete.
        "application/javascript" | "application/x-javascript" => "text/javascript",
        other => other,
    };
    let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    HeaderValue::try_from(format!("{media_type}{charset}"))
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

/// Redirects to the same path with a slash behind it. The reference is relative: a proxy may have removed a prefix of the path.
pub(super) fn redirect_to_folder(target: &Uri) -> Response {
    let name = target.path().rsplit('/').next().unwrap_or_default();
    // Without `./`, a colon in the name would make it a scheme.
    let location = target.query().map_or_else(|| format!("./{name}/"), |query| format!("./{name}/?{query}"));
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    // Always valid: the path and the query of a URI are.
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The path within the folder that a request names; `None` if it leads out of the folder or to a hidden file.
fn relative_path(path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let mut relative = PathBuf::new();
    let mut names = path.split('/').enumerate().peekable();
    while let Some((depth, name)) = names.next() {
        let is_last = names.peek().is_none();
        let is_hidden = name.starts_with('.') && !(depth == 0 && name == WELL_KNOWN);
        if is_hidden || name.contains(['\\', '\0']) || (name.is_empty() && !is_last) {
            return None;
        }
        relative.push(name);
    }
    Some(relative)
}

/// Whether a file, or a folder above it, is hidden. A link with a visible name does not make it visible.
fn is_hidden(relative: &Path) -> bool {
    relative
        .components()
        .map(Component::as_os_str)
        .enumerate()
        .any(|(depth, name)| name.as_encoded_bytes().starts_with(b".") && !(depth == 0 && name == WELL_KNOWN))
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
            ("/.well-known/security.txt", Some(".well-known/security.txt")),
            ("/.well-known/.env", None),
            ("/a/.well-known/x", None),
            ("/.well-known-not/x", None),
            ("//etc/passwd", None),
            ("/a//b", None),
            ("/a%00.html", None),
            ("/%ff", None),
            ("*", None),
        ] {
            assert_eq!(relative_path(path), expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn text_has_a_charset() {
        for (file, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.png", "image/png"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(file)), expected, "{file}");
        }
    }
}
