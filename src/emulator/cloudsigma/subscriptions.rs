//! Subscriptions (CloudSigma API 1.0, "Billing API"). The tables print `start_date` and `end_date`, the examples
//! `start_time` and `end_time`: both are taken, the latter are answered.

use super::Shared;
use super::money::CURRENCY;
use crate::emulator::account::{Account, Money, ResourceKind, Subscription, SubscriptionKind};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::emulator::clock::{Date, now};
use crate::emulator::elastic::blocking;
use crate::wire::elastic::Properties;
use std::sync::Arc;

/// Years ahead are nobody's months: the bound keeps dates and amounts sane.
const MONTHS: std::ops::RangeInclusive<u64> = 1..=120;

/// `GET subscriptions/list`
pub(super) async fn list(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        Ok(Reply::Objects(account.ledger.subscriptions.iter().map(describe).collect()))
    })
    .await
}

/// `GET subscriptions/resources/info`: the totals.
pub(super) async fn resources_info(shared: Arc<Shared>, _call: Call) -> Answer {
    totals(shared, &SubscriptionKind::RESOURCES).await
}

/// `GET subscriptions/net/info`: the totals.
pub(super) async fn net_info(shared: Arc<Shared>, _call: Call) -> Answer {
    totals(shared, &[SubscriptionKind::Ip, SubscriptionKind::Vlan]).await
}

async fn totals(shared: Arc<Shared>, kinds: &'static [SubscriptionKind]) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        let total =
            |kind: &SubscriptionKind| (kind.key(), account.ledger.subscribed(*kind, now()).to_string());
        Ok(Reply::Object(kinds.iter().map(total).collect()))
    })
    .await
}

/// `POST subscriptions/resources/create`. The manual describes it twice, with two answers; this is the one with the
/// UUIDs, which are needed to extend a subscription.
pub(super) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    let order = Order::read(call.properties().await?, &SubscriptionKind::RESOURCES)?;
    blocking(move || Ok(Reply::Objects(order.place(&shared)?.iter().map(describe).collect()))).await
}

/// `POST subscriptions/network/TYPE/create`: as many addresses or VLANs come with it.
pub(super) async fn network_create(shared: Arc<Shared>, call: Call) -> Answer {
    let resource = ResourceKind::parse(call.argument(0))?;
    let order = Order::read_quantity(call.properties().await?, network(resource))?;
    blocking(move || Ok(Reply::Objects(order.place(&shared)?.iter().map(describe).collect()))).await
}

/// `POST subscriptions/network/TYPE/calculate`
pub(super) async fn network_calculate(_shared: Arc<Shared>, call: Call) -> Answer {
    let resource = ResourceKind::parse(call.argument(0))?;
    Ok(amount(Order::read_quantity(call.properties().await?, network(resource))?.price()))
}

/// `POST subscriptions/software/create` answers what was sent, with the end.
pub(super) async fn software_create(shared: Arc<Shared>, call: Call) -> Answer {
    let order = Order::read(call.properties().await?, &SubscriptionKind::SOFTWARE)?;
    blocking(move || {
        order.place(&shared)?;
        let mut echo: Properties =
            order.items.iter().map(|(kind, quantity)| (kind.key(), quantity.to_string())).collect();
        echo.set("start_time", order.start.to_the_minute());
        echo.set("end_time", order.end().to_the_minute());
        Ok(Reply::Object(echo))
    })
    .await
}

/// `POST subscriptions/software/calculate`
pub(super) async fn software_calculate(_shared: Arc<Shared>, call: Call) -> Answer {
    Ok(amount(Order::read(call.properties().await?, &SubscriptionKind::SOFTWARE)?.price()))
}

/// `POST subscriptions/UUID/set`: so many months more.
pub(super) async fn extend(shared: Arc<Shared>, call: Call) -> Answer {
    extension(shared, call, |account, uuid, months| {
        let (description, price) = {
            let subscription = find(account, uuid)?;
            (format!("{} subscription extended", subscription.kind.label()), price(subscription, months))
        };
        account.ledger.pay(now(), description, price)?;
        let subscription = find(account, uuid)?;
        subscription.end = subscription.end.plus_months(months);
        Ok(Reply::Object(describe(subscription)))
    })
    .await
}

/// `POST subscriptions/UUID/set/calculate`
pub(super) async fn extend_calculate(shared: Arc<Shared>, call: Call) -> Answer {
    extension(shared, call, |account, uuid, months| Ok(amount(price(find(account, uuid)?, months)))).await
}

async fn extension(
    shared: Arc<Shared>,
    call: Call,
    work: impl FnOnce(&mut Account, &str, u64) -> Answer + Send + 'static,
) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    blocking(move || {
        shared.account.change(|account| {
            find(account, &uuid)?;
            let months = months(&sent).map_err(|wrong| Refusal::wrong(&sent, &[wrong]))?;
            work(account, &uuid, months)
        })
    })
    .await
}

fn find<'a>(account: &'a mut Account, uuid: &str) -> Result<&'a mut Subscription, Refusal> {
    let mut all = account.ledger.subscriptions.iter_mut();
    all.find(|subscription| subscription.uuid.eq_ignore_ascii_case(uuid))
        .ok_or_else(|| Refusal::missing(format!("Subscription {uuid} does not exist")))
}

fn network(resource: ResourceKind) -> SubscriptionKind {
    match resource {
        ResourceKind::Ip => SubscriptionKind::Ip,
        ResourceKind::Vlan => SubscriptionKind::Vlan,
    }
}

/// What is to be subscribed to.
struct Order {
    items: Vec<(SubscriptionKind, u64)>,
    start: Date,
    months: u64,
}

impl Order {
    /// Reads the quantities under the kinds' own keys.
    fn read(sent: Properties, kinds: &[SubscriptionKind]) -> Result<Order, Refusal> {
        Self::read_items(sent, kinds.iter().map(|kind| (*kind, kind.key())).collect())
    }

    /// Reads a single quantity.
    fn read_quantity(sent: Properties, kind: SubscriptionKind) -> Result<Order, Refusal> {
        Self::read_items(sent, vec![(kind, "quantity")])
    }

    fn read_items(mut sent: Properties, keys: Vec<(SubscriptionKind, &str)>) -> Result<Order, Refusal> {
        if let Some(start) = sent.remove("start_date") {
            sent.set("start_time", start);
        }
        let (mut items, mut wrong) = (Vec::new(), Vec::new());
        for (kind, key) in keys {
            match quantity(kind, key, sent.get(key)) {
                Ok(quantity) => items.push((kind, quantity)),
                Err(problem) => wrong.push(problem),
            }
        }
        if wrong.is_empty() && items.iter().all(|(_, quantity)| *quantity == 0) {
            wrong.push(Wrong::new("quantity", "There is nothing to subscribe to."));
        }
        let start = match sent.get("start_time") {
            None | Some("") => Err(Wrong::required("start_time")),
            Some(text) => Date::parse(text)
                .ok_or_else(|| Wrong::new("start_time", "A date as 2010-03-20 13:20 is needed.")),
        };
        match (start, months(&sent)) {
            (Ok(start), Ok(months)) if wrong.is_empty() => return Ok(Order { items, start, months }),
            (start, months) => wrong.extend([start.err(), months.err()].into_iter().flatten()),
        }
        Err(Refusal::wrong(&sent, &wrong))
    }

    fn end(&self) -> Date {
        self.start.plus_months(self.months)
    }

    fn price(&self) -> Money {
        let prices = self.items.iter().map(|(kind, quantity)| kind.price(*quantity, self.months).0);
        Money(prices.fold(0, i64::saturating_add))
    }

    /// Pays, and makes the subscriptions.
    fn place(&self, shared: &Shared) -> Result<Vec<Subscription>, Refusal> {
        shared.account.change(|account| {
            let mut made = Vec::new();
            for &(kind, quantity) in self.items.iter().filter(|(_, quantity)| *quantity > 0) {
                let description = format!("{} subscription, {quantity} {}", kind.label(), kind.unit());
                account.ledger.pay(now(), description, kind.price(quantity, self.months))?;
                let resource = match kind {
                    SubscriptionKind::Ip => Some(ResourceKind::Ip),
                    SubscriptionKind::Vlan => Some(ResourceKind::Vlan),
                    _ => None,
                };
                let Some(resource) = resource else {
                    made.push(self.subscription(kind, quantity, None));
                    continue;
                };
                // Each address and each VLAN is a subscription of its own, as in the manual's example.
                for _ in 0..quantity {
                    let resource = account.add_resource(resource, Properties::new())?.id;
                    made.push(self.subscription(kind, 1, Some(resource)));
                }
            }
            account.ledger.subscriptions.extend(made.iter().cloned());
            Ok(made)
        })
    }

    fn subscription(&self, kind: SubscriptionKind, quantity: u64, resource: Option<String>) -> Subscription {
        let uuid = uuid::Uuid::new_v4().to_string();
        Subscription { uuid, kind, quantity, start: self.start, end: self.end(), resource }
    }
}

/// A quantity, with the smallest that the manual's example names.
fn quantity(kind: SubscriptionKind, key: &str, text: Option<&str>) -> Result<u64, Wrong> {
    let quantity = match text {
        None | Some("") if key == "quantity" => return Err(Wrong::required(key)),
        None | Some("") => 0,
        Some(text) => text.parse::<u32>().map_err(|_| Wrong::new(key, "A whole number is needed."))?,
    };
    let too_few = |least: u32, message: &str| {
        if quantity > 0 && quantity < least { Err(Wrong::new(key, message)) } else { Ok(u64::from(quantity)) }
    };
    match kind {
        SubscriptionKind::Cpu => too_few(2000, "The minimum CPU subscription is 2000 core MHz"),
        SubscriptionKind::Mem => too_few(1024, "The minimum memory subscription is 1024 MB"),
        _ => Ok(u64::from(quantity)),
    }
}

fn months(sent: &Properties) -> Result<u64, Wrong> {
    let text = sent.get("months").filter(|text| !text.is_empty()).ok_or_else(|| Wrong::required("months"))?;
    text.parse()
        .ok()
        .filter(|months| MONTHS.contains(months))
        .ok_or_else(|| Wrong::new("months", "A number of months, 1 to 120, is needed."))
}

fn price(subscription: &Subscription, months: u64) -> Money {
    subscription.kind.price(subscription.quantity, months)
}

fn amount(amount: Money) -> Reply {
    Reply::Object(Properties::new().with("amount", amount.to_string()).with("currency", CURRENCY))
}

fn describe(subscription: &Subscription) -> Properties {
    let info =
        Properties::new().with("type", subscription.kind.key()).with("subscription", &*subscription.uuid);
    let info = match &subscription.resource {
        Some(resource) => info.with("resource", &**resource),
        None => info,
    };
    info.with("type_str", subscription.kind.label())
        .with("unit", subscription.kind.unit())
        .with("quantity", subscription.quantity.to_string())
        .with("start_time", subscription.start.to_the_minute())
        .with("end_time", subscription.end.to_the_minute())
}
