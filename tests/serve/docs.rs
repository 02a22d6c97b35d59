//! The commands of docs/emulator.md work as they are printed.

use crate::world::World;
use std::path::Path;
use std::process::{Command, Stdio};

/// The commands in blocks of `sh` of a document, each with its line.
fn commands(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut within, mut open) = (Vec::new(), false, None::<(usize, String)>);
    for (line, text) in (1..).zip(text.lines()) {
        match text {
            "```sh" => within = true,
            "```" => within = false,
            _ if !within || text.is_empty() || text.starts_with('#') => {}
            _ => {
                let (at, mut command) = open.take().unwrap_or((line, String::new()));
                match text.strip_suffix('\\') {
                    Some(more) => {
                        command += more;
                        open = Some((at, command));
                    }
                    None => found.push((at, command + text)),
                }
            }
        }
    }
    found
}

/// The fixed ports of the document, each with one that is free.
fn with_free_ports(command: &str, ports: &[(u16, u16)]) -> String {
    ports
        .iter()
        .fold(command.to_owned(), |command, (from, to)| command.replace(&from.to_string(), &to.to_string()))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn the_commands_of_the_document_work() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/emulator.md")).unwrap();
    let commands = commands(&text);
    assert!(commands.len() > 15, "{} commands", commands.len());
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return crate::skipped::skipped("curl is not installed");
    }
    let world = World::new();
    std::fs::write(world.path("disk.img"), vec![7; 5 << 20]).unwrap();
    let ports: Vec<(u16, u16)> = (8701..=8705).chain([8700]).map(|port| (port, free_port())).collect();
    let bin = Path::new(env!("CARGO_BIN_EXE_diskferry")).parent().unwrap().to_owned();
    let mut running = Vec::new();
    for (line, command) in commands {
        let command = with_free_ports(&command, &ports);
        let mut shell = Command::new("sh");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        shell
            .args(["-ec", &command])
            .current_dir(world.path(""))
            .env_clear()
            .env("PATH", path)
            .env("HOME", world.path(""))
            .env("DISKFERRY_CONFIG", world.path("emulator.toml"))
            .stdin(Stdio::null());
        let Some(server) = command.strip_suffix('&') else {
            let output = shell.output().unwrap();
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "line {line}: {command}\n{stdout}{stderr}");
            assert!(!stdout.contains("\"error\""), "line {line}: {command}\n{stdout}");
            continue;
        };
        // The document starts it in the background; here it is waited for until it listens, and stopped by the next.
        running.clear();
        let words: Vec<&str> = server.split_whitespace().skip(2).collect();
        let listeners = words.iter().filter(|word| word.contains("=127.0.0.1")).count();
        let control = usize::from(words.contains(&"--control"));
        running.push(world.serve(&words, if listeners == 0 { 5 } else { listeners } + control));
    }
}
