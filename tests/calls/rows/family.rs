//! Open Hosting API and Crosspeer API.

use super::{Out, Row, row};

const DRIVE: Out = Out::One(&["drive", "name", "size", "status", "user"]);
const SERVER: Out = Out::One(&["server", "name", "cpu", "mem", "status", "user"]);

/// What both print, or do not print and answer.
pub fn both() -> impl Iterator<Item = Row> {
    [
        row("drives.list", &[], "GET /drives/list", "", Out::Rows(&["drive"])),
        row("drives.info", &["$D"], "GET /drives/$D/info", "", DRIVE),
        row("drives.info_all", &[], "GET /drives/info", "", Out::Many(&["drive", "name", "size"])),
        row(
            "drives.create",
            &[
                "name=Test Drive",
                "size=10M",
                "claim:type=shared",
                "tags=a b",
                "user:x=y",
                "encryption:cipher=none",
            ],
            "POST /drives/create",
            "name Test Drive\nsize 10485760\nclaim:type shared\ntags a b\nuser:x y\nencryption:cipher none\n",
            DRIVE,
        ),
        row("drives.destroy", &["$D"], "POST /drives/$D/destroy", "", Out::None),
        row(
            "drives.set",
            &["$D", "name=b", "size=2M"],
            "POST /drives/$D/set",
            "name b\nsize 2097152\n",
            DRIVE,
        ),
        row("drives.image", &["$D", "$E", "gunzip"], "POST /drives/$D/image/$E/gunzip", "", Out::None),
        row("drives.read", &["$D", "1k", "4k"], "GET /drives/$D/read/1024/4096", "", Out::Bytes(4096)),
        row("drives.write", &["$D", "1k"], "POST /drives/$D/write/1024", "", Out::None),
        row("servers.list", &[], "GET /servers/list", "", Out::Rows(&["server", "cpu", "mem"])),
        row("servers.info", &["$S"], "GET /servers/$S/info", "", SERVER),
        row("servers.info_all", &[], "GET /servers/info", "", Out::Many(&["server", "name", "cpu"])),
        row("servers.start", &["$S"], "POST /servers/$S/start", "", Out::None),
        row("servers.set", &["$S", "name=b", "mem=512"], "POST /servers/$S/set", "name b\nmem 512\n", SERVER),
        row("servers.stop", &["$A"], "POST /servers/$A/stop", "", Out::None),
        row("servers.destroy", &["$A"], "POST /servers/$A/destroy", "", Out::None),
        row("servers.shutdown", &["$A"], "POST /servers/$A/shutdown", "", Out::None),
        row("servers.reset", &["$A"], "POST /servers/$A/reset", "", Out::None),
        row("resources.list", &["ip"], "GET /resources/ip/list", "", Out::Rows(&["type", "resource"])),
        row("resources.info", &["ip", "$I"], "GET /resources/ip/$I/info", "", Out::One(&["resource"])),
        row("resources.info_all", &[], "GET /resources/info", "", Out::Many(&["type", "resource"])),
        row(
            "resources.create",
            &["vlan", "name=lan", "user:k=v"],
            "POST /resources/vlan/create",
            "name lan\nuser:k v\n",
            Out::One(&["resource", "name"]),
        ),
        row("resources.set", &["vlan", "$V", "name=b"], "POST /resources/vlan/$V/set", "name b\n", Out::Any),
        row("resources.destroy", &["ip", "$I"], "POST /resources/ip/$I/destroy", "", Out::None),
    ]
    .into_iter()
}

/// Open Hosting prints `vnc:ip`.
pub fn open_hosting() -> impl Iterator<Item = Row> {
    const ARGS: &[&str] = &[
        "name=web",
        "cpu=2000",
        "smp=auto",
        "mem=1024",
        "persistent=true",
        "ide:0:0=$D",
        "boot=ide:0:0",
        "nic:0:model=e1000",
        "nic:0:dhcp=auto",
        "vnc:ip=auto",
        "vnc:password=pass",
        "user:a=b",
    ];
    const BODY: &str = "name web\ncpu 2000\nsmp auto\nmem 1024\npersistent true\nide:0:0 $D\nboot ide:0:0\n\
                        nic:0:model e1000\nnic:0:dhcp auto\nvnc:ip auto\nvnc:password pass\nuser:a b\n";
    [
        row("servers.create", ARGS, "POST /servers/create", BODY, SERVER),
        row("servers.create_stopped", ARGS, "POST /servers/create/stopped", BODY, SERVER),
    ]
    .into_iter()
}

/// Crosspeer prints `vnc`, and what a server's hardware is not to be shared with.
pub fn crosspeer() -> impl Iterator<Item = Row> {
    const ARGS: &[&str] = &[
        "name=web",
        "cpu=2000",
        "mem=1024",
        "persistent=true",
        "scsi:0:7=$D",
        "scsi:0:7:media=cdrom",
        "boot=scsi:0:7",
        "nic:0:dhcp=auto",
        "vnc=auto",
        "avoid:drives=$D",
    ];
    const BODY: &str = "name web\ncpu 2000\nmem 1024\npersistent true\nscsi:0:7 $D\nscsi:0:7:media cdrom\n\
                        boot scsi:0:7\nnic:0:dhcp auto\nvnc auto\navoid:drives $D\n";
    [
        row("servers.create", ARGS, "POST /servers/create", BODY, SERVER),
        row("servers.create_stopped", ARGS, "POST /servers/create/stopped", BODY, SERVER),
    ]
    .into_iter()
}
