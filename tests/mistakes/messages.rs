//! Mistakes, each with the whole of what is said of it.
//!
//! The commands and the messages are in `testdata/mistakes/messages.txt`. To add a mistake, write its `$` line there and
//! run
//!
//! ```sh
//! DISKFERRY_UPDATE_MESSAGES=1 cargo test --release --test mistakes messages
//! ```
//!
//! which writes the file anew. Read the difference: that is the review.

use crate::world::World;
use std::fmt::Write;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/mistakes/messages.txt");

/// What is asked of the file: so many mistakes at least.
const FEWEST: usize = 40;

#[test]
fn each_mistake_is_answered_as_it_was() {
    let file = std::fs::read_to_string(FILE).unwrap();
    let commands: Vec<&str> = file.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= FEWEST, "{} mistakes", commands.len());
    let world = World::new();
    let mut answers = String::from(
        "Mistakes as people make them, and the whole of what is said. Written by tests/mistakes/messages.rs, which says how.\n",
    );
    for command in commands {
        let _ = write!(answers, "\n$ {command}\n{}", answer(&world, command));
    }
    if std::env::var_os("DISKFERRY_UPDATE_MESSAGES").is_some() {
        std::fs::write(FILE, answers).unwrap();
        return;
    }
    let mut differ = String::new();
    for (was, is) in file.split("\n\n").zip(answers.split("\n\n")).filter(|(was, is)| was != is) {
        let _ = write!(differ, "expected:\n{was}\ngot:\n{is}\n\n");
    }
    assert!(differ.is_empty() && file.len() == answers.len(), "{differ}");
}

/// What a command prints, standard output behind `>`, and its exit status. Nothing in it is blank: that is between answers.
fn answer(world: &World, command: &str) -> String {
    let output = world.run(command);
    let mut answer = String::new();
    let lines = |bytes: &[u8]| world.comparable(&String::from_utf8_lossy(bytes));
    for line in lines(&output.stdout).lines() {
        let _ = writeln!(answer, "> {line}");
    }
    for line in lines(&output.stderr).lines() {
        let line = if line.is_empty() { "." } else { line };
        let _ = writeln!(answer, "{line}");
    }
    let code = output.status.code().expect("no signal ends it");
    let _ = writeln!(answer, "exit {code}");
    answer
}

/// The form that every message has, whatever it says.
#[test]
fn each_message_has_the_one_form() {
    let file = std::fs::read_to_string(FILE).unwrap();
    for answer in file.split("\n\n").skip(1) {
        let mut told: Vec<&str> =
            answer.lines().skip(1).filter(|line| !line.starts_with("> ") && !line.is_empty()).collect();
        let exit = told.pop().unwrap_or_default();
        assert!(exit.starts_with("exit ") && exit != "exit 0", "{answer}");
        if told.contains(&".") {
            // The page that `diskferry` alone shows.
            continue;
        }
        let error = told.iter().find_map(|line| line.strip_prefix("error: "));
        let error = error.unwrap_or_else(|| panic!("no error: {answer}"));
        // `DIR/disk.img` and `PROVIDER=…` are no sentences.
        let is_sentence =
            error.starts_with(char::is_uppercase) && error.chars().nth(1).is_some_and(char::is_lowercase);
        assert!(!error.ends_with('.') && !is_sentence, "{answer}");
        let has_hint = told.last().is_some_and(|line| line.starts_with("hint: "));
        assert!(has_hint || exit != "exit 2", "no hint: {answer}");
        let tells = |secret: &str| told.iter().any(|line| line.contains(secret));
        assert!(!tells("hunter2") && !tells("the-secret"), "{answer}");
    }
}
