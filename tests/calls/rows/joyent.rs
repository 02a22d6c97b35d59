//! Joyent CloudAPI 6.5. `$M` is a machine that runs, `$T` one that is stopped, `$K` a key, `$N` a snapshot of `$T`, `$X` an
//! instrumentation.

use super::{Out, Row, row};

const MACHINE: &[&str] =
    &["id", "name", "type", "state", "dataset", "memory", "disk", "ips", "created", "updated"];
const SNAPSHOT: &[&str] = &["name", "state", "created"];
const DATASET: &[&str] = &["id", "name", "os", "version", "urn", "type", "default"];
const PACKAGE: &[&str] = &["name", "memory", "disk", "swap", "default"];
const INSTRUMENTATION: &[&str] = &["id", "module", "stat", "granularity", "uris"];

const PUBLIC: &str = include_str!("../../../testdata/keys/test-rsa.pub");

pub fn rows() -> impl Iterator<Item = Row> {
    // What is a constant in the body has to be one here.
    let key: &'static str = Box::leak(format!("key={}", PUBLIC.trim()).into_boxed_str());
    let key_body: &'static str =
        Box::leak(format!("{{\"name\":\"new\",\"key\":\"{}\"}}", PUBLIC.trim()).into_boxed_str());
    let key_args: &'static [&'static str] = Box::leak(vec!["name=new", key].into_boxed_slice());
    let all = [
        row("keys.list", &[], "GET /my/keys", "", Out::Many(&["name", "key", "created"])),
        row("keys.get", &["$K"], "GET /my/keys/$K", "", Out::One(&["name", "key"])),
        row("keys.create", key_args, "POST /my/keys", key_body, Out::One(&["name", "key"])),
        row("keys.delete", &["$K"], "DELETE /my/keys/$K", "", Out::None),
        row("datacenters.list", &[], "GET /my/datacenters", "", Out::One(&[])),
        row("datacenters.get", &["emulated"], "GET /my/datacenters/emulated", "", Out::Named),
        row("datasets.list", &[], "GET /my/datasets", "", Out::Many(DATASET)),
        row("datasets.get", &["$Z"], "GET /my/datasets/$Z", "", Out::One(DATASET)),
        row("packages.list", &[], "GET /my/packages", "", Out::Many(PACKAGE)),
        row("packages.get", &["$J"], "GET /my/packages/$J", "", Out::One(PACKAGE)),
        row(
            "machines.list",
            &["type=smartmachine", "tag.role=db", "limit=10", "offset=0"],
            "GET /my/machines?type=smartmachine&tag.role=db&limit=10&offset=0",
            "",
            Out::Many(MACHINE),
        ),
        row(
            "machines.count",
            &["state=running"],
            "HEAD /my/machines?state=running",
            "",
            Out::Headers(&["x-resource-count", "x-query-limit"]),
        ),
        row(
            "machines.get",
            &["$M", "credentials=true"],
            "GET /my/machines/$M?credentials=true",
            "",
            Out::One(MACHINE),
        ),
        row(
            "machines.create",
            &["name=web", "metadata.hello=world", "tag.role=db"],
            "POST /my/machines",
            "{\"name\":\"web\",\"metadata.hello\":\"world\",\"tag.role\":\"db\"}",
            Out::One(MACHINE),
        ),
        row("machines.stop", &["$M"], "POST /my/machines/$M?action=stop", "", Out::None),
        row("machines.start", &["$T"], "POST /my/machines/$T?action=start", "", Out::None),
        row("machines.reboot", &["$M"], "POST /my/machines/$M?action=reboot", "", Out::None),
        row(
            "machines.resize",
            &["$M", "package=$J"],
            "POST /my/machines/$M?action=resize&package=$J",
            "",
            Out::None,
        ),
        row("machines.delete", &["$T"], "DELETE /my/machines/$T", "", Out::None),
        row(
            "snapshots.create",
            &["$M", "name=first"],
            "POST /my/machines/$M/snapshots",
            "{\"name\":\"first\"}",
            Out::One(SNAPSHOT),
        ),
        row("snapshots.start", &["$T", "$N"], "POST /my/machines/$T/snapshots/$N", "", Out::None),
        row("snapshots.list", &["$T"], "GET /my/machines/$T/snapshots", "", Out::Many(SNAPSHOT)),
        row("snapshots.get", &["$T", "$N"], "GET /my/machines/$T/snapshots/$N", "", Out::One(SNAPSHOT)),
        row("snapshots.delete", &["$T", "$N"], "DELETE /my/machines/$T/snapshots/$N", "", Out::None),
        row(
            "metadata.update",
            &["$M", "a=1", "b=two"],
            "POST /my/machines/$M/metadata",
            "{\"a\":\"1\",\"b\":\"two\"}",
            Out::One(&["a", "b", "hello"]),
        ),
        row("metadata.get", &["$M"], "GET /my/machines/$M/metadata", "", Out::One(&["hello"])),
        row("metadata.delete", &["$M", "hello"], "DELETE /my/machines/$M/metadata/hello", "", Out::None),
        row("metadata.delete_all", &["$M"], "DELETE /my/machines/$M/metadata", "", Out::None),
        row(
            "tags.add",
            &["$M", "zone=a"],
            "POST /my/machines/$M/tags",
            "{\"zone\":\"a\"}",
            Out::One(&["zone", "role"]),
        ),
        row("tags.list", &["$M"], "GET /my/machines/$M/tags", "", Out::One(&["role"])),
        row("tags.get", &["$M", "role"], "GET /my/machines/$M/tags/role", "", Out::Text("db")),
        row("tags.delete", &["$M", "role"], "DELETE /my/machines/$M/tags/role", "", Out::None),
        row("tags.delete_all", &["$M"], "DELETE /my/machines/$M/tags", "", Out::None),
        row(
            "analytics.describe",
            &[],
            "GET /my/analytics",
            "",
            Out::One(&["modules", "fields", "types", "metrics", "transformations"]),
        ),
        row(
            "instrumentations.list",
            &[],
            "GET /my/analytics/instrumentations",
            "",
            Out::Many(INSTRUMENTATION),
        ),
        row(
            "instrumentations.get",
            &["$X"],
            "GET /my/analytics/instrumentations/$X",
            "",
            Out::One(INSTRUMENTATION),
        ),
        row(
            "instrumentations.value_raw",
            &["$X"],
            "GET /my/analytics/instrumentations/$X/value/raw",
            "",
            Out::One(&["value", "start_time", "duration", "requested_start_time"]),
        ),
        row(
            "instrumentations.heatmap_image",
            &["$X", "height=30", "width=60"],
            "GET /my/analytics/instrumentations/$X/value/heatmap/image?height=30&width=60",
            "",
            Out::One(&["image", "width", "height", "nbuckets"]),
        ),
        row(
            "instrumentations.heatmap_details",
            &["$X", "x=3", "y=2", "height=30", "width=60"],
            "GET /my/analytics/instrumentations/$X/value/heatmap/details?x=3&y=2&height=30&width=60",
            "",
            Out::One(&["bucket_time", "bucket_ymin", "bucket_ymax", "total"]),
        ),
        row(
            "instrumentations.create",
            &["module=syscall", "stat=syscalls", "granularity=5"],
            "POST /my/analytics/instrumentations",
            "{\"module\":\"syscall\",\"stat\":\"syscalls\",\"granularity\":5}",
            Out::One(INSTRUMENTATION),
        ),
        row("instrumentations.delete", &["$X"], "DELETE /my/analytics/instrumentations/$X", "", Out::None),
    ];
    all.into_iter()
}
