//! The attribute `filter` of `cloud-cup-plugin`, which documents it.
//!
//! It finds out which hooks an `impl Filter for Type` has and hands them to the SDK's `export!`. That needs no parser: a
//! hook is `fn` and its name, directly in the body of the impl.

use proc_macro::{Delimiter, TokenStream, TokenTree};

const HOOKS: [&str; 3] = ["on_request", "on_response", "on_finish"];

/// Makes a component of an `impl Filter for Type`: it exports the hooks that the impl has, and no others.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match exports(arguments, &item) {
        Ok(exports) => [item, exports].into_iter().collect(),
        Err(message) => [item, compile_error(message)].into_iter().collect(),
    }
}

fn exports(arguments: TokenStream, item: &TokenStream) -> Result<TokenStream, &'static str> {
    let schema = schema(arguments)?;
    let (type_name, body) = type_and_body(item).ok_or("`#[filter]` belongs on an `impl Filter for Type`")?;
    let hooks = hooks(body);
    if hooks.is_empty() {
        return Err("a filter has at least one of `on_request`, `on_response` and `on_finish`");
    }
    let hooks = hooks.join(", ");
    let schema = schema.map(|path| format!("; schema {path}")).unwrap_or_default();
    Ok(parsed(&format!("::cloud_cup_plugin::export!({type_name}: {hooks}{schema});")))
}

/// The string of `schema = "..."`, with its quotes.
fn schema(arguments: TokenStream) -> Result<Option<String>, &'static str> {
    let words: Vec<_> = arguments.into_iter().map(|token| token.to_string()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["schema", "=", path] if path.starts_with('"') => Ok(Some(path.to_owned())),
        _ => Err("the only argument of `#[filter]` is `schema = \"config.schema.json\"`"),
    }
}

/// The type stands between the last `for` and the body: a filter has no parameters, so no `where` either.
fn type_and_body(item: &TokenStream) -> Option<(TokenStream, TokenStream)> {
    let mut tokens: Vec<_> = item.clone().into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else { return None };
    let type_start = 1 + tokens.iter().rposition(|token| token.to_string() == "for")?;
    (body.delimiter() == Delimiter::Brace)
        .then(|| (tokens.drain(type_start..).collect::<TokenStream>(), body.stream()))
}

fn hooks(body: TokenStream) -> Vec<String> {
    let words: Vec<_> = body.into_iter().map(|token| token.to_string()).collect();
    words
        .windows(2)
        .filter(|pair| pair[0] == "fn" && HOOKS.contains(&pair[1].as_str()))
        .map(|pair| pair[1].clone())
        .collect()
}

fn compile_error(message: &str) -> TokenStream {
    parsed(&format!("::core::compile_error!({message:?});"))
}

fn parsed(source: &str) -> TokenStream {
    source.parse().expect("what this file writes is Rust")
}
