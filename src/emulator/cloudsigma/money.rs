//! Usage, prices, transactions and the balance (CloudSigma API 1.0, 11.1 to 11.5), computed from the
//! account's state.

use crate::emulator::account::MINUTES_BILLED;
use crate::emulator::answer::{Answer, Reply};
use crate::emulator::clock::{SECOND, now};
use crate::emulator::data::PRICES;
use crate::emulator::date::{TO_THE_SECOND, print};
use crate::emulator::elastic::Command;
use crate::emulator::properties::Properties;

/// The currency of the account.
pub(super) const CURRENCY: &str = "EUR";

/// `GET currencies/list`
#[expect(clippy::unnecessary_wraps, reason = "it is a row's handler")]
pub(super) fn currencies(_: &Command) -> Answer {
    let row = |currency| Properties::new().with("currency", currency);
    Ok(Reply::Rows([CURRENCY, "GBP", "USD"].map(row).to_vec()))
}

/// `GET usage/info`
pub(super) fn usage(command: &Command) -> Answer {
    let account = command.account()?;
    let used = account.usage(command.shared.account.context().disk()?);
    let subscribed = account.subscribed(now());
    let mut info = Properties::new();
    for (suffix, usage) in [("", used), (":burst", used.beyond(subscribed)), (":sub", subscribed)] {
        info.set(format!("cpu{suffix}"), usage.cpu.to_string());
        info.set(format!("mem{suffix}"), usage.mem.to_string());
        info.set(format!("disk{suffix}"), usage.disk.to_string());
    }
    // The servers send nothing. The last two have no value in the manual's example either.
    for (key, value) in
        [("rx:total", "0"), ("tx:total", "0"), ("xfer:total", "0"), ("xfer:burst", ""), ("xfer:sub", "")]
    {
        info.set(key, value);
    }
    Ok(Reply::Object(info))
}

/// `GET pricing/info`: the prices of the coming minutes.
#[expect(clippy::unnecessary_wraps, reason = "it is a row's handler")]
pub(super) fn pricing(_: &Command) -> Answer {
    let start = now();
    let moment = |at: u64| format!("{}.{:06}", print(at, TO_THE_SECOND), start % SECOND);
    let end = start + MINUTES_BILLED * 60 * SECOND;
    let info = Properties::new().with("start", moment(start)).with("end", moment(end));
    let prices = PRICES.lines().filter_map(|line| line.split_once(' '));
    Ok(Reply::Object(prices.fold(info, |info, (key, price)| info.with(key, price))))
}

/// `GET transactions/list`, newest first
pub(super) fn transactions(command: &Command) -> Answer {
    let account = command.account()?;
    let list = account.ledger.transactions.iter().rev().map(|transaction| {
        Properties::new()
            .with("date", print(transaction.at, TO_THE_SECOND))
            .with("description", &*transaction.description)
            .with("value", "n/a")
            .with("tax", "n/a")
            .with("total", transaction.total.to_string())
    });
    Ok(Reply::Objects(list.collect()))
}

/// `GET balance/info`
pub(super) fn balance(command: &Command) -> Answer {
    let balance = command.account()?.ledger.balance().to_string();
    Ok(Reply::Object(Properties::new().with("balance", balance).with("currency", CURRENCY)))
}
