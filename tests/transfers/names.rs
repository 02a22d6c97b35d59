//! Drives that are named by their names.

use crate::world::{World, acknowledged_writes};

#[test]
fn a_name_stands_for_the_one_drive_that_has_it() {
    let world = World::new("");
    let image = world.image("a.img", 5 << 20);
    let image = image.to_str().unwrap();
    let drive = world.upload(&[image, "oh:", "--name", "web one"]);
    let other = world.upload(&[image, "oh:", "--name", "db"]);
    for args in [
        &["download", "oh:web one", "back.img"][..],
        &["verify", image, "oh:web one"],
        &["backup", "oh:db", "store"],
        &["restore", "store/db", "oh:web one"],
        &["upload", "--base", "oh:db", image, "oh:", "--name", "copy"],
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
    }
    assert_eq!(std::fs::read(world.path("back.img")).unwrap(), std::fs::read(image).unwrap());
    assert_eq!(world.upload(&[image, "oh:web one"]), drive);
    // In a set each drive is itself, whichever way it is named.
    let twice = world.run(&["download", "oh:db", &format!("oh:{other}"), "out"]);
    assert_eq!(twice.code, 2, "{twice:?}");
    assert!(twice.stderr.contains("is named more than once"), "{}", twice.stderr);
    let both = world.run(&["download", "oh:db", "oh:web one", "out"]);
    assert_eq!(both.code, 0, "{}", both.stderr);
}

#[test]
fn a_name_that_no_drive_or_several_have_is_an_error_before_anything_moves() {
    let world = World::new("");
    let image = world.image("a.img", 1 << 20);
    let image = image.to_str().unwrap();
    let twins =
        [world.upload(&[image, "oh:", "--name", "web"]), world.upload(&[image, "oh:", "--name", "web"])];
    let before = acknowledged_writes(&world.emulator().log()).len();
    let none = world.run(&["upload", image, "oh:wbe"]);
    assert_eq!(none.code, 5, "{none:?}");
    assert!(none.stderr.contains("no drive on `oh:` is named `wbe`"), "{}", none.stderr);
    assert!(none.stderr.contains("did you mean `oh:web`?"), "{}", none.stderr);
    let several = world.run(&["upload", image, "oh:web"]);
    assert_eq!(several.code, 2, "{several:?}");
    assert!(twins.iter().all(|drive| several.stderr.contains(&format!("oh:{drive}"))), "{}", several.stderr);
    assert_eq!(acknowledged_writes(&world.emulator().log()).len(), before);
}
