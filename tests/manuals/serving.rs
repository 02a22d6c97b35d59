//! `diskferry serve` for one provider: a process that ends with the value.

use super::world::{SECRET, USER, World};
use diskferry::provider::Provider;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// What appliances hold.
pub const APPLIANCE: &[u8] = b"appliance";

pub struct Serving {
    child: Child,
    /// HOST:PORT.
    pub address: String,
    _world: World,
}

impl Serving {
    /// Starts it; the word FILE in the arguments becomes a file with [`APPLIANCE`] in it.
    pub fn start(provider: Provider, arguments: &[String]) -> Self {
        let world = World::empty();
        let file = world.file("appliance", APPLIANCE);
        let listener = format!("{provider}=127.0.0.1:0");
        let mut words = vec!["serve".to_owned(), listener, "--user".to_owned(), USER.to_owned()];
        words.extend(arguments.iter().map(|word| word.replace("FILE", &file)));
        let mut child = world
            .command(&words)
            .env("DISKFERRY_SERVE_SECRET", SECRET)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix(&format!("{provider} http://")).expect("PROVIDER URL");
        Self { child, address: url.trim_end_matches('/').to_owned(), _world: world }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
