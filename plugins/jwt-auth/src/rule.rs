//! What a claim has to be.

use crate::plan::escaped;

/// The claim is one of the values or, where it is a list, has one of them.
#[derive(Debug)]
pub struct Rule {
    /// A name, or a JSON pointer that begins with `/`.
    pub claim: String,
    /// A JSON pointer that finds something only where the claim is a list.
    pub first_element: String,
    accepted: Vec<String>,
}

impl Rule {
    pub fn new(claim: String, accepted: Vec<String>) -> Self {
        let is_pointer = claim.starts_with('/');
        let first_element = if is_pointer { format!("{claim}/0") } else { format!("/{}/0", escaped(&claim)) };
        Self { claim, first_element, accepted }
    }

    pub fn accepts(&self, values: &[String]) -> bool {
        values.iter().any(|value| self.accepted.contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_element_is_a_pointer() {
        fn check(claim: &str, expected: &str) {
            assert_eq!(Rule::new(claim.to_owned(), Vec::new()).first_element, expected);
        }
        check("roles", "/roles/0");
        check("/realm_access/roles", "/realm_access/roles/0");
        check("https://example.com/a~b", "/https:~1~1example.com~1a~0b/0");
    }

    #[test]
    fn one_of_the_values_is_enough() {
        let texts = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
        let rule = Rule::new("role".to_owned(), texts(&["admin", "root"]));
        let check = |values: &[&str], expected: bool| {
            assert_eq!(rule.accepts(&texts(values)), expected, "{values:?}")
        };
        check(&["admin"], true);
        check(&["user", "root"], true);
        check(&["user"], false);
        check(&["admin root"], false);
        check(&[], false);
    }
}
