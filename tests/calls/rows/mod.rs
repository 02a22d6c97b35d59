//! The calls as this suite expects them, written down once more from the manuals: a row for each identifier.
//!
//! In arguments, paths and bodies `$NAME` stands for an object that the row is about: `$D` a drive, `$E` another, `$S` a
//! stopped server, `$A` an active one, `$V` a VLAN, `$I` a static address, `$G` a server group with `$S` in it, `$U` a
//! subscription.

mod cloudsigma;
mod family;
mod joyent;
mod spotcloud;

use diskferry::provider::Provider;

/// What comes out of a call.
#[derive(Clone, Copy, Debug)]
pub enum Out {
    /// Nothing.
    None,
    /// One object that has these keys.
    One(&'static [&'static str]),
    /// At least one object, each with these keys.
    Many(&'static [&'static str]),
    /// Rows with these columns.
    Rows(&'static [&'static str]),
    /// So many bytes.
    Bytes(usize),
    /// This text.
    Text(&'static str),
    /// These headers.
    Headers(&'static [&'static str]),
    /// An answer in the form of an error, `{code, message}`.
    Named,
    /// A refusal of this status, which is the right answer to a call that is a part of something larger.
    Refused(u16),
    /// Whatever comes: the manual prints two shapes or none.
    Any,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub id: &'static str,
    /// Path arguments, and keys as `KEY=VALUE`.
    pub args: &'static [&'static str],
    /// `METHOD path`.
    pub sends: &'static str,
    /// The body's text.
    pub body: &'static str,
    pub out: Out,
}

/// A row.
pub const fn row(
    id: &'static str,
    args: &'static [&'static str],
    sends: &'static str,
    body: &'static str,
    out: Out,
) -> Row {
    Row { id, args, sends, body, out }
}

/// The rows of a provider.
pub fn rows(provider: Provider) -> Vec<Row> {
    match provider {
        Provider::OpenHosting => family::both().chain(family::open_hosting()).collect(),
        Provider::Crosspeer => family::both().chain(family::crosspeer()).collect(),
        Provider::CloudSigma => cloudsigma::rows().collect(),
        Provider::SpotCloud => spotcloud::rows().collect(),
        Provider::Joyent => joyent::rows().collect(),
    }
}

/// The bytes that binary rows send.
pub const BYTES: &[u8] = b"\x00\xffbytes\n\n";

/// Puts objects in the place of their names.
pub fn fill(text: &str, objects: &[(char, String)]) -> String {
    let mut out = text.to_owned();
    for (name, value) in objects {
        out = out.replace(&format!("${name}"), value);
    }
    out
}

/// The names of the objects that a row is about.
pub fn wanted(row: &Row) -> Vec<char> {
    let mut names: Vec<char> = Vec::new();
    for arg in row.args {
        let mut rest = *arg;
        while let Some((_, after)) = rest.split_once('$') {
            names.extend(after.chars().next().filter(|name| !names.contains(name)));
            rest = after;
        }
    }
    names
}
