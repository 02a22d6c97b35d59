//! The calls of Open Hosting (Open Hosting API). Three calls are missing from the manual but made by Open
//! Hosting's own Ruby client; they are marked as undocumented.

use super::Provider;
use super::catalogue::{Call, Input, Output, Repeat};
use super::family::{
    CREATING, DRIVE, DRIVE_NEW, DRIVES, IMAGING, NETWORK, RESOURCE, RESOURCES, SERVER, SERVERS, STARTING,
    STOPPING, TAGS, VNC, VNC_IP,
};

const fn get(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::OpenHosting, id, path)
}

const fn post(id: &'static str, path: &'static str) -> Call {
    Call::post(Provider::OpenHosting, id, path)
}

pub(super) const CALLS: &[Call] = &[
    get("drives.list", "/drives/list").returns(DRIVES).section("List All Drives"),
    get("drives.info", "/drives/{UUID}/info")
        .section("Get Single Drive Info")
        .note("has the key imaging while the drive is being imaged"),
    get("drives.info_all", "/drives/info").returns(Output::PROPERTIES_LIST).section("Get All Drives Info"),
    post("drives.create", "/drives/create")
        .takes(Input::Properties(&[DRIVE, DRIVE_NEW]))
        .section("Create a Drive"),
    post("drives.image", "/drives/{UUID}/image/{SOURCE}[/{CONVERSION}]")
        .returns_nothing()
        .polled(IMAGING)
        .section("Image a Drive from Another Drive")
        .note(
            "overwrites the drive UUID with SOURCE, and goes on after the reply: see imaging in drives.info",
        ),
    get("drives.read", "/drives/{UUID}/read[/{OFFSET}[/{SIZE}]]")
        .returns(Output::BINARY)
        .section("Read Binary Data from a Drive"),
    post("drives.write", "/drives/{UUID}/write[/{OFFSET}]")
        .takes(Input::Binary)
        .returns_nothing()
        .repeat(Repeat::Allowed)
        .section("Write Binary Data to a Drive"),
    post("drives.destroy", "/drives/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .undocumented(),
    post("drives.set", "/drives/{UUID}/set")
        .takes(Input::Changes(&[DRIVE]))
        .repeat(Repeat::Allowed)
        .undocumented(),
    get("servers.list", "/servers/list").returns(SERVERS).section("List All Servers"),
    get("servers.info", "/servers/{UUID}/info")
        .section("Get Single Server Info")
        .note("status is active, stopped, paused, dumped or dead"),
    get("servers.info_all", "/servers/info").returns(Output::PROPERTIES_LIST).section("Get All Servers Info"),
    post("servers.create", "/servers/create")
        .polled(CREATING)
        .takes(Input::Properties(&[SERVER, NETWORK, VNC_IP, VNC, TAGS]))
        .section("Create and Optionally Start a Server")
        .note("starts the server, too"),
    post("servers.create_stopped", "/servers/create/stopped")
        .takes(Input::Properties(&[SERVER, NETWORK, VNC_IP, VNC, TAGS]))
        .section("Create and Optionally Start a Server")
        .note("does not start the server"),
    post("servers.start", "/servers/{UUID}/start")
        .returns_nothing()
        .polled(STARTING)
        .repeat(Repeat::Allowed)
        .section("Start a Server"),
    post("servers.set", "/servers/{UUID}/set")
        .takes(Input::Changes(&[SERVER, NETWORK, VNC_IP, VNC, TAGS]))
        .repeat(Repeat::Allowed)
        .section("Set server configuration")
        .note("of an active server only name, cpu, persistent, tags, user:* and vnc:password"),
    post("servers.stop", "/servers/{UUID}/stop")
        .returns_nothing()
        .polled(STOPPING)
        .repeat(Repeat::UntilGone)
        .section("Stop a server")
        .note("cuts the power; a server that is not persistent is destroyed"),
    post("servers.destroy", "/servers/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .section("Destroy a Server")
        .note("stops the server first"),
    post("servers.shutdown", "/servers/{UUID}/shutdown")
        .returns_nothing()
        .polled(STOPPING)
        .repeat(Repeat::UntilGone)
        .section("Shut Down a Server")
        .note("asks by ACPI, and goes on after the reply; a server that is not persistent is destroyed"),
    post("servers.reset", "/servers/{UUID}/reset").returns_nothing().section("Reset a Server"),
    get("resources.list", "/resources[/{TYPE}]/list").returns(RESOURCES).section("List All Resources"),
    get("resources.info", "/resources/{TYPE}/{RESOURCE}/info")
        .section("Get Single Resource Info")
        .note("RESOURCE is an address for ip, a UUID for vlan"),
    get("resources.info_all", "/resources/info")
        .returns(Output::PROPERTIES_LIST)
        .section("Get All Resources Info"),
    post("resources.create", "/resources/{TYPE}/create")
        .takes(Input::Properties(&[RESOURCE]))
        .section("Create a Resource"),
    // The provider may reassign an address once it is released, so a repeated destroy could hit the new one.
    post("resources.destroy", "/resources/{TYPE}/{RESOURCE}/destroy")
        .returns_nothing()
        .section("Destroy a Resource"),
    post("resources.set", "/resources/{TYPE}/{RESOURCE}/set")
        .takes(Input::Changes(&[RESOURCE]))
        .repeat(Repeat::Allowed)
        .undocumented(),
];
