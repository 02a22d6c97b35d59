//! Subscriptions (CloudSigma API 1.0, 11.6 to 11.18). The tables print `start_date` and `end_date`, the
//! examples `start_time` and `end_time`. Both are accepted; the answers have the latter.

use super::money::CURRENCY;
use crate::emulator::account::{Account, Money, Product, Resource, Subscription};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::date::{MINUTE, TO_THE_SECOND, parse, plus_months, print};
use crate::emulator::elastic::Command;
use crate::emulator::properties::Properties;

/// The most months, which keeps dates and amounts in range.
const LONGEST: u32 = 120;

/// `GET subscriptions/list`: times have seconds here, as in the example. Neither the table nor the example
/// has the UUID, but without it no subscription to an address could be extended (11.17).
pub(super) fn list(command: &Command) -> Answer {
    let account = command.account()?;
    Ok(Reply::Objects(account.ledger.subscriptions.iter().map(|one| describe(one, TO_THE_SECOND)).collect()))
}

/// `GET subscriptions/resources/info`, the totals.
pub(super) fn resources_info(command: &Command) -> Answer {
    totals(command, "resources")
}

/// `GET subscriptions/net/info`, the totals.
pub(super) fn net_info(command: &Command) -> Answer {
    totals(command, "network")
}

fn totals(command: &Command, group: &str) -> Answer {
    let account = command.account()?;
    let now = crate::emulator::clock::now();
    let products = Product::all().filter(|product| product.group == group);
    Ok(Reply::Object(products.map(|p| (p.key, account.ledger.subscribed(p.key, now).to_string())).collect()))
}

/// `POST subscriptions/resources/create`. The manual describes it twice, with two different answers. This is
/// the one with UUIDs, which are needed to extend a subscription.
pub(super) fn create(command: &Command) -> Answer {
    let made = Order::of_group(command, "resources")?.place(command)?;
    Ok(Reply::Objects(made.iter().map(|one| describe(one, MINUTE)).collect()))
}

/// `POST subscriptions/network/TYPE/create` also creates that many addresses or VLANs. The example answers
/// with one object for each of them, without a UUID and with the quantity that was ordered (11.11).
pub(super) fn network_create(command: &Command) -> Answer {
    let order = Order::of_network(command)?;
    let quantity: u64 = order.items.iter().map(|(_, quantity)| quantity).sum();
    let shown = |one: &Subscription| {
        let mut info = describe(one, MINUTE).with("quantity", quantity.to_string());
        info.set_or_remove("subscription", "");
        info
    };
    Ok(Reply::Objects(order.place(command)?.iter().map(shown).collect()))
}

/// `POST subscriptions/network/TYPE/calculate`
pub(super) fn network_calculate(command: &Command) -> Answer {
    Ok(amount(Order::of_network(command)?.price()))
}

/// `POST subscriptions/software/create` answers with what was sent, and the end.
pub(super) fn software_create(command: &Command) -> Answer {
    let order = Order::of_group(command, "software")?;
    order.place(command)?;
    let items = order.items.iter().map(|(product, quantity)| (product.key, quantity.to_string()));
    let echo: Properties = items.collect();
    let echo = echo.with("start_time", print(order.start, MINUTE));
    // With seconds, as in the example (11.15).
    Ok(Reply::Object(echo.with("end_time", print(order.end(), TO_THE_SECOND))))
}

/// `POST subscriptions/software/calculate`
pub(super) fn software_calculate(command: &Command) -> Answer {
    Ok(amount(Order::of_group(command, "software")?.price()))
}

/// `POST subscriptions/UUID/set` extends a subscription by some months.
pub(super) fn extend(command: &Command) -> Answer {
    command.change(|account, now| {
        let (at, price, months) = extension(account, command)?;
        let product = Product::find(&account.ledger.subscriptions[at].kind)?;
        account.ledger.pay(now, &format!("{} subscription extended", product.label), price)?;
        let subscription = &mut account.ledger.subscriptions[at];
        subscription.end = plus_months(subscription.end, months);
        Ok(Reply::Object(describe(subscription, MINUTE)))
    })
}

/// `POST subscriptions/UUID/set/calculate`
pub(super) fn extend_calculate(command: &Command) -> Answer {
    Ok(amount(extension(&*command.account()?, command)?.1))
}

/// Returns the position of a subscription, the price of extending it, and the number of months.
fn extension(account: &Account, command: &Command) -> Result<(usize, Money, u32), Refusal> {
    let uuid = command.argument(0);
    let at = account.ledger.subscriptions.iter().position(|one| one.uuid.eq_ignore_ascii_case(uuid));
    let at = at.ok_or_else(|| Refusal::missing(format!("Subscription {uuid} does not exist")))?;
    let months = months(&command.sent);
    let months = months.map_err(|wrong| {
        let echo = Properties::new().with("months", command.sent.get("months").unwrap_or_default());
        refused(&echo, &[wrong])
    })?;
    let one = &account.ledger.subscriptions[at];
    Ok((at, Product::find(&one.kind)?.price(one.quantity, months), months))
}

/// The products to subscribe to, and for how long.
struct Order {
    items: Vec<(Product, u64)>,
    start: u64,
    months: u32,
}

impl Order {
    /// Reads the quantities of a group's products, each under the product's key.
    fn of_group(command: &Command, group: &str) -> Result<Order, Refusal> {
        let products = Product::all().filter(|product| product.group == group);
        Self::read(&command.sent, products.map(|product| (product.key, product)).collect())
    }

    /// Reads the quantity of the addresses or VLANs in the path.
    fn of_network(command: &Command) -> Result<Order, Refusal> {
        Self::read(&command.sent, vec![("quantity", Resource::product(command.argument(0))?)])
    }

    /// Reads an order. A refusal has the quantities, the start and the end, each followed by its error. The
    /// months are never echoed, and are only required once there is a start (11.10 and 11.11).
    fn read(sent: &Properties, products: Vec<(&'static str, Product)>) -> Result<Order, Refusal> {
        let (mut items, mut wrong, mut echo) = (Vec::new(), Vec::new(), Properties::new());
        for (key, product) in products {
            match quantity(&product, key, sent.get(key).unwrap_or_default()) {
                Ok(quantity) => items.push((product, quantity)),
                Err(problem) => wrong.push(problem),
            }
            echo.set(key, sent.get(key).unwrap_or_default());
        }
        if wrong.is_empty() && items.iter().all(|(_, quantity)| *quantity == 0) {
            wrong.push(Wrong::new("quantity", "There is nothing to subscribe to."));
        }
        let given = sent.get("start_time").or_else(|| sent.get("start_date")).unwrap_or_default();
        let start = match parse(given) {
            Some(start) => Ok(start),
            None if given.is_empty() => Err(Wrong::required("start_time")),
            None => Err(Wrong::new("start_time", "A date as 2010-03-20 13:20 is needed.")),
        };
        let (start, months) = match start {
            Ok(start) => (start, months(sent)),
            Err(problem) => {
                wrong.push(problem);
                (0, Ok(0))
            }
        };
        let months = months.unwrap_or_else(|problem| {
            wrong.push(problem);
            0
        });
        if wrong.is_empty() {
            return Ok(Order { items, start, months });
        }
        let end = if months > 0 { print(plus_months(start, months), MINUTE) } else { String::new() };
        Err(refused(&echo.with("start_time", given).with("end_time", end), &wrong))
    }

    fn end(&self) -> u64 {
        plus_months(self.start, self.months)
    }

    fn price(&self) -> Money {
        self.items.iter().map(|(product, quantity)| product.price(*quantity, self.months)).sum()
    }

    /// Pays for the subscriptions and creates them.
    fn place(&self, command: &Command) -> Result<Vec<Subscription>, Refusal> {
        let subscription = |product: &Product, quantity: u64, resource: Option<String>| Subscription {
            uuid: uuid::Uuid::new_v4().to_string(),
            kind: product.key.to_owned(),
            quantity,
            start: self.start,
            end: self.end(),
            resource,
        };
        command.change(|account, now| {
            let mut made = Vec::new();
            for (product, quantity) in self.items.iter().filter(|(_, quantity)| *quantity > 0) {
                let description = format!("{} subscription, {quantity} {}", product.label, product.unit);
                account.ledger.pay(now, &description, product.price(*quantity, self.months))?;
                if product.group != "network" {
                    made.push(subscription(product, *quantity, None));
                    continue;
                }
                for _ in 0..*quantity {
                    let resource = account.add_resource(product.key, Properties::new())?.id;
                    made.push(subscription(product, 1, Some(resource)));
                }
            }
            account.ledger.subscriptions.extend(made.iter().cloned());
            Ok(made)
        })
    }
}

/// 400: the object, each invalid key followed by a line `errors:KEY MESSAGE`, here without an asterisk (11.10
/// and 11.11).
fn refused(echo: &Properties, wrong: &[Wrong]) -> Refusal {
    let mut pairs = Properties::new();
    let absent = wrong.iter().map(|one| &*one.key).filter(|key| !echo.contains(key));
    for key in echo.iter().map(|(key, _)| key).chain(absent) {
        if let Some(value) = echo.get(key) {
            pairs.set(key, value);
        }
        for one in wrong.iter().filter(|one| one.key == key) {
            pairs.set(format!("errors:{key}"), &*one.message);
        }
    }
    let sentences: Vec<String> = wrong.iter().map(|one| format!("{}: {}", one.key, one.message)).collect();
    Refusal::with_pairs(pairs, sentences.join("; "))
}

fn quantity(product: &Product, key: &'static str, text: &str) -> Result<u64, Wrong> {
    let quantity = match text {
        "" if key == "quantity" => return Err(Wrong::required(key)),
        "" => 0,
        text => text.parse::<u32>().map_err(|_| Wrong::new(key, "A whole number is needed."))?.into(),
    };
    if quantity > 0 && quantity < product.least {
        let name = if product.key == "mem" { "memory" } else { product.label };
        let least = format!("The minimum {name} subscription is {} {}", product.least, product.unit);
        return Err(Wrong::new(key, least));
    }
    Ok(quantity)
}

fn months(sent: &Properties) -> Result<u32, Wrong> {
    let text = sent.get("months").filter(|text| !text.is_empty()).ok_or_else(|| Wrong::required("months"))?;
    let months = text.parse().ok().filter(|months| (1..=LONGEST).contains(months));
    months.ok_or_else(|| Wrong::new("months", "A number of months, 1 to 120, is needed."))
}

fn amount(amount: Money) -> Reply {
    Reply::Object(Properties::new().with("amount", amount.to_string()).with("currency", CURRENCY))
}

fn describe(one: &Subscription, form: &str) -> Properties {
    let product = Product::find(&one.kind).ok();
    let of = |part: fn(&Product) -> &'static str| product.as_ref().map_or("", part);
    let mut info = Properties::new().with("type", &*one.kind).with("subscription", &*one.uuid);
    info.set_or_remove("resource", one.resource.as_deref().unwrap_or_default());
    info.with("type_str", of(|product| product.label))
        .with("unit", of(|product| product.unit))
        .with("quantity", one.quantity.to_string())
        .with("start_time", print(one.start, form))
        .with("end_time", print(one.end, form))
}
