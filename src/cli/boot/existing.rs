//! Servers that `boot` would make a second time.

use crate::cli::account::{Account, given};
use crate::cli::noun::Item;
use crate::error::{Error, Kind, Result};

/// Refuses to make a server where there is one of that name, or one that uses the drive.
///
/// # Errors
/// [`Kind::Exists`], with what the user can do with the one that is there.
pub(super) async fn refuse_second(name: Option<&str>, drive: Option<&str>, account: &Account) -> Result<()> {
    let servers = account.items("servers.info_all", &given([], [])).await?;
    let uses =
        |server: &Item| drive.is_some_and(|drive| server.pairs().iter().any(|(_, value)| value == drive));
    if let Some(server) = servers.iter().find(|server| uses(server)) {
        let what = format!("drive {} is in use by server", drive.unwrap_or_default());
        return Err(exists(&what, server, "", account));
    }
    let is_named = |server: &Item| name.is_some_and(|name| server.text("name") == name);
    match servers.iter().find(|server| is_named(server)) {
        Some(server) => {
            Err(exists("there is already a server", server, "; `--name` makes another one", account))
        }
        None => Ok(()),
    }
}

fn exists(what: &str, server: &Item, another: &str, account: &Account) -> Error {
    let get = |key| server.text(key);
    let target = format!("{}:{}", account.remote(), get("server"));
    let status = match &*get("status") {
        "" => String::new(),
        status => format!(", {status}"),
    };
    let next = match &*get("status") {
        "active" => format!("`diskferry server info {target}` shows it"),
        _ => format!("`diskferry server start {target}` starts it"),
    };
    Error::new(Kind::Exists, format!("{what} `{}` ({target}{status})", get("name")))
        .hint(format!("{next}{another}"))
}
