//! Drives: what CloudSigma has beyond the family, cloning and the standard drives.

use super::{Shared, rows};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::emulator::drives::{Conversion, Holds, Source};
use crate::emulator::elastic::{blocking, drives};
use std::sync::Arc;

/// `GET drives/standard/list`
pub(super) async fn standard_list(shared: Arc<Shared>, _call: Call) -> Answer {
    Ok(offers(&shared, |_| true))
}

/// `GET drives/standard/cd/list`
pub(super) async fn standard_cd_list(shared: Arc<Shared>, _call: Call) -> Answer {
    Ok(offers(&shared, |holds| holds == Holds::Cd))
}

/// `GET drives/standard/img/list`
pub(super) async fn standard_image_list(shared: Arc<Shared>, _call: Call) -> Answer {
    Ok(offers(&shared, |holds| holds != Holds::Cd))
}

fn offers(shared: &Shared, wanted: impl Fn(Holds) -> bool) -> Reply {
    let offers = shared.drives.offers().iter().filter(|offer| wanted(offer.holds));
    Reply::Rows(rows(offers.map(|offer| offer.uuid.to_owned())))
}

/// `GET drives/standard/info`, which the manual lacks
pub(super) async fn standard_info(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let describe = |uuid: &str| -> Result<_, Refusal> {
            match shared.drives.find(uuid)? {
                Source::Standard(offer, contents) => Ok(Some(drives::describe_offer(offer, contents.size()))),
                Source::Own(_) => Ok(None),
            }
        };
        let offers = shared.drives.offers().iter().filter_map(|offer| describe(offer.uuid).transpose());
        Ok(Reply::Objects(offers.collect::<Result<_, _>>()?))
    })
    .await
}

/// `POST drives/UUID/clone`: a drive that is not known is a 400 here, not a 404 (CloudSigma API 1.0, "Drive Clone").
pub(super) async fn clone(shared: Arc<Shared>, call: Call) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    let wanted = drives::Wanted::read(shared.provider, &sent, &["name"])?;
    blocking(move || {
        let source = shared.drives.find(&uuid).map_err(|missing| Refusal::usage(missing.message()))?;
        let size = source.open()?.size();
        if wanted.size.is_some_and(|wanted| wanted < size) {
            let message = format!("The new size is less than the original, {size} bytes.");
            return Err(Refusal::wrong(&sent, &[Wrong::new("size", message)]));
        }
        shared.account.read()?.ledger.must_be_solvent()?;
        let clone = copy(&shared, &source, wanted, size)?;
        let clone = shared.drives.get(&clone)?;
        Ok(Reply::Object(drives::describe(&shared, &*shared.account.read()?, &clone)))
    })
    .await
}

/// Makes a drive and begins to fill it from a source; gives its UUID.
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
