//! The ElasticHosts family: Open Hosting and Crosspeer. CloudSigma uses its drives and transfers.
//!
//! The rows are those of both manuals. Open Hosting's lacks the calls that destroy and set a drive and that set a
//! resource, but its own client uses them; they answer as Crosspeer's do.

pub(super) mod configuration;
pub(super) mod drives;
pub(super) mod keys;
pub(super) mod resources;
pub(super) mod servers;
pub(super) mod transfer;

use super::Shared;
use super::account::{Account, Server};
use super::answer::{Refusal, RefusalKind};
use super::call::{Calls, Reach};
use super::drives::{Holds, Offer};
use crate::provider::Provider;
use crate::provider::standard::{Contents, standard_drives};

/// The rows of the family.
pub(super) fn calls() -> Calls {
    use Reach::{Act, Read};
    Calls::new()
        .row(Read, "/drives/list", drives::list)
        .row(Read, "/drives/info", drives::info_all)
        .row(Act, "/drives/create", drives::create)
        .row(Read, "/drives/{drive}/info", drives::info)
        .row(Act, "/drives/{drive}/set", drives::set)
        .row(Act, "/drives/{drive}/destroy", drives::destroy)
        .row(Act, "/drives/{drive}/image/{source}", drives::image)
        .row(Act, "/drives/{drive}/image/{source}/{conversion}", drives::image)
        .row(Read, "/drives/{drive}/read", transfer::read)
        .row(Read, "/drives/{drive}/read/{offset}", transfer::read)
        .row(Read, "/drives/{drive}/read/{offset}/{size}", transfer::read)
        .row(Act, "/drives/{drive}/write", transfer::write)
        .row(Act, "/drives/{drive}/write/{offset}", transfer::write)
        .row(Read, "/servers/list", servers::list)
        .row(Read, "/servers/info", servers::info_all)
        .row(Act, "/servers/create", servers::create)
        .row(Act, "/servers/create/stopped", servers::create_stopped)
        .row(Read, "/servers/{server}/info", servers::info)
        .row(Act, "/servers/{server}/set", servers::set)
        .row(Act, "/servers/{server}/start", servers::start)
        .row(Act, "/servers/{server}/stop", servers::stop)
        .row(Act, "/servers/{server}/shutdown", servers::shutdown)
        .row(Act, "/servers/{server}/reset", servers::reset)
        .row(Act, "/servers/{server}/destroy", servers::destroy)
        .row(Read, "/resources/list", resources::list)
        .row(Read, "/resources/info", resources::info_all)
        .row(Read, "/resources/{type}/list", resources::list)
        .row(Act, "/resources/{type}/create", resources::create)
        .row(Read, "/resources/{type}/{resource}/info", resources::info)
        .row(Act, "/resources/{type}/{resource}/set", resources::set)
        .row(Act, "/resources/{type}/{resource}/destroy", resources::destroy)
}

/// The drives that Crosspeer offers.
pub(super) fn crosspeer_offers() -> Vec<Offer> {
    let offer = |drive: &'static crate::provider::standard::StandardDrive| Offer {
        uuid: drive.uuid,
        name: drive.name,
        holds: match drive.contents {
            Contents::GzippedImage(unpacked) => Holds::Packed(unpacked),
            Contents::Cd => Holds::Cd,
        },
    };
    standard_drives(Provider::Crosspeer).iter().map(offer).collect()
}

impl Shared {
    /// 409 if a running server has a drive for itself.
    fn unclaimed(&self, drive: &str) -> Result<(), Refusal> {
        let account = self.account.read()?;
        let claims = account.claims(drive);
        let Some((server, device)) = claims.first() else { return Ok(()) };
        if self.is_shared(drive) {
            return Ok(());
        }
        Err(Refusal::busy(format!("Drive {drive} is in use by server {} as {device}", server.uuid)))
    }

    /// 404 or 409 unless a server may have a drive when it starts.
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
        let own = self.drives.get(drive);
        if own.is_ok_and(|drive| drive.imaging().is_some()) {
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

    /// Whether several servers may use a drive at the same time.
    fn is_shared(&self, drive: &str) -> bool {
        let shared = |(key, value): &(String, String)| key == "claim:type" && value == "shared";
        // What is not the account's own is the provider's, for all.
        self.drives.get(drive).map_or(true, |drive| drive.record().keys.iter().any(shared))
    }
}

/// Does work that waits for the disk away from the thread that serves the connections.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Refusal::new(RefusalKind::System, format!("The call broke off: {error}")))
    })
}
