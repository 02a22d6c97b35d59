//! CloudSigma API 1.0. Where the manual prints GET for a call that changes something, POST is what is sent.

use super::{Out, Row, row};

const DRIVE: Out = Out::One(&["drive", "name", "size", "status", "user"]);
const SERVER: Out = Out::One(&["server", "name", "cpu", "mem", "status"]);
const SERVERS: Out = Out::Many(&["server", "name"]);
const GROUP: Out = Out::One(&["name"]);
const PAID: Out = Out::Many(&["subscription"]);
const PLACED: Out = Out::Many(&["resource"]);
const PRICE: Out = Out::One(&["amount"]);
const NEW: &[&str] = &["name=web", "cpu=2000", "mem=1024", "ide:0:0=$D", "boot=ide:0:0", "status=stopped"];
const NEW_BODY: &str = "name web\ncpu 2000\nmem 1024\nide:0:0 $D\nboot ide:0:0\nstatus stopped\n";
const TIME: &str = "start_time=2010-03-23 00:00";

/// All rows.
pub fn rows() -> impl Iterator<Item = Row> {
    drives().into_iter().chain(servers()).chain(network()).chain(groups()).chain(money())
}

fn drives() -> Vec<Row> {
    vec![
        row("profile.info", &[], "GET /profile/info", "", Out::One(&["email", "first_name"])),
        row("profile.set", &["title=Dr"], "POST /profile/set", "title Dr\n", Out::One(&["email", "title"])),
        row("drives.list", &[], "GET /drives/list", "", Out::Rows(&["drive"])),
        row(
            "drives.create",
            &["name=Test", "size=10M", "tags=affinity:ssd", "claim:type=shared"],
            "POST /drives/create",
            "name Test\nsize 10485760\ntags affinity:ssd\nclaim:type shared\n",
            DRIVE,
        ),
        row("drives.write", &["$D", "1k"], "POST /drives/$D/write/1024", "", Out::None),
        row("drives.read", &["$D", "1k", "4k"], "GET /drives/$D/read/1024/4096", "", Out::Bytes(4096)),
        row("drives.clone", &["$D", "name=copy"], "POST /drives/$D/clone", "name copy\n", DRIVE),
        row("drives.destroy", &["$D"], "POST /drives/$D/destroy", "", Out::None),
        row("drives.info", &["$D"], "GET /drives/$D/info", "", DRIVE),
        row("drives.info_all", &[], "GET /drives/info", "", Out::Many(&["drive", "name"])),
        row("drives.standard_cd_list", &[], "GET /drives/standard/cd/list", "", Out::Rows(&["drive"])),
        row("drives.standard_img_list", &[], "GET /drives/standard/img/list", "", Out::Rows(&["drive"])),
        row("drives.standard_list", &[], "GET /drives/standard/list", "", Out::Rows(&["drive"])),
        row("drives.standard_info", &[], "GET /drives/standard/info", "", Out::Many(&["drive", "name"])),
        row("drives.set", &["$D", "name=b"], "POST /drives/$D/set", "name b\n", DRIVE),
    ]
}

fn servers() -> Vec<Row> {
    vec![
        row("servers.list", &[], "GET /servers/list", "", Out::Rows(&["server"])),
        row("servers.list.guests", &[], "GET /guests/list", "", Out::Rows(&["server"])),
        row("servers.create", NEW, "POST /servers/create", NEW_BODY, SERVER),
        row("servers.create.guests", NEW, "POST /guests/create", NEW_BODY, SERVER),
        row("servers.clone", &["$S", "name=b"], "POST /servers/$S/clone", "name b\n", SERVER),
        row("servers.clone.guests", &["$S", "name=b"], "POST /guests/$S/clone", "name b\n", SERVER),
        row("servers.destroy", &["$S"], "POST /servers/$S/destroy", "", Out::None),
        row("servers.destroy.guests", &["$S"], "POST /guests/$S/destroy", "", Out::None),
        row("servers.destroy.post", &["$S"], "POST /servers/$S/destroy", "", Out::None),
        row("servers.destroy_multi", &["server:0=$S"], "POST /servers/destroy", "server:0 $S\n", Out::Any),
        row(
            "servers.destroy_multi.guests",
            &["server:0=$S"],
            "POST /guest/destroy",
            "server:0 $S\n",
            Out::Any,
        ),
        row("servers.info", &["$S"], "GET /servers/$S/info", "", SERVER),
        row("servers.info.guests", &["$S"], "GET /guests/$S/info", "", SERVER),
        row("servers.info_all", &[], "GET /servers/info", "", SERVERS),
        row("servers.info_all.guests", &[], "GET /guests/info", "", SERVERS),
        row("servers.set", &["$S", "name=b"], "POST /servers/$S/set", "name b\n", SERVER),
        row("servers.set.guests", &["$S", "mem=512"], "POST /guests/$S/set", "mem 512\n", SERVER),
        row("servers.stop", &["$A"], "POST /servers/$A/stop", "", Out::None),
        row("servers.stop.guests", &["$A"], "POST /guests/$A/stop", "", Out::None),
        row("servers.shutdown", &["$A"], "POST /servers/$A/shutdown", "", Out::None),
        row("servers.shutdown.guests", &["$A"], "POST /guests/$A/shutdown", "", Out::None),
        row("servers.start", &["$S"], "POST /servers/$S/start", "", Out::Any),
        row("servers.start.guests", &["$S"], "POST /guests/$S/start", "", Out::Any),
        row("servers.stop_multi", &["server:0=$A"], "POST /servers/stop", "server:0 $A\n", Out::Any),
        row("servers.stop_multi.guests", &["server:0=$A"], "POST /guests/stop", "server:0 $A\n", Out::Any),
        row(
            "servers.start_multi",
            &["server:0=$S", "server:1=$A"],
            "POST /servers/start",
            "server:0 $S\nserver:1 $A\n",
            Out::Any,
        ),
        row("servers.start_multi.guests", &["server:0=$S"], "POST /guests/start", "server:0 $S\n", Out::Any),
        row("servers.reset", &["$A"], "POST /servers/$A/reset", "", Out::None),
    ]
}

fn network() -> Vec<Row> {
    vec![
        row("resources.vlan.list", &[], "GET /resources/vlan/list", "", Out::Rows(&["type", "resource"])),
        row("resources.vlan.info", &["$V"], "GET /resources/vlan/$V/info", "", Out::One(&["resource"])),
        row(
            "resources.vlan.create",
            &["name=lan"],
            "POST /resources/vlan/create",
            "name lan\n",
            Out::One(&["resource"]),
        ),
        row("resources.vlan.set", &["$V", "name=b"], "POST /resources/vlan/$V/set", "name b\n", Out::Any),
        row("resources.vlan.info_all", &[], "GET /resources/vlan/info", "", Out::Many(&["resource"])),
        row("resources.vlan.destroy", &["$V"], "POST /resources/vlan/$V/destroy", "", Out::None),
        row("resources.ip.info_all", &[], "GET /resources/ip/info", "", Out::Many(&["resource"])),
        row("resources.ip.list", &[], "GET /resources/ip/list", "", Out::Rows(&["type", "resource"])),
        row("resources.ip.create", &[], "POST /resources/ip/create", "", Out::One(&["resource"])),
        row("resources.ip.destroy", &["$I"], "POST /resources/ip/$I/destroy", "", Out::None),
    ]
}

fn groups() -> Vec<Row> {
    vec![
        row("servergroups.create", &["name=g"], "POST /servergroups/create", "name g\n", GROUP),
        row("servergroups.set", &["$G", "name=b"], "POST /servergroups/$G/set", "name b\n", Out::Any),
        row("servergroups.destroy", &["$G"], "POST /servergroups/$G/destroy", "", Out::Any),
        row("servergroups.list", &[], "GET /servergroups/list", "", Out::Rows(&["uuid"])),
        row("servergroups.info", &["$G"], "GET /servergroups/$G/info", "", GROUP),
        row("servergroups.name", &["$G"], "GET /servergroups/$G/info", "", GROUP),
        row(
            "servergroups.add",
            &["$G", "server:0=$A"],
            "POST /servergroups/$G/add",
            "server:0 $A\n",
            Out::Any,
        ),
        row(
            "servergroups.remove",
            &["$G", "server:0=$S"],
            "POST /servergroups/$G/remove",
            "server:0 $S\n",
            Out::Any,
        ),
        row("servergroups.start", &["$G"], "POST /servergroups/$G/start", "", Out::Any),
        row("servergroups.stop", &["$G"], "POST /servergroups/$G/stop", "", Out::Any),
    ]
}

fn money() -> Vec<Row> {
    const RESOURCES: &[&str] = &["cpu=2000", "mem=1024", "disk=10", "xfer=5", TIME, "months=1"];
    const TWO: &[&str] = &["quantity=2", TIME, "months=1"];
    const TWO_BODY: &str = "quantity 2\nstart_time 2010-03-23 00:00\nmonths 1\n";
    const SOFTWARE: &[&str] = &["msft_lwa_00135=1", "msft_p73_04837=1", "msft_tfa_00009=1", TIME, "months=1"];
    const SOFTWARE_BODY: &str = "msft_lwa_00135 1\nmsft_p73_04837 1\nmsft_tfa_00009 1\n\
                                 start_time 2010-03-23 00:00\nmonths 1\n";
    vec![
        row("currencies.list", &[], "GET /currencies/list", "", Out::Rows(&["currency"])),
        row("usage.info", &[], "GET /usage/info", "", Out::One(&["cpu", "mem"])),
        row("pricing.info", &[], "GET /pricing/info", "", Out::Any),
        row("transactions.list", &[], "GET /transactions/list", "", Out::Any),
        row("balance.info", &[], "GET /balance/info", "", Out::One(&["balance"])),
        row("subscriptions.resources_info", &[], "GET /subscriptions/resources/info", "", Out::Any),
        row("subscriptions.net_info", &[], "GET /subscriptions/net/info", "", Out::Any),
        row("subscriptions.list", &[], "GET /subscriptions/list", "", Out::Any),
        row(
            "subscriptions.create",
            RESOURCES,
            "POST /subscriptions/resources/create",
            "cpu 2000\nmem 1024\ndisk 10\nxfer 5\nstart_time 2010-03-23 00:00\nmonths 1\n",
            PAID,
        ),
        row("subscriptions.ip_create", TWO, "POST /subscriptions/network/ip/create", TWO_BODY, PLACED),
        row("subscriptions.ip_calculate", TWO, "POST /subscriptions/network/ip/calculate", TWO_BODY, PRICE),
        row("subscriptions.vlan_create", TWO, "POST /subscriptions/network/vlan/create", TWO_BODY, PLACED),
        row(
            "subscriptions.vlan_calculate",
            TWO,
            "POST /subscriptions/network/vlan/calculate",
            TWO_BODY,
            PRICE,
        ),
        row(
            "subscriptions.software_create",
            SOFTWARE,
            "POST /subscriptions/software/create",
            SOFTWARE_BODY,
            Out::Any,
        ),
        row(
            "subscriptions.software_calculate",
            SOFTWARE,
            "POST /subscriptions/software/calculate",
            SOFTWARE_BODY,
            PRICE,
        ),
        row(
            "subscriptions.extend",
            &["$U", "months=2"],
            "POST /subscriptions/$U/set",
            "months 2\n",
            Out::Any,
        ),
        row(
            "subscriptions.extend_calculate",
            &["$U", "months=2"],
            "POST /subscriptions/$U/set/calculate",
            "months 2\n",
            PRICE,
        ),
    ]
}
