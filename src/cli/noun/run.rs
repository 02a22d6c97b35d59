//! Running a typed command: open the account, find the object, ask, make the call, print, wait.

use super::command::{is_waited_for, may_ask};
use super::given::{arguments, label, named};
use super::name::resolve;
use super::{Act, Does, Item, NOUNS, Noun, NounCommand, On};
use crate::cli::Global;
use crate::cli::account::{Account, RequestOptions, given, only_remote};
use crate::cli::output::{Output, bytes};
use crate::cli::prompt;
use crate::cli::wait::{Ended, WaitOptions};
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::provider::catalogue::{self, Arguments, Call, Poll};
use crate::wire::elastic::parse_size;
use clap::{ArgMatches, FromArgMatches};
use serde_json::{Map, Value};
use std::cell::OnceCell;

/// A typed command that is being run.
pub struct Run {
    pub noun: &'static Noun,
    pub act: &'static Act,
    pub matches: ArgMatches,
    pub account: Account,
    pub output: Output,
    /// The arguments of the call.
    pub given: Arguments,
    /// The object's label for messages, such as `drive 6339d58e-…`.
    pub label: String,
    /// The id of the object that is named first on the command line.
    pub id: String,
    wait: WaitOptions,
    yes: bool,
    /// The object as the provider described it, once requested.
    known: OnceCell<Item>,
}

impl NounCommand {
    /// Runs the command.
    pub async fn run(self, global: &Global, output: &Output) -> Result<()> {
        let (noun, act, matches) = self.parts();
        let request = from_matches::<RequestOptions>(&matches)?;
        let wait = if is_waited_for(act) { from_matches(&matches)? } else { WaitOptions::default() };
        let yes = may_ask(act) && matches.get_flag("yes");
        let target = matches.get_one::<String>("target").map(|text| text.parse::<Target>()).transpose()?;
        let remote = match &target {
            Some(target) if act.on == On::Object => Some(target.remote.as_str()),
            target => target.as_ref().map(only_remote).transpose()?,
        };
        let object = match (act.on, &target) {
            (On::Object, Some(target)) => named(noun.owner.unwrap_or(noun), target)?,
            _ => "",
        };
        let mut given = arguments(act, &matches)?;
        let account = Account::open(remote, &request, global, output).await?;
        has(noun, act, &account)?;
        let id = match object {
            "" => String::new(),
            object => resolve(noun.owner.unwrap_or(noun), object, &account).await?,
        };
        let label = label(noun, &id, &given.path);
        if act.on == On::Object {
            given.path.insert(0, id.clone());
        }
        let output = output.revealing(given.keys.get("credentials") == Some("true"));
        Run { noun, act, matches, account, output, given, label, id, wait, yes, known: OnceCell::new() }
            .go()
            .await
    }
}

impl Run {
    async fn go(&self) -> Result<()> {
        if let Some(before) = self.act.before {
            before(self).await?;
        }
        match &self.act.does {
            Does::List(list) => self.list(list).await,
            Does::Table(headings) => self.table(*headings).await,
            Does::Count(header) => self.count(header).await,
            Does::Show(event) => self.call().await?.show(event.unwrap_or(self.noun.name), &self.output),
            Does::Make => self.make(&self.call().await?).await,
            Does::Change(done) => {
                let now = self.calls().await?;
                self.output.note(&format!("{done} {}", self.label));
                let now = now.first().filter(|_| self.output.is_json());
                now.map_or(Ok(()), |now| now.print(self.noun.name, &self.output))
            }
            Does::Perform(done) => self.act(done, &self.label, None).await,
            Does::Destroy(done, lost) => {
                let item = self.described().await?;
                let label =
                    item.as_ref().map_or_else(|| self.label.clone(), |item| described(&self.label, item));
                self.ask(&format!("{} {label}?{}", self.act.name, spaced(lost)))?;
                let name = item.map(|item| item.text("name")).filter(|name| !name.is_empty());
                self.act(done, &label, name).await
            }
            Does::Own(_, run) => run(self).await,
        }
    }

    pub(super) async fn calls(&self) -> Result<Vec<Item>> {
        self.account.items(self.act.call, &self.given).await
    }

    pub(super) async fn call(&self) -> Result<Item> {
        self.account.item(self.act.call, &self.given).await
    }

    /// Returns the object that is named first on the command line. The provider is asked only once.
    pub async fn info(&self) -> Result<Item> {
        if let Some(known) = self.known.get() {
            return Ok(known.clone());
        }
        let info =
            self.noun.acts.iter().find(|act| act.name == "info").map_or(self.act.call, |info| info.call);
        let item = self.account.item(info, &given([self.id.as_str()], [])).await?;
        Ok(self.known.get_or_init(|| item).clone())
    }

    /// Returns the object that is about to be destroyed, unless it is a part of another one. This also
    /// reports an object that never existed, which a repeated attempt could not tell from one that the first
    /// attempt destroyed.
    async fn described(&self) -> Result<Option<Item>> {
        if self.noun.owner.is_some() { Ok(None) } else { self.info().await.map(Some) }
    }

    /// Asks the user for confirmation, unless `--yes` is given or there is no terminal.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if the user does not confirm.
    pub fn ask(&self, question: &str) -> Result<()> {
        if self.yes || !prompt::can_ask() || prompt::confirm(&escape::line(question))? {
            return Ok(());
        }
        Err(Error::new(Kind::Interrupted, "not confirmed")
            .hint("nothing was done; `--yes` does it without asking"))
    }

    /// Makes the call for its effect, and reports what it did once the work is done.
    async fn act(&self, done: &str, label: &str, name: Option<String>) -> Result<()> {
        self.calls().await?;
        if !self.wait.wanted() {
            self.output.note(&format!("{done} {label}"));
        }
        let ended = self.ended(None).await?;
        self.summary(ended.as_ref(), name);
        Ok(())
    }

    /// Prints the id of the created object, and waits for it if the user wants to.
    pub async fn make(&self, item: &Item) -> Result<()> {
        self.print_made(item)?;
        self.ended(Some(item)).await.map(drop)
    }

    /// Prints the id of the created object.
    pub fn print_made(&self, item: &Item) -> Result<()> {
        let id = item.made(self.noun.one, self.noun.id, &self.given)?;
        if self.output.is_json() { item.print(self.noun.name, &self.output) } else { self.output.data(&id) }
    }

    /// Waits until the call's work is done and reports it, if the user wants to wait.
    pub async fn ended(&self, reply: Option<&Item>) -> Result<Option<Ended>> {
        let Some(poll) = self.poll()?.filter(|_| self.wait.wanted()) else { return Ok(None) };
        let ended = self.wait.until(poll, &self.given, reply, &self.account, &self.output).await?;
        tell(poll, &ended, &self.output);
        if let (Some(item), Some(address)) = (&ended.item, self.noun.owner.unwrap_or(self.noun).address) {
            let address = address(item);
            if !address.is_empty() {
                self.output.note(&format!("its address is {}", escape::line(&address)));
            }
        }
        Ok(Some(ended))
    }

    /// Returns whether the user wants to wait.
    pub fn waits(&self) -> bool {
        self.wait.wanted()
    }

    fn poll(&self) -> Result<Option<&'static Poll>> {
        Ok(Call::find(self.account.provider(), self.act.call)?.poll.as_ref())
    }

    /// Prints what was done, with `--json`.
    fn summary(&self, ended: Option<&Ended>, name: Option<String>) {
        let mut fields = Map::new();
        fields.insert("action".into(), self.act.name.into());
        if let Some(owner) = self.noun.owner {
            fields.insert(owner.name.into(), self.id.as_str().into());
            let name = self.given.path.get(1).cloned();
            fields.insert(self.noun.name.into(), name.into());
        } else {
            fields.insert(self.noun.name.into(), self.id.as_str().into());
        }
        if let Some(name) = name {
            fields.insert("name".into(), name.into());
        }
        if let Some(state) = self.noun.owner.unwrap_or(self.noun).state {
            fields.insert(state.into(), ended.map(|ended| ended.state.clone()).into());
        }
        self.output.event("summary", Value::Object(fields));
    }
}

/// Reports how the work of a call ended.
pub fn tell(poll: &Poll, ended: &Ended, output: &Output) {
    output.note(&match ended.state.as_str() {
        _ if poll.done.contains(&"") => format!("{} of {} is done", poll.work, ended.object),
        state => format!("{} is {}", ended.object, escape::line(state)),
    });
}

/// Returns a label with the object's name and size, such as `drive 6339d58e-… (web-1, 10.0 GiB)`.
pub fn described(label: &str, item: &Item) -> String {
    let size = parse_size(&item.text("size")).map(bytes);
    let known = Some(item.text("name")).into_iter().chain(size).filter(|text| !text.is_empty());
    let known: Vec<String> = known.map(|text| escape::line(&text).into_owned()).collect();
    if known.is_empty() { label.to_owned() } else { format!("{label} ({})", known.join(", ")) }
}

fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

/// Fails if the provider does not have the command's call. The hint names what it has instead.
fn has(noun: &Noun, act: &Act, account: &Account) -> Result<()> {
    let provider = account.provider();
    let calls = |id: &str| catalogue::calls(provider).iter().any(|call| call.id == id);
    if calls(act.call) {
        return Ok(());
    }
    let has_noun = noun.acts.iter().any(|act| calls(act.call));
    let instead = || {
        let there = NOUNS.iter().filter(|noun| noun.owner.is_none()).filter_map(|noun| {
            let list = noun.acts.iter().find(|act| act.name == "list" && calls(act.call))?;
            Some(format!("{} (`diskferry {} {} {}:`)", noun.many, noun.name, list.name, account.remote()))
        });
        there.collect::<Vec<_>>().join(", ")
    };
    Err(if has_noun {
        let error = Error::usage(format!("{provider} cannot {} {}", act.name, noun.many));
        if act.instead.is_empty() { error } else { error.hint(act.instead) }
    } else {
        Error::usage(format!("{provider} has no {}", noun.many)).hint(format!("it has {}", instead()))
    })
}

pub fn from_matches<A: FromArgMatches>(matches: &ArgMatches) -> Result<A> {
    A::from_arg_matches(matches).map_err(|error| Error::usage(error.to_string()))
}
