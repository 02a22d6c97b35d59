//! The `ElasticHosts` family: Open Hosting and Crosspeer. `CloudSigma` uses its drives and transfers.
//!
//! The rows are those of both manuals. Open Hosting's lacks the calls that destroy and set a drive and that set a
//! resource, but its own client uses them; they answer as Crosspeer's do.

mod drives;
mod transfer;

use super::Shared;
use super::answer::{Refusal, RefusalKind};
use super::call::{Calls, Reach};

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
}

/// Does work that waits for the disk away from the thread that serves the connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Refusal::new(RefusalKind::System, format!("The call broke off: {error}")))
    })
}
