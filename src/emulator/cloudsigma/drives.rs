//! Drives: the calls that `CloudSigma` has beyond the family, which are cloning and the standard drives.

use super::uuids;
use crate::emulator::Shared;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::drives::{Conversion, Source};
use crate::emulator::elastic::{Command, drives};

/// `GET drives/standard/list`, and the lists of CDs and images, for which the manual prints the same eight
/// UUIDs (CloudSigma API 1.0, 7.8 and 7.9).
#[expect(clippy::unnecessary_wraps, reason = "it is a row's handler")]
pub(super) fn standard_list(command: &Command) -> Answer {
    Ok(uuids(command.shared.drives.offers().iter().map(|offer| offer.uuid)))
}

/// `GET drives/standard/info`, which the manual does not document.
pub(super) fn standard_info(command: &Command) -> Answer {
    let mut offers = Vec::new();
    for offer in command.shared.drives.offers() {
        if let Source::Standard(offer, contents) = command.shared.drives.find(offer.uuid)? {
            offers.push(drives::describe_offer(offer, contents.size()));
        }
    }
    Ok(Reply::Objects(offers))
}

/// `POST drives/UUID/clone`: an unknown drive is a 400 here, not a 404, and the error is pairs (CloudSigma
/// API 1.0, 7.4).
pub(super) fn clone(command: &Command) -> Answer {
    let (shared, sent) = (&command.shared, &command.sent);
    let wanted = drives::Wanted::read(shared.provider, sent, &["name"])?;
    let source = shared.drives.find(command.argument(0));
    let source = source.map_err(|missing| Refusal::wrong_drive(sent, missing.message()))?;
    let size = source.open()?.size();
    if wanted.size.is_some_and(|wanted| wanted < size) {
        let message = format!("The new size is less than the original, {size} bytes.");
        return Err(Refusal::wrong(sent, &[Wrong::new("size", message)]));
    }
    command.account()?.ledger.must_be_solvent()?;
    let clone = shared.drives.get(&copy(shared, &source, wanted, size)?)?;
    Ok(Reply::Object(drives::describe(shared, &*command.account()?, &clone)))
}

/// Creates a drive and starts to fill it from a source; returns its UUID.
pub(super) fn copy(
    shared: &Shared,
    source: &Source,
    wanted: drives::Wanted,
    size: u64,
) -> Result<String, Refusal> {
    let job = source.job(Conversion::None)?;
    let clone = drives::make(shared, wanted, size)?;
    let uuid = clone.record().drive;
    if let Err(refusal) = shared.drives.image(&clone, job) {
        shared.drives.destroy(&uuid)?;
        return Err(refusal);
    }
    Ok(uuid)
}
