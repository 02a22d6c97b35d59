//! What the files under testdata/manuals say (their README describes it).

use super::node::Form;
use super::parse;
use super::template::Names;
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
    /// What every answer with a body has.
    pub content_headers: Vec<Header>,
    /// Headers that an answer has only where they are printed.
    pub unprinted: Vec<String>,
    /// Arguments for `serve`.
    pub serve: Vec<String>,
    /// How a request without credentials is answered, whatever it is.
    pub unauthorized: Option<Exchange>,
    /// How a GET is answered where a POST is printed.
    pub sent_as_get: Option<Exchange>,
    /// How a request is answered in whose path another login stands in the place of `my`.
    pub unknown_login: Option<Exchange>,
    /// What is made before an exchange, by its name.
    pub givens: Vec<(String, Exchange)>,
    pub exchanges: Vec<Exchange>,
}

pub type Header = (String, String);

/// A request, what it is answered, and what to know of both.
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the file")]
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

    /// The answer to any request, as that to another exchange's: a HEAD has no body.
    pub fn of_any(&self, other: &Self) -> Self {
        let mut own = self.clone();
        if other.method() == "HEAD" {
            own.answer.body.clear();
        }
        own
    }

    /// Whether the answer has the header.
    pub fn answers_with(&self, name: &str, golden: &Golden) -> bool {
        let content = golden.content_headers.iter().filter(|_| !self.answer.body.is_empty());
        self.answer.header(name).is_some() || content.into_iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The same exchange by its other calls.
    pub fn under_aliases(&self) -> Vec<Self> {
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
    parse::golden(provider, &text).unwrap_or_else(|(line, why)| panic!("{path}:{line}: {why}"))
}
