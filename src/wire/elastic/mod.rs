//! The data formats of the ElasticHosts family (Open Hosting, Crosspeer) and its cousin CloudSigma 1.0.
//!
//! Three shapes, in two encodings (Open Hosting API, "Data formats"): one object of properties, a list of rows with
//! the same columns, and a list of objects. [`text`] is `text/plain`, [`json`] is `application/json` (not CloudSigma).

pub mod json;
pub mod text;

/// The properties of one object: keys with values, in the order they came. A key stands at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// An object without properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| &**v)
    }

    /// Sets a key, in its old place if it had one.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(old) => old.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Sets a key and hands the object on, for building one in an expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// A size or offset as these APIs write it: decimal digits and at most one letter k, M, G or T (either case), powers
/// of 1024. No sign, no fraction; `None` for anything else and on overflow.
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
    use super::parse_size;

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
