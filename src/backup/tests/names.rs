use super::super::index::{chunk_key, digest_of_key};
use super::super::name::{SnapshotId, SnapshotName, When};
use crate::digest::Digest;
use std::process::Command;

#[test]
fn names_of_drives_become_safe_directories() {
    for (drive, wanted) in [
        ("web-1", "web-1"),
        ("web 1/root", "web_1_root"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        (".hidden", "_.hidden"),
        ("", "_"),
        ("beef", "_beef"),
        ("BEEF", "_BEEF"),
        ("beefy", "beefy"),
        ("a@b", "a_b"),
        ("größe", "größe"),
        ("x\u{202e}y\n", "x_y"),
        ("my.caibx", "my_caibx"),
        ("-rf", "_-rf"),
    ] {
        let name = SnapshotName::for_drive(drive);
        assert_eq!(name.as_str(), wanted, "{drive:?}");
        // A name that was made is parsed, and made again unchanged.
        assert_eq!(wanted.parse::<SnapshotName>().unwrap(), name);
    }
    let long = SnapshotName::for_drive(&"ü".repeat(500));
    assert!(long.as_str().len() <= 120 && long.as_str().parse::<SnapshotName>().is_ok());
    for ending in 110..125 {
        let name = SnapshotName::for_drive(&format!("{}.caibx.caibx", "a".repeat(ending)));
        assert!(name.as_str().parse::<SnapshotName>().is_ok(), "{name}");
    }
    for bad in ["", ".", "..", "a/b", "beef", ".x", "a\0b", "x.castr"] {
        assert!(bad.parse::<SnapshotName>().is_err(), "{bad:?}");
    }
}

#[test]
fn times_are_those_of_date() {
    for seconds in
        [0_u64, 951_782_399, 951_782_400, 1_709_164_800, 1_764_012_345, 4_107_542_399, 253_402_300_799]
    {
        let when = When::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        let date =
            Command::new("date").args(["-u", "+%Y-%m-%dT%H%M%SZ", "-d", &format!("@{seconds}")]).output();
        let date = String::from_utf8(date.unwrap().stdout).unwrap();
        assert_eq!(when.to_string(), date.trim());
        assert_eq!(date.trim().parse::<When>().unwrap(), when);
        let week = |format: &str| {
            let shown =
                Command::new("date").args(["-u", format, "-d", &format!("@{seconds}")]).output().unwrap();
            String::from_utf8(shown.stdout).unwrap().trim().to_owned()
        };
        // Weeks begin on Monday.
        let day_of_week: u64 = week("+%u").parse().unwrap();
        let monday = When::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).days() + 1
            - day_of_week.min(when.days() + 1);
        assert!(when.week() * 7 <= when.days() + 3 && (when.week() + 1) * 7 > when.days() + 3);
        assert!(seconds < 700_000 || (monday + 3).is_multiple_of(7), "{when}");
    }
    for bad in [
        "",
        "2026-11-24T190000",
        "2026-02-30T000000Z",
        "2026-11-24T240000Z",
        "2026-11-24 190000Z",
        "+026-11-24T190000Z",
        "2026-11-24T190000Zx",
        "１026-11-24T190000Z",
    ] {
        assert!(bad.parse::<When>().is_err(), "{bad:?}");
    }
}

#[test]
fn keys_are_told_apart() {
    let digest = Digest([0xab; 32]);
    let key = chunk_key(&digest);
    assert_eq!(digest_of_key(&key), Some(digest));
    for bad in [
        key.replace("abab/", "abac/"),
        key.replace(".cacnk", ".tmp"),
        key.to_uppercase(),
        format!("x/{key}"),
        key.replace("abab/", "abab//"),
        "abab/é.cacnk".to_owned(),
    ] {
        assert_eq!(digest_of_key(&bad), None, "{bad}");
    }
    let id = super::id("web@2026-11-24T190000Z");
    assert_eq!(SnapshotId::of_index_key(&id.index_key()), Some(id.clone()));
    assert_eq!(SnapshotId::of_properties_key(&id.properties_key()), Some(id));
    assert_eq!(SnapshotId::of_index_key("../2026-11-24T190000Z.caibx"), None);
    assert_eq!(SnapshotId::of_index_key("web/x.caibx"), None);
}
