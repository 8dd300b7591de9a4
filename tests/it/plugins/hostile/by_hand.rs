//! Components that no compiler would make, from their text.

/// What all of them are: a filter with a memory that lets requests pass, if it comes so far. `CODE` is done first, with
/// the definitions of `ITEMS`. The host's strings come by `REALLOC`.
const FILTER: &str = r#"
(component
  (import "cloudcup:filter/heads@0.1.0" (instance $heads
    (export "request-head" (type (sub resource)))
    (type $field-value' (list u8))
    (export "field-value" (type $field-value (eq $field-value')))
    (type $reply' (record (field "status" u16)
      (field "headers" (list (tuple string $field-value))) (field "body" (list u8))))
    (export "reply" (type $reply (eq $reply')))
    (type $verdict' (variant (case "next") (case "reply" $reply)))
    (export "verdict" (type (eq $verdict')))))
  (import "cloudcup:filter/facts@0.1.0" (instance $facts (export "route" (func (result string)))))
  (import "cloudcup:filter/clock@0.1.0" (instance $clock (export "now" (func (result u64)))))
  (alias export $heads "request-head" (type $request-head))
  (alias export $heads "verdict" (type $verdict))
  (core func $drop (canon resource.drop $request-head))
  (alias export $clock "now" (func $clock-now))
  (alias export $facts "route" (func $facts-route))
  (core func $now (canon lower (func $clock-now)))
  (core module $memory
    (import "host" "now" (func $now (result i64)))
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) REALLOC))
  (core instance $memory (instantiate $memory
    (with "host" (instance (export "now" (func $now))))))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $route (canon lower (func $facts-route) (memory $bytes) (realloc $realloc)))
  (core module $main
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "route" (func $route (param i32)))
    (import "memory" "memory" (memory 2))
    ITEMS
    (func (export "on-request") (param i32) (result i32)
      CODE
      (call $drop (local.get 0))
      (i32.const 1024)))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "host" (instance (export "drop" (func $drop)) (export "route" (func $route))))))
  (alias core export $main "on-request" (core func $on-request))
  (func (export "on-request") (param "request" (borrow $request-head)) (result $verdict)
    (canon lift (core func $on-request) (memory $bytes))))
"#;

/// A place for the host's strings, again and again the same.
const REALLOC: &str = "(i32.const 4096)";
const ASK: &str = "(call $route (i32.const 2048))";

/// Names and components.
pub fn components() -> Vec<(&'static str, Vec<u8>)> {
    let frame: String = (0..2000).map(|index| format!("(local $v{index} i64)")).collect();
    // What is read after the call has to be kept meanwhile.
    let fill: String =
        (0..2000).map(|index| format!("(local.set $v{index} (i64.load (i32.const {index})))")).collect();
    let sum: String = (0..2000).map(|index| format!("(i64.add (local.get $v{index})")).collect();
    let deep = "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))";
    let locals = format!(
        "(func $deep (param i32) (result i64) {frame} {fill} {sum} (call $deep (local.get 0)) {})",
        ")".repeat(2000)
    );
    let table = "(table $table 1 funcref)";
    let take = "(loop $again
        (br_if $again (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 1000)))))
        (table.set $table (table.size $table) (ref.null func))";
    let name = r#"(func $"name\nERROR a forged line" unreachable)"#;
    let keep = "(return (i32.const 1024))";
    [
        ("division", REALLOC, "", "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 8192))))"),
        ("recursion", REALLOC, deep, "(drop (call $deep (i32.const 1)))"),
        ("locals", REALLOC, &locals, "(drop (call $deep (i32.const 1)))"),
        ("table", REALLOC, table, take),
        ("forged-name", REALLOC, name, r#"(call $"name\nERROR a forged line")"#),
        ("keeps", REALLOC, "", keep),
        ("realloc-loop", "(loop $again (br $again)) unreachable", "", ASK),
        ("realloc-beyond", "(i32.const -16)", "", ASK),
        ("re-entrant", "(i32.wrap_i64 (call $now))", "", ASK),
    ]
    .map(|(name, realloc, items, code)| (name, component(realloc, items, code)))
    .into()
}

fn component(realloc: &str, items: &str, code: &str) -> Vec<u8> {
    let text = FILTER.replace("REALLOC", realloc).replace("ITEMS", items).replace("CODE", code);
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}
