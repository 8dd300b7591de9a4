//! Apache's password files: a line for each user, `name:hash`.

/// Names and hashes, with the numbers of their lines. Empty lines and those that begin with `#` say nothing.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, Option<(&str, &str)>)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, line.split_once(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let text = "# team\r\nalice:$2y$05$abc\r\n\n  bob:{SSHA256}x:y\nbroken";
        let read: Vec<_> = lines(text).collect();
        assert_eq!(read, [(2, Some(("alice", "$2y$05$abc"))), (4, Some(("bob", "{SSHA256}x:y"))), (5, None)]);
    }
}
