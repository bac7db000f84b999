//! The client for browsers, as `/aaw.js`: one file, compressed, and cached.

use aaw_tests::{HttpRequest, HttpResponse, TestServer};

const SCRIPT: &[u8] = include_bytes!("../../../aaw-js/dist/aaw.js");
const GZIP: &[u8] = include_bytes!("../../../aaw-server/src/http/client_script/aaw.js.gz");
const BROTLI: &[u8] = include_bytes!("../../../aaw-server/src/http/client_script/aaw.js.br");

const REVALIDATE: Option<&str> = Some("no-cache");
const IMMUTABLE: Option<&str> = Some("public, max-age=31536000, immutable");

/// The head of the response, and its body.
async fn send(request: &HttpRequest) -> (HttpResponse, Vec<u8>) {
    let (head, mut body) = request.open().await;
    let body = body.rest().await;
    (head, body)
}

fn script(server: &TestServer) -> HttpRequest {
    HttpRequest::get(server.addr, "/aaw.js")
}

/// The path of the script that contains its hash.
async fn hashed_path(server: &TestServer) -> String {
    let script = script(server).send().await;
    // Relative, because a program may nest aaw's routes below a path.
    let location = script.header("content-location").expect("the path with the hash").to_owned();
    assert!(location.starts_with("aaw/") && location.ends_with(".js"), "{location}");
    format!("/{location}")
}

#[tokio::test]
async fn the_script_is_one_module_that_is_served_to_every_origin() {
    let server = TestServer::start().await;
    // To any origin and under any host name: the script contains nothing about this server.
    let request = script(&server).replace("Host", "evil.example").header("Origin", "https://any.example");
    let (head, body) = send(&request).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(head.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(head.header("cache-control"), REVALIDATE);
    assert_eq!(head.header("content-length"), Some(&*SCRIPT.len().to_string()));
    assert!(body == SCRIPT, "the script is not the one that aaw-js generates");
    let text = String::from_utf8(body).expect("UTF-8");
    assert!(!text.lines().any(|line| line.starts_with("import ")) && !text.contains("import("), "it imports nothing");
}

#[tokio::test]
async fn the_coding_is_the_one_that_the_client_prefers() {
    let server = TestServer::start().await;
    let (plain, gzip, brotli) = ((None, SCRIPT), (Some("gzip"), GZIP), (Some("br"), BROTLI));
    for (accept, (coding, content)) in [
        (None, plain),
        (Some(""), plain),
        (Some("gzip, deflate, br, zstd"), brotli),
        (Some("gzip, deflate"), gzip),
        (Some("GZIP"), gzip),
        (Some("br;q=0.5, gzip;q=0.8"), gzip),
        (Some("br;q=0.5, gzip;q=0.5"), brotli),
        (Some("br;q=0, gzip;q=0"), plain),
        (Some("identity, gzip;q=0.5"), plain),
        (Some("gzip;q=0.5"), gzip),
        (Some("zstd"), plain),
        (Some("identity;q=0, zstd"), plain),
        (Some("*;q=0, gzip"), gzip),
    ] {
        let request = accept.iter().fold(script(&server), |request, accept| request.header("Accept-Encoding", accept));
        let (head, body) = send(&request).await;
        assert_eq!((head.status, head.header("content-encoding")), (200, coding), "{accept:?}");
        assert_eq!(head.header("vary"), Some("accept-encoding"), "{accept:?}");
        assert_eq!(head.header("content-length"), Some(&*content.len().to_string()), "{accept:?}");
        assert!(body == content, "{accept:?}");
    }
    assert!(BROTLI.len() < GZIP.len() && GZIP.len() < SCRIPT.len() / 3, "{} {}", BROTLI.len(), GZIP.len());
}

#[tokio::test]
async fn a_current_copy_is_not_sent_again() {
    let server = TestServer::start().await;
    for path in ["/aaw.js", &hashed_path(&server).await] {
        let request = |accept: &str| HttpRequest::get(server.addr, path).header("Accept-Encoding", accept);
        let mut tags = Vec::new();
        for accept in ["identity", "gzip", "br"] {
            let tag = send(&request(accept)).await.0.header("etag").expect("a tag").to_owned();
            assert!(tag.starts_with('"'), "a strong tag: {tag}");
            for known in [&*tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
                let response = request(accept).header("If-None-Match", known).send().await;
                assert_eq!((response.status, &*response.body), (304, ""), "{accept} {known}");
                assert_eq!(response.header("etag"), Some(&*tag), "{accept} {known}");
                assert_eq!(response.header("vary"), Some("accept-encoding"), "{accept} {known}");
                assert_eq!(response.header("content-encoding"), None, "{accept} {known}");
                let caching = if path == "/aaw.js" { REVALIDATE } else { IMMUTABLE };
                assert_eq!(response.header("cache-control"), caching, "{accept} {known}");
            }
            tags.push(tag);
        }
        assert!(tags[0] != tags[1] && tags[1] != tags[2], "each coding has its own tag: {tags:?}");
        for other in [&*tags[0], "\"x\"", ""] {
            let (head, body) = send(&request("br").header("If-None-Match", other)).await;
            assert!(head.status == 200 && body == BROTLI, "{other}: {}", head.status);
        }
    }
}

#[tokio::test]
async fn the_path_with_the_hash_is_cached_for_good() {
    let server = TestServer::start().await;
    let path = hashed_path(&server).await;
    let (head, body) = send(&HttpRequest::get(server.addr, &path).header("Origin", "https://any.example")).await;
    assert_eq!((head.status, head.header("cache-control")), (200, IMMUTABLE));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert!(body == SCRIPT);
    // The hash of another version gets the current script, which is not kept under that path.
    let (head, body) = send(&HttpRequest::get(server.addr, "/aaw/0123456789abcdef.js")).await;
    assert_eq!((head.status, head.header("cache-control")), (200, REVALIDATE));
    assert!(body == SCRIPT);
    for missing in [
        "/aaw/%ff.js",
        "/aaw/client.js",
        "/aaw/../aaw.js",
        "/aaw/",
        "/aaw/0123456789abcdef",
        "/aaw/x/0123456789abcdef.js",
    ] {
        assert_eq!(HttpRequest::get(server.addr, missing).send().await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_a_range_gets_the_whole_script() {
    let server = TestServer::start().await;
    for accept in ["identity", "br"] {
        let request = script(&server).header("Accept-Encoding", accept);
        let get = send(&request).await.0;
        let head = request.clone().method("HEAD").send().await;
        assert_eq!((head.status, &*head.body), (200, ""));
        for name in ["content-type", "content-length", "content-encoding", "etag", "vary", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        let ranged = send(&request.header("Range", "bytes=0-99")).await;
        assert_eq!((ranged.0.status, ranged.0.header("content-range")), (200, None));
        assert_eq!(ranged.1.len().to_string(), get.header("content-length").unwrap());
    }
}

#[tokio::test]
async fn the_page_loads_the_script_from_the_cached_path_and_is_itself_not_sent_again() {
    let server = TestServer::start().await;
    let path = hashed_path(&server).await;
    for target in ["/", "/events"] {
        let request = HttpRequest::get(server.addr, target).accept("text/html");
        let page = request.send().await;
        assert!(page.body.contains(&format!("\"{path}\"")) && !page.body.contains("aaw.js"), "{target}");
        let tag = page.header("etag").expect("a tag");
        let known = request.header("If-None-Match", tag).send().await;
        assert_eq!((known.status, &*known.body, known.header("etag")), (304, "", Some(tag)), "{target}");
        assert!(known.header("content-security-policy").is_some(), "{target}");
    }
}
