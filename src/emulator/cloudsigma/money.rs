//! Use, prices, transactions and the balance (CloudSigma API 1.0, "Billing API"). The figures follow from what the
//! account has.

use super::Shared;
use crate::emulator::account::{MINUTES_BILLED, PRICES};
use crate::emulator::answer::{Answer, Reply};
use crate::emulator::call::Call;
use crate::emulator::clock::{Date, SECOND, now};
use crate::emulator::elastic::blocking;
use crate::wire::elastic::Properties;
use std::sync::Arc;

/// The currency of the account.
pub(super) const CURRENCY: &str = "EUR";

/// `GET currencies/list`
pub(super) async fn currencies(_shared: Arc<Shared>, _call: Call) -> Answer {
    let row = |currency| Properties::new().with("currency", currency);
    Ok(Reply::Rows([CURRENCY, "GBP", "USD"].map(row).to_vec()))
}

/// `GET usage/info`
pub(super) async fn usage(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        let (used, subscribed) = (account.usage(shared.account.disk()?), account.subscribed(now()));
        let burst = used.beyond(subscribed);
        let mut info = Properties::new();
        for (suffix, usage) in [("", used), (":burst", burst), (":sub", subscribed)] {
            info.set(format!("cpu{suffix}"), usage.cpu.to_string());
            info.set(format!("mem{suffix}"), usage.mem.to_string());
            info.set(format!("disk{suffix}"), usage.disk.to_string());
        }
        // The servers send nothing. Of the last two the manual's example has no value either.
        for key in ["rx:total", "tx:total", "xfer:total"] {
            info.set(key, "0");
        }
        for key in ["xfer:burst", "xfer:sub"] {
            info.set(key, "");
        }
        Ok(Reply::Object(info))
    })
    .await
}

/// `GET pricing/info`: the prices of the next minutes.
pub(super) async fn pricing(_shared: Arc<Shared>, _call: Call) -> Answer {
    let (start, fraction) = (now(), now() % SECOND);
    let moment = |at| format!("{}.{fraction:06}", Date::of(at).to_the_second());
    let end = start + MINUTES_BILLED * 60 * SECOND;
    let info = Properties::new().with("start", moment(start)).with("end", moment(end));
    Ok(Reply::Object(PRICES.iter().fold(info, |info, (key, price)| info.with(*key, *price))))
}

/// `GET transactions/list`, newest first
pub(super) async fn transactions(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        let list = account.ledger.transactions.iter().rev().map(|transaction| {
            Properties::new()
                .with("date", Date::of(transaction.at).to_the_second())
                .with("description", &*transaction.description)
                .with("value", "n/a")
                .with("tax", "n/a")
                .with("total", transaction.total.to_string())
        });
        Ok(Reply::Objects(list.collect()))
    })
    .await
}

/// `GET balance/info`
pub(super) async fn balance(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let balance = shared.account.read()?.ledger.balance().to_string();
        Ok(Reply::Object(Properties::new().with("balance", balance).with("currency", CURRENCY)))
    })
    .await
}
