//! `diskferry hardware`: what SpotCloud's market offers, to be compared (SpotCloud Buyer API 1.2, 5).

use super::Global;
use super::account::{Account, RequestOptions, given, named, only_remote};
use super::options::{parse, size};
use super::output::{Output, bytes};
use super::table::Table;
use super::values::{number, show, sort, text};
use crate::config::Target;
use crate::error::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

/// What can be done about hardware.
#[derive(Debug, Subcommand)]
pub enum HardwareCommand {
    /// List what is offered: cost an hour, processors, memory, longest run, place, name, key
    List(ListArgs),
    /// Show everything that is known of one offer
    Info(InfoArgs),
}

/// What `hardware list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    /// Only on this continent, as NA
    #[arg(long)]
    continent: Option<String>,
    /// Only in this country, as CA
    #[arg(long)]
    country: Option<String>,
    /// Only in this city
    #[arg(long)]
    city: Option<String>,
    /// At least so many processors
    #[arg(long, value_name = "N")]
    min_cpu: Option<u32>,
    /// At most so many processors
    #[arg(long, value_name = "N")]
    max_cpu: Option<u32>,
    /// At least so much memory, as in 2G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_memory: Option<u64>,
    /// At most so much memory
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
    /// At most so many US dollars an hour
    #[arg(long, value_name = "USD")]
    max_cost: Option<String>,
    /// The order
    #[arg(long, value_name = "FIELD", default_value = "cost")]
    sort: Order,
    #[command(flatten)]
    request: RequestOptions,
}

/// The fields by which offers can be ordered.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Cost,
    Cpu,
    Memory,
    City,
    Name,
}

/// What `hardware info` takes.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The offer, by its key
    #[arg(value_name = "REMOTE:KEY", value_parser = parse::<Target>)]
    hardware: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// Runs the command.
pub async fn run(command: HardwareCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        HardwareCommand::List(args) => list(args, global, output).await,
        HardwareCommand::Info(args) => {
            let (remote, key) = named(&args.hardware, "hardware")?;
            let account = open(Some(remote), &args.request, global, output).await?;
            show("hardware", &account.value("hardware.get", &given([key], [])).await?, output)
        }
    }
}

async fn open(
    remote: Option<&str>,
    request: &RequestOptions,
    global: &Global,
    output: &Output,
) -> Result<Account> {
    let account = Account::open(remote, request, global, output).await?;
    account.has(
        "hardware.list",
        "list what hardware it offers",
        "SpotCloud alone is a market of hardware",
    )?;
    Ok(account)
}

async fn list(args: ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = open(remote, &args.request, global, output).await?;
    let keys = [
        ("continent", args.continent),
        ("country", args.country),
        ("city", args.city),
        ("min_cpu", args.min_cpu.map(|n| n.to_string())),
        ("max_cpu", args.max_cpu.map(|n| n.to_string())),
        ("min_memory", args.min_memory.map(|n| n.to_string())),
        ("max_memory", args.max_memory.map(|n| n.to_string())),
        ("max_cost", args.max_cost),
    ];
    let keys = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let mut offers = account.values("hardware.list", &given([], keys)).await?;
    sort(
        &mut offers,
        match args.sort {
            Order::Cost => "cost",
            Order::Cpu => "cpu",
            Order::Memory => "memory",
            Order::City => "city",
            Order::Name => "name",
        },
    );
    if output.is_json() {
        return offers.iter().try_for_each(|offer| output.value("hardware", offer));
    }
    let mut table = Table::new(["USD/H", "CPU", "MEMORY", "HOURS", "PLACE", "NAME", "KEY"])
        .right(0)
        .right(1)
        .right(2)
        .right(3);
    for offer in &offers {
        let memory = number(offer, "memory").map_or_else(|| text(offer, "memory"), bytes);
        let field = |name| text(offer, name);
        table.row([
            field("cost"),
            field("cpu"),
            memory,
            field("max_hours"),
            place(offer),
            field("name"),
            field("key"),
        ]);
    }
    table.print("nothing like that is offered", output)
}

/// City, country and continent, as far as they are known.
fn place(offer: &Value) -> String {
    let words: Vec<String> = ["city", "country", "continent"]
        .into_iter()
        .map(|name| text(offer, name))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_told_as_far_as_it_is_known() {
        assert_eq!(
            place(&json!({ "city": "Toronto", "country": "CA", "continent": "NA" })),
            "Toronto, CA, NA"
        );
        assert_eq!(place(&json!({ "city": null, "country": "CA" })), "CA");
        assert_eq!(place(&json!({})), "");
    }
}
