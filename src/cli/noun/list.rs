//! Output of lists, tables and counts.

use super::pages;
use super::{Cell, Item, List, Run};
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::cli::values;
use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value};

impl Run {
    /// Prints the objects that the call lists.
    pub async fn list(&self, list: &List) -> Result<()> {
        let mut items = if list.paged { self.pages().await? } else { self.calls().await? };
        if let Some(field) = self.matches.try_get_one::<String>("sort").ok().flatten() {
            values::sort_by(&mut items, |item| item.text(field));
        }
        let mut nothing = format!("no {} on `{}:`", self.noun.many, self.account.remote());
        if !self.id.is_empty() {
            nothing = format!("{} has no {}", self.label, self.noun.many);
        } else if !self.given.keys.is_empty() {
            nothing.push_str(" match");
        }
        print_list(self.noun.name, self.noun.id, list, &items, &nothing, &self.output)
    }

    async fn pages(&self) -> Result<Vec<Item>> {
        let limit = self.matches.get_one::<u16>("page").map_or(pages::PAGE, |page| usize::from(*page));
        let fetch = async |limit: usize, offset: usize| {
            let mut page = self.given.clone();
            page.keys.set("limit", limit.to_string());
            page.keys.set("offset", offset.to_string());
            self.account.items(self.act.call, &page).await
        };
        let (items, odd) = pages::all(limit.min(pages::PAGE), self.noun.id, fetch).await?;
        if let Some(odd) = odd {
            self.output.warn(odd);
        }
        Ok(items)
    }

    /// Prints the names and values of one object.
    pub(super) async fn table(&self, headings: [&str; 2]) -> Result<()> {
        let item = self.call().await?;
        if self.output.is_json() {
            return item.print(self.noun.name, &self.output);
        }
        let shown = item.shown(&self.output);
        if self.output.is_quiet() {
            return shown.pairs().iter().try_for_each(|(name, _)| self.output.data(name));
        }
        let mut table = Table::new(headings);
        for (name, value) in shown.pairs() {
            table.row([name, value]);
        }
        table.print(&format!("{} has no {}", self.label, self.noun.many), &self.output)
    }

    /// Prints the number of objects, which is the value of `header`.
    pub(super) async fn count(&self, header: &str) -> Result<()> {
        let text = self.call().await?.text(header);
        let count: u64 = text.trim().parse().map_err(|_| {
            Error::new(Kind::Protocol, format!("the server counts {text:?} {}", self.noun.many))
        })?;
        if self.output.is_json() {
            let mut fields = Map::new();
            fields.insert(self.noun.many.into(), count.into());
            self.output.event("count", Value::Object(fields));
            return Ok(());
        }
        self.output.data(&count.to_string())
    }
}

/// Prints a list: as a table, with `-q` only the ids, or with `--json` one line per object.
pub fn print_list(
    event: &str,
    id: &str,
    list: &List,
    items: &[Item],
    nothing: &str,
    output: &Output,
) -> Result<()> {
    if output.is_json() {
        return items.iter().try_for_each(|item| item.print(event, output));
    }
    if output.is_quiet() {
        return items.iter().try_for_each(|item| output.data(&item.text(id)));
    }
    let mut table = Table::new(list.columns.iter().map(|(heading, _)| *heading));
    for (place, (_, cell)) in list.columns.iter().enumerate() {
        table = match cell {
            Cell::Number(_) | Cell::Bytes(_) | Cell::Megabytes(_) => table.right(place),
            Cell::Id(_) => table.whole(place),
            _ => table,
        };
    }
    for item in items {
        let item = item.shown(output);
        table.row(list.columns.iter().map(|(_, cell)| item.cell(cell)));
    }
    table.print(nothing, output)
}
