//! Snapshots: create, list, get, start from one, delete (Joyent CloudAPI 6.5, "`CreateMachineSnapshot`" to
//! "`DeleteMachineSnapshot`").

use super::Site;
use super::call::Call;
use super::labels::check_name;
use super::machine::Snapshot;
use super::reply::{Answer, Reply};

/// `POST machines/UUID/snapshots`
pub(super) fn create(site: &Site, call: &Call) -> Answer {
    let (id, name) = (call.argument(0), call.input.text("name"));
    name.iter().try_for_each(|name| check_name("name", name))?;
    site.accounts.change(|account, now| {
        let snapshot = account.machine_mut(id)?.snapshot(name, now)?;
        // The login, not `my`, whatever the request used.
        let location = format!("/{}/machines/{id}/snapshots/{}", site.login, snapshot.name);
        Ok(Reply::created(&snapshot.show())?.at(location))
    })
}

/// `GET machines/UUID/snapshots`
pub(super) fn list(site: &Site, call: &Call) -> Answer {
    let account = site.accounts.read()?;
    let machine = account.machine(call.argument(0))?;
    Reply::json(&machine.snapshots.iter().map(Snapshot::show).collect::<Vec<_>>())
}

/// `GET machines/UUID/snapshots/NAME`
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let account = site.accounts.read()?;
    Reply::json(&account.machine(call.argument(0))?.find_snapshot(call.argument(1))?.show())
}

/// `POST machines/UUID/snapshots/NAME` boots the machine from it.
pub(super) fn start(site: &Site, call: &Call) -> Answer {
    site.accounts.change(|account, now| {
        account.machine_mut(call.argument(0))?.boot(call.argument(1), now)?;
        Ok(Reply::accepted())
    })
}

/// `DELETE machines/UUID/snapshots/NAME`
pub(super) fn delete(site: &Site, call: &Call) -> Answer {
    let name = call.argument(1);
    site.accounts.change(|account, _| {
        let machine = account.machine_mut(call.argument(0))?;
        machine.find_snapshot(name)?;
        machine.snapshots.retain(|snapshot| snapshot.name != name);
        Ok(Reply::gone())
    })
}
