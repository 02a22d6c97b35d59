//! `machine list` and `machine count`: every filter that there is, paged through to the end.

use super::has;
use crate::cli::Global;
use crate::cli::account::{Account, RequestOptions, given, only_remote};
use crate::cli::options::{pair, parse};
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::cli::values::{text, words};
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use clap::Args;
use serde_json::Value;
use std::collections::HashSet;

/// "default is 1000 (which is also the maximum allowable result set size)" (Joyent CloudAPI 6.5, "`ListMachines`").
const PAGE: usize = 1000;

/// No account has more pages than this; a server that goes on for ever is not followed.
const MOST_PAGES: usize = 1000;

/// What `machine list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    /// Only of this type: smartmachine or virtualmachine
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only of this name
    #[arg(long)]
    name: Option<String>,
    /// Only of this dataset
    #[arg(long)]
    dataset: Option<String>,
    /// Only in this state
    #[arg(long)]
    state: Option<String>,
    /// Only with so much memory
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// Also those that were destroyed in the last so many minutes
    #[arg(long, value_name = "MINUTES")]
    tombstone: Option<u32>,
    /// Only with this tag; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Show generated credentials, too, with --json
    #[arg(long)]
    credentials: bool,
    /// How many are asked for at a time
    #[arg(long, value_name = "N", default_value_t = PAGE, hide = true)]
    page: usize,
    #[command(flatten)]
    request: RequestOptions,
}

impl ListArgs {
    fn filters(&self) -> Vec<(String, String)> {
        let plain = [
            ("type", self.kind.clone()),
            ("name", self.name.clone()),
            ("dataset", self.dataset.clone()),
            ("state", self.state.clone()),
            ("memory", self.memory.map(|n| n.to_string())),
            ("tombstone", self.tombstone.map(|n| n.to_string())),
            ("credentials", self.credentials.then(|| "true".to_owned())),
        ];
        let tags = self.tag.iter().map(|(key, value)| (format!("tag.{key}"), value.clone()));
        plain.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).chain(tags).collect()
    }

    async fn open(&self, global: &Global, output: &Output) -> Result<Account> {
        let remote = self.remote.as_ref().map(only_remote).transpose()?;
        let account = Account::open(remote, &self.request, global, output).await?;
        has(&account)?;
        Ok(account)
    }
}

/// Runs `machine list`.
pub(super) async fn run(args: ListArgs, global: &Global, output: &Output) -> Result<()> {
    let account = args.open(global, output).await?;
    let filters = args.filters();
    let fetch = async |limit: usize, offset: usize| {
        let page = [("limit".to_owned(), limit.to_string()), ("offset".to_owned(), offset.to_string())];
        account.values("machines.list", &given([], filters.iter().cloned().chain(page))).await
    };
    let (machines, odd) = all(args.page.clamp(1, PAGE), fetch).await?;
    if let Some(odd) = odd {
        output.warn(odd);
    }
    if output.is_json() {
        let output = output.revealing(args.credentials);
        return machines.iter().try_for_each(|machine| output.value("machine", machine));
    }
    let mut table = Table::new(["NAME", "STATE", "TYPE", "MEMORY MB", "ADDRESSES", "ID"]).right(3);
    for machine in &machines {
        let field = |name| text(machine, name);
        let addresses = words(machine, "ips").join(" ");
        table.row([field("name"), field("state"), field("type"), field("memory"), addresses, field("id")]);
    }
    table.print(&format!("there are no such machines on {}:", account.remote()), output)
}

/// Runs `machine count`.
pub(super) async fn count(args: ListArgs, global: &Global, output: &Output) -> Result<()> {
    let account = args.open(global, output).await?;
    let told = account.value("machines.count", &given([], args.filters())).await?;
    let count = text(&told, "x-resource-count");
    let count: u64 = count
        .trim()
        .parse()
        .map_err(|_| Error::new(Kind::Protocol, format!("the server counts {count:?} machines")))?;
    if output.is_json() {
        output.event("count", serde_json::json!({ "machines": count }));
        return Ok(());
    }
    output.data(&count.to_string())
}

/// Everything, page by page. It ends with a page that is not full, since the manual's rule for `x-resource-count` does not
/// hold if that counts all of them. Also gives what is odd about the server.
async fn all(
    limit: usize,
    mut fetch: impl AsyncFnMut(usize, usize) -> Result<Vec<Value>>,
) -> Result<(Vec<Value>, Option<&'static str>)> {
    let mut found: Vec<Value> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for _ in 0..MOST_PAGES {
        let page = fetch(limit, found.len()).await?;
        let full = page.len() >= limit;
        let new = page.into_iter().filter(|machine| seen.insert(text(machine, "id"))).collect::<Vec<_>>();
        if full && new.is_empty() {
            return Ok((
                found,
                Some("the server sends the same page again and again: the list may not be whole"),
            ));
        }
        found.extend(new);
        if !full {
            return Ok((found, None));
        }
    }
    Ok((found, Some("the list has no end: what is here is its beginning")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Pages of a server with so many machines; one that takes no notice of the offset repeats itself.
    fn pages(total: usize, limit: usize, heeds: bool) -> (usize, bool, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut asked = 0;
        let fetch = async |limit: usize, offset: usize| {
            asked += 1;
            let from = if heeds { offset } else { 0 };
            Ok((from..total.min(from + limit)).map(|n| json!({ "id": format!("m{n}") })).collect())
        };
        let (found, odd) = runtime.block_on(all(limit, fetch)).unwrap();
        (found.len(), odd.is_some(), asked)
    }

    #[test]
    fn a_list_is_paged_through_to_its_end() {
        assert_eq!(pages(0, 2, true), (0, false, 1));
        assert_eq!(pages(1, 2, true), (1, false, 1));
        assert_eq!(pages(2, 2, true), (2, false, 2));
        assert_eq!(pages(5, 2, true), (5, false, 3));
    }

    #[test]
    fn a_server_that_repeats_itself_is_not_followed_for_ever() {
        assert_eq!(pages(5, 2, false), (2, true, 2));
    }
}
