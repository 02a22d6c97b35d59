//! What is sent of keys that the manuals do not know, and of values that text cannot carry. What the calls send otherwise is held
//! against the manuals by tests/manuals.

use super::recorder::Recorder;
use super::world::World;
use diskferry::provider::Provider;

#[test]
fn an_unknown_key_is_sent_with_a_warning_that_names_the_nearest() {
    let recorder = Recorder::yes();
    let world = World::at(Provider::OpenHosting, &recorder.url);
    let ended = world.run(&["call", "r:", "drives.create", "name=a", "size=1M", "encryption:ciper=none"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("did you mean `encryption:cipher`?"), "{}", ended.stderr);
    assert_eq!(recorder.take()[0].body, b"name a\nsize 1048576\nencryption:ciper none\n");
}

#[test]
fn what_the_text_form_cannot_carry_goes_as_json() {
    let recorder = Recorder::yes();
    let world = World::at(Provider::Crosspeer, &recorder.url);
    world.done(&["call", "r:", "drives.create", r"name=a\nb", "size=1M"]);
    let sent = &recorder.take()[0];
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.body, br#"{"name":"a\\nb","size":1048576}"#);
}
