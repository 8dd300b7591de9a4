//! Who may pass.

use crate::{
    hash::{KeyHash, PasswordHash},
    recent::Recent,
};

/// Users with passwords, in the order of their names.
#[derive(Default)]
pub struct Users(Vec<(String, PasswordHash)>);

/// Clients with keys.
#[derive(Default)]
pub struct Keys(Vec<(String, KeyHash)>);

impl Users {
    /// # Errors
    ///
    /// A name that stands there twice.
    pub fn new(mut users: Vec<(String, PasswordHash)>) -> Result<Self, String> {
        users.sort_by(|(one, _), (other, _)| one.cmp(other));
        match users.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some([(name, _), ..]) => Err(format!("the user `{name}` stands there twice")),
            _ => Ok(Self(users)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name, if this is the password. For a user that nobody knows, another one's hash is computed in vain: always the
    /// same one, so that unknown users take their time like known ones.
    pub fn verify(&self, user: &str, password: &[u8], recent: &Recent) -> Option<&str> {
        let seen = recent.digest(user, password);
        let known = self.0.binary_search_by(|(name, _)| name.as_str().cmp(user)).ok();
        let (name, hash) = self.0.get(known.unwrap_or_else(|| recent.number(user) % self.0.len().max(1)))?;
        if known.is_some() && recent.has(&seen) {
            return Some(name);
        }
        let is_right = hash.verify(password) && known.is_some();
        if !is_right {
            return None;
        }
        recent.remember(seen);
        Some(name)
    }
}

impl Keys {
    /// # Errors
    ///
    /// Two clients with one key.
    pub fn new(keys: Vec<(String, KeyHash)>) -> Result<Self, String> {
        for (index, (name, hash)) in keys.iter().enumerate() {
            if let Some((other, _)) = keys[..index].iter().find(|(_, other)| other.equals(hash)) {
                return Err(format!("`{other}` and `{name}` have the same key"));
            }
        }
        Ok(Self(keys))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key it is. All are compared, whichever it is.
    pub fn name(&self, key: &[u8]) -> Option<&str> {
        let hash = KeyHash::of(key);
        let mut found = None;
        for (name, known) in &self.0 {
            if known.equals(&hash) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> PasswordHash {
        PasswordHash::parse("$2b$04$WUHhXETkX0fnYkrqZU3ta.BxKDTg2Z8ZU0udQrKP.HXrYGSLmbP82", 4).unwrap()
    }

    #[test]
    fn only_the_right_password_of_a_known_user_passes() {
        let users = Users::new(vec![("bob".to_owned(), hash()), ("alice".to_owned(), hash())]).unwrap();
        let recent = Recent::new(b"a key");
        for _ in 0..2 {
            assert_eq!(users.verify("alice", b"wonderland", &recent), Some("alice"));
            assert_eq!(users.verify("bob", b"wonderland", &recent), Some("bob"));
            assert_eq!(users.verify("alice", b"Wonderland", &recent), None);
            assert_eq!(users.verify("mallory", b"wonderland", &recent), None);
            assert_eq!(users.verify("", b"", &recent), None);
        }
        assert_eq!(Users::default().verify("alice", b"wonderland", &recent), None);
    }

    #[test]
    fn a_name_and_a_key_stand_there_once() {
        let twice = Users::new(vec![("a".to_owned(), hash()), ("a".to_owned(), hash())]);
        assert_eq!(twice.err().as_deref(), Some("the user `a` stands there twice"));
        let twice = Keys::new(vec![("a".to_owned(), KeyHash::of(b"k")), ("b".to_owned(), KeyHash::of(b"k"))]);
        assert_eq!(twice.err().as_deref(), Some("`a` and `b` have the same key"));
    }

    #[test]
    fn a_key_has_a_name() {
        let keys = Keys::new(vec![("a".to_owned(), KeyHash::of(b"1")), ("b".to_owned(), KeyHash::of(b"2"))])
            .unwrap();
        assert_eq!(keys.name(b"2"), Some("b"));
        assert_eq!(keys.name(b"3"), None);
        assert_eq!(keys.name(b""), None);
    }
}
