//! What the lines of a head say to who reads them one by one.

use cloud_cup::message::http1::{Framing, RequestHead};
use http::Version;

/// Fields that end at the gateway. What they say is in the other parts of a [`RequestHead`].
const FOR_THIS_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Field = (String, String);

/// Compares a head that was accepted with what was made of it.
pub(super) fn check(head: &[u8], parsed: &RequestHead) {
    let head = characters(head);
    let head = head.strip_suffix("\r\n\r\n").expect("an empty line ends a head");
    // Empty lines before a head are skipped, the first by the connection and one more here (RFC 9112, section 2.2).
    let head = head.strip_prefix("\r\n").unwrap_or(head);
    let mut lines = head.split("\r\n");
    check_start(lines.next().unwrap_or_default(), parsed);
    let fields: Vec<Field> = lines.map(field).collect();
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    let options: Vec<String> = values("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect();
    let says = |wanted: &str| options.iter().any(|option| option == wanted);

    assert_eq!(parsed.framing, framing(&values("content-length"), &values("transfer-encoding")));
    assert!(parsed.framing != Framing::Chunked || parsed.version == Version::HTTP_11);
    assert!(values("host").len() == 1 || (values("host").is_empty() && parsed.version == Version::HTTP_10));
    assert!(!says("host"));
    assert!(!(says("close") && parsed.keep_alive));
    if let Some(upgrade) = &parsed.upgrade {
        assert_eq!((parsed.version, parsed.framing), (Version::HTTP_11, Framing::Length(0)));
        assert_eq!(values("upgrade"), [characters(upgrade.token().as_bytes())]);
        assert!(says("upgrade"));
    }
    check_forwarded(&fields, parsed, says);
}

fn check_start(line: &str, parsed: &RequestHead) {
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words[..] else { panic!("{line:?} has not three words") };
    assert_eq!((parsed.method.as_str(), format!("{:?}", parsed.version).as_str()), (method, version));
    if target.starts_with('/') {
        // A fragment is not for servers (RFC 9110, section 4.2.5).
        let target = target.split('#').next();
        let found = parsed.uri.path_and_query().map(|target| characters(target.as_str().as_bytes()));
        assert_eq!(found.as_deref(), target);
        assert_eq!(parsed.uri.authority(), None);
    }
}

fn framing(lengths: &[&str], codings: &[&str]) -> Framing {
    match (lengths, codings) {
        ([], []) => Framing::Length(0),
        ([length], []) => Framing::Length(length.parse().expect("a length is a number")),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        _ => panic!("it can be framed by {lengths:?} and by {codings:?}"),
    }
}

/// The fields that go on are those that neither a rule nor the client keeps to this hop, unchanged.
fn check_forwarded(fields: &[Field], parsed: &RequestHead, is_option: impl Fn(&str) -> bool) {
    // `close` names no field, and one of that name is nobody's business.
    let goes_on =
        |(name, _): &&Field| !FOR_THIS_HOP.contains(&name.as_str()) && !is_option(name) && name != "close";
    let mut expected: Vec<Field> = fields.iter().filter(goes_on).cloned().collect();
    let found = parsed.headers.iter().map(|(name, value)| (name.to_string(), characters(value.as_bytes())));
    let mut found: Vec<Field> = found.filter(|(name, _)| name != "close").collect();
    // Both are in order within one name.
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(found, expected);
    assert!(!found.iter().any(|(_, value)| value.contains(['\r', '\n', '\0'])));
}

fn field(line: &str) -> Field {
    let (name, value) = line.split_once(':').expect("a field has a colon");
    (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
}

/// Each byte as a character, since values need not be UTF-8.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
