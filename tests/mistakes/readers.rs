//! A reader that goes away, as in `| head`.

use crate::world::World;
use std::io::pipe;

#[test]
fn a_command_whose_reader_is_gone_ends_quietly() {
    let world = World::new();
    let drive = world.done("diskferry upload disk.img oh: --name web-1");
    for line in [
        "diskferry calls".to_owned(),
        "diskferry --json calls".to_owned(),
        "diskferry --help".to_owned(),
        "diskferry upload --help".to_owned(),
        "diskferry --version".to_owned(),
        "diskferry man".to_owned(),
        "diskferry completions bash".to_owned(),
        "diskferry drive list oh:".to_owned(),
        "diskferry call oh: drives.info_all".to_owned(),
        format!("diskferry -q download oh:{drive} -"),
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = world.command("sh").args(["-c", &line]).stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(141), ""), "{line}");
    }
}

#[test]
fn colours_follow_the_stream_they_go_to() {
    let world = World::new();
    let escape = |bytes: &[u8]| bytes.contains(&0x1b);
    let plain = world.run("diskferry upload -h; diskferry uplod");
    assert!(!escape(&plain.stdout) && !escape(&plain.stderr));
    let painted = world.run("diskferry --color always upload -h; diskferry --color always uplod");
    assert!(escape(&painted.stdout) && escape(&painted.stderr));
    // Standard error is a terminal, standard output is none.
    let script = world.run("script -qec 'diskferry upload -h > page; diskferry uplod' /dev/null < /dev/null");
    if !script.status.success() && script.stdout.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "script is not installed");
        eprintln!("skipped: script is not installed (bsdutils)");
        return;
    }
    assert!(escape(&script.stdout), "{script:?}");
    assert!(!escape(&std::fs::read(world.path("page")).unwrap()));
}

#[test]
fn the_log_says_when() {
    let mut world = World::new();
    world.add_bad();
    let output = world.run("diskferry -v --no-progress upload disk.img bad: --retries 1");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = stderr.lines().find(|line| line.contains("attempt 1 failed"));
    let line = line.unwrap_or_else(|| panic!("no repeated request: {stderr}"));
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.contains('T') && time.ends_with('Z'), "{line}");
    assert!(rest.trim_start().starts_with("INFO"), "{line}");
    assert!(stderr.contains("upload disk.img to bad:"), "the plan: {stderr}");
    assert!(!stderr.contains("POST"), "a request: {stderr}");
    let output = world.run("diskferry -vv --no-progress drive list oh:");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/drives/info"), "{output:?}");
}
