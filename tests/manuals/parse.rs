//! A strict parser of the files under testdata/manuals (their README describes the form): what it does not know it refuses.

use super::golden::{Credentials, Exchange, Golden, Header, Message};
use super::node::Form;
use super::template::{self, Kind, Names};
use diskferry::provider::Provider;
use std::collections::HashSet;

/// The names of the blocks that say how any request is answered.
const UNAUTHORIZED: &str = "every call without credentials";
const SENT_AS_GET: &str = "every POST sent as GET";
const UNKNOWN_LOGIN: &str = "every call for a login that is not there";

type Failure = (usize, String);

pub fn golden(provider: Provider, text: &str) -> Result<Golden, Failure> {
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
        content_headers: Vec::new(),
        unprinted: Vec::new(),
        serve: Vec::new(),
        unauthorized: None,
        sent_as_get: None,
        unknown_login: None,
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
            (None, _) if exchange.name == SENT_AS_GET => golden.sent_as_get = Some(exchange),
            (None, _) if exchange.name == UNKNOWN_LOGIN => golden.unknown_login = Some(exchange),
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
            template::check(&format!("{{{kind} {sample}}}"), &golden.names)?;
            let kind = Kind::parse(kind).ok_or_else(|| format!("there is no kind {kind:?}"))?;
            golden.names.declare(name, kind, sample)?;
        }
        "numbers" => golden.numbers.extend(words()),
        "secrets" => golden.secrets.extend(words()),
        "elements" if value == "in the order of the manual" => golden.ordered = true,
        "request" => golden.request_headers.push(header(value, &golden.names)?),
        "scalars" if value == "of any type" => golden.loose = true,
        "serve" => golden.serve.extend(words()),
        "content" => golden.content_headers.push(header(value, &golden.names)?),
        "unprinted" => golden.unprinted.extend(words()),
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
    if exchange.name.starts_with("given ")
        || [UNAUTHORIZED, SENT_AS_GET, UNKNOWN_LOGIN].contains(&&*exchange.name)
    {
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
