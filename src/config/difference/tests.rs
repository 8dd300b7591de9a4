use proptest::prelude::*;
use serde_json::json;

use super::super::edit::{delete, get, put};
use super::*;

mod redaction;

fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    Differences::between(old, new).differences
}

#[test]
fn tells_differences_in_the_order_of_the_document() {
    let check = |old: Value, new: Value, expected: &[&str]| {
        let shown = Differences::between(&old, &new).to_string();
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{old} {new}");
    };
    check(json!({"a":1,"b":[{"c":2}]}), json!({"b":[{"c":2}],"a":1}), &[]);
    check(json!(1), json!("1"), &["~ the whole document  1 -> \"1\""]);
    check(
        json!({"timeouts":{"connect":"5s","drain":"1s"}}),
        json!({"timeouts":{"connect":"2s","drain":"1s"}}),
        &["~ /timeouts/connect  \"5s\" -> \"2s\""],
    );
    check(json!({"a/b":{"~":1}}), json!({"a/b":{}}), &["- /a~1b/~0  1"]);
    check(json!({"a":null}), json!({}), &["- /a  null"]);
    check(json!({"a":[]}), json!({"a":{}}), &["~ /a  [] -> {}"]);
    // What was removed stands behind what it stood behind.
    check(
        json!({"x":0,"a":1,"b":2,"c":3,"d":4}),
        json!({"a":1,"new":9,"d":5}),
        &["- /x  0", "- /b  2", "- /c  3", "+ /new  9", "~ /d  4 -> 5"],
    );
    // Texts, and objects that nothing is known by, by position.
    check(json!({"a":["x","y"]}), json!({"a":["y"]}), &["~ /a/0  \"x\" -> \"y\"", "- /a/1  \"y\""]);
    check(json!([[1], [2, 3]]), json!([[1, 4], [3]]), &["+ /0/1  4", "~ /1/0  2 -> 3", "- /1/1  3"]);
    check(json!([{"to":1},{"to":2}]), json!([{"to":1},{"to":3}]), &["~ /1/to  2 -> 3"]);
    check(json!([{"host":"a"},{}]), json!([{}]), &["- /0/host  \"a\"", "- /1  {}"]);
}

#[test]
fn knows_items_by_name() {
    let check = |member: &str, old: &[(&str, i32)], new: &[(&str, i32)], expected: &[&str]| {
        let items = |items: &[(&str, i32)]| {
            items.iter().map(|(name, weight)| json!({member: name, "w": weight})).collect::<Value>()
        };
        let shown = Differences::between(&items(old), &items(new)).to_string();
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{old:?} {new:?}");
    };
    for member in IDENTIFYING {
        let first = format!("- /0  {{\"{member}\":\"a\",\"w\":1}}");
        check(member, &[("a", 1), ("b", 1), ("c", 1)], &[("b", 1), ("c", 1)], &[&first]);
    }
    let (a, b, c) = (r#"{"host":"a","w":1}"#, r#"{"host":"b","w":1}"#, r#"{"host":"c","w":1}"#);
    let line = |sign: char, index: usize, item: &str| format!("{sign} /{index}  {item}");
    // A change stands at the new index, a removal at the old one.
    check(
        "host",
        &[("a", 1), ("b", 1)],
        &[("c", 1), ("b", 2)],
        &[&line('-', 0, a), &line('+', 0, c), "~ /1/w  1 -> 2"],
    );
    check(
        "host",
        &[("a", 1), ("b", 1), ("c", 1)],
        &[("b", 1), ("c", 2)],
        &[&line('-', 0, a), "~ /1/w  1 -> 2"],
    );
    // Only another order.
    check(
        "host",
        &[("a", 1), ("b", 1)],
        &[("b", 1), ("a", 1)],
        &[&format!("~ the whole document  [{a},{b}] -> [{b},{a}]")],
    );
    // Another order and more.
    check(
        "host",
        &[("a", 1), ("b", 1), ("c", 1), ("d", 1)],
        &[("b", 2), ("c", 1), ("a", 1), ("d", 1)],
        &[&line('-', 0, a), "~ /0/w  1 -> 2", &line('+', 2, a)],
    );
    // Items of the same name, in their order.
    check(
        "host",
        &[("b", 1), ("b", 2)],
        &[("b", 1), ("b", 3), ("b", 1)],
        &["~ /1/w  2 -> 3", &line('+', 2, b)],
    );
}

#[test]
fn knows_a_plugin_that_is_attached_by_its_name_alone() {
    let old = json!({"plugins": ["cors", "jwt-auth", {"use": "headers"}]});
    let new = json!({"plugins": [{"use": "jwt-auth", "enabled": false}, {"use": "headers"}]});
    let expected =
        "- /plugins/0  \"cors\"\n~ /plugins/0  \"jwt-auth\" -> {\"use\":\"jwt-auth\",\"enabled\":false}";
    assert_eq!(Differences::between(&old, &new).to_string(), expected);
}

#[test]
fn is_json_for_programs() {
    let found = Differences::between(&json!({"a":1,"b":null,"c":[2]}), &json!({"a":2,"c":[2,null]}));
    let expected = json!({
        "differences": [
            {"pointer": "/a", "change": "changed", "old": 1, "new": 2},
            {"pointer": "/b", "change": "removed", "old": null},
            {"pointer": "/c/1", "change": "added", "new": null}
        ],
        "more": false
    });
    assert_eq!(serde_json::to_value(&found).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Differences>(expected).unwrap(), found);
}

#[test]
fn shows_the_beginning_of_long_values() {
    let check = |value: Value, expected: &str| {
        let found = Differences::between(&json!({}), &json!({"a\u{1b}[31m": value}));
        assert_eq!(format!("{found:.8}"), format!("+ /a\\u{{1b}}[31m  {expected}"));
    };
    check(json!(12_345_678), "12345678");
    check(json!(123_456_789), "12345678…");
    check(json!("ääääää"), "\"ääääää\"");
    check(json!("äääääää"), "\"äääääää…");
    check(json!("𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞"), "\"𝄞𝄞𝄞𝄞𝄞𝄞𝄞…");
    check(json!("a\n\u{9b}b"), "\"a\\n\\u{9b}b\"");
    let long = "x".repeat(100);
    let found = Differences::between(&json!([]), &json!([long]));
    assert_eq!(found.to_string(), format!("+ /0  \"{}…", &long[..59]));
}

#[test]
fn lists_no_more_than_can_be_used() {
    let check = |count: usize, listed: usize, more: bool| {
        let new: Value = (0..count).map(|number| (number.to_string(), json!(number))).collect();
        let found = Differences::between(&json!({}), &new);
        assert_eq!((found.differences.len(), found.more), (listed, more));
        assert_eq!(found.to_string().lines().count(), listed + usize::from(more));
    };
    check(MOST_DIFFERENCES - 1, MOST_DIFFERENCES - 1, false);
    check(MOST_DIFFERENCES, MOST_DIFFERENCES, false);
    check(MOST_DIFFERENCES + 1, MOST_DIFFERENCES, true);
}

/// The differences applied to the old document.
fn applied(old: &Value, differences: &[Difference]) -> Value {
    let mut document = old.clone();
    for Difference { pointer, change } in differences.iter().rev() {
        if let Change::Removed { old } = change {
            assert_eq!(delete(&mut document, pointer).unwrap(), *old);
        }
    }
    for Difference { pointer, change } in differences {
        match change {
            Change::Removed { .. } => {}
            Change::Changed { new, .. } => put(&mut document, pointer, new.clone()).unwrap(),
            Change::Added { new } => add(&mut document, pointer, new.clone()),
        }
    }
    document
}

/// Puts a member, or inserts an item.
fn add(document: &mut Value, pointer: &str, value: Value) {
    let (around, index) = pointer.rsplit_once('/').unwrap();
    match get(document, around).unwrap().clone() {
        Value::Array(mut items) => {
            items.insert(index.parse().unwrap(), value);
            put(document, around, items.into()).unwrap();
        }
        _ => put(document, pointer, value).unwrap(),
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(&["a", "b", "c", "d", "/", "0"][..]);
    let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), name().prop_map(Value::from)];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        let item = |member: &'static str| {
            (name(), inner.clone()).prop_map(move |(name, value)| json!({member: name, "value": value}))
        };
        let attachment = prop_oneof![name().prop_map(Value::from), item("use")];
        let fields = prop::collection::vec((name(), inner.clone()), 0..5);
        prop_oneof![
            fields.prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(item("host"), 0..6).prop_map(Value::from),
            prop::collection::vec(attachment, 0..6).prop_map(Value::from),
        ]
    })
}

/// Two documents with much in common.
fn pairs() -> impl Strategy<Value = (Value, Value)> {
    let shuffled = (documents(), any::<u64>()).prop_map(|(old, seed)| {
        let mut new = old.clone();
        shake(&mut new, &mut { seed });
        (old, new)
    });
    prop_oneof![shuffled, (documents(), documents())]
}

/// Removes, changes and moves some of what is inside.
fn shake(value: &mut Value, seed: &mut u64) {
    let mut next = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap() % below.max(1)
    };
    match value {
        Value::Object(fields) => {
            let gone = next(4);
            let mut index = 0;
            fields.retain(|_, _| (index != gone, index += 1).0);
            fields.values_mut().for_each(|value| shake(value, seed));
        }
        Value::Array(items) => {
            if !items.is_empty() && next(3) == 0 {
                items.remove(next(items.len()));
            }
            if !items.is_empty() && next(2) == 0 {
                let item = items.remove(next(items.len()));
                items.insert(next(items.len() + 1), item);
            }
            items.iter_mut().for_each(|value| shake(value, seed));
        }
        Value::Number(_) if next(3) == 0 => *value = json!(7),
        _ => {}
    }
}

proptest! {
    #[test]
    fn a_document_does_not_differ_from_itself(document in documents()) {
        prop_assert_eq!(differences(&document, &document), []);
    }

    #[test]
    fn the_differences_lead_from_one_document_to_the_other((old, new) in pairs()) {
        let found = Differences::between(&old, &new);
        prop_assert!(!found.more);
        prop_assert_eq!(applied(&old, &found.differences), new);
    }

    #[test]
    fn pointers_lead_to_the_values((old, new) in pairs()) {
        for Difference { pointer, change } in differences(&old, &new) {
            match change {
                Change::Added { new: value } | Change::Changed { new: value, .. } => {
                    prop_assert_eq!(get(&new, &pointer), Ok(&value));
                }
                Change::Removed { old: value } => prop_assert_eq!(get(&old, &pointer), Ok(&value)),
            }
        }
    }
}
