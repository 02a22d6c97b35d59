//! Completion, as each shell that is installed does it.

use crate::skipped::skipped;
use crate::world::World;
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

/// Sources the script and has bash complete a line, whose words it splits as readline does.
const BASH: &str = r#"
eval "$(diskferry completions bash)"
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<<"$(sed 's/[:=]/ & /g' <<<"$1")"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_diskferry
printf '%s\n' "${COMPREPLY[@]}"
"#;

fn bash(world: &World, line: &str) -> Output {
    // A loaded machine may need longer than a person would wait.
    let mut command = world.command("bash");
    command.args(["-c", BASH, "bash", line]).env("DISKFERRY_COMPLETE_WITHIN", "60s").output().unwrap()
}

/// What bash would put in the place of the word behind the last colon or equals sign.
fn completed(world: &World, line: &str) -> Vec<String> {
    let output = bash(world, line);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    let world = World::new();
    assert_eq!(completed(&world, "diskferry upl"), ["upload"]);
    assert_eq!(completed(&world, "diskferry server sh"), ["shutdown"]);
    assert_eq!(completed(&world, "diskferry upload disk.img --chu"), ["--chunk-size"]);
    assert_eq!(completed(&world, "diskferry upload disk.img --verify "), ["none", "sample", "full"]);
    assert_eq!(completed(&world, "diskferry upload disk.img --verify=s"), ["sample"]);
    assert_eq!(completed(&world, "diskferry upload di"), ["disk.img"]);
    assert_eq!(completed(&world, "diskferry completions fi"), ["fish"]);
}

#[test]
fn bash_completes_remotes_and_what_is_on_them() {
    let world = World::new();
    world.done("diskferry upload disk.img oh: --name web-1");
    let odd = world.done("diskferry drive create oh: name='two words' size=1M");
    let server = "diskferry server create oh: name=db cpu=2000 mem=1024 --stopped";
    world.done(server);
    assert_eq!(completed(&world, "diskferry download sp"), ["spot:"]);
    assert_eq!(completed(&world, "diskferry upload disk.img o"), ["oh:"]);
    assert_eq!(completed(&world, "diskferry drive info oh:w"), ["web-1"]);
    assert_eq!(completed(&world, "diskferry download oh:w"), ["web-1"]);
    assert_eq!(completed(&world, "diskferry upload disk.img --base=oh:w"), ["web-1"]);
    assert_eq!(completed(&world, &format!("diskferry drive info oh:{}", &odd[..8])), [odd.as_str()]);
    assert_eq!(completed(&world, "diskferry server stop oh:"), ["db"]);
    assert_eq!(completed(&world, "diskferry drive list oh:"), [""], "a remote alone is wanted");
    assert_eq!(completed(&world, "diskferry appliance info spot:a"), ["appliance/own"]);
    // The answer is kept for a while.
    world.done("diskferry drive create oh: name=web-2 size=1M");
    assert_eq!(completed(&world, "diskferry drive info oh:w"), ["web-1"]);
    std::fs::remove_dir_all(world.path(".local/state/diskferry/completion")).unwrap();
    assert_eq!(completed(&world, "diskferry drive info oh:w"), ["web-1", "web-2"]);
}

#[test]
fn a_remote_that_does_not_answer_is_not_waited_for() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world.add_silent("mute", &listener.local_addr().unwrap().to_string());
    let start = Instant::now();
    let mut command = world.command("bash");
    let output = command.args(["-c", BASH, "bash", "diskferry download mute:w"]).output().unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b"\n"[..], &b""[..]));
    assert_eq!(completed(&world, "diskferry download nosuch:w"), [""]);
    // A request is given up after 30 seconds; this asked twice.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    listener.accept().expect("it was asked");
}

#[test]
fn nothing_but_candidates_is_said() {
    let world = World::new();
    std::fs::write(world.path(".config/diskferry/config.toml"), "not = [toml, hunter2").unwrap();
    for line in ["diskferry download oh:", "diskferry upload disk.img o", "diskferry nosuch "] {
        let output = bash(&world, line);
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"), "{line}");
    }
}

/// Fish completes a line by itself; the script is sourced like any other.
#[test]
fn fish_completes() {
    let world = World::new();
    if !is_here("fish") {
        return;
    }
    let line = "diskferry completions fish | source; complete -C 'diskferry download sp'";
    let output = world.command("fish").args(["-c", line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "spot:", "{output:?}");
}

/// Zsh completes at a terminal alone, so it runs in one of its own making. `zpty -r` waits for what it is to show.
#[test]
fn zsh_completes() {
    let world = World::new();
    if !is_here("zsh") {
        return;
    }
    let script = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'autoload -U compinit; compinit -u -D; eval "$(diskferry completions zsh)"; print REA""DY'
        zpty -r z shown '*READY*'
        zpty -w -n z $'diskferry upl\t'
        zpty -r z shown '*diskferry upload*'
        zpty -w -n z $'disk.img sp\t'
        zpty -r z shown '*spot:*' && print completed
        zpty -d z
    "#;
    let output = world.command("timeout").args(["60", "zsh", "-fc", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "completed", "{output:?}");
}

fn is_here(shell: &str) -> bool {
    let here = std::process::Command::new(shell).arg("--version").output().is_ok();
    if !here {
        skipped(&format!("{shell} is not installed"));
    }
    here
}
