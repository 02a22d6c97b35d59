//! Every example that the help shows is run.

use crate::world::World;
use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// The commands at the end of the help of each command, in the order of the commands.
fn examples(world: &World) -> Vec<String> {
    let mut examples = Vec::new();
    let mut seen = BTreeSet::new();
    let mut paths = vec![String::new()];
    while let Some(path) = paths.pop() {
        let help = world.run(&format!("diskferry {path} --help"));
        let help = String::from_utf8(help.stdout).unwrap();
        let rows = |heading: &str| {
            let section =
                help.split_once(&format!("\n{heading}\n")).map(|(_, rest)| rest).unwrap_or_default();
            section.lines().take_while(|line| line.starts_with(' ')).map(str::to_owned).collect::<Vec<_>>()
        };
        for line in rows("Examples:") {
            let command = line.split("  # ").next().unwrap_or_default().trim().to_owned();
            if seen.insert(command.clone()) {
                examples.push(command);
            }
        }
        let headings = ["Commands:", "Transfers", "Everyday", "SpotCloud", "Joyent", "Backups", "Setup"];
        let below: Vec<String> = headings
            .iter()
            .flat_map(|heading| rows(heading))
            .filter(|row| row.starts_with("  ") && !row.starts_with("   "))
            .filter_map(|row| Some(row.trim().split([' ', ',']).next()?.to_owned()))
            .collect();
        paths.extend(below.into_iter().rev().map(|name| format!("{path} {name}").trim().to_owned()));
    }
    examples
}

#[test]
fn every_example_of_the_help_works() {
    let mut world = World::new();
    world.add_bad();
    let known = furnish(&world);
    let examples = examples(&world);
    assert!(examples.len() > 50, "{examples:#?}");
    let mut failed = Vec::new();
    for example in &examples {
        let words: Vec<&str> = example.split(' ').collect();
        if words[1] == "serve" {
            serve(&world, example);
            continue;
        }
        // What has an id of its own in each world.
        let here = |word: &&str| known.get(*word).cloned().unwrap_or_else(|| (*word).to_owned());
        let line = words.iter().map(here).collect::<Vec<_>>().join(" ");
        let output = world.run(&line);
        if !output.status.success() {
            failed.push(format!("{example}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Makes what the examples name; returns their words with the ids that they have here.
fn furnish(world: &World) -> HashMap<&'static str, String> {
    let mut known = HashMap::new();
    let drive = world.done("diskferry upload disk.img oh: --name web-1");
    known.insert("web-1", drive.clone());
    known.insert("oh:web-1", format!("oh:{drive}"));
    let data = world.done("diskferry drive create oh: name=data size=4M");
    known.insert("oh:data", format!("oh:{data}"));
    let server =
        format!("diskferry server create oh: name=web cpu=2000 mem=1024 ide:0:0={data} boot=ide:0:0");
    known.insert("oh:web", format!("oh:{}", world.done(&server)));
    let other = world.done("diskferry upload disk.img cs: --name web-1");
    known.insert("cs:web-1", format!("cs:{other}"));
    let machine = world.done("diskferry machine create sdc: --name web --wait");
    known.insert("sdc:web", format!("sdc:{machine}"));
    world.done(
        "diskferry call sdc: instrumentations.create module=syscall stat=syscalls decomposition=latency",
    );
    let refused = world.run("diskferry upload disk.img bad: --retries 0");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let listed: serde_json::Value =
        serde_json::from_str(&world.done("diskferry --json transfers list")).unwrap();
    known.insert("f3cd", listed["id"].as_str().unwrap().to_owned());
    known
}

/// Runs an example of `serve` on free ports until it accepts connections.
fn serve(world: &World, example: &str) {
    let line = match example.split_once("openhosting=127.0.0.1:8701") {
        Some((before, after)) => format!("{before}openhosting=127.0.0.1:0{after}"),
        None => format!("{example} openhosting=127.0.0.1:0 joyent=127.0.0.1:0"),
    };
    let mut child = world
        .command("sh")
        .args(["-c", &format!("exec {line}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success(), "{example}");
    assert!(first.starts_with("openhosting http://127.0.0.1:"), "{example}: {first}");
}
