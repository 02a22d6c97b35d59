//! The client: `diskferry call` against a server that answers what the manual prints. What it sends is compared with what has
//! to be sent, and what it prints with what it was answered, as the provider's own text and with `--json`.

use super::credentials::{self, DIGEST, Signed, digest};
use super::golden::{self, Exchange, Golden, Header};
use super::node::{self, Form, Node, Rules};
use super::recorder::{Recorder, Sent};
use super::template::{self, Names, sample};
use super::world::{Ended, World};
use diskferry::provider::Provider;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex};

/// What stands for a secret in `--json`.
const HIDDEN: &str = "(hidden)";

super::for_each_provider!(judge);

fn judge(provider: Provider) {
    let golden = golden::read(provider);
    let stage = Stage::new(&golden);
    let mut wrong = Vec::new();
    let mut judged = 0;
    for exchange in golden.exchanges.iter().filter(|exchange| exchange.emulator_alone.is_none()) {
        judged += 1;
        let found = stage.play(exchange);
        wrong.extend(
            found.into_iter().map(|what| format!("{}:{} {}: {what}", provider, exchange.at, exchange.name)),
        );
    }
    assert!(
        judged > 0 && wrong.is_empty(),
        "{} exchanges, {} wrong:\n{}",
        judged,
        wrong.len(),
        wrong.join("\n")
    );
}

/// A server and the binary's world, whose remote leads there.
struct Stage<'g> {
    golden: &'g Golden,
    world: World,
    recorder: Recorder,
    answer: Arc<Mutex<(String, String, Vec<u8>)>>,
}

impl<'g> Stage<'g> {
    fn new(golden: &'g Golden) -> Self {
        let answer: Arc<Mutex<(String, String, Vec<u8>)>> = Arc::default();
        let shared = Arc::clone(&answer);
        let recorder = Recorder::new(move |_, _| shared.lock().unwrap().clone());
        let world = World::at(golden.provider, &recorder.url);
        Self { golden, world, recorder, answer }
    }

    /// Plays an exchange; gives what is wrong.
    fn play(&self, exchange: &Exchange) -> Vec<String> {
        let body = self.answers(exchange);
        let mut found = Vec::new();
        let runs: &[bool] = match () {
            () if exchange.json => &[true],
            () if exchange.is_binary() => &[false],
            () => &[false, true],
        };
        for json in runs {
            let ended = self.world.run(&self.words(exchange, *json, false));
            let how = if *json { "with --json: " } else { "" };
            let mut here = self.sent(exchange, *json, exchange.sends.as_deref());
            here.extend(if exchange.is_error() {
                refused(self.golden, exchange, &ended, *json)
            } else if *json {
                self.printed(exchange, &ended)
            } else {
                shown(exchange, &ended, &body)
            });
            found.extend(here.into_iter().map(|what| format!("{how}{what}")));
        }
        if exchange.sends.is_some() {
            let ended = self.world.run(&self.words(exchange, false, true));
            let mut here = self.sent(exchange, false, None);
            here.extend(
                (ended.code != exchange.exit).then(|| format!("status {}: {}", ended.code, ended.stderr)),
            );
            found.extend(here.into_iter().map(|what| format!("with --as-printed: {what}")));
        }
        found
    }

    /// Has the server answer what the manual prints; gives the body.
    fn answers(&self, exchange: &Exchange) -> Vec<u8> {
        let names = &self.golden.names;
        let mut body = sample(&exchange.answer.body, names);
        // Keys that need not be there are there, and those that stand for many stand for themselves.
        match exchange.form() {
            Form::Json => body = body.replace("\"?", "\"").replace("\"*", "\""),
            Form::Properties => {
                let line = |line: &str| line.strip_prefix('?').unwrap_or(line).to_owned() + "\n";
                body = body.lines().map(line).collect();
            }
            Form::Rows => body += "\n",
            Form::Xml | Form::Urlencoded | Form::Plain => {}
        }
        let body = body.into_bytes();
        let content = self.golden.content_headers.iter().filter(|_| !body.is_empty());
        let all = exchange.answer.headers.iter().chain(&self.golden.answer_headers).chain(content);
        let header = |(name, value): &Header| {
            let value = if value == DIGEST { digest(&body) } else { sample(value, names) };
            format!("{name}: {value}\r\n")
        };
        let headers = all.map(header).collect();
        *self.answer.lock().unwrap() = (format!("{} Told", exchange.status()), headers, body.clone());
        body
    }

    fn words(&self, exchange: &Exchange, json: bool, as_printed: bool) -> Vec<String> {
        let mut words: Vec<String> = if json { vec!["--json".to_owned()] } else { Vec::new() };
        words.extend(["call", "r:"].map(str::to_owned));
        for word in &exchange.call {
            words.push(match &**word {
                "BODY" => self.world.file("body", exchange.request.body.as_bytes()),
                word => sample(word, &self.golden.names),
            });
        }
        words.extend(["--retries", "0"].map(str::to_owned));
        words.extend(as_printed.then(|| "--as-printed".to_owned()));
        words
    }

    /// What is wrong with what was sent.
    fn sent(&self, exchange: &Exchange, json: bool, method: Option<&str>) -> Vec<String> {
        let sent = self.recorder.take();
        let [sent] = &*sent else {
            return vec![format!("{} requests were sent, not one", sent.len())];
        };
        let names = &self.golden.names;
        let method = method.unwrap_or(exchange.method());
        let (path, query) = split(&sample(exchange.path(), names));
        let (sent_path, sent_query) = split(&sent.path);
        let mut found = Vec::new();
        if (&*sent.method, &*sent_path) != (method, &*format!("/api{path}")) {
            found.push(format!("{} {} was sent, not {method} {path}", sent.method, sent.path));
        }
        found.extend(values("query", Form::Urlencoded, &query, &sent_query, names));
        found.extend(self.headers(exchange, json).into_iter().filter_map(|(name, value)| {
            let got = sent.header(&name.to_ascii_lowercase()).unwrap_or("(none)");
            (!template::matches(&value, got, &mut names.clone()))
                .then(|| format!("{name}: {got} was sent, not {value}"))
        }));
        if let Err(why) = self.authorized(sent) {
            found.push(why);
        }
        let length = sent.body.len().to_string();
        let needs_length = method == "POST" || method == "PUT" || !sent.body.is_empty();
        if needs_length && sent.header("content-length") != Some(&*length) {
            found.push("the length of the body was not sent".to_owned());
        }
        let body = sample(&exchange.request.body, names);
        let kind = sent.header("content-type");
        if body.is_empty() {
            found.extend((!sent.body.is_empty()).then(|| "a body was sent, and there is none".to_owned()));
            found.extend(kind.map(|kind| format!("Content-Type: {kind} was sent without a body")));
        } else {
            let text = String::from_utf8_lossy(&sent.body);
            found.extend(values("body", exchange.request.form(), &body, &text, names));
        }
        found
    }

    /// The headers that have to be sent.
    fn headers(&self, exchange: &Exchange, json: bool) -> Vec<Header> {
        let own = exchange.request.headers.iter();
        let mut headers: Vec<Header> = own.chain(&self.golden.request_headers).cloned().collect();
        for (name, value) in self.golden.json_headers.iter().filter(|_| json) {
            let same = headers.iter_mut().filter(|(n, _)| n == name);
            same.for_each(|(_, v)| v.clone_from(value));
        }
        // An own header stands before the common one of its name.
        let mut seen = Vec::new();
        headers.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        headers
    }

    fn authorized(&self, sent: &Sent) -> Result<(), String> {
        let header = sent.header("authorization").ok_or("no Authorization was sent")?;
        let form = sent.header("content-type") == Some("application/x-www-form-urlencoded");
        let body = String::from_utf8_lossy(&sent.body);
        let signed = Signed {
            method: &sent.method,
            site: self.recorder.url.trim_end_matches("/api/"),
            path: &sent.path,
            form: if form { &body } else { "" },
        };
        credentials::check(self.golden.provider, header, &signed)
    }

    /// What is wrong with what `--json` printed.
    fn printed(&self, exchange: &Exchange, ended: &Ended) -> Vec<String> {
        if ended.code != 0 {
            return vec![format!("exit status {}: {}", ended.code, ended.stderr)];
        }
        let names = &self.golden.names;
        let wanted: Vec<Value> = match &exchange.printed {
            Some(lines) => {
                lines.iter().map(|line| serde_json::from_str(&sample(line, names)).expect("JSON")).collect()
            }
            None => objects(self.golden, exchange),
        };
        let got = ended.objects();
        let mut found = Vec::new();
        if got.len() != wanted.len() {
            found.push(format!("{} objects were printed, not {}: {}", got.len(), wanted.len(), ended.stdout));
        }
        for (mut wanted, got) in wanted.into_iter().zip(got) {
            wanted["event"] = json!("object");
            if wanted != got {
                found.push(format!("printed was {got}, not {wanted}"));
            }
        }
        found
    }
}

fn split(path: &str) -> (String, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (path.to_owned(), query.to_owned())
}

/// What differs between two bodies of a form.
fn values(what: &str, form: Form, wanted: &str, got: &str, names: &Names) -> Vec<String> {
    let Some(got) = node::read(form, got) else { return vec![format!("{what} {got:?} is not {form:?}")] };
    let wanted = node::read(form, wanted).expect("what is printed has the form that it says");
    let found = node::differences(&wanted, &got, Rules::default(), &mut names.clone());
    found.into_iter().map(|difference| format!("sent {what}{difference}")).collect()
}

/// What is wrong with what was shown as the provider's own text.
fn shown(exchange: &Exchange, ended: &Ended, body: &[u8]) -> Vec<String> {
    if ended.code != 0 {
        return vec![format!("exit status {}: {}", ended.code, ended.stderr)];
    }
    let mut found = Vec::new();
    if !ended.stderr.is_empty() {
        found.push(format!("standard error: {}", ended.stderr));
    }
    if exchange.method() == "HEAD" {
        // It has no text of its own.
        return found;
    }
    let mut text = body.to_vec();
    if !text.is_empty() && !text.ends_with(b"\n") && !exchange.is_binary() {
        text.push(b'\n');
    }
    if ended.bytes != text {
        found.push(format!("shown was {:?}, not {:?}", ended.stdout, String::from_utf8_lossy(&text)));
    }
    found
}

/// What is wrong with how an error was told.
fn refused(golden: &Golden, exchange: &Exchange, ended: &Ended, json: bool) -> Vec<String> {
    let mut found = Vec::new();
    if ended.code != exchange.exit {
        found.push(format!("exit status {}, not {}: {}", ended.code, exchange.exit, ended.stderr));
    }
    let server = if json {
        let objects = ended.objects();
        let last = objects.last().cloned().unwrap_or_default();
        if last["event"] != "error" || last["exit_code"] != exchange.exit {
            found.push(format!("no error was printed: {}", ended.stdout));
        }
        last["server"].as_str().unwrap_or_default().to_owned()
    } else {
        if !ended.stdout.is_empty() {
            found.push(format!("standard output: {}", ended.stdout));
        }
        ended.stderr.clone()
    };
    let mut says = exchange.says.clone();
    says.push(exchange.answer.first.clone());
    if exchange.form() == Form::Plain {
        says.push(exchange.answer.body.clone());
    }
    if exchange.form() == Form::Json {
        let body: Value = serde_json::from_str(&sample(&exchange.answer.body, &golden.names)).expect("JSON");
        says.extend(["code", "message"].map(|key| body[key].as_str().unwrap_or_default().to_owned()));
    }
    for says in says {
        let says = sample(&says, &golden.names);
        if !server.contains(&says) {
            found.push(format!("{says:?} is not told: {server}"));
        }
    }
    found
}

/// The objects of an answer as `--json` prints them.
fn objects(golden: &Golden, exchange: &Exchange) -> Vec<Value> {
    let form = exchange.form();
    let body = sample(&exchange.answer.body, &golden.names);
    if body.is_empty() {
        return Vec::new();
    }
    let node = node::read(form, &body).expect("what is printed has the form that it says");
    let items = match node {
        Node::Array(items) => items,
        one => vec![one],
    };
    let number = |key: &str, text: &str| golden.numbers.contains(key) && text.parse::<u64>().is_ok();
    items
        .into_iter()
        .map(|item| match (form, item) {
            (Form::Rows, Node::Array(words)) => {
                let named = exchange.columns.iter().zip(words).map(|(key, word)| match word {
                    Node::Text(text) if number(key, &text) => {
                        (key.clone(), serde_json::from_str(&text).unwrap())
                    }
                    Node::Text(text) => (key.clone(), Value::from(text)),
                    other => panic!("{other:?} is no word"),
                });
                Value::Object(named.collect())
            }
            (Form::Properties, Node::Object(fields)) => {
                let fields = fields.into_iter().map(|(key, value)| {
                    let key = key.trim_start_matches('?').to_owned();
                    let Node::Text(text) = value else { panic!("{value:?} is no text") };
                    let value = match () {
                        () if golden.secrets.contains(&key) && !text.is_empty() => Value::from(HIDDEN),
                        () if number(&key, &text) => serde_json::from_str(&text).unwrap(),
                        () => Value::from(text),
                    };
                    (key, value)
                });
                Value::Object(fields.collect())
            }
            (_, item) => value(golden, item, false),
        })
        .collect()
}

/// A value of JSON without its secrets.
fn value(golden: &Golden, node: Node, secret: bool) -> Value {
    match node {
        Node::Object(fields) => {
            let fields = fields.into_iter().map(|(key, node)| {
                let key = key.trim_start_matches(['?', '*']).to_owned();
                let secret = secret || golden.secrets.contains(&key);
                let value = value(golden, node, secret);
                (key, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Node::Array(items) => items.into_iter().map(|item| value(golden, item, secret)).collect(),
        Node::Text(_) if secret => HIDDEN.into(),
        Node::Text(text) => text.into(),
        Node::Bare(text) => serde_json::from_str(&text).expect("it was read as one"),
    }
}
