//! The calls of Joyent's CloudAPI 6.5. `{LOGIN}` is `my`, the account that signs the request.
//!
//! Deletes are repeated until the object is gone. That is safe for machines, whose UUIDs are never reused. A
//! key, a snapshot, a tag or a metadata entry of the same name may have been created again between two
//! attempts. But what is deleted twice was meant to be gone, and the difference only matters after a lost
//! reply, so these deletes are repeated, too.

mod keys;

use super::Provider;
use super::catalogue::{Argument, Call, Input, Output, Poll, Repeat, Shape};
use std::time::Duration;

const fn get(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::Joyent, id, path).returns(Output::OBJECT)
}

const fn list(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::Joyent, id, path).returns(Output::ARRAY)
}

const fn post(id: &'static str, path: &'static str) -> Call {
    Call::post(Provider::Joyent, id, path).returns(Output::OBJECT).success(&[201])
}

const fn delete(id: &'static str, path: &'static str) -> Call {
    Call::delete(Provider::Joyent, id, path)
}

/// Creates a call that starts work which continues after the reply. It is answered with 202 and no body.
const fn begin(id: &'static str, path: &'static str) -> Call {
    Call::post(Provider::Joyent, id, path).returns(Output::NONE).success(&[202, 204])
}

const TEXT: Output = Output(&[Shape::Text]);
const COUNT: Output = Output(&[Shape::Headers(&["x-resource-count", "x-query-limit"])]);
const GOES_ON: &str = "goes on after the reply: see state in machines.get";

/// Polls a machine until it has one of these states.
const fn machine(work: &'static str, state: &'static [&'static str]) -> Poll {
    Poll::new(work, "machine", "machines.get", "state", state).fails(&["failed", "deleted"]).deadline(HOUR)
}

const HOUR: Duration = Duration::from_hours(1);

/// Polls a snapshot that is being taken. It is done when its state is "created" in one place of the manual,
/// and "success" in another ("`CreateMachineSnapshot`" and "`GetMachineSnapshot`").
const TAKING: Poll = Poll::new("taking", "snapshot", "snapshots.get", "state", &["created", "success"])
    .of(&[Argument::Path(0), Argument::Reply("name")])
    .fails(&["failed", "canceled", "cancelled"])
    .deadline(HOUR);

pub(super) use self::keys::ANSWERED;

pub(super) const CALLS: &[Call] = &[
    list("keys.list", "/{LOGIN}/keys").section("ListKeys"),
    get("keys.get", "/{LOGIN}/keys/{KEY}").section("GetKey").note("KEY is a name or a fingerprint"),
    post("keys.create", "/{LOGIN}/keys").takes(Input::Json(keys::KEY)).section("CreateKey"),
    delete("keys.delete", "/{LOGIN}/keys/{KEY}").section("DeleteKey"),
    get("datacenters.list", "/{LOGIN}/datacenters")
        .section("ListDatacenters")
        .note("names with their addresses"),
    get("datacenters.get", "/{LOGIN}/datacenters/{NAME}")
        .success(&[302])
        .section("GetDatacenter")
        .note("a 302 is the answer: its Location is the datacenter's address, and is not followed"),
    list("datasets.list", "/{LOGIN}/datasets").section("ListDatasets"),
    get("datasets.get", "/{LOGIN}/datasets/{ID}").section("GetDataset"),
    list("packages.list", "/{LOGIN}/packages").section("ListPackages").note("memory, disk and swap in MB"),
    get("packages.get", "/{LOGIN}/packages/{PACKAGE}").section("GetPackage"),
    list("machines.list", "/{LOGIN}/machines")
        .takes(Input::Query(keys::MACHINES))
        .section("ListMachines")
        .note("one page; `diskferry machine list` goes through all of them"),
    Call::head(Provider::Joyent, "machines.count", "/{LOGIN}/machines")
        .takes(Input::Query(keys::MACHINES))
        .returns(COUNT)
        .section("ListMachines"),
    get("machines.get", "/{LOGIN}/machines/{UUID}").takes(Input::Query(keys::SHOWN)).section("GetMachine"),
    post("machines.create", "/{LOGIN}/machines")
        .takes(Input::Json(keys::MACHINE))
        .polled(machine("provisioning", &["running"]).of(&[Argument::Reply("id")]))
        .section("CreateMachine")
        .note(GOES_ON),
    // Not repeatable. The server refuses to stop a machine that is already stopping, so a refusal would mean
    // that the first attempt worked; but repeating could also undo what somebody else did in between.
    begin("machines.stop", "/{LOGIN}/machines/{UUID}?action=stop")
        .polled(machine("stopping", &["stopped"]))
        .section("StopMachine")
        .note(GOES_ON),
    begin("machines.start", "/{LOGIN}/machines/{UUID}?action=start")
        .polled(machine("starting", &["running"]))
        .section("StartMachine")
        .note(GOES_ON),
    begin("machines.reboot", "/{LOGIN}/machines/{UUID}?action=reboot")
        .polled(machine("rebooting", &["running"]).settles())
        .section("RebootMachine")
        .note(GOES_ON),
    begin("machines.resize", "/{LOGIN}/machines/{UUID}?action=resize")
        .takes(Input::Query(keys::RESIZE))
        .polled(machine("resizing", &["running", "stopped"]).settles())
        .repeat(Repeat::Allowed)
        .section("ResizeMachine")
        .note("of a smartmachine alone"),
    delete("machines.delete", "/{LOGIN}/machines/{UUID}")
        .polled(machine("deleting", &["deleted"]).fails(&["failed"]).or_gone())
        .section("DeleteMachine")
        .note("it has to be stopped"),
    post("snapshots.create", "/{LOGIN}/machines/{UUID}/snapshots")
        .takes(Input::Json(keys::SNAPSHOT))
        .polled(TAKING)
        .section("CreateMachineSnapshot")
        .note("of a smartmachine alone; goes on after the reply: see state in snapshots.get"),
    begin("snapshots.start", "/{LOGIN}/machines/{UUID}/snapshots/{NAME}")
        .polled(machine("starting", &["running"]))
        .section("StartMachineFromSnapshot")
        .note("the machine has to be stopped"),
    list("snapshots.list", "/{LOGIN}/machines/{UUID}/snapshots").section("ListMachineSnapshots"),
    get("snapshots.get", "/{LOGIN}/machines/{UUID}/snapshots/{NAME}").section("GetMachineSnapshot"),
    delete("snapshots.delete", "/{LOGIN}/machines/{UUID}/snapshots/{NAME}").section("DeleteMachineSnapshot"),
    post("metadata.update", "/{LOGIN}/machines/{UUID}/metadata")
        .takes(Input::Json(keys::ANY))
        .success(&[200])
        .repeat(Repeat::Allowed)
        .section("UpdateMachineMetadata")
        .note("what has the same name is replaced; answers everything there is"),
    get("metadata.get", "/{LOGIN}/machines/{UUID}/metadata")
        .takes(Input::Query(keys::SHOWN))
        .section("GetMachineMetadata"),
    delete("metadata.delete", "/{LOGIN}/machines/{UUID}/metadata/{KEY}").section("DeleteMachineMetadata"),
    delete("metadata.delete_all", "/{LOGIN}/machines/{UUID}/metadata").section("DeleteAllMachineMetadata"),
    post("tags.add", "/{LOGIN}/machines/{UUID}/tags")
        .takes(Input::Json(keys::ANY))
        .success(&[200])
        .repeat(Repeat::Allowed)
        .section("AddMachineTags")
        .note("other tags stay; of the same name the new value wins; answers everything there is"),
    get("tags.list", "/{LOGIN}/machines/{UUID}/tags").section("ListMachineTags"),
    get("tags.get", "/{LOGIN}/machines/{UUID}/tags/{TAG}").returns(TEXT).section("GetMachineTag"),
    delete("tags.delete", "/{LOGIN}/machines/{UUID}/tags/{TAG}").section("DeleteMachineTag"),
    delete("tags.delete_all", "/{LOGIN}/machines/{UUID}/tags").section("DeleteMachineTags"),
    get("analytics.describe", "/{LOGIN}/analytics").section("DescribeAnalytics"),
    list("instrumentations.list", "/{LOGIN}/analytics/instrumentations").section("ListInstrumentations"),
    get("instrumentations.get", "/{LOGIN}/analytics/instrumentations/{ID}").section("GetInstrumentation"),
    get("instrumentations.value_raw", "/{LOGIN}/analytics/instrumentations/{ID}/value/raw")
        .section("GetInstrumentationValue"),
    get("instrumentations.heatmap_image", "/{LOGIN}/analytics/instrumentations/{ID}/value/heatmap/image")
        .takes(Input::Query(keys::HEATMAP))
        .section("GetInstrumentationHeatmap")
        .note("the image is a PNG in base 64; `diskferry analytics heatmap` saves and shows it"),
    get("instrumentations.heatmap_details", "/{LOGIN}/analytics/instrumentations/{ID}/value/heatmap/details")
        .takes(Input::Query(keys::DETAILS))
        .section("GetInstrumentationHeatmapDetails"),
    post("instrumentations.create", "/{LOGIN}/analytics/instrumentations")
        .takes(Input::Json(keys::INSTRUMENTATION))
        .section("CreateInstrumentation")
        .note("clone alone, or module and stat"),
    delete("instrumentations.delete", "/{LOGIN}/analytics/instrumentations/{ID}")
        .section("DeleteInstrumentation"),
];
