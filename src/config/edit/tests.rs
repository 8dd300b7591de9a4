use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "root": ":8080",
        "timeouts": { "connect": "5s", "drain": "10s" },
        "routes": { "/a": { "backends": [{ "host": "a:1" }, { "host": "b:1" }] }, "*": {} }
    })
}

/// The examples of RFC 6901, section 5.
#[test]
fn evaluates_pointers_as_the_rfc_does() {
    let document = json!({
        "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
    });
    let check =
        |pointer: &str, expected: Value| assert_eq!(get(&document, pointer), Ok(&expected), "{pointer}");
    check("", document.clone());
    check("/foo", json!(["bar", "baz"]));
    check("/foo/0", json!("bar"));
    check("/", json!(0));
    check("/a~1b", json!(1));
    check("/c%d", json!(2));
    check("/e^f", json!(3));
    check("/g|h", json!(4));
    check("/i\\j", json!(5));
    check("/k\"l", json!(6));
    check("/ ", json!(7));
    check("/m~0n", json!(8));
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merges_as_the_rfc_does() {
    let check = |mut original: Value, change: Value, expected: Value| {
        patch(&mut original, "", &change).unwrap();
        assert_eq!(original, expected, "{change}");
    };
    check(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}));
    check(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}));
    check(json!({"a":"b"}), json!({"a":null}), json!({}));
    check(json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"}));
    check(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}));
    check(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}));
    check(json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}}));
    check(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}));
    check(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]));
    check(json!({"a":"b"}), json!(["c"]), json!(["c"]));
    check(json!({"a":"foo"}), json!(null), json!(null));
    check(json!({"a":"foo"}), json!("bar"), json!("bar"));
    check(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}));
    check(json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"}));
    check(json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}}));
}

/// Compares texts, since the order of fields counts.
#[test]
fn edits_at_the_place_and_nowhere_else() {
    type Edit = fn(&mut Value, &str) -> Result<(), EditError>;
    let check = |before: Value, edit: Edit, pointer: &str, after: Value| {
        let mut document = before;
        edit(&mut document, pointer).unwrap();
        assert_eq!(document.to_string(), after.to_string(), "{pointer}");
    };
    let put: Edit = |document, pointer| put(document, pointer, json!(9));
    check(json!({"b":1,"a":2}), put, "/b", json!({"b":9,"a":2}));
    check(json!({"b":1,"a":2}), put, "/0", json!({"b":1,"a":2,"0":9}));
    check(json!({"b":1}), put, "/c/0/-", json!({"b":1,"c":{"0":{"-":9}}}));
    check(json!({"b":[1,2]}), put, "/b/1", json!({"b":[1,9]}));
    check(json!({"b":[1,2]}), put, "/b/2", json!({"b":[1,2,9]}));
    check(json!({"b":[1,2]}), put, "/b/-", json!({"b":[1,2,9]}));
    check(json!({"b":[]}), put, "/b/-/c", json!({"b":[{"c":9}]}));
    check(json!({"b":1}), put, "", json!(9));
    let patch: Edit = |document, pointer| patch(document, pointer, &json!({"z":null,"y":{"x":1,"w":null}}));
    check(json!({"b":{"z":1,"y":2,"a":3}}), patch, "/b", json!({"b":{"y":{"x":1},"a":3}}));
    check(json!({}), patch, "/b/c", json!({"b":{"c":{"y":{"x":1}}}}));
    check(json!([]), patch, "/-", json!([{"y":{"x":1}}]));
    let delete: Edit = |document, pointer| delete(document, pointer).map(|_| ());
    check(json!({"c":1,"b":2,"a":3,"d":4}), delete, "/c", json!({"b":2,"a":3,"d":4}));
    check(json!({"c":[1,2,3]}), delete, "/c/0", json!({"c":[2,3]}));
    check(json!({"a/b":{"m~n":1}}), delete, "/a~1b/m~0n", json!({"a/b":{}}));
}

#[test]
fn patches_null_into_the_place() {
    let mut document = json!({"a":1});
    patch(&mut document, "/b", &Value::Null).unwrap();
    assert_eq!(document, json!({"a":1,"b":null}));
}

#[test]
fn says_why_an_edit_is_not_possible() {
    let check = |pointer: &str, expected: &str| {
        assert_eq!(get(&document(), pointer).unwrap_err().to_string(), expected);
        assert_eq!(delete(&mut document(), pointer).unwrap_err().to_string(), expected);
    };
    check(
        "/timeout/connect",
        "nothing is at `/timeout/connect`: the document goes as far as the top level; did you mean `/timeouts`?",
    );
    check(
        "/timeouts/conect",
        "nothing is at `/timeouts/conect`: the document goes as far as `/timeouts`; did you mean `/timeouts/connect`?",
    );
    check(
        "/routes/~1b/backends",
        "nothing is at `/routes/~1b/backends`: the document goes as far as `/routes`; did you mean `/routes/~1a`?",
    );
    check(
        "/routes/~1a/backends/2/host",
        "nothing is at `/routes/~1a/backends/2/host`: the document goes as far as `/routes/~1a/backends`",
    );
    check(
        "/routes/~1a/backends/-",
        "nothing is at `/routes/~1a/backends/-`: the document goes as far as `/routes/~1a/backends`",
    );
    check("/root/0", "`/root` is a string, and nothing can be inside of it: name it as a whole");
    check(
        "/routes/~1a/backends/01",
        "`01` is no index for the array at `/routes/~1a/backends`: its length is 2, items count from 0, and putting to `-` appends one",
    );
    check(
        "root",
        "`root` is no JSON pointer for a document: it begins with `/`, or is empty for the whole document",
    );
    check(
        "/~a",
        "`/~a` is no JSON pointer for a document: `~` in a name is written `~0`, and `/` in a name `~1`",
    );
    check(
        "/a~",
        "`/a~` is no JSON pointer for a document: `~` in a name is written `~0`, and `/` in a name `~1`",
    );
    assert_eq!(
        delete(&mut document(), "").unwrap_err().to_string(),
        "the whole document cannot be deleted: put another in its place"
    );
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let check = |pointer: &str| {
        let mut document = document();
        put(&mut document, pointer, json!(1)).unwrap_err();
        patch(&mut document, pointer, &json!(1)).unwrap_err();
        assert_eq!(document.to_string(), self::document().to_string(), "{pointer}");
    };
    check("/root/a/b");
    check("/routes/~1a/backends/3");
    check("/routes/~1a/backends/x/y");
    check("/routes/~1a/backends/+1");
    check("/routes/~1a/backends/99999999999999999999999");
    check("/routes/~1a/backends/");
    check("routes");
    check(&"/a".repeat(128));
}

#[test]
fn puts_no_deeper_than_can_be_read_again() {
    let mut document = json!({});
    put(&mut document, &"/a".repeat(127), json!(1)).unwrap();
    assert_eq!(document.to_string().parse::<Value>().unwrap(), document);
}

const NAMES: [&str; 8] = ["", "a", "b", "0", "1", "/", "~", "ä"];

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), "[a-c]".prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let fields = prop::collection::vec((prop::sample::select(&NAMES), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

fn pointers() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES), 0..5)
        .prop_map(|tokens| tokens.iter().fold(String::new(), |pointer, token| join(&pointer, token)))
}

proptest! {
    #[test]
    fn gets_what_was_put(mut document in documents(), pointer in pointers(), value in documents()) {
        if put(&mut document, &pointer, value.clone()).is_ok() {
            prop_assert_eq!(get(&document, &pointer), Ok(&value));
        }
    }

    #[test]
    fn puts_wherever_something_is(mut document in documents(), pointer in pointers(), value in documents()) {
        if get(&document, &pointer).is_ok() {
            prop_assert_eq!(put(&mut document, &pointer, value), Ok(()));
        }
    }

    #[test]
    fn finds_nothing_where_it_deleted(mut document in documents(), pointer in pointers()) {
        let before = document.clone();
        match delete(&mut document, &pointer) {
            Ok(deleted) => {
                prop_assert_eq!(get(&before, &pointer), Ok(&deleted));
                let around = pointer.rsplit_once('/').unwrap().0;
                let is_gone = matches!(get(&document, &pointer), Err(EditError::NotFound { .. }));
                match (get(&before, around).unwrap(), get(&document, around).unwrap()) {
                    (Value::Array(before), Value::Array(after)) => prop_assert_eq!(before.len(), after.len() + 1),
                    _ => prop_assert!(is_gone),
                }
            }
            Err(_) => prop_assert_eq!(document, before),
        }
    }

    #[test]
    fn a_second_merge_changes_nothing(
        mut document in documents(),
        pointer in pointers(),
        change in documents(),
    ) {
        if patch(&mut document, &pointer, &change).is_ok() {
            let once = document.to_string();
            patch(&mut document, &pointer, &change).unwrap();
            prop_assert_eq!(document.to_string(), once);
        }
    }

    #[test]
    fn no_text_makes_it_panic(document in documents(), pointer in "(/[-~01a9ä]*|\\PC){0,6}") {
        let result = get(&document, &pointer);
        prop_assert_eq!(result.is_ok(), delete(&mut document.clone(), &pointer).is_ok() || pointer.is_empty());
        let _ = put(&mut document.clone(), &pointer, json!(1));
        let _ = patch(&mut document.clone(), &pointer, &json!({"a": null}));
        if let Err(error) = result {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
