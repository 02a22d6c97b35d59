//! `boot`, and what it makes of a second run.

use crate::world::World;

const MIB: u64 = 1 << 20;

#[test]
fn a_second_boot_makes_no_second_server() {
    let world = World::new("");
    world.image("web.img", MIB);
    let args = ["boot", "web.img", "oh:", "--cpu", "1GHz", "--mem", "512M"];
    let first = world.run(&args);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let server = first.stdout.trim_end().to_owned();
    let info = world.run(&["--json", "server", "info", &format!("oh:{server}")]).event("server");
    assert_eq!((&info["cpu"], &info["mem"]), (&1000.into(), &512.into()));
    let second = world.run(&args);
    assert_eq!(second.code, 1, "{}", second.stderr);
    let says = format!("there is already a server `web.img` (oh:{server}, active)");
    assert!(
        second.stderr.contains(&says) && second.stderr.contains("`--name` makes another"),
        "{}",
        second.stderr
    );
    assert_eq!((world.drives(), world.journals().len()), (1, 0), "nothing was uploaded");
    // From the drive, under another name.
    let drive = format!("oh:{}", info["ide:0:0"].as_str().unwrap());
    let again = world.run(&["boot", &drive, "--name", "other"]);
    assert!(again.code == 1 && again.stderr.contains("is in use by server `web.img`"), "{}", again.stderr);
    // Once it is stopped, what starts it is said.
    assert_eq!(world.run(&["server", "stop", &format!("oh:{server}")]).code, 0);
    let stopped = world.run(&args);
    assert!(stopped.stderr.contains(&format!("`diskferry server start oh:{server}`")), "{}", stopped.stderr);
    let other = world.run(&["boot", "web.img", "oh:", "--name", "other"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    for (option, value, says) in [
        ("--cpu", "2", "the unit is core MHz, and 2 MHz is too little"),
        ("--mem", "2", "the unit is MB, and 2 MB is too little"),
        ("--mem", "x", "`x` is not an amount of memory"),
    ] {
        let refused = world.run(&["boot", "web.img", "oh:", "--name", "third", option, value]);
        assert!(refused.code == 2 && refused.stderr.contains(says), "{}", refused.stderr);
    }
}
