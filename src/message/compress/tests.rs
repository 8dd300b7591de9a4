use super::*;

fn settings() -> Settings {
    Settings {
        codings: vec![Coding::Brotli, Coding::Gzip],
        types: ["text/*", "application/json", "application/*+xml"].map(str::to_owned).to_vec(),
        minimum_size: 1000,
    }
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

/// What becomes of a response of JSON with `changes`, to a client that accepts gzip.
#[track_caller]
fn check(changes: &[(&str, &str)], expected: Decision) {
    check_all("GET", &[("accept-encoding", "gzip")], 200, changes, expected);
}

#[track_caller]
fn check_all(
    method: &str,
    request: &[(&str, &str)],
    status: u16,
    changes: &[(&str, &str)],
    expected: Decision,
) {
    let mut response = headers(&[("content-type", "application/json")]);
    for (name, value) in changes {
        response.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let (method, status) = (method.parse().unwrap(), StatusCode::from_u16(status).unwrap());
    let decision = decide(&method, &headers(request), status, &response, None, &settings());
    assert_eq!(decision, expected, "{method} {status} {changes:?} {request:?}");
}

const GZIP: Decision = Decision::Encode(Coding::Gzip);

#[test]
fn what_the_client_accepts_is_used() {
    let check = |accepts, expected| check_all("GET", &[("accept-encoding", accepts)], 200, &[], expected);
    check("gzip", GZIP);
    check("gzip, br", Decision::Encode(Coding::Brotli));
    check("zstd", Decision::Vary);
    check("gzip;q=0", Decision::Vary);
    check_all("GET", &[], 200, &[], Decision::Vary);
    check_all(
        "GET",
        &[("accept-encoding", "gzip"), ("accept-encoding", "br")],
        200,
        &[],
        Decision::Encode(Coding::Brotli),
    );
}

#[test]
fn methods_and_statuses_without_a_whole_body_are_left() {
    let check =
        |method, status, expected| check_all(method, &[("accept-encoding", "gzip")], status, &[], expected);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
        check(method, 200, GZIP);
    }
    check("HEAD", 200, Decision::Vary);
    check("CONNECT", 200, Decision::Leave);
    for status in [201, 203, 404, 500, 503] {
        check("GET", status, GZIP);
    }
    for status in [100, 101, 103, 199, 204, 205, 206, 304] {
        check("GET", status, Decision::Leave);
    }
}

#[test]
fn only_types_that_are_listed() {
    let check = |content_type, expected| check(&[("content-type", content_type)], expected);
    check("text/html", GZIP);
    check("text/html; charset=utf-8", GZIP);
    check("TEXT/Event-Stream ;x", GZIP);
    check("application/json;charset=utf-8", GZIP);
    check("Application/JSON", GZIP);
    check("application/jsonx", Decision::Leave);
    check("application/json-seq", Decision::Leave);
    check("texts/html", Decision::Leave);
    check("text", Decision::Leave);
    check("image/png", Decision::Leave);
    check("application/atom+xml; charset=utf-8", GZIP);
    check("application/A+XML", GZIP);
    check("application/xml", Decision::Leave);
    check("application/+xml", GZIP);
    check("application+xml", Decision::Leave);
    check("", Decision::Leave);
    let response = HeaderMap::new();
    let request = headers(&[("accept-encoding", "gzip")]);
    let decision = decide(&Method::GET, &request, StatusCode::OK, &response, None, &settings());
    assert_eq!(decision, Decision::Leave);
}

#[test]
fn grpc_is_left_whatever_is_listed() {
    let settings = Settings { types: vec!["application/*".to_owned()], ..settings() };
    let check = |content_type, expected| {
        let request = headers(&[("accept-encoding", "gzip")]);
        let response = headers(&[("content-type", content_type)]);
        assert_eq!(decide(&Method::POST, &request, StatusCode::OK, &response, None, &settings), expected);
    };
    check("application/json", GZIP);
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/gRPC-web-text; x",
        "application/grpc-web+json",
    ] {
        check(kind, Decision::Leave);
    }
}

#[test]
fn what_is_encoded_already_stays_so() {
    check(&[("content-encoding", "br")], Decision::Leave);
    check(&[("content-encoding", "identity")], Decision::Leave);
}

#[test]
fn no_transform_is_obeyed_on_both_sides() {
    check(&[("cache-control", "no-transform")], Decision::Leave);
    check(&[("cache-control", "max-age=60,  No-Transform")], Decision::Leave);
    check(&[("cache-control", "max-age=60, no-store")], GZIP);
    check(&[("cache-control", "no-transformation")], GZIP);
    let request = [("accept-encoding", "gzip"), ("cache-control", "no-transform")];
    check_all("GET", &request, 200, &[], Decision::Leave);
}

#[test]
fn short_bodies_are_not_worth_it() {
    check(&[("content-length", "0")], Decision::Leave);
    check(&[("content-length", "999")], Decision::Leave);
    check(&[("content-length", "1000")], GZIP);
    check(&[("content-length", "18446744073709551615")], GZIP);
    // Whoever streams does not say.
    check(&[("transfer-encoding", "chunked")], GZIP);
}

#[test]
fn the_length_of_a_body_is_as_good_as_that_of_the_header() {
    let check = |length, header: Option<u64>, minimum_size, expected| {
        let request = headers(&[("accept-encoding", "gzip")]);
        let mut response = headers(&[("content-type", "text/html")]);
        response.extend(header.map(|length| (CONTENT_LENGTH, length.into())));
        let settings = Settings { minimum_size, ..settings() };
        assert_eq!(decide(&Method::GET, &request, StatusCode::OK, &response, length, &settings), expected);
    };
    check(Some(999), None, 1000, Decision::Leave);
    check(Some(1000), None, 1000, GZIP);
    check(Some(0), Some(1000), 1000, GZIP);
    check(Some(1), None, 0, GZIP);
    check(Some(0), None, 0, Decision::Leave);
}

/// The header of a response before and after.
#[track_caller]
fn check_header(decision: Decision, before: &[(&str, &str)], after: &[(&str, &str)]) {
    let mut response = headers(before);
    decision.apply(&mut response);
    assert_eq!(response, headers(after), "{decision:?} {before:?}");
}

#[test]
fn the_header_says_what_was_done_and_no_longer_what_was() {
    check_header(
        GZIP,
        &[
            ("content-type", "text/html"),
            ("content-length", "2000"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("last-modified", "x"),
        ],
        &[
            ("content-type", "text/html"),
            ("last-modified", "x"),
            ("vary", "accept-encoding"),
            ("content-encoding", "gzip"),
        ],
    );
    check_header(
        Decision::Encode(Coding::Brotli),
        &[],
        &[("vary", "accept-encoding"), ("content-encoding", "br")],
    );
    check_header(
        Decision::Encode(Coding::Zstd),
        &[],
        &[("vary", "accept-encoding"), ("content-encoding", "zstd")],
    );
}

#[test]
fn without_an_encoding_only_vary_is_added() {
    let before = [("content-length", "2000"), ("etag", "\"1\""), ("accept-ranges", "bytes")];
    check_header(Decision::Leave, &before, &before);
    check_header(Decision::Vary, &before, &[&before[..], &[("vary", "accept-encoding")]].concat());
}

#[test]
fn vary_is_neither_repeated_nor_narrowed() {
    let check = |before: &[(&str, &str)], after: &[(&str, &str)]| check_header(Decision::Vary, before, after);
    check(&[("vary", "*")], &[("vary", "*")]);
    check(&[("vary", "origin, *")], &[("vary", "origin, *")]);
    check(&[("vary", "Accept-Encoding")], &[("vary", "Accept-Encoding")]);
    check(
        &[("vary", "origin"), ("vary", "a , ACCEPT-encoding")],
        &[("vary", "origin"), ("vary", "a , ACCEPT-encoding")],
    );
    check(&[("vary", "origin")], &[("vary", "origin"), ("vary", "accept-encoding")]);
    check(&[("vary", "x-accept-encoding")], &[("vary", "x-accept-encoding"), ("vary", "accept-encoding")]);
}

#[test]
fn a_strong_tag_becomes_a_weak_one() {
    let check = |before: &str, after: &str| {
        let encoded = [("vary", "accept-encoding"), ("content-encoding", "gzip")];
        check_header(GZIP, &[("etag", before)], &[&encoded[..], &[("etag", after)]].concat());
    };
    check("\"abc\"", "W/\"abc\"");
    check("W/\"abc\"", "W/\"abc\"");
    check("\"\"", "W/\"\"");
}
