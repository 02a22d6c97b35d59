//! What is lost by a command is asked for on a terminal, and only there.

use super::pty::terminal;
use super::world::World;
use diskferry::provider::Provider;
use std::io::{Read, Write};

/// Runs a command on a terminal, where `answer` is typed. Returns its status and what the terminal shows.
fn on_a_terminal(world: &World, args: &[&str], answer: &str) -> (i32, String) {
    let (mut ours, theirs) = terminal();
    ours.write_all(answer.as_bytes()).unwrap();
    let mut child = {
        let mut command = world.command(args);
        command.stdin(theirs.try_clone().unwrap()).stderr(theirs);
        command.spawn().unwrap()
        // The command, which holds our copies of the other end, is dropped here: else reading would never end.
    };
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // Once nobody has the other end open, Linux reports an error and not the end.
    while let Ok(n @ 1..) = ours.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..n]);
    }
    (child.wait().unwrap().code().unwrap_or(-1), String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn what_destroys_is_asked_for_and_only_a_yes_is_one() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let drive = world.drive("10M");
    let target = format!("r:{drive}");
    let question = format!("destroy drive {drive} (made, 10.0 MiB)? Everything on it is lost. [y/N]");
    for answer in ["n\n", "\n", "maybe\n"] {
        let (code, shown) = on_a_terminal(&world, &["drive", "destroy", &target], answer);
        assert!(shown.contains(&question), "{shown}");
        assert_eq!(code, 130, "{shown}");
        assert!(shown.contains("not confirmed") && shown.contains("nothing was done"), "{shown}");
        assert_eq!(world.run(&["drive", "info", &target]).code, 0, "the drive is there after {answer:?}");
    }
    let (code, shown) = on_a_terminal(&world, &["drive", "destroy", &target], "y\n");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains(&format!("destroyed drive {drive} (made, 10.0 MiB)")), "{shown}");
    world.run(&["drive", "info", &target]).refused(5, &[]);
}

#[test]
fn yes_and_a_missing_terminal_go_on_without_a_question() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let (first, second) = (format!("r:{}", world.drive("1M")), format!("r:{}", world.drive("1M")));
    let (code, shown) = on_a_terminal(&world, &["drive", "destroy", &first, "--yes"], "");
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains('?'), "{shown}");
    let scripted = world.run(&["drive", "destroy", &second]);
    assert_eq!(scripted.code, 0, "{}", scripted.stderr);
    assert!(!scripted.stderr.contains('?'), "{}", scripted.stderr);
}

#[test]
fn a_size_that_cuts_is_asked_for_and_one_that_does_not_is_not() {
    let (world, _emulator) = World::emulated(Provider::Crosspeer, "");
    let target = format!("r:{}", world.drive("10M"));
    let (code, shown) = on_a_terminal(&world, &["drive", "set", &target, "size=20M"], "");
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains('?'), "{shown}");
    let (code, shown) = on_a_terminal(&world, &["drive", "set", &target, "size=5M"], "n\n");
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("cut drive ") && shown.contains("(made, 20.0 MiB) to 5.0 MiB?"), "{shown}");
    let (source, image) = (world.drive("1M"), world.drive("1M"));
    let (code, shown) = on_a_terminal(&world, &["drive", "image", &format!("r:{image}"), &source], "n\n");
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("overwrite drive ") && shown.contains(&format!("with {source}?")), "{shown}");
}

#[test]
fn other_nouns_are_asked_for_too() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    world.done(&["server", "create", "r:", "name=s", "cpu=500", "mem=256", "--stopped"]);
    let (code, shown) = on_a_terminal(&world, &["server", "destroy", "r:s"], "n\n");
    assert!(
        code == 130 && shown.contains("destroy server ") && shown.contains("Its drives stay."),
        "{shown}"
    );
    let (spot, _emulator) = World::emulated(Provider::SpotCloud, "");
    let (code, shown) = on_a_terminal(&spot, &["appliance", "delete", "r:appliance/own"], "n\n");
    assert!(code == 130 && shown.contains("delete appliance own"), "{shown}");
}
