//! The account's debts and payments. The prices are in `data/products.tsv`.
//!
//! Burst is usage beyond the subscribed quantity. Money is counted in integer millionths and hundredths,
//! never in floating point.

use super::Account;
use crate::emulator::answer::{Refusal, RefusalKind};
use crate::emulator::clock::SECOND;
use crate::emulator::data;
use crate::emulator::date::{TO_THE_SECOND, print};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Usage is billed once this many minutes have passed, as in the samples of "Transaction history".
pub(crate) const MINUTES_BILLED: u64 = 5;

/// The number of transactions kept. Older ones are dropped, but still count in the sum.
const KEPT: usize = 1000;

/// What an account can spend if no limit is set: the amount in the sample of "Balance".
const BALANCE: Money = Money(122_087);

const MINUTE: u64 = 60 * SECOND;

/// An amount in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Money(pub(crate) i64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(all: I) -> Money {
        Money(all.fold(0, |sum, one| sum.saturating_add(one.0)))
    }
}

/// A product that can be subscribed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) group: &'static str,
    hundredths: u64,
    units: u64,
    /// The smallest quantity.
    pub(crate) least: u64,
}

impl Product {
    /// Returns all products, in the order of the manual.
    pub(crate) fn all() -> impl Iterator<Item = Product> {
        data::products().map(|[key, label, unit, group, hundredths, units, least]| {
            let number = |text: &str| text.parse().unwrap_or(1);
            let (hundredths, units, least) = (number(hundredths), number(units), number(least));
            Product { key, label, unit, group, hundredths, units, least }
        })
    }

    pub(crate) fn find(key: &str) -> Result<Product, Refusal> {
        let missing = || Refusal::missing(format!("There is no resource type {key}"));
        Product::all().find(|product| product.key == key).ok_or_else(missing)
    }

    /// Returns the price of a quantity for some months.
    pub(crate) fn price(&self, quantity: u64, months: u32) -> Money {
        let sum = u128::from(self.hundredths) * u128::from(quantity) * u128::from(months);
        Money(i64::try_from(sum / u128::from(self.units)).unwrap_or(i64::MAX))
    }
}

/// A subscription. Points in time are in microseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) uuid: String,
    /// The key of a [`Product`].
    pub(crate) kind: String,
    pub(crate) quantity: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The address or VLAN that the subscription came with.
    pub(crate) resource: Option<String>,
}

/// A payment to or from the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// When it was made, in microseconds since the epoch.
    pub(crate) at: u64,
    pub(crate) description: String,
    /// Negative if the account paid.
    pub(crate) total: Money,
}

/// The account's subscriptions, transactions and balance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) subscriptions: Vec<Subscription>,
    /// Past transactions, oldest first.
    pub(crate) transactions: Vec<Transaction>,
    spent: Money,
    /// The time up to which usage is billed, in microseconds.
    billed: Option<u64>,
    /// The initial balance, if it is limited. It is set again at every start.
    #[serde(skip)]
    pub(super) limit: Option<Money>,
}

/// Resources in use: MHz, MB and GB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: u64,
    pub(crate) mem: u64,
    pub(crate) disk: u64,
}

impl Usage {
    /// Returns the usage that exceeds another.
    pub(crate) fn beyond(self, other: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(other.cpu),
            mem: self.mem.saturating_sub(other.mem),
            disk: self.disk.saturating_sub(other.disk),
        }
    }

    /// Returns the cost of this usage as burst, in millionths a minute: 1.500 an hour for a GHz, 0.200 a
    /// month for a GB of disk.
    fn millionths_a_minute(self) -> u64 {
        let cpu = self.cpu.saturating_mul(1_500_000) / 1000 / 60;
        let disk = self.disk.saturating_mul(200_000) / (30 * 24 * 60);
        cpu.saturating_add(disk)
    }
}

impl Ledger {
    /// Returns the remaining balance.
    pub(crate) fn balance(&self) -> Money {
        Money(self.limit.unwrap_or(BALANCE).0.saturating_sub(self.spent.0))
    }

    /// Fails with 402 if the account cannot spend anything.
    pub(crate) fn must_be_solvent(&self) -> Result<(), Refusal> {
        self.must_cover(Money(1))
    }

    fn must_cover(&self, amount: Money) -> Result<(), Refusal> {
        // Without a limit nothing is refused.
        if self.limit.is_some() && self.balance() < amount {
            let message = format!("The account's balance of {} does not cover this", self.balance());
            return Err(Refusal::new(RefusalKind::Billing, message));
        }
        Ok(())
    }

    /// Pays an amount, or fails with 402 if the balance is too small.
    pub(crate) fn pay(&mut self, at: u64, what: &str, amount: Money) -> Result<(), Refusal> {
        self.must_cover(amount)?;
        self.take(at, what.to_owned(), amount);
        Ok(())
    }

    fn take(&mut self, at: u64, description: String, amount: Money) {
        self.spent.0 = self.spent.0.saturating_add(amount.0);
        if self.transactions.len() >= KEPT {
            self.transactions.remove(0);
        }
        self.transactions.push(Transaction { at, description, total: Money(-amount.0) });
    }

    /// Returns the subscribed quantity of a product at a time.
    pub(crate) fn subscribed(&self, kind: &str, at: u64) -> u64 {
        let runs = |s: &&Subscription| s.kind == kind && s.start <= at && at < s.end;
        self.subscriptions.iter().filter(runs).map(|s| s.quantity).sum()
    }

    /// Returns whether usage has to be billed now.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.billed.is_none_or(|billed| now.saturating_sub(billed) >= MINUTES_BILLED * MINUTE)
    }
}

impl Account {
    /// Returns the usage, with this many bytes of drives.
    pub(crate) fn usage(&self, disk: u64) -> Usage {
        let running = || self.servers.iter().filter(|server| server.status.runs());
        Usage {
            cpu: running().map(|server| server.number("cpu")).sum(),
            mem: running().map(|server| server.number("mem")).sum(),
            disk: disk.div_ceil(1 << 30),
        }
    }

    /// Returns the subscribed quantities in the same units.
    pub(crate) fn subscribed(&self, at: u64) -> Usage {
        let of = |kind| self.ledger.subscribed(kind, at);
        Usage { cpu: of("cpu"), mem: of("mem"), disk: of("disk") }
    }

    /// Bills the usage of the whole minutes since the last bill, at the rate of what is in use now.
    pub(super) fn bill(&mut self, now: u64, disk: u64) {
        let from = *self.ledger.billed.get_or_insert(now);
        let minutes = now.saturating_sub(from) / MINUTE;
        if minutes < MINUTES_BILLED {
            return;
        }
        let until = from + minutes * MINUTE;
        self.ledger.billed = Some(until);
        let rate = self.usage(disk).beyond(self.subscribed(now)).millionths_a_minute();
        let amount = Money(i64::try_from(rate.saturating_mul(minutes).div_ceil(10_000)).unwrap_or(i64::MAX));
        if amount > Money(0) {
            let (from, until) = (print(from, TO_THE_SECOND), print(until, TO_THE_SECOND));
            let rate = format!("{}.{:03}", rate / 1_000_000, rate % 1_000_000 / 1000);
            let use_of = format!("{minutes} minutes of burst virtual server use at rate of {rate}");
            self.ledger.take(now, format!("{use_of} from {from} until {until}"), amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::account::Server;
    use crate::emulator::date::plus_months;
    use crate::emulator::properties::Properties;

    fn account(cpu: &str) -> Account {
        let mut server = Server::new(Properties::new().with("cpu", cpu).with("mem", "1024"));
        server.start(Properties::new(), 0);
        Account { servers: vec![server], ..Account::default() }
    }

    #[test]
    fn the_manuals_own_amounts_come_out() {
        // CloudSigma API 1.0, 11.12, 11.14, 11.16.
        assert_eq!(Product::find("ip").unwrap().price(2, 1).to_string(), "16.00");
        assert_eq!(Product::find("vlan").unwrap().price(2, 1).to_string(), "40.00");
        let software = Product::all().filter(|product| product.group == "software");
        assert_eq!(software.map(|product| product.price(1, 1)).sum::<Money>().to_string(), "45.00");
        assert_eq!(Money(-1375).to_string(), "-13.75");
        assert_eq!(Money(-5).to_string(), "-0.05");
    }

    #[test]
    fn use_is_billed_by_the_minute_once_five_have_passed() {
        let mut account = account("2000");
        account.bill(0, 0);
        account.bill(5 * MINUTE - 1, 0);
        assert!(account.ledger.transactions.is_empty());
        account.bill(6 * MINUTE + 30 * SECOND, 0);
        // 2 GHz at 1.500 an hour: 0.05 a minute.
        let bill = &account.ledger.transactions[0];
        assert_eq!(bill.total, Money(-30));
        let text = "6 minutes of burst virtual server use at rate of 0.050 \
                    from 1970-01-01 00:00:00 until 1970-01-01 00:06:00";
        assert_eq!(bill.description, text);
        assert_eq!(account.ledger.balance(), Money(BALANCE.0 - 30));
        assert!(!account.ledger.is_due(10 * MINUTE) && account.ledger.is_due(11 * MINUTE));
    }

    #[test]
    fn what_is_subscribed_costs_no_burst() {
        let mut account = account("2000");
        account.ledger.subscriptions.push(Subscription {
            uuid: String::new(),
            kind: "cpu".into(),
            quantity: 2000,
            start: 0,
            end: plus_months(0, 1),
            resource: None,
        });
        account.bill(0, 0);
        account.bill(10 * MINUTE, 0);
        assert!(account.ledger.transactions.is_empty());
    }

    #[test]
    fn a_limit_is_a_limit() {
        let mut ledger = Ledger { limit: Some(Money(300)), ..Ledger::default() };
        ledger.pay(0, "ip", Money(200)).unwrap();
        assert!(ledger.pay(0, "ip", Money(200)).is_err());
        ledger.pay(0, "ip", Money(100)).unwrap();
        assert!(ledger.must_be_solvent().is_err());
        assert_eq!(ledger.balance(), Money(0));
    }
}
