//! The keys that Open Hosting and Crosspeer share. Both run the same software (Open Hosting API and Crosspeer
//! API, "Create a Drive" and "Server Configuration").

use super::catalogue::{Argument, Key, Output, Poll, Shape, ValueKind};
use std::time::Duration;

/// The reply of a call that lists drives.
pub(super) const DRIVES: Output = Output(&[Shape::List(&["drive"])]);
/// The reply of a call that lists servers.
pub(super) const SERVERS: Output = Output(&[Shape::List(&["server", "cpu", "mem"])]);
/// The reply of a call that lists resources.
pub(super) const RESOURCES: Output = Output(&[Shape::List(&["type", "resource"])]);

/// The keys with which a drive is created and that can be changed later.
pub(super) const DRIVE: &[Key] = &[
    Key::required("name", ValueKind::Text),
    Key::required("size", ValueKind::Size),
    // One manual gives the default as 'inclusive' where the others print 'exclusive'. That is a misprint.
    Key::optional("claim:type", ValueKind::OneOf(&["exclusive", "shared"])),
    Key::optional("readers", ValueKind::Uuids).note("users; ffffffff-ffff-ffff-ffff-ffffffffffff for all"),
    Key::optional("tags", ValueKind::List),
    Key::optional("user:*", ValueKind::Text),
];

/// The keys that are set when a drive is created and cannot be changed later.
pub(super) const DRIVE_NEW: &[Key] = &[
    Key::optional("avoid", ValueKind::Uuids).note("drives whose hardware is not to be shared"),
    Key::optional("encryption:cipher", ValueKind::OneOf(&["none", "aes-xts-plain"])),
];

/// The keys of a server's configuration, except those of its network.
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

/// The keys of a server's network. The manuals show nic 0 with an address and nic 1 with a VLAN, but servers
/// accept either on both.
pub(super) const NETWORK: &[Key] = &[
    Key::optional("nic:N:model", ValueKind::Usually(&["e1000", "rtl8139", "virtio"])),
    Key::optional("nic:N:dhcp", ValueKind::AddressOrAuto),
    Key::optional("nic:N:vlan", ValueKind::Uuid),
    Key::optional("nic:N:mac", ValueKind::Text),
];

/// The address of a server's screen, under the name that Open Hosting and CloudSigma document.
pub(super) const VNC_IP: &[Key] = &[Key::optional("vnc:ip", ValueKind::AddressOrAuto).alias("vnc")];

/// The keys of a server's screen. Only one manual documents the password limit, but the software is the same.
pub(super) const VNC: &[Key] = &[
    Key::optional("vnc:password", ValueKind::Password(8)).secret().note("without it there is no VNC"),
    Key::optional("vnc:tls", ValueKind::Usually(&["on"])),
];

/// The keys that the user may add to a server.
pub(super) const TAGS: &[Key] =
    &[Key::optional("tags", ValueKind::List), Key::optional("user:*", ValueKind::Text)];

/// The keys of a resource such as a static IP or a VLAN. One manual prints `tag` once, but its own replies
/// say `tags`.
pub(super) const RESOURCE: &[Key] = &[
    Key::optional("name", ValueKind::Text),
    Key::optional("tags", ValueKind::List).alias("tag"),
    Key::optional("user:*", ValueKind::Text),
];

/// The media types as which a drive can be connected.
pub(super) const MEDIA: &[&str] = &["disk", "cdrom"];

/// Polls a drive that the server is imaging. The key `imaging` is present until the drive is complete (Open
/// Hosting API, "Get Single Drive Info").
pub(super) const IMAGING: Poll =
    Poll::new("imaging", "drive", "drives.info", "imaging", &["", "false", "100", "100%"])
        .deadline(Duration::from_hours(24));

/// Polls a server that is starting.
pub(super) const STARTING: Poll =
    Poll::new("starting", "server", "servers.info", "status", &["active"]).fails(&["dumped", "dead"]);

/// Polls a new server that is starting.
pub(super) const CREATING: Poll = STARTING.of(&[Argument::Reply("server")]);

/// Polls a server that is stopping. A server that is not persistent no longer exists afterwards (Open Hosting
/// API, "Stop a server").
pub(super) const STOPPING: Poll =
    Poll::new("stopping", "server", "servers.info", "status", &["stopped", "dumped", "dead"]).or_gone();
