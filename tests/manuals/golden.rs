//! The files under testdata/manuals: their form, which its README describes, and a strict parser of it.

use super::node::Form;
use super::template::{self, Kind, Names};
use diskferry::provider::Provider;
use std::collections::HashSet;

/// One provider's manual as exchanges.
#[derive(Debug)]
pub struct Golden {
    pub provider: Provider,
    pub names: Names,
    /// Keys whose values `--json` prints as numbers.
    pub numbers: HashSet<String>,
    /// Keys whose values `--json` hides.
    pub secrets: HashSet<String>,
    /// Whether XML has its elements in the order of the manual.
    pub ordered: bool,
    /// Whether numbers may be texts, and a key without a value may be missing, null or empty.
    pub loose: bool,
    /// What every request and every answer has, beside its own headers; and what a request with `--json` has instead.
    pub request_headers: Vec<Header>,
    pub answer_headers: Vec<Header>,
    pub json_headers: Vec<Header>,
    /// Arguments for `serve`.
    pub serve: Vec<String>,
    /// How a request without credentials is answered, whatever it is.
    pub unauthorized: Option<Exchange>,
    /// What is made before an exchange, by its name.
    pub givens: Vec<(String, Exchange)>,
    pub exchanges: Vec<Exchange>,
}

pub type Header = (String, String);

/// A request, what it is answered, and what to know of both.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The call's identifier, and which exchange of the call it is.
    pub name: String,
    /// The line of the file.
    pub at: usize,
    /// The lines of the manual.
    pub lines: String,
    /// The words behind `call REMOTE:` that send the request; without them no call does.
    pub call: Vec<String>,
    /// What the emulator has to have.
    pub given: Vec<String>,
    /// The method that is sent where it is not the one that is printed.
    pub sends: Option<String>,
    /// The form of the answer's body, where its type does not say it.
    pub shape: Option<Form>,
    /// The columns of a list's rows.
    pub columns: Vec<String>,
    /// Of a list: there may be any number of such rows or objects.
    pub any_number: bool,
    /// The exchange is with `--json`.
    pub json: bool,
    /// Why only one of the two is judged.
    pub client_alone: Option<String>,
    pub emulator_alone: Option<String>,
    /// More arguments for `serve`.
    pub serve: Vec<String>,
    /// The exit status of an answer that is an error, and what is said of it.
    pub exit: i32,
    pub says: Vec<String>,
    /// Other calls that the manual prints for the same, each with its path.
    pub aliases: Vec<(String, String)>,
    /// An emulator of its own.
    pub fresh: bool,
    /// Of what is given: asked for until the answer is right.
    pub poll: bool,
    /// The credentials that the emulator is sent, where they are not the account's.
    pub credentials: Credentials,
    pub request: Message,
    pub answer: Message,
    /// What `--json` prints, where it does not follow from the answer.
    pub printed: Option<Vec<String>>,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    Account,
    None,
    /// OAuth's consumer, without a token.
    Consumer,
    /// OAuth's consumer with this token and its secret, which may be names.
    Token(String, String),
}

/// A request or an answer.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `METHOD PATH`, or the status.
    pub first: String,
    pub headers: Vec<Header>,
    /// Without a newline at its end.
    pub body: String,
}

impl Message {
    /// The form of the body, by its type.
    pub fn form(&self) -> Form {
        match self.header("content-type").unwrap_or("text/plain") {
            "application/json" => Form::Json,
            "application/xml" => Form::Xml,
            "application/x-www-form-urlencoded" => Form::Urlencoded,
            "text/plain" => Form::Properties,
            _ => Form::Plain,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

impl Exchange {
    /// The form of the answer's body.
    pub fn form(&self) -> Form {
        self.shape.unwrap_or_else(|| match self.answer.form() {
            Form::Properties if self.is_error() => Form::Plain,
            Form::Properties if !self.columns.is_empty() => Form::Rows,
            form => form,
        })
    }

    /// The same exchange by its other calls.
    fn under_aliases(&self) -> Vec<Self> {
        let alias = |(id, path): &(String, String)| {
            let mut other = Self { aliases: Vec::new(), ..self.clone() };
            other.name = self.name.replacen(self.id(), id, 1);
            other.request.first = format!("{} {path}", self.method());
            if let Some(call) = other.call.first_mut() {
                call.clone_from(id);
            }
            other
        };
        self.aliases.iter().map(alias).collect()
    }

    /// Whether the call is one for bytes, which have no JSON.
    pub fn is_binary(&self) -> bool {
        let is = |value: Option<&str>| value.is_some_and(|value| value.contains("application/octet-stream"));
        is(self.request.header("accept")) || is(self.answer.header("content-type"))
    }

    /// The call's identifier.
    pub fn id(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.answer.first.parse().unwrap_or_default()
    }

    pub fn is_error(&self) -> bool {
        self.status() >= 400
    }

    pub fn method(&self) -> &str {
        self.request.first.split(' ').next().unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.request.first.split_once(' ').map_or("", |(_, path)| path)
    }
}

/// The file of a provider.
pub fn read(provider: Provider) -> Golden {
    let path = format!("{}/testdata/manuals/{provider}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    parse(provider, &text).unwrap_or_else(|(line, why)| panic!("{path}:{line}: {why}"))
}

/// The name of the block that says how a request without credentials is answered.
const UNAUTHORIZED: &str = "every call without credentials";

type Failure = (usize, String);

pub fn parse(provider: Provider, text: &str) -> Result<Golden, Failure> {
    let mut golden = Golden {
        provider,
        names: Names::default(),
        numbers: HashSet::new(),
        secrets: HashSet::new(),
        ordered: false,
        loose: false,
        request_headers: Vec::new(),
        answer_headers: Vec::new(),
        json_headers: Vec::new(),
        serve: Vec::new(),
        unauthorized: None,
        givens: Vec::new(),
        exchanges: Vec::new(),
    };
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, at)) = lines.next_if(|(line, _)| !line.starts_with("=== ")) {
        preamble(&mut golden, line).map_err(|why| (at, why))?;
    }
    while let Some((line, at)) = lines.next() {
        let mut block = Vec::new();
        while let Some(next) = lines.next_if(|(line, _)| !line.starts_with("=== ")) {
            block.push(next);
        }
        let exchange = exchange(&golden, &line[4..], at, &block)?;
        let given = exchange.name.strip_prefix("given ").map(str::to_owned);
        let known = |name: &str| golden.givens.iter().any(|(given, _)| given == name);
        let unknown = exchange.given.iter().find(|name| !known(name));
        let twice = match &given {
            Some(name) => known(name),
            None => golden.exchanges.iter().any(|other| other.name == exchange.name),
        };
        match (given, unknown) {
            (_, Some(name)) => return Err((at, format!("{name:?} is not given above"))),
            _ if twice => return Err((at, "this stands twice".to_owned())),
            (Some(name), _) => golden.givens.push((name, exchange)),
            (None, _) if exchange.name == UNAUTHORIZED => golden.unauthorized = Some(exchange),
            (None, _) => {
                golden.exchanges.extend(exchange.under_aliases());
                golden.exchanges.push(exchange);
            }
        }
    }
    Ok(golden)
}

fn preamble(golden: &mut Golden, line: &str) -> Result<(), String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (key, value) = line.split_once(": ").ok_or("KEY: VALUE is needed")?;
    let words = || value.split(' ').map(str::to_owned);
    match key {
        "name" => {
            let mut words = value.splitn(3, ' ');
            let (Some(name), Some(kind), Some(sample)) = (words.next(), words.next(), words.next()) else {
                return Err("NAME KIND SAMPLE is needed".to_owned());
            };
            let kind = Kind::parse(kind).ok_or_else(|| format!("there is no kind {kind:?}"))?;
            golden.names.declare(name, kind, sample)?;
        }
        "numbers" => golden.numbers.extend(words()),
        "secrets" => golden.secrets.extend(words()),
        "elements" if value == "in the order of the manual" => golden.ordered = true,
        "request" => golden.request_headers.push(header(value, &golden.names)?),
        "scalars" if value == "of any type" => golden.loose = true,
        "serve" => golden.serve.extend(words()),
        "json" => golden.json_headers.push(header(value, &golden.names)?),
        "answer" => golden.answer_headers.push(header(value, &golden.names)?),
        _ => return Err(format!("{key:?} is not known here")),
    }
    Ok(())
}

fn header(line: &str, names: &Names) -> Result<Header, String> {
    let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is not a header"))?;
    template::check(value, names)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A block: what is known of the exchange, `>>>` and the request, `<<<` and the answer, `printed` and lines of JSON.
fn exchange(golden: &Golden, name: &str, at: usize, block: &[(&str, usize)]) -> Result<Exchange, Failure> {
    let mut exchange = Exchange { name: name.to_owned(), at, ..Exchange::default() };
    let (request, answer) = (divider(block, ">>>", at)?, divider(block, "<<<", at)?);
    let printed = block.iter().position(|(line, _)| *line == "printed").unwrap_or(block.len());
    if !(request < answer && answer < printed) {
        return Err((at, "a block is its fields, >>>, <<< and printed, in this order".to_owned()));
    }
    for (line, at) in &block[..request] {
        field(&mut exchange, line).map_err(|why| (*at, why))?;
    }
    exchange.request = message(&block[request + 1..answer], golden)?;
    exchange.answer = message(&block[answer + 1..printed], golden)?;
    if printed < block.len() {
        let lines = trimmed(&block[printed + 1..]);
        exchange.printed = Some(lines.iter().map(|(line, _)| (*line).to_owned()).collect());
    }
    complete(&exchange).map_err(|why| (at, why))?;
    Ok(exchange)
}

fn divider(block: &[(&str, usize)], mark: &str, at: usize) -> Result<usize, Failure> {
    let mut found = block.iter().enumerate().filter(|(_, (line, _))| *line == mark).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        _ => Err((at, format!("a block has one line {mark}"))),
    }
}

fn field(exchange: &mut Exchange, line: &str) -> Result<(), String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (key, value) = line.split_once(": ").ok_or("KEY: VALUE is needed")?;
    let words = || value.split(' ').map(str::to_owned).collect();
    let reason = || Some(value.to_owned());
    match key {
        "lines" if is_lines(value) => value.clone_into(&mut exchange.lines),
        "call" => exchange.call = shell_words(value)?,
        "given" => exchange.given = words(),
        "sends" => exchange.sends = reason(),
        "shape" if value == "sentence" => exchange.shape = Some(Form::Plain),
        "shape" if value == "form" => exchange.shape = Some(Form::Urlencoded),
        "shape" if value == "properties" => exchange.shape = Some(Form::Properties),
        "columns" => exchange.columns = words(),
        "rows" if value == "any number" => exchange.any_number = true,
        "output" if value == "--json" => exchange.json = true,
        "client alone" => exchange.client_alone = reason(),
        "emulator alone" => exchange.emulator_alone = reason(),
        "serve" => exchange.serve = words(),
        "exit" => exchange.exit = value.parse().map_err(|_| "exit is a number")?,
        "says" => exchange.says.push(value.to_owned()),
        "alias" => exchange.aliases.push(
            value
                .split_once(' ')
                .map(|(id, path)| (id.to_owned(), path.to_owned()))
                .ok_or("CALL PATH is needed")?,
        ),
        "emulator" if value == "fresh" => exchange.fresh = true,
        "poll" if value == "yes" => exchange.poll = true,
        "credentials" => {
            exchange.credentials = match (value, value.split_once(' ')) {
                ("none", _) => Credentials::None,
                ("consumer", _) => Credentials::Consumer,
                (_, Some((token, secret))) => Credentials::Token(token.to_owned(), secret.to_owned()),
                _ => return Err("credentials are none, consumer or TOKEN SECRET".to_owned()),
            };
        }
        // For who reads the manual beside the file.
        "note" | "body" => {}
        _ => return Err(format!("{key}: {value} is not known here")),
    }
    Ok(())
}

/// `120-141, 150`.
fn is_lines(value: &str) -> bool {
    let number = |word: &str| word.parse::<usize>().is_ok_and(|n| n > 0);
    value.split(", ").all(|range| range.split('-').all(number) && range.matches('-').count() <= 1)
}

/// The words of a command line; single quotes hold blanks together.
fn shell_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("there is one").push(other),
        }
    }
    if quoted || words.iter().any(String::is_empty) {
        return Err(format!("{line:?} is not a command line"));
    }
    Ok(words)
}

fn trimmed<'b>(block: &'b [(&'b str, usize)]) -> &'b [(&'b str, usize)] {
    // A comment behind a body is about what follows.
    let says = |(line, _): &(&str, usize)| !line.is_empty() && !line.starts_with("# ");
    let used = block.iter().rposition(says).map_or(0, |last| last + 1);
    &block[..used]
}

fn message(block: &[(&str, usize)], golden: &Golden) -> Result<Message, Failure> {
    let block = trimmed(block);
    let Some(((first, at), rest)) = block.split_first() else {
        return Ok(Message::default());
    };
    let names = &golden.names;
    template::check(first, names).map_err(|why| (*at, why))?;
    let head = rest.iter().position(|(line, _)| line.is_empty()).unwrap_or(rest.len());
    let mut headers = Vec::new();
    for (line, at) in &rest[..head] {
        headers.push(header(line, names).map_err(|why| (*at, why))?);
    }
    let body = rest.get(head + 1..).unwrap_or_default();
    for (line, at) in body {
        template::check(line, names).map_err(|why| (*at, why))?;
    }
    let body: Vec<&str> = body.iter().map(|(line, _)| *line).collect();
    Ok(Message { first: (*first).to_owned(), headers, body: body.join("\n") })
}

/// Whether an exchange says all that it has to.
fn complete(exchange: &Exchange) -> Result<(), String> {
    let request = exchange.request.first.split(' ').count();
    let methods = ["GET", "POST", "PUT", "DELETE", "HEAD"];
    if request != 2 || !methods.contains(&exchange.method()) || !exchange.path().starts_with('/') {
        return Err("the request begins with METHOD PATH".to_owned());
    }
    if !(200..600).contains(&exchange.status()) {
        return Err("the answer begins with its status".to_owned());
    }
    if exchange.name.starts_with("given ") || exchange.name == UNAUTHORIZED {
        return Ok(());
    }
    match (exchange.call.first(), &exchange.emulator_alone) {
        _ if exchange.lines.is_empty() => Err("the lines of the manual are missing".to_owned()),
        (None, None) => Err("a call is missing, or why there is none".to_owned()),
        (Some(_), Some(_)) => Err("there is a call, though no client is judged".to_owned()),
        (Some(call), None) if call != exchange.id() => Err(format!("the call is not {}", exchange.id())),
        _ if exchange.call.is_empty() || exchange.is_error() == (exchange.exit != 0) => Ok(()),
        _ => Err("an error, and nothing else, has an exit status".to_owned()),
    }
}
