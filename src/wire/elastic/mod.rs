//! The data formats of the ElasticHosts family (Open Hosting, Crosspeer) and of the related CloudSigma 1.0.
//!
//! There are three shapes in two encodings (Open Hosting API, "Data formats"): an object of properties, a
//! list of rows with the same columns, and a list of objects. [`text`] is `text/plain`, [`json`] is
//! `application/json` (not for CloudSigma).

pub mod json;
pub mod text;

use std::collections::HashMap;

/// The number of keys above which an object has an index. Below it a search is as fast.
const SEARCHED: usize = 32;

/// The properties of an object: keys with values, in their original order. Keys are unique.
///
/// Setting and finding a key takes constant time, because a server may send a hundred thousand keys.
#[derive(Clone, Default)]
pub struct Properties {
    pairs: Vec<(String, String)>,
    /// The position of each key, if there are more than [`SEARCHED`].
    index: Option<HashMap<String, usize>>,
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl Eq for Properties {}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Properties {
    /// Creates an object without properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the position of a key.
    fn place(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.pairs.iter().position(|(k, _)| k == key),
        }
    }

    fn build_index(&mut self) {
        self.index = (self.pairs.len() > SEARCHED)
            .then(|| self.pairs.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect());
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.place(key).map(|at| &*self.pairs[at].1)
    }

    /// Sets a key. An existing key keeps its position.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        if let Some(at) = self.place(&key) {
            self.pairs[at].1 = value;
            return;
        }
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), self.pairs.len());
        }
        self.pairs.push((key, value));
        if self.index.is_none() && self.pairs.len() > SEARCHED {
            self.build_index();
        }
    }

    /// Sets a key and returns the object, for building one in an expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.place(key)?;
        let (_, value) = self.pairs.remove(at);
        if self.index.is_some() {
            // The positions of all later keys changed.
            self.build_index();
        }
        Some(value)
    }

    /// Returns whether the object has a key.
    pub fn contains(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Returns all keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut new = Self::new();
        for (k, v) in pairs {
            new.set(k, v);
        }
        new
    }
}

/// Parses a size or offset in the form of these APIs: decimal digits and at most one letter k, M, G or T in
/// either case, as powers of 1024. Returns `None` for anything else and on overflow.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        b't' | b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::{Properties, parse_size};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    #[test]
    fn two_hundred_thousand_keys_are_read_in_no_time() {
        let keys = 0..200_000_u32;
        let text = keys.clone().map(|i| format!("user:key{i} {i}")).collect::<Vec<_>>().join("\n");
        let object =
            format!("{{{}}}", keys.map(|i| format!(r#""user:key{i}":{i}"#)).collect::<Vec<_>>().join(","));
        let start = Instant::now();
        let read = super::text::parse(&text);
        assert_eq!((read.len(), read[0].len(), read[0].get("user:key99999")), (1, 200_000, Some("99999")));
        assert_eq!(super::json::parse(object.as_bytes()).unwrap(), read);
        // Quadratic parsing takes minutes.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    proptest! {
        #[test]
        fn an_object_with_an_index_is_one_without(
            steps in vec((0..100_u8, 0..9_u8, any::<bool>()), 0..300)
        ) {
            let mut object = Properties::new();
            let mut plain: Vec<(String, String)> = Vec::new();
            for (key, value, set) in steps {
                let (key, value) = (key.to_string(), value.to_string());
                let at = plain.iter().position(|(k, _)| *k == key);
                prop_assert_eq!(object.get(&key), at.map(|at| &*plain[at].1));
                match (set || value != "0", at) {
                    (true, Some(at)) => plain[at].1.clone_from(&value),
                    (true, None) => plain.push((key.clone(), value.clone())),
                    (false, Some(at)) => drop(plain.remove(at)),
                    (false, None) => {}
                }
                if set || value != "0" {
                    object.set(key, value);
                } else {
                    object.remove(&key);
                }
                prop_assert_eq!(&object, &plain.iter().cloned().collect::<Properties>());
            }
            let pairs: Vec<_> = plain.iter().map(|(k, v)| (&**k, &**v)).collect();
            prop_assert_eq!(object.iter().collect::<Vec<_>>(), pairs);
        }
    }

    #[test]
    fn sizes_are_binary_and_strict() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("4M"), Some(4 << 20));
        assert_eq!(parse_size("10g"), Some(10 << 30));
        assert_eq!(parse_size("1T"), Some(1 << 40));
        for bad in ["", "k", "-1", "+1", "1.5G", "1KB", "4 M", "99999999999999999999", "16777216T", "1é"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
