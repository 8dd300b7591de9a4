//! What a README shows: documents, and a table of options.

use serde_json::{Value, json};

/// The `config` of every attachment of a plugin, in every document that stands in a block of JSON.
pub fn configs(readme: &str, plugin: &str) -> Vec<Value> {
    let mut configs = Vec::new();
    for block in blocks(readme) {
        let document: Value =
            serde_json::from_str(block).unwrap_or_else(|error| panic!("{error} in {block}"));
        collect(&document, plugin, &mut configs);
    }
    configs
}

fn blocks(readme: &str) -> impl Iterator<Item = &str> {
    readme
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block of JSON has an end").0)
}

fn collect(value: &Value, plugin: &str, configs: &mut Vec<Value>) {
    match value {
        Value::Object(object) if object.get("use").is_some_and(|name| name == plugin) => {
            configs.push(object.get("config").cloned().unwrap_or_else(|| json!({})));
        }
        Value::String(name) if name == plugin => configs.push(json!({})),
        Value::Object(object) => object.values().for_each(|inner| collect(inner, plugin, configs)),
        Value::Array(array) => array.iter().for_each(|inner| collect(inner, plugin, configs)),
        _ => {}
    }
}

/// The first cells of the first table whose head begins with `option`. What stands below an option, as `.name`, is its own
/// affair.
pub fn options(readme: &str) -> impl Iterator<Item = &str> {
    let rows = readme.lines().skip_while(|line| !line.starts_with("| option")).skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| `")?.split_once('`')).map(|(cell, _)| cell);
    cells.filter(|cell| !cell.starts_with('.'))
}
