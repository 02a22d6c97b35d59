//! The calls of Crosspeer (Crosspeer API).

use super::Provider;
use super::catalogue::{Call, Input, Key, Output, Repeat, ValueKind};
use super::family::{
    CREATING, DRIVE, DRIVE_NEW, DRIVES, IMAGING, NETWORK, RESOURCE, RESOURCES, SERVER, SERVERS, STARTING,
    STOPPING, TAGS, VNC,
};

/// The address of a server's screen, under the name that Crosspeer documents.
const VNC_ADDRESS: &[Key] = &[Key::optional("vnc", ValueKind::AddressOrAuto).alias("vnc:ip")];

/// The drives and servers with which a new server is not to share hardware.
const AVOID: &[Key] =
    &[Key::optional("avoid:drives", ValueKind::Uuids), Key::optional("avoid:servers", ValueKind::Uuids)];

const fn get(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::Crosspeer, id, path)
}

const fn post(id: &'static str, path: &'static str) -> Call {
    Call::post(Provider::Crosspeer, id, path)
}

pub(super) const CALLS: &[Call] = &[
    get("drives.list", "/drives/list").returns(DRIVES).section("List all drives"),
    get("drives.info", "/drives/{UUID}/info")
        .section("Get single drive info")
        .note("has the key imaging while the drive is being imaged"),
    get("drives.info_all", "/drives/info").returns(Output::PROPERTIES_LIST).section("Get all drives info"),
    post("drives.create", "/drives/create")
        .takes(Input::Properties(&[DRIVE, DRIVE_NEW]))
        .section("Create a drive"),
    post("drives.destroy", "/drives/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .section("Destroy a drive"),
    post("drives.set", "/drives/{UUID}/set")
        .takes(Input::Changes(&[DRIVE]))
        .repeat(Repeat::Allowed)
        .section("Set extra drive data"),
    post("drives.image", "/drives/{UUID}/image/{SOURCE}[/{CONVERSION}]")
        .returns_nothing()
        .polled(IMAGING)
        .section("Image a drive from another drive")
        .note(
            "overwrites the drive UUID with SOURCE, and goes on after the reply: see imaging in drives.info",
        ),
    get("drives.read", "/drives/{UUID}/read/{OFFSET}/{SIZE}")
        .returns(Output::BINARY)
        .section("Read binary data from a drive")
        .note("SIZE is at most 4M"),
    post("drives.write", "/drives/{UUID}/write[/{OFFSET}]")
        .takes(Input::Binary)
        .returns_nothing()
        .repeat(Repeat::Allowed)
        .section("Write binary data to a drive"),
    get("servers.list", "/servers/list").returns(SERVERS).section("List all servers"),
    get("servers.info", "/servers/{UUID}/info")
        .section("Get single server info")
        .note("status is active, stopped, paused, dumped or dead"),
    get("servers.info_all", "/servers/info").returns(Output::PROPERTIES_LIST).section("Get all servers info"),
    post("servers.create", "/servers/create")
        .polled(CREATING)
        .takes(Input::Properties(&[SERVER, NETWORK, VNC_ADDRESS, VNC, TAGS, AVOID]))
        .section("Create and optionally start a server")
        .note("starts the server, too"),
    post("servers.create_stopped", "/servers/create/stopped")
        .takes(Input::Properties(&[SERVER, NETWORK, VNC_ADDRESS, VNC, TAGS, AVOID]))
        .section("Create and optionally start a server")
        .note("does not start the server"),
    post("servers.start", "/servers/{UUID}/start")
        .returns_nothing()
        .polled(STARTING)
        .repeat(Repeat::Allowed)
        .section("Start a server"),
    post("servers.set", "/servers/{UUID}/set")
        .takes(Input::Changes(&[SERVER, NETWORK, VNC_ADDRESS, VNC, TAGS, AVOID]))
        .repeat(Repeat::Allowed)
        .section("Set server configuration")
        .note("of an active server only name, cpu, persistent, tags and vnc:password"),
    post("servers.stop", "/servers/{UUID}/stop")
        .returns_nothing()
        .polled(STOPPING)
        .repeat(Repeat::UntilGone)
        .section("Stop a server")
        .note("cuts the power; a server that is not persistent is destroyed"),
    post("servers.destroy", "/servers/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .section("Destroy a server")
        .note("stops the server first"),
    post("servers.shutdown", "/servers/{UUID}/shutdown")
        .returns_nothing()
        .polled(STOPPING)
        .repeat(Repeat::UntilGone)
        .section("Shut down a server")
        .note("asks by ACPI, and goes on after the reply; a server that is not persistent is destroyed"),
    post("servers.reset", "/servers/{UUID}/reset").returns_nothing().section("Reset a server"),
    // The manual omits the first slash of the optional part.
    get("resources.list", "/resources[/{TYPE}]/list").returns(RESOURCES).section("List all resources"),
    get("resources.info", "/resources/{TYPE}/{RESOURCE}/info")
        .section("Get single resource info")
        .note("RESOURCE is an address for ip, a UUID for vlan"),
    get("resources.info_all", "/resources/info")
        .returns(Output::PROPERTIES_LIST)
        .section("Get all resources info"),
    post("resources.create", "/resources/{TYPE}/create")
        .takes(Input::Properties(&[RESOURCE]))
        .section("Create a resource"),
    post("resources.set", "/resources/{TYPE}/{RESOURCE}/set")
        .takes(Input::Changes(&[RESOURCE]))
        .repeat(Repeat::Allowed)
        .section("Set extra resource data"),
    // The provider may reassign an address once it is released, so a repeated destroy could hit the new one.
    post("resources.destroy", "/resources/{TYPE}/{RESOURCE}/destroy")
        .returns_nothing()
        .section("Destroy a resource"),
];
