//! The faults that the emulator injects, so that a client can prove that it survives them.
//!
//! [`Faults::parse`] reads the specification, [`rules`] decides which requests it is for, and [`mod@draw`]
//! decides what goes wrong. There are two invariants. A draw depends only on the seed, on the request's
//! content ([`mod@fingerprint`]) and on how often the same request came before, so that a run can be repeated
//! although its requests interleave differently. A dealt fault makes exactly one request fail exactly once,
//! so that a client's count of retries can be compared with the count dealt. The kinds that make bytes wrong
//! and report success ([`FaultKind::is_silent`]) make no request fail and are counted separately. Whether the
//! other wrong answers fail is for the client to detect.

mod draw;
mod fingerprint;
mod rules;
mod share;
mod wrong;

use crate::emulator::duration::parse_duration;
use crate::emulator::properties::parse_size;
pub(super) use draw::{CreateFault, Dealer, Drawing, Fault, When, WrongAnswer, mix};
pub(super) use fingerprint::{Prefix, fingerprint};
pub use rules::{RuleInfo, RuleLimits};
use serde::Serialize;
use share::Share;
use std::time::Duration;
use wrong::WrongAnswers;
pub(super) use wrong::{GotWrong, OddReply, WrongBytes};

/// A kind of fault, as counted and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// 409 with the error type `busy`; for Joyent 420.
    Busy,
    /// 503 with `Retry-After`.
    Unavailable,
    /// The connection is reset: before or within the request's body, or after the request was carried out.
    Reset,
    /// The reply ends before its `Content-Length`. A reply without a body does not come at all.
    Short,
    /// The reply stops halfway, or does not come at all if it has no body, and the connection stays open.
    Stall,
    /// 500 with the error type `failed`, every time: see `refuse=` of [`Faults::parse`].
    Refuse,
    /// A write is acknowledged, and its bytes are not written.
    Drop,
    /// A write is acknowledged, and its bytes are written to another offset; a read returns the bytes of
    /// another offset.
    Misplace,
    /// One bit is flipped: of a write on the drive, of a read or download in the reply.
    Bend,
    /// A write is carried out, and its acknowledgement comes too late.
    Late,
    /// 200, 202 or 206 with a page of HTML, as from a captive portal; nothing is carried out.
    Page,
    /// A write is answered with 307 to another address; nothing is carried out.
    RedirectWrite,
    /// A read is answered with more bytes than were requested.
    Long,
    /// `Content-Encoding: gzip`, and a body of 16 MiB that unpacks to 16 GiB; nothing is carried out.
    Bomb,
    /// The request is carried out, and the headers of its reply never end.
    Headers,
    /// The request is carried out, and `100 Continue` is sent again and again.
    Interim,
    /// The request is carried out, and the body of its reply comes byte by byte. A reply without a body gets
    /// one that never ends.
    Drip,
    /// A drive is created without the documented acknowledgement, or a create after that is refused: see
    /// `create=` of [`Faults::parse`].
    Create,
}

impl FaultKind {
    /// The kinds that `error=` mixes, in the order in which they share a draw.
    const MIXED: [FaultKind; 5] =
        [FaultKind::Busy, FaultKind::Unavailable, FaultKind::Reset, FaultKind::Short, FaultKind::Stall];

    /// Returns whether the request looks as if it had succeeded.
    pub fn is_silent(self) -> bool {
        matches!(self, FaultKind::Drop | FaultKind::Misplace | FaultKind::Bend)
    }
}

/// The faults to deal, and how often. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The specification as it was given.
    spec: String,
    /// The share of requests that meet each kind of [`FaultKind::MIXED`].
    shares: [Share; FaultKind::MIXED.len()],
    /// The seed of the draws.
    seed: Option<u64>,
    /// How long every request waits before it is processed.
    latency: Duration,
    /// Bytes a second, over all connections and both directions.
    rate: Option<u64>,
    /// The seconds in `Retry-After` of a 503 of `unavailable=`.
    retry_after: Option<u32>,
    /// Offsets that no read or write may cover.
    refuse: Vec<u64>,
    /// The share of new drives whose unwritten sectors read as noise.
    dirty: Share,
    /// The initial balance of the account, in hundredths of its currency.
    pub(super) balance: Option<i64>,
    /// How the server of appliances treats ranges.
    ranges: Option<Ranges>,
    /// How it treats validators.
    etag: Option<Etag>,
    /// The share of downloads that are answered with a redirect.
    redirect: Share,
    /// The wrong answers to give.
    wrong: WrongAnswers,
}

/// How the server of appliances treats ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ranges {
    /// It answers them.
    #[default]
    Answered,
    /// It ignores them and sends everything.
    Ignored,
    /// It sends other ranges than requested, and says so.
    Wrong,
}

/// How the server of appliances treats validators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Etag {
    /// It sends a stable one.
    #[default]
    Stands,
    /// It sends none, and no date either.
    Missing,
    /// It sends another one every time.
    Changing,
}

impl Faults {
    /// Parses a comma-separated list. Shares are between 0 and 1.
    ///
    /// - `error=0.1`: a mix of the next five in equal parts
    /// - `busy=`, `unavailable=`, `reset=`, `short=`, `stall=`: each by itself, added to the mix
    /// - `latency=20ms`: the delay of every request (units us, ms, s, m, h, d)
    /// - `rate=10M`: bytes a second, over all connections and both directions
    /// - `retry-after=0`: the seconds in the 503 of `unavailable=` (default 1)
    /// - `refuse=OFFSET`: a read or write of a drive that covers this offset always fails; may be repeated
    /// - `dirty=1`: the share of new drives whose unwritten sectors read as noise, as on an encrypted volume
    /// - `balance=AMOUNT`: what the account can spend; for Joyent, how many machines fit
    /// - `ranges=yes|no|wrong`: ranges of an appliance are answered, ignored so that everything is sent, or
    ///   answered with other ranges than requested
    /// - `etag=yes|no|changing`: whether appliances have a validator, and whether it is stable
    /// - `redirect=`: the share of an appliance's downloads that are answered with a redirect to an unsigned
    ///   address
    /// - `seed=7`: the seed of the draws
    ///
    /// Wrong answers, each a share of the requests that can meet it; `error=` includes none of them:
    ///
    /// - `drop=`: a write is acknowledged and not written
    /// - `misplace=`: a write is acknowledged and lands a whole number of 4 KiB blocks away, within the
    ///   drive; a read returns the bytes from there
    /// - `bend=`: one bit of what is written, or read, is flipped
    /// - `late=`: a write is carried out and acknowledged after `late-for=` (default 40s)
    /// - `page=`: 200, 202 or 206 with a page of HTML; nothing is carried out
    /// - `redirect-writes=`: a write is answered with 307 to another address
    /// - `long=`: a read returns more bytes than were requested
    /// - `bomb=`: anything but a write is answered with gzip that unpacks to 16 GiB
    /// - `headers=`, `interim=`: the headers of the reply never end; `100 Continue` comes again and again
    /// - `drip=`: the body of the reply comes byte by byte, one every `drip-every=` (default 500ms)
    /// - `create=page|nameless|failed|lost`: the first `drives/create` creates the drive and is answered with
    ///   200 and a page of HTML, 200 without a UUID, 500, or not at all; with `+refused` appended, the second
    ///   is answered with 400
    ///
    /// # Errors
    /// Names in one sentence the invalid item and what is wrong with it.
    pub fn parse(spec: &str) -> Result<Faults, String> {
        let mut faults = Faults { spec: spec.trim().to_owned(), ..Faults::default() };
        let mut seen: Vec<&str> = Vec::new();
        for item in spec.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) =
                item.split_once('=').ok_or_else(|| format!("fault {item:?}: expected KEY=VALUE"))?;
            if seen.contains(&key) && key != "refuse" {
                return Err(format!("fault {key:?} is given twice"));
            }
            seen.push(key);
            faults.set(key, value).map_err(|wrong| format!("fault {item:?}: {wrong}"))?;
        }
        if faults.shares.iter().copied().sum::<Share>() > Share::ONE || !faults.wrong.add_up() {
            return Err("the shares of faults add up to more than 1".to_owned());
        }
        Ok(faults)
    }

    /// Returns whether faults are drawn for single requests.
    fn draws(&self) -> bool {
        self.shares.iter().any(|share| *share > Share::ZERO) || self.wrong.draws()
    }

    /// Returns the key of a setting that must apply to all requests, if there is one.
    fn holds_for_all(&self) -> Option<&'static str> {
        [
            ("rate", self.rate.is_some()),
            ("retry-after", self.retry_after.is_some()),
            ("refuse", !self.refuse.is_empty()),
            ("dirty", self.dirty > Share::ZERO),
            ("balance", self.balance.is_some()),
            ("ranges", self.ranges.is_some()),
            ("etag", self.etag.is_some()),
            ("redirect", self.redirect > Share::ZERO),
            ("create", self.wrong.create.is_some()),
        ]
        .into_iter()
        .find_map(|(key, set)| set.then_some(key))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let size = || parse_size(value).ok_or("expected a number of bytes, as 4194304 or 4M");
        match key {
            "error" => {
                let mixed = Share::parse(value)?.split(self.shares.len());
                self.shares.iter_mut().zip(mixed).for_each(|(share, more)| *share += more);
            }
            "busy" => self.shares[0] += Share::parse(value)?,
            "unavailable" => self.shares[1] += Share::parse(value)?,
            "reset" => self.shares[2] += Share::parse(value)?,
            "short" => self.shares[3] += Share::parse(value)?,
            "stall" => self.shares[4] += Share::parse(value)?,
            "dirty" => self.dirty = Share::parse(value)?,
            "seed" => self.seed = Some(value.parse().map_err(|_| "expected a whole number")?),
            "latency" => self.latency = parse_duration(value)?,
            "rate" => match size()? {
                0 => return Err("expected more than 0: nothing would ever move".to_owned()),
                rate => self.rate = Some(rate),
            },
            "retry-after" => {
                self.retry_after = Some(value.parse().map_err(|_| "expected a whole number of seconds")?);
            }
            "refuse" => self.refuse.push(size()?),
            "ranges" => {
                self.ranges = Some(match value {
                    "yes" => Ranges::Answered,
                    "no" => Ranges::Ignored,
                    "wrong" => Ranges::Wrong,
                    _ => return Err("expected yes, no or wrong".to_owned()),
                });
            }
            "etag" => {
                self.etag = Some(match value {
                    "yes" => Etag::Stands,
                    "no" => Etag::Missing,
                    "changing" => Etag::Changing,
                    _ => return Err("expected yes, no or changing".to_owned()),
                });
            }
            "redirect" => self.redirect = Share::parse(value)?,
            "balance" => self.balance = Some(amount(value)?),
            _ if self.wrong.set(key, value)? => {}
            _ => {
                return Err(
                    "no such fault; expected error, busy, unavailable, reset, short, stall, \
                     latency, rate, retry-after, refuse, dirty, balance, ranges, etag, redirect, seed, drop, misplace, bend, \
                     late, late-for, page, redirect-writes, long, bomb, headers, interim, drip, drip-every or create"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}

/// Parses an amount of money with at most two decimals, in hundredths.
fn amount(text: &str) -> Result<i64, String> {
    let wanted = || "expected an amount, as 12.50".to_owned();
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, cents) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<i64>().ok()).flatten();
    let (whole, tenths) = (number(whole).ok_or_else(wanted)?, number(cents).ok_or_else(wanted)?);
    let cents = match cents.len() {
        1 => tenths * 10,
        2 => tenths,
        _ => return Err(wanted()),
    };
    whole.checked_mul(100).and_then(|w| w.checked_add(cents)).map(|sum| sign * sum).ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_read_whole() {
        let faults = Faults::parse(
            "error=0.1, busy=0.05,latency=20ms,rate=10M,refuse=4M,refuse=0,seed=7,dirty=1,balance=12.5",
        )
        .unwrap();
        assert_eq!(faults.shares[0], Share::parse("0.07").unwrap());
        assert_eq!(faults.shares[4], Share::parse("0.02").unwrap());
        assert_eq!(faults.latency, Duration::from_millis(20));
        assert_eq!(faults.rate, Some(10 << 20));
        assert_eq!(faults.refuse, [4 << 20, 0]);
        assert_eq!((faults.seed, faults.balance, faults.dirty), (Some(7), Some(1250), Share::ONE));
        assert_eq!(Faults::parse(" ").unwrap(), Faults::default());
    }

    #[test]
    fn a_bad_specification_names_the_item() {
        for (spec, says) in [
            ("busy", "KEY=VALUE"),
            ("fusy=1", "no such fault"),
            ("busy=2", "between 0 and 1"),
            ("busy=-0.1", "between 0 and 1"),
            ("busy=nan", "between 0 and 1"),
            ("busy=0.6,stall=0.5", "more than 1"),
            ("busy=0.1,busy=0.1", "twice"),
            ("latency=20", "unit"),
            ("latency=-1s", "unit"),
            ("rate=0", "ever move"),
            ("rate=1.5M", "bytes"),
            ("seed=x", "whole number"),
            ("retry-after=1s", "whole number"),
            ("balance=1.234", "amount"),
            ("ranges=maybe", "wrong"),
            ("etag=maybe", "changing"),
            ("redirect=2", "between 0 and 1"),
            ("drop=2", "between 0 and 1"),
            ("drop=0.6,bend=0.5", "more than 1"),
            ("late-for=2", "unit"),
            ("create=odd", "nameless"),
        ] {
            let message = Faults::parse(spec).unwrap_err();
            assert!(message.contains(says), "{spec}: {message}");
        }
    }
}
