//! `diskferry appliance`, `instance` and `hardware`: what SpotCloud stores, runs and offers (SpotCloud Buyer
//! API 1.2, 2, 3 and 5).

use super::account::given;
use super::noun::{
    Act,
    Cell::{Age, Bytes, Id, Number, Own, Text},
    Column, Does, Item, List, Noun, On, Run, option, option_for, value,
};
use crate::error::{Error, Kind, Result};
use crate::provider::catalogue::{Arguments, Call};
use futures_util::future::LocalBoxFuture;

pub(super) static APPLIANCE: Noun = Noun::new(
    "appliance",
    "appliances",
    "List, rename and delete SpotCloud's appliances",
    &[
        Act::list("appliances.list", "List the account's appliances: name, size, key", APPLIANCES),
        Act::list("appliances.public_list", "List the appliances that are there for everybody", APPLIANCES)
            .named("public", None),
        Act::info("appliances.get", "Show everything that is known of an appliance"),
        Act::change("rename", "appliances.update", "renamed", "Give an appliance another name")
            .words(&[value("NAME", "name", "Its new name")]),
        Act::destroy(
            "delete",
            "appliances.delete",
            "deleted",
            "Delete an appliance; one that an instance uses is refused",
            "",
        ),
    ],
)
.known("REMOTE:appliance/KEY", "The appliance, by its key", "key");

/// The manual gives no unit for `size`, so a whole number is read as bytes.
const APPLIANCES: &[Column] = &[("NAME", Text("name")), ("SIZE", Bytes("size")), ("KEY", Id("key"))];

pub(super) static INSTANCE: Noun = Noun {
    state: Some("state"),
    address: Some(|item| item.text("ip")),
    ..Noun::new(
        "instance",
        "instances",
        "List, create and delete SpotCloud's instances",
        &[
            Act::list(
                "instances.list",
                "List the instances: state, address, processors, memory, cost an hour, end, key",
                &[
                    ("STATE", Text("state")),
                    ("ADDRESS", Text("ip")),
                    ("CPU", Number("cpu")),
                    ("MEMORY", Bytes("memory")),
                    ("USD/H", Number("cost")),
                    ("ENDS", Age("deadline")),
                    ("KEY", Id("key")),
                ],
            )
            .options(&[
                option("state", "STATE", "Only in this state: running or pending"),
                option("appliance", "KEY", "Only of this appliance"),
                option("provider", "KEY", "Only at this provider"),
            ]),
            Act::info("instances.get", "Show everything that is known of an instance"),
            Act::own(
                "create",
                "instances.create",
                "Run an appliance on hardware of the market; prints the instance's key",
                |command| command,
                create,
            )
            .on(On::Remote)
            .options(&[
                option("appliance", "KEY", "The appliance, as `diskferry appliance list` lists it"),
                option("hardware", "KEY", "The hardware, as `diskferry hardware list` lists it"),
                option("provider", "KEY", "Who offers the hardware [default: looked up]"),
            ]),
            Act::destroy(
                "delete",
                "instances.delete",
                "deleted",
                "Delete an instance, with everything on it",
                "Everything on it is lost.",
            ),
        ],
    )
    .known("REMOTE:KEY", "The instance, by its key", "key")
};

/// Creates an instance. The call needs the keys of the hardware and of its provider, but a list of hardware
/// does not name the provider, so it is looked up.
fn create(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let mut given = run.given.clone();
        if let (Some(hardware), None) = (given.keys.get("hardware"), given.keys.get("provider")) {
            // Report other missing or wrong keys before anything is looked up.
            let known = given.keys.clone().with("provider", "looked-up");
            Call::find(run.account.provider(), run.act.call)?
                .request(&Arguments { keys: known, ..Arguments::default() })?;
            let provider = provider_of(hardware, run).await?;
            given.keys.set("provider", provider);
        }
        run.make(&run.account.item(run.act.call, &given).await?).await
    })
}

/// Returns the key of the provider that offers some hardware.
async fn provider_of(hardware: &str, run: &Run) -> Result<String> {
    for provider in run.account.items("providers.list", &given([], [])).await? {
        let key = provider.id("provider", "key")?;
        let Item::Json(details) = run.account.item("providers.get", &given([&*key], [])).await? else {
            continue;
        };
        let offers = details["hardware"].as_array().into_iter().flatten();
        if offers.into_iter().any(|offer| offer["key"] == hardware) {
            return Ok(key.into());
        }
    }
    let error = Error::new(Kind::NotFound, format!("no provider offers hardware `{hardware}`"));
    Err(error.hint(format!("`diskferry hardware list {}:` lists what is offered", run.account.remote())))
}

pub(super) static HARDWARE: Noun = Noun {
    one: "hardware offer",
    ..Noun::new(
        "hardware",
        "hardware offers",
        "List SpotCloud's hardware with its prices and places",
        &[
            Act::list(
                "hardware.list",
                "List what is offered: cost an hour, processors, memory, longest run, place, name, key",
                &[],
            )
            .does(Does::List(OFFERS))
            .on(On::Account)
            .options(&[
                option("continent", "CODE", "Only on this continent, as NA"),
                option("country", "CODE", "Only in this country, as CA"),
                option("city", "CITY", "Only in this city"),
                option_for("min_cpu", "min-cpu", "N", "At least so many processors"),
                option_for("max_cpu", "max-cpu", "N", "At most so many processors"),
                option_for("min_memory", "min-memory", "SIZE", "At least so much memory, as 2G"),
                option_for("max_memory", "max-memory", "SIZE", "At most so much memory"),
                option_for("max_cost", "max-cost", "USD", "At most so many US dollars an hour"),
            ]),
            Act::info("hardware.get", "Show everything that is known of one offer"),
        ],
    )
    .known("REMOTE:KEY", "The offer, by its key", "key")
};

const OFFERS: List = List {
    columns: &[
        ("USD/H", Number("cost")),
        ("CPU", Number("cpu")),
        ("MEMORY", Bytes("memory")),
        ("HOURS", Number("max_hours")),
        ("PLACE", Own(place)),
        ("NAME", Text("name")),
        ("KEY", Id("key")),
    ],
    sort: &["cost", "cpu", "memory", "city", "name"],
    paged: false,
};

/// Returns the city, country and continent, as far as they are known.
fn place(offer: &Item) -> String {
    let words = ["city", "country", "continent"].map(|name| offer.text(name));
    let known: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_told_as_far_as_it_is_known() {
        let place = |offer| place(&Item::Json(offer));
        assert_eq!(
            place(json!({ "city": "Toronto", "country": "CA", "continent": "NA" })),
            "Toronto, CA, NA"
        );
        assert_eq!(place(json!({ "city": null, "country": "CA" })), "CA");
        assert_eq!(place(json!({})), "");
    }
}
