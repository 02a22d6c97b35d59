//! The input keys of Joyent's calls (Joyent CloudAPI 6.5).

use super::super::catalogue::{Key, ValueKind};

const STATES: &[&str] = &["provisioning", "running", "stopping", "stopped", "offline", "deleted"];
const TYPES: &[&str] = &["smartmachine", "virtualmachine"];

/// "`CreateKey`".
pub(super) const KEY: &[Key] = &[
    Key::optional("name", ValueKind::Text).note("the key's fingerprint without it"),
    Key::required("key", ValueKind::Text).note("a public key as in a .pub file"),
];

const CREDENTIALS: Key =
    Key::optional("credentials", ValueKind::Boolean).note("whether the generated credentials are shown");

/// The keys that select what is shown with a machine.
pub(super) const SHOWN: &[Key] = &[CREDENTIALS];

/// "`ListMachines`".
pub(super) const MACHINES: &[Key] = &[
    Key::optional("type", ValueKind::OneOf(TYPES)),
    Key::optional("name", ValueKind::Text),
    Key::optional("dataset", ValueKind::Text),
    Key::optional("state", ValueKind::Usually(STATES)),
    Key::optional("memory", ValueKind::Integer).note("MB"),
    Key::optional("tombstone", ValueKind::Integer).note("also those destroyed in the last so many minutes"),
    Key::optional("limit", ValueKind::Integer).note("at most 1000, the default"),
    Key::optional("offset", ValueKind::Integer),
    Key::optional("tag.*", ValueKind::Text),
    CREDENTIALS,
];

/// "`CreateMachine`".
pub(super) const MACHINE: &[Key] = &[
    Key::optional("name", ValueKind::Text).note("generated without it"),
    Key::optional("package", ValueKind::Text).note("a name; see packages.list for the default"),
    Key::optional("dataset", ValueKind::Text).note("a URN; see datasets.list for the default"),
    Key::optional("metadata.*", ValueKind::Text),
    Key::optional("tag.*", ValueKind::Text),
];

/// "`ResizeMachine`".
pub(super) const RESIZE: &[Key] = &[Key::required("package", ValueKind::Text).note("a name")];

/// "`CreateMachineSnapshot`".
pub(super) const SNAPSHOT: &[Key] =
    &[Key::optional("name", ValueKind::Text).note("the time, as YYYYMMDDHHMMSS, without it")];

/// Keys with any name: "`UpdateMachineMetadata`" and "`AddMachineTags`".
pub(super) const ANY: &[Key] = &[Key::required("*", ValueKind::Text)];

const HEIGHT: Key = Key::optional("height", ValueKind::Integer).note("pixels");
const WIDTH: Key = Key::optional("width", ValueKind::Integer).note("pixels");
const YMIN: Key = Key::optional("ymin", ValueKind::Integer);
const YMAX: Key = Key::optional("ymax", ValueKind::Integer);
const NBUCKETS: Key = Key::optional("nbuckets", ValueKind::Integer).note("of the vertical");
const SELECTED: Key = Key::optional("selected", ValueKind::Text).note("field values, with commas between");
const ISOLATE: Key = Key::optional("isolate", ValueKind::Boolean).note("draw selected values alone");
const EXCLUDE: Key = Key::optional("exclude", ValueKind::Boolean).note("leave selected values out");
const HUES: Key = Key::optional("hues", ValueKind::Text).note("of selected values, with commas between");
const DECOMPOSE: Key = Key::optional("decompose_all", ValueKind::Boolean).note("highlight every value");

/// "`GetInstrumentationHeatmap`".
pub(super) const HEATMAP: &[Key] =
    &[HEIGHT, WIDTH, YMIN, YMAX, NBUCKETS, SELECTED, ISOLATE, EXCLUDE, HUES, DECOMPOSE];

/// "`GetInstrumentationHeatmapDetails`".
pub(super) const DETAILS: &[Key] = &[
    Key::required("x", ValueKind::Integer),
    Key::required("y", ValueKind::Integer),
    HEIGHT,
    WIDTH,
    YMIN,
    YMAX,
    NBUCKETS,
    SELECTED,
    ISOLATE,
    EXCLUDE,
    HUES,
    DECOMPOSE,
];

/// "`CreateInstrumentation`": either `clone` alone, or a module and a statistic. The server checks which of
/// the two it is.
pub(super) const INSTRUMENTATION: &[Key] = &[
    Key::optional("clone", ValueKind::Integer).note("the id of another; alone"),
    Key::optional("module", ValueKind::Text).note("required without clone"),
    Key::optional("stat", ValueKind::Text).note("required without clone"),
    Key::optional("predicate", ValueKind::JsonText).note("as {\"eq\": [\"hostname\", \"a\"]}"),
    Key::optional("decomposition", ValueKind::Text).note("field names, with commas between"),
    Key::optional("granularity", ValueKind::Integer).note("seconds, 1 without it"),
    Key::optional("retention-time", ValueKind::Integer).note("seconds"),
    Key::optional("persist-data", ValueKind::Boolean),
    Key::optional("idle-max", ValueKind::Integer).note("seconds"),
];

/// "`CreateMachine`": the passwords that a dataset has generated, by user. The input key of the same name
/// requests them.
pub(in crate::provider) const ANSWERED: &[Key] =
    &[Key::optional("credentials", ValueKind::JsonText).secret()];
