//! The emulator: each exchange is sent to `diskferry serve`, and its answer compared field by field with what the manual
//! prints. What differs is in testdata/manuals/differences.tsv, and nothing else is.

use super::credentials::{self, DIGEST, Signed, digest};
use super::golden::{self, Credentials, Exchange, Golden};
use super::node::{self, Form, Rules};
use super::serving::Serving;
use super::template::{self, Names};
use super::variants;
use super::wire::{self, Answer};
use super::world::{SECRET, USER};
use diskferry::provider::Provider;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the emulator may take to become what an exchange needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many exchanges of a provider are played at a time.
const AT_ONCE: usize = 32;

super::for_each_provider!(judge);

fn judge(provider: Provider) {
    let golden = golden::read(provider);
    let servers = Mutex::new(HashMap::new());
    let judged = golden.exchanges.iter().filter(|exchange| exchange.client_alone.is_none());
    let left = Mutex::new(judged.flat_map(|exchange| variants::of(&golden, exchange)));
    let found = Mutex::new(BTreeSet::new());
    // Machines take their time, and several take it at once.
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(exchange) = { left.lock().unwrap().next() } {
                    let differences = Play::new(&golden, &exchange, &servers).play();
                    let named = differences.into_iter().map(|what| (exchange.name.clone(), what));
                    found.lock().unwrap().extend(named);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let listed = listed(provider);
    let lines = |set: &BTreeSet<(String, String)>, other: &BTreeSet<(String, String)>| -> Vec<String> {
        set.difference(other).map(|(name, what)| format!("{provider}\t{name}\t{what}")).collect()
    };
    let (new, gone) = (lines(&found, &listed), lines(&listed, &found));
    assert!(
        new.is_empty() && gone.is_empty(),
        "differences that are not listed:\n{}\n\nlisted and no longer there:\n{}",
        new.join("\n"),
        gone.join("\n")
    );
}

/// The differences that are known, each with why.
fn listed(provider: Provider) -> BTreeSet<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/manuals/differences.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("provider\texchange\tdifference\twhy"));
    let mut all = BTreeSet::new();
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let [of, name, what, why] = *columns else { panic!("{path}: {line:?} has not four columns") };
        assert!(!why.is_empty(), "{path}: {line:?} does not say why");
        if of == provider.name() {
            assert!(all.insert((name.to_owned(), what.to_owned())), "{path}: {line:?} stands twice");
        }
    }
    all
}

/// The servers that are shared, by the arguments that they were started with.
type Servers = Mutex<HashMap<Vec<String>, Arc<Serving>>>;

/// One exchange with a server.
struct Play<'g> {
    golden: &'g Golden,
    exchange: &'g Exchange,
    names: Names,
    server: Arc<Serving>,
}

impl<'g> Play<'g> {
    fn new(golden: &'g Golden, exchange: &'g Exchange, servers: &Servers) -> Self {
        let arguments = [&*golden.serve, &exchange.serve].concat();
        let start = || Arc::new(Serving::start(golden.provider, &arguments));
        let server = if exchange.fresh {
            start()
        } else {
            servers.lock().unwrap().entry(arguments.clone()).or_insert_with(start).clone()
        };
        Self { golden, exchange, names: golden.names.clone(), server }
    }

    /// Plays it; gives what differs.
    fn play(mut self) -> Vec<String> {
        let (golden, exchange) = (self.golden, self.exchange);
        let mut made = Vec::new();
        for given in &exchange.given {
            self.give(given, &mut made);
        }
        let mut found = Vec::new();
        if let (Some(refusal), Credentials::Account) = (&golden.unauthorized, &exchange.credentials) {
            let answer = self.send(exchange, &Credentials::None);
            let differences = self.compare(&refusal.of_any(exchange), &answer, false);
            found.extend(differences.into_iter().map(|what| format!("without credentials: {what}")));
        }
        for (how, other, refusal) in variants::refused(golden, exchange) {
            let answer = self.send(&other, &exchange.credentials);
            let differences = self.compare(&refusal.of_any(exchange), &answer, false);
            found.extend(differences.into_iter().map(|what| format!("{how}: {what}")));
        }
        let answer = self.send(exchange, &exchange.credentials);
        found.extend(self.compare(exchange, &answer, false));
        found
    }

    /// Has the emulator have what is given.
    fn give(&mut self, name: &str, made: &mut Vec<String>) {
        if made.iter().any(|other| other == name) {
            return;
        }
        made.push(name.to_owned());
        let golden = self.golden;
        let (_, given) = golden.givens.iter().find(|(given, _)| given == name).expect("the file was read");
        for before in &given.given {
            self.give(before, made);
        }
        let begun = Instant::now();
        loop {
            let answer = self.send(given, &given.credentials);
            let found = self.compare(given, &answer, true);
            if found.is_empty() {
                return;
            }
            let again = given.poll && begun.elapsed() < PATIENCE;
            assert!(again, "{} {name}: {found:?}: {answer:?}", golden.provider);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn send(&self, exchange: &Exchange, who: &Credentials) -> Answer {
        let golden = self.golden;
        let first = template::bound(&exchange.request.first, &self.names);
        let mut body = template::bound(&exchange.request.body, &self.names);
        let form = exchange.request.form();
        if form == Form::Properties && !body.is_empty() {
            body.push('\n');
        }
        let mut headers = exchange.request.headers.clone();
        for (name, value) in &golden.request_headers {
            if exchange.request.header(name).is_none() {
                headers.push((name.clone(), value.clone()));
            }
        }
        for (_, value) in &mut headers {
            *value = template::bound(value, &self.names);
        }
        let token = match who {
            Credentials::None => None,
            Credentials::Account => Some(Some((USER.to_owned(), SECRET.to_owned()))),
            Credentials::Consumer => Some(None),
            Credentials::Token(token, secret) => {
                Some(Some((template::bound(token, &self.names), template::bound(secret, &self.names))))
            }
        };
        if let Some(token) = token {
            let token = token.as_ref().map(|(token, secret)| (&**token, &**secret));
            let (method, path) = first.split_once(' ').expect("the file was read");
            let site = format!("http://{}", self.server.address);
            let form = if form == Form::Urlencoded { &*body } else { "" };
            let signed = Signed { method, site: &site, path, form };
            headers.push(("Authorization".to_owned(), credentials::header(golden.provider, &signed, token)));
        }
        wire::exchange(&self.server.address, &first, &headers, body.as_bytes())
    }

    /// What differs between an answer and what is printed; of what is given only what it says.
    fn compare(&mut self, exchange: &Exchange, answer: &Answer, open: bool) -> Vec<String> {
        if answer.status != exchange.answer.first {
            return vec![format!("status: {}, not {}", answer.status, exchange.answer.first)];
        }
        let mut found = Vec::new();
        let golden = self.golden;
        let content = golden.content_headers.iter().filter(|_| !exchange.answer.body.is_empty());
        let common = golden.answer_headers.iter().chain(content).filter(|_| !open);
        for (name, value) in exchange.answer.headers.iter().chain(common) {
            match answer.header(name) {
                None => found.push(format!("header {name}: missing")),
                Some(got) if value == DIGEST => {
                    let right = digest(answer.body.as_bytes()) == got;
                    found.extend((!right).then(|| format!("header {name}: not the digest of the body")));
                }
                Some(got) if template::matches(value, got, &mut self.names) => {}
                Some(got) => found.push(format!("header {name}: {got}, not {value}")),
            }
        }
        // A HEAD may have what a GET would have.
        let judged = !open && self.exchange.method() != "HEAD";
        let unprinted = golden.unprinted.iter().filter(|name| judged && !exchange.answers_with(name, golden));
        let there = unprinted.filter(|name| answer.header(name).is_some());
        found.extend(there.map(|name| format!("header {name}: not in the manual")));
        let form = exchange.form();
        let wanted = node::read(form, &exchange.answer.body);
        let text = match form {
            Form::Plain => answer.body.strip_suffix('\n').unwrap_or(&answer.body),
            _ => &answer.body,
        };
        if exchange.answer.body.is_empty() {
            found.extend((!text.is_empty() && !open).then(|| "body: there is one".to_owned()));
            return found;
        }
        let Some(got) = node::read(form, text) else {
            found.push(format!("body: it is not {form:?}"));
            return found;
        };
        let rules = Rules {
            ordered: self.golden.ordered && form == Form::Xml,
            any_number: exchange.any_number,
            open,
            loose: self.golden.loose,
        };
        let wanted = wanted.expect("what is printed has the form that it says");
        let differences = node::differences(&wanted, &got, rules, &mut self.names);
        found.extend(differences.into_iter().map(|what| format!("body{what}")));
        found
    }
}
