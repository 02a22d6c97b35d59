//! `call` prints the provider's own text: as it is into a pipe, harmless on a terminal.

use super::pty::terminal;
use super::recorder::Recorder;
use super::world::World;
use diskferry::provider::Provider;
use std::io::Read;

#[test]
fn a_providers_text_is_escaped_on_a_terminal_alone() {
    let text = "name a\u{1b}[2J\u{9b}31m\u{202e}b\nsize 1\ttwo\n\u{ff}\n";
    let recorder = Recorder::new(move |_, _| ("200 OK", "", text.into()));
    let world = World::at(Provider::OpenHosting, &recorder.url);
    let args = ["call", "r:", "drives.info", "08c92dd5-70a0-4f51-83d2-835919d254df"];
    assert_eq!(world.run(&args).bytes, text.as_bytes());

    let (mut ours, theirs) = terminal();
    let mut child = world.command(&args).stdout(theirs).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let mut shown = vec![0; 4096];
    let n = ours.read(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown[..n]).into_owned();
    assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown:?}");
    assert!(shown.contains(r"name a\u{1b}[2J\u{9b}31m\u{202e}b") && shown.contains("size 1"), "{shown:?}");
    assert_eq!(shown.lines().count(), 3, "{shown:?}");
}
