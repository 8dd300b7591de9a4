use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(raw: &str, expected: Result<&str, PathError>) {
    let normalised = normalise(raw);
    assert_eq!(normalised.as_deref(), expected.as_ref().map(|path| *path), "{raw}");
}

#[test]
fn plain_paths_are_borrowed() {
    for path in ["/", "/a", "/a/", "/game/dev", "/a.b/c..d/-._~!$&'()*+,;=:@", "/v1/users:batch", "/a;v=1/b"]
    {
        assert!(matches!(normalise(path), Ok(Cow::Borrowed(borrowed)) if borrowed == path), "{path}");
    }
}

#[test]
fn unchanged_paths_are_borrowed() {
    for path in ["/.well-known/acme", "/caf%C3%A9", "/a%20b", "/...", "/;v=1"] {
        assert!(matches!(normalise(path), Ok(Cow::Borrowed(borrowed)) if borrowed == path), "{path}");
    }
}

#[test]
fn escapes_get_one_spelling() {
    check("/%61%64min", Ok("/admin"));
    check("/%7Euser/%2d%5F", Ok("/~user/-_"));
    check("/caf%c3%a9", Ok("/caf%C3%A9"));
    check("/a%2bb", Ok("/a%2Bb"));
    check("/[a]|^", Ok("/%5Ba%5D%7C%5E"));
    check("/%252e%252e/%2561", Ok("/%252e%252e/%2561"));
}

#[test]
fn repeated_slashes_become_one() {
    check("//admin/x", Ok("/admin/x"));
    check("/a///b//", Ok("/a/b/"));
    check("//", Ok("/"));
}

#[test]
fn dot_segments_are_removed() {
    check("/a/./b", Ok("/a/b"));
    check("/a/../b", Ok("/b"));
    check("/a/%2e%2E/b", Ok("/b"));
    check("/a/.%2e/b/%2e", Ok("/b/"));
    check("/a/..", Ok("/"));
    check("/a/b/..", Ok("/a/"));
    check("/a//../b", Ok("/b"));
    check("/.", Ok("/"));
    check("/a/...", Ok("/a/..."));
    check("/a/..b/.c", Ok("/a/..b/.c"));
}

#[test]
fn paths_above_the_root_are_refused() {
    for path in ["/..", "/../a", "/a/../../b", "/%2e%2e/a", "/.//..", "//../a"] {
        check(path, Err(PathError::AboveRoot));
    }
}

#[test]
fn hidden_dot_segments_are_refused() {
    for path in ["/a/..;/b", "/a/.;x/b", "/a/%2e%2e;v=1", "/a/..%3b/b", "/;/a", "/a/;v=1/b", "/;x;/;y/"] {
        check(path, Err(PathError::DisguisedSegment));
    }
    check("/a/;v=1", Ok("/a/;v=1"));
    check("/;v=1/..", Ok("/"));
    check("/.a;v/..b;v", Ok("/.a;v/..b;v"));
}

#[test]
fn ambiguous_escapes_are_refused() {
    check("/a%2fb", Err(PathError::ForbiddenEscape(b'/')));
    check("/a%5Cb", Err(PathError::ForbiddenEscape(b'\\')));
    check("/a%00", Err(PathError::ForbiddenEscape(0)));
    check("/a%0d%0a", Err(PathError::ForbiddenEscape(b'\r')));
    check("/a%7f", Err(PathError::ForbiddenEscape(0x7F)));
    for path in ["/%", "/%6", "/%zz", "/%6g", "/a%/61", "/%+1", "/%%61"] {
        check(path, Err(PathError::BrokenEscape));
    }
    for path in ["/%ff", "/%e9", "/%c0%af", "/%c3/%a9", "/%c3a", "/%ed%a0%80"] {
        check(path, Err(PathError::NotUtf8));
    }
    check("/%ff/..", Err(PathError::NotUtf8));
}

#[test]
fn bytes_that_no_path_holds_are_refused() {
    for byte in ["\\", " ", "\"", "<", ">", "`", "{", "}", "?", "#", "\0", "\n", "\x7F"] {
        check(&format!("/a{byte}b"), Err(PathError::ForbiddenByte(byte.as_bytes()[0])));
    }
    check("/é", Err(PathError::ForbiddenByte(0xC3)));
}

#[test]
fn only_absolute_paths_are_taken() {
    check("", Ok("/"));
    for path in ["*", "a/b", "%2Fa", "http://a/"] {
        check(path, Err(PathError::NotAbsolute));
    }
}

#[test]
fn errors_say_what_was_refused() {
    assert_eq!(PathError::ForbiddenEscape(b'/').to_string(), "escape `%2F` is not allowed in a path");
    assert_eq!(PathError::ForbiddenByte(b' ').to_string(), "byte `0x20` is not allowed in a path");
    assert_eq!(PathError::BrokenEscape.to_string(), "`%` is not followed by two hexadecimal digits");
}

#[test]
fn matching_form_ignores_parameters_and_how_delimiters_are_written() {
    for (segment, form) in [
        ("a", "a"),
        ("a%2Bb%40c", "a+b@c"),
        ("a;v=1", "a"),
        ("a%3Bb", "a%3Bb"),
        (";v", ""),
        ("%252B", "%252B"),
    ] {
        assert_eq!(matching_form(segment), form);
    }
}

/// Paths from the pieces that matter, which arbitrary text would seldom put together.
fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "%2e", "%2E%2e", "a", "%61", "b", ";", "%3b", "%2B", "+", "[", "%5b",
        "%c3%a9", "%25", "2e", "é", "%2f", "%00", "%", "\\", " ",
    ]);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat())),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|text| format!("/{text}")),
    ]
}

/// What a path denotes, by a second way: all escapes decoded, then segments resolved one by one.
fn denoted(path: &str) -> Option<Vec<Vec<u8>>> {
    let mut segments = Vec::new();
    let decoded =
        path.split('/').skip(1).map(|segment| units(segment).map(|unit| unit.map(Unit::byte)).collect());
    for segment in decoded.collect::<Result<Vec<Vec<u8>>, _>>().ok()? {
        match &segment[..] {
            b"" | b"." => {}
            b".." => drop(segments.pop()?),
            _ => segments.push(segment),
        }
    }
    Some(segments)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn normalised_paths_are_safe(raw in raw_path()) {
        let Ok(path) = normalise(&raw) else { return Ok(()) };
        prop_assert!(path.starts_with('/') && !path.contains("//"), "{path}");
        prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path}");
        prop_assert!(!path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))), "{path}");
        for unit in units(&path) {
            let safe = match unit? {
                Unit::Plain(byte) => is_plain_byte(byte),
                Unit::Escaped(byte) => byte != b'/' && !is_unreserved(byte),
            };
            prop_assert!(safe, "{path}");
        }
        prop_assert_eq!(matches!(path, Cow::Borrowed(_)), path == raw || raw.is_empty());
    }

    #[test]
    fn normalising_again_changes_nothing(raw in raw_path()) {
        let Ok(path) = normalise(&raw) else { return Ok(()) };
        prop_assert_eq!(normalise(&path), Ok(Cow::Borrowed(&*path)));
    }

    #[test]
    fn normalising_keeps_what_the_path_denotes(raw in raw_path()) {
        let Ok(path) = normalise(&raw) else { return Ok(()) };
        prop_assert_eq!(denoted(&path), denoted(&raw), "{} {}", raw, path);
    }

    #[test]
    fn the_form_of_a_form_is_the_form(raw in raw_path()) {
        for segment in raw.split('/').filter_map(|raw| normalise_segment(raw).ok()) {
            let form = matching_form(&segment);
            prop_assert_eq!(matching_form(&form), &*form);
        }
    }
}
