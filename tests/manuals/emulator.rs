//! The emulator: each exchange is sent to `diskferry serve`, and its answer compared field by field with what the manual
//! prints. What differs is in testdata/manuals/differences.tsv, and nothing else is.

use super::credentials::{self, Signed};
use super::golden::{self, Credentials, Exchange, Golden};
use super::node::{self, Form, Rules};
use super::serving::Serving;
use super::template::{self, Names};
use super::wire::{self, Answer};
use super::world::{SECRET, USER};
use diskferry::provider::Provider;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// How long the emulator may take to become what an exchange needs.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn open_hosting() {
    judge(Provider::OpenHosting);
}

#[test]
fn crosspeer() {
    judge(Provider::Crosspeer);
}

#[test]
fn cloudsigma() {
    judge(Provider::CloudSigma);
}

#[test]
fn spotcloud() {
    judge(Provider::SpotCloud);
}

#[test]
fn joyent() {
    judge(Provider::Joyent);
}

fn judge(provider: Provider) {
    let golden = golden::read(provider);
    let mut judge = Judge { golden: &golden, names: golden.names.clone(), serving: HashMap::new() };
    let mut found = BTreeSet::new();
    let mut judged = 0;
    for exchange in golden.exchanges.iter().filter(|exchange| exchange.client_alone.is_none()) {
        judged += 1;
        found.extend(judge.play(exchange).into_iter().map(|what| (exchange.name.clone(), what)));
    }
    assert!(judged > 0, "{provider} has exchanges");

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

struct Judge<'g> {
    golden: &'g Golden,
    names: Names,
    /// By the arguments that they were started with.
    serving: HashMap<Vec<String>, Serving>,
}

impl Judge<'_> {
    /// Plays an exchange; gives what differs.
    fn play(&mut self, exchange: &Exchange) -> Vec<String> {
        self.names.restart(&[]);
        if exchange.fresh {
            self.serving.clear();
        }
        let mut made = Vec::new();
        for given in &exchange.given {
            self.give(given, &exchange.serve, &mut made);
        }
        let mut found = Vec::new();
        if let (Some(refusal), false) =
            (&self.golden.unauthorized, exchange.credentials != Credentials::Account)
        {
            let answer = self.send(exchange, &exchange.serve, &Credentials::None);
            let differences = self.compare(refusal, &answer, false);
            found.extend(differences.into_iter().map(|what| format!("without credentials: {what}")));
        }
        let answer = self.send(exchange, &exchange.serve, &exchange.credentials);
        found.extend(self.compare(exchange, &answer, false));
        found
    }

    /// Has the emulator have what is given.
    fn give(&mut self, name: &str, serve: &[String], made: &mut Vec<String>) {
        if made.iter().any(|other| other == name) {
            return;
        }
        made.push(name.to_owned());
        let golden = self.golden;
        let (_, given) = golden.givens.iter().find(|(given, _)| given == name).expect("the file was read");
        for before in &given.given {
            self.give(before, serve, made);
        }
        let begun = Instant::now();
        loop {
            let answer = self.send(given, serve, &given.credentials);
            let found = self.compare(given, &answer, true);
            if found.is_empty() {
                return;
            }
            let again = given.poll && begun.elapsed() < PATIENCE;
            assert!(again, "{} {name}: {found:?}: {answer:?}", golden.provider);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn send(&mut self, exchange: &Exchange, serve: &[String], who: &Credentials) -> Answer {
        let golden = self.golden;
        let arguments = [&golden.serve, serve].concat();
        let serving = self
            .serving
            .entry(arguments)
            .or_insert_with_key(|arguments| Serving::start(golden.provider, arguments));
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
            let site = format!("http://{}", serving.address);
            let form = if form == Form::Urlencoded { &*body } else { "" };
            let signed = Signed { method, site: &site, path, form };
            headers.push(("Authorization".to_owned(), credentials::header(golden.provider, &signed, token)));
        }
        wire::exchange(&serving.address, &first, &headers, body.as_bytes())
    }

    /// What differs between an answer and what is printed; of what is given only what it says.
    fn compare(&mut self, exchange: &Exchange, answer: &Answer, open: bool) -> Vec<String> {
        if answer.status != exchange.answer.first {
            return vec![format!("status: {}, not {}", answer.status, exchange.answer.first)];
        }
        let mut found = Vec::new();
        let common: &[_] = if open { &[] } else { &self.golden.answer_headers };
        for (name, value) in exchange.answer.headers.iter().chain(common) {
            match (answer.header(name.trim_start_matches('?')), name.starts_with('?')) {
                (None, true) => {}
                (None, false) => found.push(format!("header {name}: missing")),
                (Some(got), _) if template::matches(value, got, &mut self.names) => {}
                (Some(got), _) => found.push(format!("header {name}: {got}, not {value}")),
            }
        }
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
