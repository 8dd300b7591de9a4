//! The last words of an instance.

use std::panic::{self, PanicHookInfo};

use crate::bindings::cloudcup::filter::panic as host;

/// What the gateway takes.
const LONGEST: usize = 4 << 10;

/// Tells the gateway why a panic is about to trap.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| host::report(last_words(info).as_str())));
}

fn last_words(info: &PanicHookInfo) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    let mut words = match info.location() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    };
    cut(&mut words, LONGEST);
    words
}

fn cut(text: &mut String, mut length: usize) {
    while !text.is_char_boundary(length.min(text.len())) {
        length -= 1;
    }
    text.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        fn check(text: &str, length: usize, expected: &str) {
            let mut text = text.to_owned();
            cut(&mut text, length);
            assert_eq!(text, expected);
        }
        check("café", 9, "café");
        check("café", 5, "café");
        check("café", 4, "caf");
        check("café", 0, "");
    }
}
