//! The ElasticHosts family: Open Hosting and Crosspeer. `CloudSigma` uses its drives, servers and resources.
//!
//! The routes are those of both manuals. Open Hosting's manual lacks the calls that destroy and set a drive
//! and that set a resource, but its own client uses them; they answer as Crosspeer's do.

pub(super) mod configuration;
pub(super) mod drives;
pub(super) mod keys;
pub(super) mod resources;
pub(super) mod servers;
pub(super) mod transfer;

use super::Shared;
use super::account::{Account, Server};
use super::answer::{Answer, Refusal, RefusalKind};
use super::call::{Call, Calls, Reach};
use super::properties::Properties;
use Reach::{Act, Read};
use std::sync::Arc;

/// A call as its handler sees it: the body has been read, and the handler may wait for the disk.
pub(super) struct Command {
    pub(super) shared: Arc<Shared>,
    arguments: [String; 3],
    /// The object that was sent.
    pub(super) sent: Properties,
}

pub(super) type Handler = fn(&Command) -> Answer;

impl Command {
    /// Returns the n-th argument in the path, or an empty string if the path has fewer.
    pub(super) fn argument(&self, n: usize) -> &str {
        self.arguments.get(n).map_or("", |argument| argument)
    }

    pub(super) fn account(&self) -> Result<Arc<Account>, Refusal> {
        Ok(self.shared.account.read()?)
    }

    /// Changes the account. If the change is refused, nothing changes.
    pub(super) fn change<R>(
        &self,
        change: impl FnOnce(&mut Account, u64) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.shared.account.change(change)
    }
}

/// Adds routes of commands.
pub(super) fn commands(calls: Calls, rows: &[(Reach, &str, Handler)]) -> Calls {
    rows.iter().fold(calls, |calls, &(reach, path, handler)| {
        calls.row(reach, path, move |shared: Arc<Shared>, call: Call| async move {
            let arguments = [0, 1, 2].map(|n| call.argument(n).to_owned());
            let sent = call.properties().await?;
            // A call that was begun is carried out even if its client is gone.
            let active = shared.activity.begin();
            blocking(move || {
                let _active = active;
                handler(&Command { shared, arguments, sent })
            })
            .await
        })
    })
}

/// Adds the routes that read and write a drive's bytes.
pub(super) fn transfers(calls: Calls, read: Reach, write: Reach) -> Calls {
    let reads =
        ["/drives/{drive}/read", "/drives/{drive}/read/{offset}", "/drives/{drive}/read/{offset}/{size}"];
    let calls = reads.into_iter().fold(calls, |calls, path| calls.row(read, path, transfer::read));
    let writes = ["/drives/{drive}/write", "/drives/{drive}/write/{offset}"];
    writes.into_iter().fold(calls, |calls, path| calls.row(write, path, transfer::write))
}

/// Returns the routes of the family.
pub(super) fn calls() -> Calls {
    let rows: &[(Reach, &str, Handler)] = &[
        (Read, "/drives/list", drives::list),
        (Read, "/drives/info", drives::info_all),
        (Act, "/drives/create", drives::create),
        (Read, "/drives/{drive}/info", drives::info),
        (Act, "/drives/{drive}/set", drives::set),
        (Act, "/drives/{drive}/destroy", drives::destroy),
        (Act, "/drives/{drive}/image/{source}", drives::image),
        (Act, "/drives/{drive}/image/{source}/{conversion}", drives::image),
        (Read, "/servers/list", servers::list),
        (Read, "/servers/info", servers::info_all),
        (Act, "/servers/create", servers::create),
        (Act, "/servers/create/stopped", servers::create_stopped),
        (Read, "/servers/{server}/info", servers::info),
        (Act, "/servers/{server}/set", servers::set),
        (Act, "/servers/{server}/start", servers::start),
        (Act, "/servers/{server}/stop", servers::stop),
        (Act, "/servers/{server}/shutdown", servers::shutdown),
        (Act, "/servers/{server}/reset", servers::reset),
        (Act, "/servers/{server}/destroy", servers::destroy),
        (Read, "/resources/list", resources::list),
        (Read, "/resources/info", resources::info_all),
        (Read, "/resources/{type}/list", resources::list),
        (Act, "/resources/{type}/create", resources::create),
        (Read, "/resources/{type}/{resource}/info", resources::info),
        (Act, "/resources/{type}/{resource}/set", resources::set),
        (Act, "/resources/{type}/{resource}/destroy", resources::destroy),
    ];
    transfers(commands(Calls::new(), rows), Read, Act)
}

impl Shared {
    /// Fails with 409 if a running server uses the drive exclusively.
    fn unclaimed(&self, drive: &str) -> Result<(), Refusal> {
        let account = self.account.read()?;
        match account.claims(drive).first() {
            Some((server, device)) if !self.is_shared(drive) => {
                let message = format!("Drive {drive} is in use by server {} as {device}", server.uuid);
                Err(Refusal::busy(message))
            }
            _ => Ok(()),
        }
    }

    /// Fails with 404 or 409 if a server cannot attach a drive when it starts.
    fn attachable(
        &self,
        account: &Account,
        server: &Server,
        device: &str,
        drive: &str,
    ) -> Result<(), Refusal> {
        if !self.drives.exists(drive) {
            return Err(Refusal::missing(format!("{device}: Drive {drive} does not exist")));
        }
        if self.drives.get(drive).is_ok_and(|drive| drive.imaging().is_some()) {
            return Err(Refusal::busy(format!("Drive {drive} is being imaged")));
        }
        let other = account.claims(drive).into_iter().find(|(other, _)| other.uuid != server.uuid);
        match other {
            Some((other, _)) if !self.is_shared(drive) => {
                Err(Refusal::busy(format!("Drive {drive} is in use by server {}", other.uuid)))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether several servers may use a drive at the same time.
    fn is_shared(&self, drive: &str) -> bool {
        // A drive that is not the account's is the provider's, which is for everybody.
        self.drives.get(drive).map_or(true, |drive| drive.record().keys.get("claim:type") == Some("shared"))
    }
}

/// Runs work that waits for the disk, off the thread that serves the connections.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Refusal::new(RefusalKind::System, format!("The call broke off: {error}")))
    })
}
