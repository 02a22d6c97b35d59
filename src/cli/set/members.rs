//! Selection of the members of a set.

use super::{Picked, Set, Verb};
use crate::cli::options::parse;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::config::{Object, Target};
use crate::error::{Error, Kind, Result};
use crate::job::set::{Member, Shard};
use clap::Args;
use std::collections::HashSet;

/// The options that make a set.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sets of drives")]
pub struct SetOptions {
    /// Every drive of REMOTE:
    #[arg(long, conflicts_with = "tag")]
    all: bool,
    /// The drives of REMOTE: that carry this tag
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Option<String>,
    /// Take only the I-th of N parts of the set, for N machines that share the work; a drive is always in the
    /// same part
    #[arg(long, value_name = "I/N", value_parser = parse::<Shard>)]
    shard: Option<Shard>,
}

fn tag(text: &str) -> Result<String, String> {
    // A drive's tags are separated by spaces.
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("expected one word, without spaces".to_owned());
    }
    Ok(text.to_owned())
}

impl SetOptions {
    /// Returns whether these options or this number of targets select a set.
    pub fn is_set(&self, targets: usize) -> bool {
        self.all || self.tag.is_some() || self.shard.is_some() || targets > 1
    }

    /// Finds the members. `to` describes the destination, as far as it distinguishes one set from another.
    pub async fn members(
        &self,
        verb: Verb,
        targets: &[Target],
        to: &str,
        session: &Session,
        output: &Output,
    ) -> Result<Set> {
        let mut set = if self.all || self.tag.is_some() {
            self.listed(targets, session).await?
        } else {
            named(targets, session, output).await?
        };
        set.words = vec![verb.action.to_owned(), to.to_owned()];
        set.words.extend(targets.iter().map(ToString::to_string));
        set.words.extend(self.all.then(|| "--all".to_owned()));
        set.words.extend(self.tag.iter().map(|tag| format!("--tag {tag}")));
        let mut seen = HashSet::new();
        for picked in &set.picked {
            if !seen.insert(picked.member.key()) {
                return Err(Error::usage(format!("{} is named more than once", picked.member.shown())));
            }
        }
        set.whole = set.picked.iter().map(|picked| picked.member.clone()).collect();
        for picked in &mut set.picked {
            let Member { name, disk, .. } = &picked.member;
            let is_its_own = set.whole.iter().filter(|other| other.name == *name).count() == 1;
            picked.short = if is_its_own && !name.is_empty() { name.clone() } else { disk.clone() };
        }
        set.take(self.shard, output);
        Ok(set)
    }

    /// Creates a set of the given members, and selects the part for this command. `to` describes the
    /// destination, as far as it distinguishes one set from another.
    pub fn of(&self, verb: Verb, members: Vec<Member>, to: &str, output: &Output) -> Result<Set> {
        if self.tag.is_some() {
            return Err(Error::usage("`--tag` needs a remote with drives"));
        }
        let picked = members.iter().map(|member| Picked {
            object: Object::Named(member.disk.clone()),
            short: member.name.clone(),
            member: member.clone(),
            size: 0,
            end: 0,
        });
        let mut set = Set {
            picked: picked.collect(),
            words: vec![verb.action.to_owned(), to.to_owned()],
            whole: members,
            others: Vec::new(),
        };
        set.words.extend(set.whole.iter().map(Member::key));
        set.take(self.shard, output);
        Ok(set)
    }

    /// Finds the drives of the one remote that is named.
    async fn listed(&self, targets: &[Target], session: &Session) -> Result<Set> {
        let option = if self.all { "--all" } else { "--tag" };
        let [Target { remote, object: None }] = targets else {
            return Err(Error::usage(format!("`{option}` takes one remote")).hint(format!(
                "name the remote alone, as in `REMOTE: {option}`, or name drives without `{option}`"
            )));
        };
        let drives = session.end.drives().map_err(|error| match error.kind() {
            Kind::Usage => Error::usage(format!("`{remote}:` has no list of drives for `--all` or `--tag`"))
                .hint("name the drives one by one"),
            _ => error,
        })?;
        let listed = drives.list().await.map_err(|error| error.context(format_args!("listing {remote}:")))?;
        let picked: Vec<Picked> = listed
            .into_iter()
            .filter(|drive| self.tag.as_deref().is_none_or(|tag| drive.tags().any(|own| own == tag)))
            .map(|drive| Picked {
                member: Member {
                    remote: remote.clone(),
                    account: session.end.account.clone(),
                    disk: drive.drive.clone(),
                    name: drive.name,
                },
                object: Object::Drive(drive.drive),
                short: String::new(),
                size: drive.size,
                end: 0,
            })
            .collect();
        if let (true, Some(tag)) = (picked.is_empty(), &self.tag) {
            return Err(Error::new(Kind::NotFound, format!("no drive on `{remote}:` has the tag `{tag}`"))
                .hint(format!("`diskferry call {remote}: drives.info_all` shows the tags of each")));
        }
        Ok(Set { picked, whole: Vec::new(), others: Vec::new(), words: Vec::new() })
    }
}

/// Creates a set of the targets on the command line.
async fn named(targets: &[Target], session: &Session, output: &Output) -> Result<Set> {
    let mut set = Set { picked: Vec::new(), whole: Vec::new(), others: Vec::new(), words: Vec::new() };
    for target in targets {
        let Some(object) = &target.object else {
            return Err(Error::usage(format!("no drive in `{target}`"))
                .hint("name a drive, as in `REMOTE:DRIVE`, or select drives with `--all` or `--tag TAG`"));
        };
        let end = set.remote(&target.remote, session, output).await?;
        // A drive is the same member whether it is given by its name or its id.
        let object = set.end(end, session).identified(object).await?;
        let disk = match &object {
            Object::Drive(disk) | Object::Named(disk) => disk.clone(),
            Object::Appliance(key) => format!("appliance/{key}"),
        };
        let member = Member {
            remote: target.remote.clone(),
            account: set.end(end, session).account.clone(),
            disk,
            name: String::new(),
        };
        set.picked.push(Picked { member, object, short: String::new(), size: 0, end });
    }
    Ok(set)
}
