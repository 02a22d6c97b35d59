//! The calls of CloudSigma (CloudSigma API 1.0), with their forms below `/guests/`. Calls that no section
//! documents but that client libraries make are marked as undocumented.

mod keys;

use super::Provider;
use super::catalogue::{Argument, Call, Input, Method, Output, Poll, Repeat, Shape};
use super::family::{CREATING, DRIVES, IMAGING, NETWORK, RESOURCES, STARTING, STOPPING, VNC, VNC_IP};

const fn get(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::CloudSigma, id, path)
}

const fn post(id: &'static str, path: &'static str) -> Call {
    Call::post(Provider::CloudSigma, id, path)
}

/// Creates a call that is documented as GET but changes something.
const fn action(id: &'static str, path: &'static str) -> Call {
    post(id, path).printed_as_get().returns_nothing()
}

const SERVERS: Output = Output(&[Shape::List(&["server"])]);
const GROUPS: Output = Output(&[Shape::List(&["uuid"])]);
const CURRENCIES: Output = Output(&[Shape::List(&["currency"])]);
/// Polls a drive that is being cloned.
const CLONING: Poll = Poll { work: "cloning", path: &[Argument::Reply("drive")], ..IMAGING };
const MAYBE: Output = Output(&[Shape::Properties, Shape::None]);

const LIST: Call = get("servers.list", "/servers/list").returns(SERVERS).section("8.1");
const CREATE: Call = post("servers.create", "/servers/create")
    .takes(Input::Properties(&[keys::SERVER, NETWORK, VNC_IP, VNC, keys::STATE]))
    .polled(CREATING)
    .section("8.2")
    .note("starts the server, too, unless status=stopped is given");
const CLONE: Call =
    post("servers.clone", "/servers/{UUID}/clone").takes(Input::Properties(&[keys::NAME])).section("8.3");
const DESTROY: Call =
    action("servers.destroy", "/servers/{UUID}/destroy").repeat(Repeat::UntilGone).section("8.4 and 8.12");
const DESTROY_MULTI: Call = post("servers.destroy_multi", "/servers/destroy")
    .takes(Input::Properties(&[keys::NUMBERED]))
    .returns(SERVERS)
    .section("8.5")
    .note("the reply lists servers that are left, not those destroyed");
const INFO: Call = get("servers.info", "/servers/{UUID}/info").section("8.6");
const INFO_ALL: Call =
    get("servers.info_all", "/servers/info").returns(Output::PROPERTIES_LIST).section("8.7");
const SET: Call = post("servers.set", "/servers/{UUID}/set")
    .takes(Input::Changes(&[keys::SERVER, NETWORK, VNC_IP, VNC, keys::STATE]))
    .repeat(Repeat::Allowed)
    .section("8.8");
const STOP: Call =
    action("servers.stop", "/servers/{UUID}/stop").polled(STOPPING).repeat(Repeat::UntilGone).section("8.9");
const SHUTDOWN: Call = action("servers.shutdown", "/servers/{UUID}/shutdown")
    .polled(STOPPING)
    .repeat(Repeat::UntilGone)
    .section("8.10")
    .note("goes on after the reply");
const START: Call = action("servers.start", "/servers/{UUID}/start")
    .polled(STARTING)
    .returns(MAYBE)
    .success(&[200, 204])
    .repeat(Repeat::Allowed)
    .section("8.11");
const STOP_MULTI: Call = post("servers.stop_multi", "/servers/stop")
    .takes(Input::Properties(&[keys::NUMBERED]))
    .repeat(Repeat::Allowed)
    .section("8.13");
const START_MULTI: Call = post("servers.start_multi", "/servers/start")
    .takes(Input::Properties(&[keys::NUMBERED]))
    .returns(MAYBE)
    .success(&[200, 204])
    .repeat(Repeat::Allowed)
    .section("8.14");

pub(super) use self::keys::ANSWERED;

pub(super) const CALLS: &[Call] = &[
    get("profile.info", "/profile/info").section("6.1").note("the reply holds a secret key"),
    post("profile.set", "/profile/set")
        .takes(Input::Changes(&[keys::PROFILE]))
        .repeat(Repeat::Allowed)
        .section("6.2")
        .note("the reply holds a secret key"),
    get("drives.list", "/drives/list").returns(DRIVES).section("2"),
    post("drives.create", "/drives/create")
        .takes(Input::Properties(&[keys::DRIVE, keys::CLAIM, keys::ENCRYPTION, keys::TAGS]))
        .section("7.1"),
    post("drives.write", "/drives/{UUID}/write[/{OFFSET}]")
        .takes(Input::Binary)
        .returns_nothing()
        .repeat(Repeat::Allowed)
        .section("7.2"),
    get("drives.read", "/drives/{UUID}/read/{OFFSET}/{SIZE}")
        .returns(Output::BINARY)
        .section("7.3")
        .note("SIZE is at most 4M"),
    post("drives.clone", "/drives/{UUID}/clone")
        .takes(Input::Properties(&[keys::CLONE, keys::CLAIM, keys::TAGS]))
        .polled(CLONING)
        .section("7.4")
        .note("goes on after the reply; the size cannot be smaller than the original's"),
    post("drives.destroy", "/drives/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .section("7.5"),
    get("drives.info", "/drives/{UUID}/info").section("7.6"),
    get("drives.info_all", "/drives/info").returns(Output::PROPERTIES_LIST).section("7.7"),
    get("drives.standard_cd_list", "/drives/standard/cd/list").returns(DRIVES).section("7.8"),
    get("drives.standard_img_list", "/drives/standard/img/list").returns(DRIVES).section("7.9"),
    get("drives.standard_list", "/drives/standard/list").returns(DRIVES).section("7.10"),
    get("drives.standard_info", "/drives/standard/info").returns(Output::PROPERTIES_LIST).undocumented(),
    post("drives.set", "/drives/{UUID}/set")
        .takes(Input::Changes(&[keys::DRIVE, keys::CLAIM, keys::TAGS]))
        .repeat(Repeat::Allowed)
        .undocumented(),
    LIST,
    LIST.alias("servers.list.guests", "/guests/list"),
    CREATE,
    CREATE.alias("servers.create.guests", "/guests/create"),
    CLONE,
    CLONE.alias("servers.clone.guests", "/guests/{UUID}/clone"),
    DESTROY,
    DESTROY.alias("servers.destroy.guests", "/guests/{UUID}/destroy"),
    // The form in the example of 8.4.
    Call { method: Method::Post, ..DESTROY.alias("servers.destroy.post", "/servers/{UUID}/destroy") },
    DESTROY_MULTI,
    // The manual has this path in the singular.
    DESTROY_MULTI.alias("servers.destroy_multi.guests", "/guest/destroy"),
    INFO,
    INFO.alias("servers.info.guests", "/guests/{UUID}/info"),
    INFO_ALL,
    INFO_ALL.alias("servers.info_all.guests", "/guests/info"),
    SET,
    SET.alias("servers.set.guests", "/guests/{UUID}/set"),
    STOP,
    STOP.alias("servers.stop.guests", "/guests/{UUID}/stop"),
    SHUTDOWN,
    SHUTDOWN.alias("servers.shutdown.guests", "/guests/{UUID}/shutdown"),
    START,
    START.alias("servers.start.guests", "/guests/{UUID}/start"),
    STOP_MULTI,
    STOP_MULTI.alias("servers.stop_multi.guests", "/guests/stop"),
    START_MULTI,
    START_MULTI.alias("servers.start_multi.guests", "/guests/start"),
    post("servers.reset", "/servers/{UUID}/reset").returns_nothing().undocumented(),
    get("resources.vlan.list", "/resources/vlan/list").returns(RESOURCES).section("9.1"),
    get("resources.vlan.info", "/resources/vlan/{UUID}/info").section("9.2"),
    post("resources.vlan.create", "/resources/vlan/create")
        .takes(Input::Properties(&[keys::NAME]))
        .section("9.3"),
    // The example posts to .../info.
    post("resources.vlan.set", "/resources/vlan/{UUID}/set")
        .takes(Input::Properties(&[keys::NAME]))
        .repeat(Repeat::Allowed)
        .section("9.4"),
    get("resources.vlan.info_all", "/resources/vlan/info").returns(Output::PROPERTIES_LIST).undocumented(),
    post("resources.vlan.destroy", "/resources/vlan/{UUID}/destroy")
        .returns_nothing()
        .repeat(Repeat::UntilGone)
        .undocumented(),
    get("resources.ip.info_all", "/resources/ip/info")
        .returns(Output::PROPERTIES_LIST)
        .section("9.5")
        .note("all static addresses, though the title is in the singular"),
    get("resources.ip.list", "/resources/ip/list").returns(RESOURCES).section("9.6"),
    post("resources.ip.create", "/resources/ip/create").section("9.7"),
    // The example omits `/ip`. The provider may reassign an address once it is released, so a repeated
    // destroy could hit the new one.
    action("resources.ip.destroy", "/resources/ip/{IP}/destroy").section("9.8"),
    post("servergroups.create", "/servergroups/create")
        .takes(Input::Properties(&[keys::NAME]))
        .section("10.1"),
    // 10.2 and 10.3 print `/servergroupss/`, and their examples omit the UUID.
    post("servergroups.set", "/servergroups/{UUID}/set")
        .takes(Input::Properties(&[keys::NAME]))
        .repeat(Repeat::Allowed)
        .section("10.2"),
    post("servergroups.destroy", "/servergroups/{UUID}/destroy")
        .returns(Output(&[Shape::None, Shape::Properties]))
        .success(&[200, 204])
        .repeat(Repeat::UntilGone)
        .section("10.3"),
    get("servergroups.list", "/servergroups/list").returns(GROUPS).section("10.4"),
    get("servergroups.info", "/servergroups/{UUID}/info").section("10.5"),
    get("servergroups.info", "/servergroups/{UUID}/info")
        .alias("servergroups.name", "/servergroups/{UUID}/info")
        .section("10.6"),
    post("servergroups.add", "/servergroups/{UUID}/add")
        .takes(Input::Properties(&[keys::NUMBERED]))
        .returns(SERVERS)
        .repeat(Repeat::Allowed)
        .section("10.7"),
    post("servergroups.remove", "/servergroups/{UUID}/remove")
        .takes(Input::Properties(&[keys::NUMBERED]))
        .returns(SERVERS)
        .repeat(Repeat::Allowed)
        .section("10.8")
        .note("the reply lists the members that are left"),
    action("servergroups.start", "/servergroups/{UUID}/start")
        .returns(SERVERS)
        .success(&[200])
        .repeat(Repeat::Allowed)
        .section("10.9"),
    action("servergroups.stop", "/servergroups/{UUID}/stop")
        .returns(SERVERS)
        .success(&[200])
        .repeat(Repeat::Allowed)
        .section("10.10"),
    get("currencies.list", "/currencies/list").returns(CURRENCIES).section("11.1"),
    get("usage.info", "/usage/info").section("11.2"),
    get("pricing.info", "/pricing/info").section("11.3"),
    get("transactions.list", "/transactions/list").returns(Output::PROPERTIES_LIST).section("11.4"),
    get("balance.info", "/balance/info").section("11.5"),
    get("subscriptions.resources_info", "/subscriptions/resources/info").section("11.6"),
    get("subscriptions.net_info", "/subscriptions/net/info").section("11.7"),
    get("subscriptions.list", "/subscriptions/list").returns(Output::PROPERTIES_LIST).section("11.8"),
    post("subscriptions.create", "/subscriptions/resources/create")
        .takes(Input::Properties(&[keys::RESOURCES, keys::START, keys::MONTHS]))
        .returns(Output(&[Shape::Properties, Shape::PropertiesList]))
        .section("11.9 and 11.10")
        .note("buys; the reply is printed twice, as the input and as a subscription for each key"),
    post("subscriptions.ip_create", "/subscriptions/network/ip/create")
        .takes(Input::Properties(&[keys::QUANTITY, keys::START, keys::MONTHS]))
        .returns(Output::PROPERTIES_LIST)
        .section("11.11")
        .note("buys"),
    post("subscriptions.ip_calculate", "/subscriptions/network/ip/calculate")
        .takes(Input::Properties(&[keys::QUANTITY, keys::START, keys::MONTHS]))
        .repeat(Repeat::Allowed)
        .section("11.12"),
    post("subscriptions.vlan_create", "/subscriptions/network/vlan/create")
        .takes(Input::Properties(&[keys::QUANTITY, keys::START, keys::MONTHS]))
        .returns(Output::PROPERTIES_LIST)
        .section("11.13")
        .note("buys"),
    post("subscriptions.vlan_calculate", "/subscriptions/network/vlan/calculate")
        .takes(Input::Properties(&[keys::QUANTITY, keys::START, keys::MONTHS]))
        .repeat(Repeat::Allowed)
        .section("11.14"),
    post("subscriptions.software_create", "/subscriptions/software/create")
        .takes(Input::Properties(&[keys::SOFTWARE, keys::START, keys::MONTHS]))
        .section("11.15")
        .note("buys"),
    // The table has the path of 11.15, the example has this one.
    post("subscriptions.software_calculate", "/subscriptions/software/calculate")
        .takes(Input::Properties(&[keys::SOFTWARE, keys::START, keys::MONTHS]))
        .repeat(Repeat::Allowed)
        .section("11.16"),
    post("subscriptions.extend", "/subscriptions/{UUID}/set")
        .takes(Input::Properties(&[keys::MONTHS]))
        .section("11.17")
        .note("buys: each time adds the months again"),
    post("subscriptions.extend_calculate", "/subscriptions/{UUID}/set/calculate")
        .takes(Input::Properties(&[keys::MONTHS]))
        .repeat(Repeat::Allowed)
        .section("11.18"),
];
