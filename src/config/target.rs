//! Parses the references to disks on the command line: `REMOTE:`, `REMOTE:DRIVE`, `REMOTE:appliance/KEY`.
//!
//! The part before the first colon is the name of a remote, which consists of ASCII letters, digits, `_`, `.`
//! and `-`. So a path such as `./a:b` or `/dev/disk/by-id/x:y` is never taken for a target.

use std::fmt;
use std::str::FromStr;

use crate::escape::steers;
use crate::{Error, Result};

/// A remote, and optionally an object on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of the remote, without the colon.
    pub remote: String,
    /// The object; `None` is the remote itself.
    pub object: Option<Object>,
}

/// An object on a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A drive by its UUID or a name of the same form.
    Drive(String),
    /// An appliance by its key.
    Appliance(String),
    /// A disk whose name may have characters that a URL path does not allow, such as an export or a blob.
    Named(String),
}

/// Returns whether a text is a valid name of a remote.
pub fn is_remote_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

impl Target {
    /// Returns whether a text has the form of a target, for arguments that may also be a path. A file whose
    /// name has that form is written with `./` before it.
    pub fn is_target(text: &str) -> bool {
        text.split_once(':').is_some_and(|(name, _)| is_remote_name(name))
    }

    /// Returns the drive, if the object is one.
    pub fn drive(&self) -> Option<&str> {
        match &self.object {
            Some(Object::Drive(drive)) => Some(drive),
            _ => None,
        }
    }

    /// Returns the key of the appliance, if the object is one.
    pub fn appliance(&self) -> Option<&str> {
        match &self.object {
            Some(Object::Appliance(key)) => Some(key),
            _ => None,
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORMS: &str = "the forms are REMOTE:, REMOTE:DRIVE and REMOTE:appliance/KEY; \
                             `diskferry remote list` lists the remotes";
        let Some((remote, rest)) = text.split_once(':') else {
            // A dot is rather that of a file.
            let near = is_remote_name(text) && !text.contains('.');
            let near = if near { format!(" (did you mean `{text}:`?)") } else { String::new() };
            return Err(Error::usage(format!("`{text}` is not a remote{near}")).hint(FORMS));
        };
        if !is_remote_name(remote) {
            return Err(Error::usage(format!(
                "`{text}` is not REMOTE:DRIVE: `{remote}` cannot be a remote's name"
            ))
            .hint(FORMS));
        }
        if rest.starts_with("//") {
            return Err(Error::usage(format!("{remote}://… is a URL, not REMOTE:DRIVE"))
                .hint("give the URL a name with `diskferry remote add`, then write NAME:DRIVE"));
        }
        let object = if rest.is_empty() {
            None
        } else if let Some(key) = rest.strip_prefix("appliance/") {
            Some(Object::Appliance(checked(key, "key of an appliance", text, FORMS)?))
        } else if rest.len() > LONGEST_NAME || rest.contains(steers) {
            return Err(not_named(rest, "UUID of a drive", text, FORMS));
        } else if checked(rest, "", text, FORMS).is_ok() {
            Some(Object::Drive(rest.to_owned()))
        } else {
            Some(Object::Named(rest.to_owned()))
        };
        Ok(Target { remote: remote.to_owned(), object })
    }
}

/// The longest id, and the longest name that need not be an id, in bytes (NBD, doc/proto.md, "Values": 4096
/// bytes; Azure, "Naming and referencing containers, blobs, and metadata": 1,024 characters).
const LONGEST: usize = 200;
const LONGEST_NAME: usize = 4096;

/// Validates an id, which must be a single segment of a URL path and a valid file name.
fn checked(id: &str, what: &str, text: &str, forms: &str) -> Result<String> {
    let stray = |c: char| matches!(c, '/' | '?' | '#' | '%' | '\\') || c.is_whitespace() || steers(c);
    if id.is_empty() || id.len() > LONGEST || id.starts_with('.') || id.contains(stray) {
        return Err(not_named(id, what, text, forms));
    }
    Ok(id.to_owned())
}

fn not_named(id: &str, what: &str, text: &str, forms: &str) -> Error {
    Error::usage(format!("`{text}` is not understood: `{id}` cannot be the {what}")).hint(forms)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            None => write!(f, "{}:", self.remote),
            Some(Object::Drive(name) | Object::Named(name)) => write!(f, "{}:{name}", self.remote),
            Some(Object::Appliance(key)) => write!(f, "{}:appliance/{key}", self.remote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_read_and_printed() -> Result<()> {
        for (text, object) in [
            ("oh:", None),
            ("my.cloud_2-x:", None),
            ("oh:6339d58e", Some(Object::Drive("6339d58e".into()))),
            ("spot:appliance/K-1_z", Some(Object::Appliance("K-1_z".into()))),
            ("oh:appliance", Some(Object::Drive("appliance".into()))),
            ("nbd:a/b c", Some(Object::Named("a/b c".into()))),
            ("az:a%2fb", Some(Object::Named("a%2fb".into()))),
            ("az:..", Some(Object::Named("..".into()))),
            ("az:a?x", Some(Object::Named("a?x".into()))),
        ] {
            let target: Target = text.parse()?;
            assert_eq!(target.object, object, "{text}");
            assert_eq!(target.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_way_out() {
        for (text, says) in [
            ("oh", "REMOTE:"),
            ("disk.img", "REMOTE:"),
            ("a/b", "REMOTE:"),
            ("", "REMOTE:"),
            ("./a:b", "REMOTE:"),
            (":x", "REMOTE:"),
            ("-x:y", "REMOTE:"),
            ("é:y", "REMOTE:"),
            ("https://host/x", "remote add"),
            ("oh:appliance/", "REMOTE:"),
            ("oh:a\u{202e}b", "REMOTE:"),
            ("oh:a\u{7f}", "REMOTE:"),
            ("spot:appliance/..", "REMOTE:"),
        ] {
            let e = text.parse::<Target>().expect_err(text);
            assert_eq!(e.kind().exit_code(), 2, "{text}");
            let hint = e.hint_text().unwrap_or_default();
            assert!(hint.contains(says), "{text}: {e}; {hint}");
        }
    }

    #[test]
    fn a_url_given_for_a_target_is_not_repeated() {
        let e = "https://u:hunter2@host/".parse::<Target>().unwrap_err();
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }

    #[test]
    fn paths_are_told_from_targets() {
        for path in ["disk.img", "./a:b", "/dev/disk/by-id/x:1", "dir/a:b", ":b", "-"] {
            assert!(!Target::is_target(path), "{path}");
        }
        assert!(Target::is_target("oh:") && Target::is_target("oh:x"));
    }
}
