//! Tests of the tables and of how they are shown. `tests/manuals` compares them with the manuals.

use super::super::*;
use super::example;
use Provider::{CloudSigma, Crosspeer, OpenHosting};

#[test]
fn what_the_manuals_lost_is_there_and_marked() {
    let undocumented = |provider| -> Vec<&str> {
        calls(provider).iter().filter(|call| call.undocumented).map(|call| call.id).collect()
    };
    assert_eq!(undocumented(OpenHosting), ["drives.destroy", "drives.set", "resources.set"]);
    assert_eq!(undocumented(Crosspeer), [""; 0]);
    assert_eq!(
        undocumented(CloudSigma),
        [
            "drives.standard_info",
            "drives.set",
            "servers.reset",
            "resources.vlan.info_all",
            "resources.vlan.destroy"
        ]
    );
}

#[test]
fn every_row_is_whole() {
    for call in all() {
        let at = format!("{} {}", call.provider, call.id);
        assert_eq!(calls(call.provider).iter().filter(|other| other.id == call.id).count(), 1, "{at}");
        assert_eq!(call.undocumented, call.section.is_empty(), "{at}");
        assert!(call.path.starts_with('/') && !call.path.ends_with('/'), "{at}");
        assert!(!call.output.0.is_empty() && !call.success.is_empty(), "{at}");
        let nothing = call.success.iter().any(|status| matches!(status, 202 | 204));
        assert_eq!(nothing, call.output.has(Shape::None), "{at}");
        if let Some(original) = call.alias_of {
            let original = Call::find(call.provider, original).unwrap();
            assert_eq!((original.input, original.output), (call.input, call.output), "{at}");
        }
        if let Some(poll) = &call.poll {
            let asks = Call::find(call.provider, poll.call).unwrap();
            assert_eq!(placeholders(asks.path).len(), poll.path.len(), "{at}");
            assert!(asks.method == Method::Get && asks.id.starts_with(poll.object), "{at}");
            let own = placeholders(call.path).len();
            let known = |argument: &Argument| !matches!(argument, Argument::Path(place) if *place >= own);
            assert!(poll.path.iter().all(known), "{at}");
            assert!(
                !poll.done.is_empty() && poll.done.iter().all(|word| !poll.failed.contains(word)),
                "{at}"
            );
        }
        // A name matches its own key and no other.
        for (key, _) in call.input.keys() {
            let (name, _) = example(key);
            let meant: Vec<&str> =
                call.input.keys().filter(|(k, _)| k.matches(&name)).map(|(k, _)| k.name).collect();
            assert_eq!(meant, [key.name], "{at} {name}");
            assert_ne!(Some(key.name), key.alias, "{at}");
        }
    }
}

#[test]
fn what_may_be_repeated_is_what_the_second_time_is_the_same() {
    for call in all() {
        let verb = call.id.split('.').find(|word| {
            [
                "create",
                "create_stopped",
                "clone",
                "image",
                "reset",
                "extend",
                "ip_create",
                "vlan_create",
                "software_create",
                "stop",
                "start",
                "reboot",
            ]
            .contains(word)
        });
        // Joyent refuses to stop a machine that is stopping; the others accept it.
        let refused = ["stop", "start", "reboot"].iter().any(|word| verb == Some(word));
        let verb = verb.filter(|_| !refused || call.provider == Provider::Joyent);
        let token = call.id.starts_with("oauth.");
        let address = call.path.ends_with("/{RESOURCE}/destroy") || call.path.ends_with("/{IP}/destroy");
        let never = verb.is_some() || token || address || call.id.starts_with("servers.destroy_multi");
        assert_eq!(call.repeat.is_allowed(), !never, "{} {}", call.provider, call.id);
    }
}

#[test]
fn a_mistyped_call_is_told_its_nearest() {
    let hint = |provider, id: &str| {
        let error = Call::find(provider, id).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains(id));
        error.hint_text().unwrap_or_default().to_owned()
    };
    assert_eq!(hint(OpenHosting, "drive.create"), "did you mean `drives.create`?");
    assert_eq!(hint(OpenHosting, "servers.sotp"), "did you mean `servers.stop`?");
    assert_eq!(hint(OpenHosting, "transactions.list"), "it is a call of cloudsigma");
    assert_eq!(hint(OpenHosting, "nothing"), "`diskferry calls openhosting` lists its calls");
    assert!(Call::find(Provider::Joyent, "nothing").is_err());
}

#[test]
fn the_catalogue_as_json_has_its_fields() {
    let row = |provider, id| serde_json::to_value(Call::find(provider, id).unwrap().row()).unwrap();
    let destroy = row(CloudSigma, "servers.destroy");
    assert_eq!((&destroy["method"], &destroy["sends"]), (&"GET".into(), &"POST".into()));
    assert_eq!((&destroy["input"], &destroy["output"]), (&"-".into(), &"none".into()));
    let create = row(Crosspeer, "drives.create");
    assert_eq!(create["provider"], "crosspeer");
    assert_eq!(create["call"], "drives.create");
    assert_eq!(create["path"], "/drives/create");
    assert_eq!(
        create["input"],
        "name,size,[claim:type],[readers],[tags],[user:*],[avoid],[encryption:cipher]"
    );
    assert_eq!(create["documentation"], "Crosspeer API, \"Create a drive\"");
    assert_eq!(create["keys"][1]["required"], true);
    assert_eq!(row(Crosspeer, "drives.set")["input"], "[name],[size],[claim:type],[readers],[tags],[user:*]");
    assert_eq!(row(CloudSigma, "servers.start")["output"], "properties | none");
    assert_eq!(row(OpenHosting, "drives.write")["input"], "binary");
    assert_eq!(row(OpenHosting, "servers.list")["columns"], serde_json::json!(["server", "cpu", "mem"]));
    assert_eq!(row(OpenHosting, "drives.set")["documentation"], "not in the Open Hosting API");
    // One object per line, so no row may contain a newline.
    assert!(all().all(|call| !serde_json::to_string(&call.row()).unwrap().contains('\n')));
}

#[test]
fn the_table_has_a_row_a_call() {
    let rows = table(calls(OpenHosting));
    assert_eq!(rows.len(), 1 + calls(OpenHosting).len());
    assert_eq!(rows[0], ["CALL", "METHOD", "PATH", "INPUT", "OUTPUT"]);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert!(rows.iter().any(|row| row[3] == "name,size,[…]"));
    assert_eq!(table(all())[1][..2], ["openhosting", "drives.list"]);
    assert_eq!(table([]).len(), 1);
}

#[test]
fn a_call_is_described_in_full() {
    let lines = describe(Call::find(OpenHosting, "drives.read").unwrap()).join("\n");
    assert!(lines.contains("[OFFSET]: a size") && lines.contains("answers binary"), "{lines}");
    let lines = describe(Call::find(CloudSigma, "servers.stop").unwrap()).join("\n");
    assert!(lines.contains("CloudSigma API 1.0, 8.9") && lines.contains("printed as GET"), "{lines}");
    let lines = describe(Call::find(Crosspeer, "servers.create").unwrap()).join("\n");
    assert!(lines.contains("mem=VALUE: a number, required; MB"), "{lines}");
}
