//! The input keys of CloudSigma's calls, with the sections of CloudSigma API 1.0.
//!
//! The tables of 7.1 and 7.4 say "Required: Yes" of keys whose notes say "optional". The notes are right:
//! only `name` and `size` are in all examples.

use crate::provider::catalogue::{Key, ValueKind};
use crate::provider::family::MEDIA;

/// 7.1.
pub(super) const DRIVE: &[Key] =
    &[Key::required("name", ValueKind::Text), Key::required("size", ValueKind::Size)];

/// 7.1 and 7.4.
pub(super) const CLAIM: &[Key] = &[
    Key::optional("claim:type", ValueKind::OneOf(&["exclusive", "shared"])),
    Key::optional("readers", ValueKind::Uuids).note("users; ffffffff-ffff-ffff-ffff-ffffffffffff for all"),
];

/// 7.1.
pub(super) const ENCRYPTION: &[Key] =
    &[Key::optional("encryption:cipher", ValueKind::OneOf(&["none", "aes-xts-plain"]))];

/// 7.1 and 7.4.
pub(super) const TAGS: &[Key] =
    &[Key::optional("tags", ValueKind::List).note("affinity:ssd for SSD, none for HDD")];

/// 7.4. Without `size`, the clone has the size of the original.
pub(super) const CLONE: &[Key] =
    &[Key::required("name", ValueKind::Text), Key::optional("size", ValueKind::Size)];

/// 8.2 and 8.8, except the keys of the network.
pub(super) const SERVER: &[Key] = &[
    Key::required("name", ValueKind::Text),
    Key::optional("parent", ValueKind::Uuid),
    Key::required("cpu", ValueKind::Integer).note("core MHz"),
    Key::optional("smp", ValueKind::IntegerOr("auto")).note("virtual processors"),
    Key::required("mem", ValueKind::Integer).note("MB"),
    Key::optional("ide:B[0-1]:U[0-1]", ValueKind::Uuid).note("a drive"),
    Key::optional("block:I[0-7]", ValueKind::Uuid).note("a drive"),
    Key::optional("ide:B[0-1]:U[0-1]:media", ValueKind::OneOf(MEDIA)),
    Key::optional("block:I[0-7]:media", ValueKind::OneOf(MEDIA)),
    Key::optional("boot", ValueKind::List).note("devices, as ide:0:0"),
];

/// Keys that are missing from the tables: `persistent` is in every sample of 8.7, and `status stopped` in the
/// command-line example of 2.
pub(super) const STATE: &[Key] = &[
    Key::optional("persistent", ValueKind::Boolean).note("without it the server is destroyed when it stops"),
    Key::optional("status", ValueKind::Usually(&["stopped"])).note("do not start the server"),
];

/// 8.3, 9.3, 9.4, 10.1 and 10.2.
pub(super) const NAME: &[Key] = &[Key::required("name", ValueKind::Text)];

/// 8.5, 8.13, 8.14, 10.7 and 10.8: `server:0`, `server:1` and so on.
pub(super) const NUMBERED: &[Key] = &[Key::required("server:NUMBER", ValueKind::Uuid)];

/// 6.2. The example sends only one of the required keys, so only the keys that change have to be sent.
pub(super) const PROFILE: &[Key] = &[
    Key::required("email", ValueKind::Text),
    Key::required("first_name", ValueKind::Text),
    Key::required("last_name", ValueKind::Text),
    Key::required("nick_name", ValueKind::Text),
    Key::optional("title", ValueKind::Text),
    Key::optional("company", ValueKind::Text),
    Key::optional("address", ValueKind::Text),
    Key::optional("postcode", ValueKind::Text),
    Key::optional("phone", ValueKind::Text),
];

/// 11.9 and 11.10. The table has a type and a quantity, but the examples have one key per type.
pub(super) const RESOURCES: &[Key] = &[
    Key::required("cpu", ValueKind::Integer).note("core MHz"),
    Key::required("mem", ValueKind::Integer).note("MB"),
    Key::required("disk", ValueKind::Integer).note("GB"),
    Key::required("xfer", ValueKind::Integer).note("GB per month"),
];

/// 11.11 to 11.14.
pub(super) const QUANTITY: &[Key] = &[Key::required("quantity", ValueKind::Integer)];

/// 11.15 and 11.16.
pub(super) const SOFTWARE: &[Key] = &[
    Key::required("msft_lwa_00135", ValueKind::Integer).note("Windows Web Server 2008"),
    Key::required("msft_p73_04837", ValueKind::Integer).note("Windows Server 2008 Standard"),
    Key::required("msft_tfa_00009", ValueKind::Integer).note("Microsoft SQL Server 2008 Web Edition"),
];

/// 11.9 to 11.16. The tables say `start_date`, but all examples say `start_time`.
pub(super) const START: &[Key] = &[Key::required("start_time", ValueKind::Date).alias("start_date")];

/// 11.9 to 11.18.
pub(super) const MONTHS: &[Key] = &[Key::required("months", ValueKind::Integer)];

/// 6.1 and 6.2. A key that occurs only in the samples of replies.
pub(in crate::provider) const ANSWERED: &[Key] = &[Key::optional("secret_key", ValueKind::Text).secret()];
