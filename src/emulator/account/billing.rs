//! What the account owes and has paid.
//!
//! The prices are those of the sample in CloudSigma API 1.0, "Current pricing", whose units are printed nowhere.
//! Here: burst cpu by the GHz and mem by the GB, an hour; subscribed cpu by the GHz and mem by the GB, a day; disk and
//! xfer by the GB, a month; ip and vlan by the week, four weeks to the month, which gives the amounts of the manual's
//! own calculations; software by the month. Burst is use beyond what is subscribed. Money is counted in whole
//! millionths and hundredths; no float comes near it.

use super::Account;
use crate::emulator::answer::{Refusal, RefusalKind};
use crate::emulator::clock::{Date, SECOND};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Use is billed once so many minutes have passed, as in the samples of "Transaction history".
pub(in crate::emulator) const MINUTES_BILLED: u64 = 5;

/// Transactions kept; the oldest are forgotten, their sum is not.
const KEPT: usize = 1000;

/// What an account has to spend if nothing is said: as much as the sample of "Balance".
const BALANCE: Money = Money(122_087);

const MINUTE: u64 = 60 * SECOND;

/// An amount in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::emulator) struct Money(pub(in crate::emulator) i64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::emulator) enum SubscriptionKind {
    Cpu,
    Mem,
    Disk,
    Xfer,
    Ip,
    Vlan,
    MsftLwa00135,
    MsftP7304837,
    MsftTfa00009,
}

use SubscriptionKind::{Cpu, Disk, Ip, Mem, MsftLwa00135, MsftP7304837, MsftTfa00009, Vlan, Xfer};

impl SubscriptionKind {
    /// What "Resource subscriptions create" takes.
    pub(in crate::emulator) const RESOURCES: [Self; 4] = [Cpu, Mem, Disk, Xfer];
    /// What "Software subscriptions create" takes.
    pub(in crate::emulator) const SOFTWARE: [Self; 3] = [MsftLwa00135, MsftP7304837, MsftTfa00009];

    /// The key, the label and the unit.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Cpu => ("cpu", "CPU", "core MHz"),
            Mem => ("mem", "Memory", "MB"),
            Disk => ("disk", "Disk", "GB"),
            Xfer => ("xfer", "Committed data transfer", "GB per month"),
            Ip => ("ip", "Static IP address", "IPs"),
            Vlan => ("vlan", "Private network VLAN", "VLANs"),
            MsftLwa00135 => ("msft_lwa_00135", "Windows Web Server 2008", "licences"),
            MsftP7304837 => ("msft_p73_04837", "Windows Server 2008 Standard", "licences"),
            MsftTfa00009 => ("msft_tfa_00009", "Microsoft SQL Server 2008 Web Edition", "licences"),
        }
    }

    pub(in crate::emulator) fn key(self) -> &'static str {
        self.names().0
    }

    pub(in crate::emulator) fn label(self) -> &'static str {
        self.names().1
    }

    pub(in crate::emulator) fn unit(self) -> &'static str {
        self.names().2
    }

    /// What so much of it costs for some months.
    pub(in crate::emulator) fn price(self, quantity: u64, months: u64) -> Money {
        // Hundredths by the month, for so many units: 0.200 for a GHz or a GB a day is 6.00 a month.
        let (cents, units): (u64, u64) = match self {
            Cpu => (600, 1000),
            Mem => (600, 1024),
            Disk => (20, 1),
            Xfer => (1, 1),
            Ip => (800, 1),
            MsftLwa00135 => (1000, 1),
            Vlan | MsftP7304837 => (2000, 1),
            MsftTfa00009 => (1500, 1),
        };
        let sum = u128::from(cents) * u128::from(quantity) * u128::from(months) / u128::from(units);
        Money(i64::try_from(sum).unwrap_or(i64::MAX))
    }
}

/// The prices as they are shown.
pub(in crate::emulator) const PRICES: [(&str, &str); 13] = [
    ("cpu:sub", "0.200"),
    ("cpu:burst", "1.500"),
    ("mem:sub", "0.200"),
    ("mem:burst", "0.000"),
    ("xfer:sub", "0.01"),
    ("xfer:burst", "0.01"),
    ("disk:sub", "0.200"),
    ("disk:burst", "0.200"),
    ("ip", "2.00"),
    ("vlan", "5.00"),
    ("msft_lwa_00135", "10.00"),
    ("msft_p73_04837", "20.00"),
    ("msft_tfa_00009", "15.00"),
];

/// Something subscribed to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::emulator) struct Subscription {
    pub(in crate::emulator) uuid: String,
    pub(in crate::emulator) kind: SubscriptionKind,
    pub(in crate::emulator) quantity: u64,
    pub(in crate::emulator) start: Date,
    pub(in crate::emulator) end: Date,
    /// The address or VLAN that came with it.
    pub(in crate::emulator) resource: Option<String>,
}

/// Money that moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::emulator) struct Transaction {
    /// In microseconds since the epoch.
    pub(in crate::emulator) at: u64,
    pub(in crate::emulator) description: String,
    /// Below zero what was paid by the account.
    pub(in crate::emulator) total: Money,
}

/// The account's money.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::emulator) struct Ledger {
    pub(in crate::emulator) subscriptions: Vec<Subscription>,
    /// Oldest first.
    pub(in crate::emulator) transactions: Vec<Transaction>,
    spent: Money,
    /// Use is billed up to here, in microseconds.
    billed: Option<u64>,
    /// What there was to spend at first, where that is limited: set anew at every start.
    #[serde(skip)]
    limit: Option<Money>,
}

/// How much is in use, in MHz, MB and GB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::emulator) struct Usage {
    pub(in crate::emulator) cpu: u64,
    pub(in crate::emulator) mem: u64,
    pub(in crate::emulator) disk: u64,
}

impl Usage {
    /// What is beyond another usage.
    pub(in crate::emulator) fn beyond(self, subscribed: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(subscribed.cpu),
            mem: self.mem.saturating_sub(subscribed.mem),
            disk: self.disk.saturating_sub(subscribed.disk),
        }
    }

    /// What it costs a minute as burst, in millionths: 1.500 an hour for a GHz, 0.200 a month for a GB of disk.
    fn millionths_a_minute(self) -> u64 {
        let cpu = self.cpu.saturating_mul(1_500_000) / 1000 / 60;
        let disk = self.disk.saturating_mul(200_000) / (30 * 24 * 60);
        cpu.saturating_add(disk)
    }
}

impl Ledger {
    /// Limits what there is to spend; without a limit nothing is ever refused.
    pub(super) fn set_limit(&mut self, limit: Option<Money>) {
        self.limit = limit;
    }

    /// What is left.
    pub(in crate::emulator) fn balance(&self) -> Money {
        Money(self.limit.unwrap_or(BALANCE).0.saturating_sub(self.spent.0))
    }

    /// 402 unless something is left to spend.
    pub(in crate::emulator) fn must_be_solvent(&self) -> Result<(), Refusal> {
        self.must_cover(Money(1))
    }

    fn must_cover(&self, amount: Money) -> Result<(), Refusal> {
        if self.limit.is_some() && self.balance() < amount {
            let message = format!("The account's balance of {} does not cover this", self.balance());
            return Err(Refusal::new(RefusalKind::Billing, message));
        }
        Ok(())
    }

    /// Pays for something; 402 if there is not enough.
    pub(in crate::emulator) fn pay(
        &mut self,
        at: u64,
        description: String,
        amount: Money,
    ) -> Result<(), Refusal> {
        self.must_cover(amount)?;
        self.take(at, description, amount);
        Ok(())
    }

    fn take(&mut self, at: u64, description: String, amount: Money) {
        self.spent.0 = self.spent.0.saturating_add(amount.0);
        if self.transactions.len() >= KEPT {
            self.transactions.remove(0);
        }
        self.transactions.push(Transaction { at, description, total: Money(-amount.0) });
    }

    /// What is subscribed to at a time.
    pub(in crate::emulator) fn subscribed(&self, kind: SubscriptionKind, at: u64) -> u64 {
        let now = Date::of(at);
        let runs = |s: &&Subscription| s.kind == kind && s.start <= now && now < s.end;
        self.subscriptions.iter().filter(runs).map(|s| s.quantity).sum()
    }

    /// Whether use has to be billed now.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.billed.is_none_or(|billed| now.saturating_sub(billed) >= MINUTES_BILLED * MINUTE)
    }
}

impl Account {
    /// What is in use, with so many bytes of drives.
    pub(in crate::emulator) fn usage(&self, disk: u64) -> Usage {
        let running = || self.servers.iter().filter(|server| server.status.runs());
        Usage {
            cpu: running().map(|server| server.number("cpu")).sum(),
            mem: running().map(|server| server.number("mem")).sum(),
            disk: disk.div_ceil(1 << 30),
        }
    }

    /// What is subscribed to, in the same measures.
    pub(in crate::emulator) fn subscribed(&self, at: u64) -> Usage {
        let of = |kind| self.ledger.subscribed(kind, at);
        Usage { cpu: of(Cpu), mem: of(Mem), disk: of(Disk) }
    }

    /// Bills the use of whole minutes since the last bill, at the rate of what is in use now.
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
            let (from, until) = (Date::of(from).to_the_second(), Date::of(until).to_the_second());
            let rate = format!("{}.{:03}", rate / 1_000_000, rate % 1_000_000 / 1000);
            let description = format!(
                "{minutes} minutes of burst virtual server use at rate of {rate} from {from} until {until}"
            );
            self.ledger.take(now, description, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::account::Server;
    use crate::wire::elastic::Properties;

    fn account(cpu: &str) -> Account {
        let mut server = Server::new(Properties::new().with("cpu", cpu).with("mem", "1024"));
        server.start(Properties::new());
        Account { servers: vec![server], ..Account::default() }
    }

    #[test]
    fn the_manuals_own_amounts_come_out() {
        assert_eq!(Ip.price(2, 1).to_string(), "16.00");
        assert_eq!(Vlan.price(2, 1).to_string(), "40.00");
        let software: i64 = SubscriptionKind::SOFTWARE.map(|kind| kind.price(1, 1).0).iter().sum();
        assert_eq!(Money(software).to_string(), "45.00");
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
        let start = Date::of(0);
        account.ledger.subscriptions.push(Subscription {
            uuid: String::new(),
            kind: Cpu,
            quantity: 2000,
            start,
            end: start.plus_months(1),
            resource: None,
        });
        account.bill(0, 0);
        account.bill(10 * MINUTE, 0);
        assert!(account.ledger.transactions.is_empty());
    }

    #[test]
    fn a_limit_is_a_limit() {
        let mut ledger = Ledger::default();
        ledger.set_limit(Some(Money(300)));
        ledger.pay(0, "ip".into(), Money(200)).unwrap();
        assert!(ledger.pay(0, "ip".into(), Money(200)).is_err());
        ledger.pay(0, "ip".into(), Money(100)).unwrap();
        assert!(ledger.must_be_solvent().is_err());
        assert_eq!(ledger.balance(), Money(0));
    }
}
