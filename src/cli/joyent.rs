//! `diskferry machine`, `snapshot`, `tag`, `metadata`, `key`, `package` and `dataset`: the objects of a
//! Joyent account (Joyent CloudAPI 6.5). With `--wait`, commands wait for work that continues after the
//! reply.

use super::noun::{
    Act,
    Cell::{Age, Id, Megabytes, Own, Text},
    Does, Item, List, Noun, On, Opt, OptKind, Pairs, Run, Word, option, pairs, value, word,
};
use crate::auth::signature::public::PublicKey;
use crate::error::{Error, Result};
use futures_util::future::LocalBoxFuture;

pub(super) static MACHINE: Noun = Noun {
    state: Some("state"),
    by_name: Some("machines.list"),
    address: Some(addresses),
    ..Noun::new(
        "machine",
        "machines",
        "List, create, start, stop and resize Joyent's machines",
        &[
            Act::list(
                "machines.list",
                "List the machines: name, state, type, memory, age, addresses, id",
                &[],
            )
            .does(Does::List(MACHINES))
            .options(FILTERS),
            Act::list("machines.count", "Count the machines", &[])
                .named("count", None)
                .does(Does::Count("x-resource-count"))
                .options(FILTERS),
            Act::info("machines.get", "Show everything that is known of a machine").options(&[CREDENTIALS]),
            Act::make("create", "machines.create", "Make a machine; prints its id").options(&[
                option("name", "NAME", "Its name [default: generated]"),
                option("package", "NAME", "The package, as `diskferry package list` lists it"),
                option("dataset", "URN", "The dataset, as `diskferry dataset list` lists it"),
                pairs("metadata", "metadata.", "Metadata of the machine; may be repeated"),
                pairs("tag", "tag.", "A tag of the machine; may be repeated"),
            ]),
            Act::perform("start", "machines.start", "starting", "Start a machine"),
            Act::perform("stop", "machines.stop", "stopping", "Stop a machine"),
            Act::perform("reboot", "machines.reboot", "rebooting", "Restart a machine"),
            Act::perform("resize", "machines.resize", "resizing", "Give a smartmachine another package")
                .words(&[value("PACKAGE", "package", "The package, as `diskferry package list` lists it")]),
            Act::destroy(
                "delete",
                "machines.delete",
                "deleting",
                "Destroy a machine, which has to be stopped",
                "Everything on it is lost.",
            ),
        ],
    )
    .known("REMOTE:MACHINE", "The machine, by its id or its name", "id")
};

const MACHINES: List = List {
    columns: &[
        ("NAME", Text("name")),
        ("STATE", Text("state")),
        ("TYPE", Text("type")),
        ("MEMORY", Megabytes("memory")),
        ("CREATED", Age("created")),
        ("ADDRESSES", Own(addresses)),
        ("ID", Id("id")),
    ],
    sort: &[],
    paged: true,
};

const CREDENTIALS: Opt =
    Opt { kind: OptKind::Flag, ..option("credentials", "", "Show the credentials that were generated, too") };

const FILTERS: &[Opt] = &[
    option("type", "TYPE", "Only of this type: smartmachine or virtualmachine"),
    option("name", "NAME", "Only of this name"),
    option("dataset", "URN", "Only of this dataset"),
    option("state", "STATE", "Only in this state"),
    option("memory", "MB", "Only with so much memory"),
    option("tombstone", "MINUTES", "Also those that were destroyed in the last so many minutes"),
    pairs("tag", "tag.", "Only with this tag; may be repeated"),
    Opt { help: "Show generated credentials, too, with --json", ..CREDENTIALS },
];

fn addresses(machine: &Item) -> String {
    machine.words("ips").join(" ")
}

pub(super) static SNAPSHOT: Noun = Noun::new(
    "snapshot",
    "snapshots",
    "Take and manage snapshots of Joyent's smartmachines",
    &[
        Act::list(
            "snapshots.list",
            "List the snapshots of a machine: name, state, age",
            &[("NAME", Id("name")), ("STATE", Text("state")), ("CREATED", Age("created"))],
        )
        .on(On::Object),
        Act::info("snapshots.get", "Show a snapshot").words(SNAPSHOTS),
        Act::make("create", "snapshots.create", "Take a snapshot; prints its name")
            .on(On::Object)
            .words(&[Word { required: false, ..value("NAME", "name", "Its name [default: the time]") }]),
        Act::destroy(
            "start",
            "snapshots.start",
            "starting from",
            "Start a stopped machine from a snapshot",
            "What the machine wrote since then is lost.",
        )
        .named("start", None)
        .words(SNAPSHOTS),
        Act::destroy("delete", "snapshots.delete", "deleted", "Delete a snapshot", "").words(SNAPSHOTS),
    ],
)
.part_of(&MACHINE, "name");

const SNAPSHOTS: &[Word] = &[word("NAME", "The snapshot")];

pub(super) static TAG: Noun = Noun::new(
    "tag",
    "tags",
    "List and change the tags of Joyent's machines",
    &[
        Act::list("tags.list", "List the tags of a machine: name, value", &[])
            .does(Does::Table(["TAG", "VALUE"]))
            .on(On::Object),
        Act::change("add", "tags.add", "added tags to", "Add tags to a machine, or change their values")
            .pairs(Pairs::Required("The tags")),
        Act::destroy("delete", "tags.delete", "deleted", "Delete a tag of a machine", "")
            .words(&[word("TAG", "The tag's name")]),
        Act::destroy("clear", "tags.delete_all", "deleted the tags of", "Delete all tags of a machine", "")
            .named("clear", None),
    ],
)
.part_of(&MACHINE, "");

pub(super) static METADATA: Noun = Noun::new(
    "metadata",
    "metadata",
    "List and change the metadata of Joyent's machines",
    &[
        Act::list("metadata.get", "List the metadata of a machine: key, value", &[])
            .does(Does::Table(["KEY", "VALUE"]))
            .on(On::Object)
            .options(&[CREDENTIALS]),
        Act::change("set", "metadata.update", "set metadata of", "Set metadata of a machine")
            .pairs(Pairs::Required("The metadata")),
        Act::destroy("delete", "metadata.delete", "deleted", "Delete one key of a machine's metadata", "")
            .words(&[word("KEY", "The key")]),
        Act::destroy(
            "clear",
            "metadata.delete_all",
            "deleted the metadata of",
            "Delete all metadata of a machine",
            "",
        )
        .named("clear", None),
    ],
)
.part_of(&MACHINE, "");

pub(super) static KEY: Noun = Noun::new(
    "key",
    "keys",
    "Manage the SSH keys of a Joyent account",
    &[
        Act::list(
            "keys.list",
            "List the keys: name, fingerprint, age",
            &[("NAME", Id("name")), ("FINGERPRINT", Own(fingerprint)), ("CREATED", Age("created"))],
        ),
        Act::info("keys.get", "Show a key"),
        Act::own("create", "keys.create", "Give the account a key; prints its name", key_file, create_key)
            .on(On::Remote)
            .options(&[option("name", "NAME", "Its name on the account [default: its fingerprint]")]),
        Act::destroy(
            "delete",
            "keys.delete",
            "deleted",
            "Take a key from the account",
            "Requests that are signed with it will be refused.",
        ),
    ],
)
.known("REMOTE:KEY", "The key, by its name or its fingerprint", "name");

fn fingerprint(key: &Item) -> String {
    PublicKey::parse(&key.text("key")).map(|key| key.md5()).unwrap_or_default()
}

fn key_file(command: clap::Command) -> clap::Command {
    command.arg(clap::arg!(<FILE> "The file of the public key, whose name ends in .pub"))
}

fn create_key(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let file = run.matches.get_one::<String>("FILE").map_or("", String::as_str);
        let path = std::path::Path::new(file);
        // Refuse a private key that is given by mistake before anything is sent.
        PublicKey::read(path)?;
        let line = std::fs::read_to_string(path).map_err(|e| Error::io(format!("reading {file}"), e))?;
        let mut given = run.given.clone();
        given.keys.set("key", line.trim());
        run.make(&run.account.item(run.act.call, &given).await?).await
    })
}

pub(super) static PACKAGE: Noun = Noun::new(
    "package",
    "packages",
    "List the packages of Joyent's machines",
    &[
        Act::list(
            "packages.list",
            "List the packages: memory, disk, swap, name",
            &[
                ("MEMORY", Megabytes("memory")),
                ("DISK", Megabytes("disk")),
                ("SWAP", Megabytes("swap")),
                ("DEFAULT", Own(is_default)),
                ("NAME", Id("name")),
            ],
        ),
        Act::info("packages.get", "Show a package"),
    ],
)
.known("REMOTE:PACKAGE", "The package, by its name", "name");

pub(super) static DATASET: Noun = Noun::new(
    "dataset",
    "datasets",
    "List the system images of Joyent's machines",
    &[
        Act::list(
            "datasets.list",
            "List the datasets: URN, system, type, age, id",
            &[
                ("URN", Text("urn")),
                ("OS", Text("os")),
                ("TYPE", Text("type")),
                ("CREATED", Age("created")),
                ("DEFAULT", Own(is_default)),
                ("ID", Id("id")),
            ],
        ),
        Act::info("datasets.get", "Show a dataset"),
    ],
)
.known("REMOTE:DATASET", "The dataset, by its id or its URN", "id");

fn is_default(item: &Item) -> String {
    if item.text("default") == "true" { "yes".to_owned() } else { String::new() }
}
