//! The keys that Open Hosting and Crosspeer share; both run the same software (Open Hosting API and Crosspeer API,
//! "Create a Drive" and "Server Configuration").

use super::catalogue::{Argument, Key, Output, Poll, Shape, ValueKind};
use std::time::Duration;

/// The rows of a drive list.
pub(super) const DRIVES: Output = Output(&[Shape::List(&["drive"])]);
/// The rows of a server list.
pub(super) const SERVERS: Output = Output(&[Shape::List(&["server", "cpu", "mem"])]);
/// The rows of a resource list.
pub(super) const RESOURCES: Output = Output(&[Shape::List(&["type", "resource"])]);

/// What a drive is created with, and what can be set later.
pub(super) const DRIVE: &[Key] = &[
    Key::required("name", ValueKind::Text),
    Key::required("size", ValueKind::Size),
    // One manual prints 'inclusive' for the default where its others print 'exclusive': a misprint.
    Key::optional("claim:type", ValueKind::OneOf(&["exclusive", "shared"])),
    Key::optional("readers", ValueKind::Uuids).note("users; ffffffff-ffff-ffff-ffff-ffffffffffff for all"),
    Key::optional("tags", ValueKind::List),
    Key::optional("user:*", ValueKind::Text),
];

/// What a drive is created with and keeps.
pub(super) const DRIVE_NEW: &[Key] = &[
    Key::optional("avoid", ValueKind::Uuids).note("drives whose hardware is not to be shared"),
    Key::optional("encryption:cipher", ValueKind::OneOf(&["none", "aes-xts-plain"])),
];

/// A server's configuration up to its network.
pub(super) const SERVER: &[Key] = &[
    Key::required("name", ValueKind::Text),
    Key::required("cpu", ValueKind::Integer).note("core MHz"),
    Key::optional("smp", ValueKind::IntegerOr("auto")).note("virtual processors"),
    Key::required("mem", ValueKind::Integer).note("MB"),
    Key::optional("persistent", ValueKind::Boolean).note("without it the server is destroyed when it stops"),
    Key::optional("ide:B[0-1]:U[0-1]", ValueKind::Uuid).note("a drive"),
    Key::optional("scsi:B[0-0]:U[0-7]", ValueKind::Uuid).note("a drive"),
    Key::optional("block:I[0-7]", ValueKind::Uuid).note("a drive"),
    Key::optional("ide:B[0-1]:U[0-1]:media", ValueKind::OneOf(MEDIA)),
    Key::optional("scsi:B[0-0]:U[0-7]:media", ValueKind::OneOf(MEDIA)),
    Key::optional("block:I[0-7]:media", ValueKind::OneOf(MEDIA)),
    Key::optional("boot", ValueKind::List).note("devices, as ide:0:0"),
];

/// A server's network. The manuals print nic 0 with an address and nic 1 with a VLAN; servers take any of both.
pub(super) const NETWORK: &[Key] = &[
    Key::optional("nic:N:model", ValueKind::Usually(&["e1000", "rtl8139", "virtio"])),
    Key::optional("nic:N:dhcp", ValueKind::AddressOrAuto),
    Key::optional("nic:N:vlan", ValueKind::Uuid),
    Key::optional("nic:N:mac", ValueKind::Text),
];

/// The address of a server's screen, by the name that Open Hosting and CloudSigma print.
pub(super) const VNC_IP: &[Key] = &[Key::optional("vnc:ip", ValueKind::AddressOrAuto).alias("vnc")];

/// A server's screen. One manual prints the limit of the password; the software is the same.
pub(super) const VNC: &[Key] = &[
    Key::optional("vnc:password", ValueKind::Password(8)).secret().note("without it there is no VNC"),
    Key::optional("vnc:tls", ValueKind::Usually(&["on"])),
];

/// What the user may add to a server.
pub(super) const TAGS: &[Key] =
    &[Key::optional("tags", ValueKind::List), Key::optional("user:*", ValueKind::Text)];

/// A static IP, a VLAN and so on. One manual prints `tag` once; its own replies say `tags`.
pub(super) const RESOURCE: &[Key] = &[
    Key::optional("name", ValueKind::Text),
    Key::optional("tags", ValueKind::List).alias("tag"),
    Key::optional("user:*", ValueKind::Text),
];

/// What may be connected as.
pub(super) const MEDIA: &[&str] = &["disk", "cdrom"];

/// How a drive is filled by the server: `imaging` is there until it is full (Open Hosting API, "Get Single Drive Info").
pub(super) const IMAGING: Poll =
    Poll::new("imaging", "drive", "drives.info", "imaging", &["", "false", "100", "100%"])
        .deadline(Duration::from_hours(24));

/// How a server starts.
pub(super) const STARTING: Poll =
    Poll::new("starting", "server", "servers.info", "status", &["active"]).fails(&["dumped", "dead"]);

/// How a new server starts.
pub(super) const CREATING: Poll = STARTING.of(&[Argument::Reply("server")]);

/// How a server stops. One that is not persistent is gone then (Open Hosting API, "Stop a server").
pub(super) const STOPPING: Poll =
    Poll::new("stopping", "server", "servers.info", "status", &["stopped", "dumped", "dead"]).or_gone();
