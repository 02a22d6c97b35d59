//! The market: providers and the hardware that each offers (SpotCloud Buyer API 1.2, 4 and 5), from
//! `data/market.json`.
//!
//! One provider sends numbers as numbers and the next as text, since the manual shows neither: a client has
//! to accept both.

use super::Request;
use super::reply::{Node, Refusal};
use crate::emulator::data;
use serde::Deserialize;
use std::sync::LazyLock;

static SELLERS: LazyLock<Vec<Seller>> = LazyLock::new(|| {
    serde_json::from_str(data::MARKET).unwrap_or_else(|error| panic!("the market: {error}"))
});

/// A provider.
#[derive(Debug, Deserialize)]
pub(super) struct Seller {
    pub(super) key: String,
    id: String,
    /// The code and the name. Providers show the name (4.2.3), hardware the code (5.2.3).
    continent: (String, String),
    /// The code and the name.
    country: (String, String),
    city: String,
    rating: Option<String>,
    /// Whether it sends numbers as text.
    text: bool,
    hardware: Vec<Hardware>,
}

/// Hardware that a provider offers.
#[derive(Debug, Deserialize)]
pub(super) struct Hardware {
    pub(super) key: String,
    name: String,
    cpu: u64,
    mebibytes: u64,
    /// The price in hundredths of a US dollar an hour.
    pub(super) hundredths: u64,
    pub(super) max_hours: u64,
}

/// Returns all hardware, each with its provider.
pub(super) fn offers() -> impl Iterator<Item = (&'static Seller, &'static Hardware)> {
    SELLERS.iter().flat_map(|seller| seller.hardware.iter().map(move |hardware| (seller, hardware)))
}

/// Returns a piece of hardware, with its provider.
pub(super) fn offer(key: &str) -> Option<(&'static Seller, &'static Hardware)> {
    offers().find(|(_, hardware)| hardware.key == key)
}

impl Seller {
    pub(super) fn all() -> &'static [Seller] {
        &SELLERS
    }

    pub(super) fn find(key: &str) -> Result<&'static Seller, Refusal> {
        SELLERS.iter().find(|seller| seller.key == key).ok_or_else(|| Refusal::missing("provider"))
    }

    /// Returns the fields of a list entry.
    pub(super) fn fields(&self, request: &Request) -> Vec<(&'static str, Node)> {
        let costs = || self.hardware.iter().map(|hardware| hardware.hundredths);
        let cost = |hundredths: Option<u64>| hundredths.map_or(Node::Null, |cost| dollars(cost).into());
        vec![
            ("id", self.id.as_str().into()),
            ("key", self.key.as_str().into()),
            ("continent", self.continent.1.as_str().into()),
            ("country", self.country.1.as_str().into()),
            ("city", self.city.as_str().into()),
            ("rating", self.rating.as_deref().map_or(Node::Null, Node::from)),
            ("min_cost", cost(costs().min())),
            ("max_cost", cost(costs().max())),
            ("uri", request.uri("provider", &self.key)),
        ]
    }

    /// Returns the fields, with those of its hardware (4.2.3).
    pub(super) fn details(&self, request: &Request) -> Vec<(&'static str, Node)> {
        let profile = |hardware: &Hardware| {
            Node::Object(vec![
                ("key", hardware.key.as_str().into()),
                ("name", hardware.name.as_str().into()),
                ("cpu", hardware.cpu(self)),
                ("memory", hardware.memory(self)),
                ("max_hours", self.number(hardware.max_hours)),
                ("uri", request.uri("hardware", &hardware.key)),
                ("cost", dollars(hardware.hundredths).into()),
            ])
        };
        let mut fields = self.fields(request);
        fields.push(("hardware", Node::List(self.hardware.iter().map(profile).collect())));
        fields
    }

    /// Returns whether a provider matches the filter of a list, which requires that some of its hardware
    /// does.
    pub(super) fn fits(&self, request: &Request) -> bool {
        self.hardware.iter().any(|hardware| hardware.fits(self, request))
    }

    /// Returns whether the provider is at the requested place, which is given by its code or by its name.
    fn is_at(&self, request: &Request) -> bool {
        let is = |name: &str, ours: [&str; 2]| {
            let asked = request.input.text(name);
            asked.is_none_or(|text| ours.iter().any(|ours| text.eq_ignore_ascii_case(ours)))
        };
        is("continent", [&self.continent.0, &self.continent.1])
            && is("country", [&self.country.0, &self.country.1])
            && is("city", [&self.city, &self.city])
    }

    fn number(&self, number: u64) -> Node {
        if self.text { number.to_string().into() } else { Node::Number(number) }
    }
}

impl Hardware {
    pub(super) fn cpu(&self, seller: &Seller) -> Node {
        seller.number(self.cpu)
    }

    pub(super) fn memory(&self, seller: &Seller) -> Node {
        seller.number(self.mebibytes << 20)
    }

    pub(super) fn fields(&self, seller: &Seller, request: &Request) -> Node {
        Node::Object(vec![
            ("key", self.key.as_str().into()),
            ("name", self.name.as_str().into()),
            ("cost", dollars(self.hundredths).into()),
            ("cpu", self.cpu(seller)),
            ("memory", self.memory(seller)),
            ("max_hours", seller.number(self.max_hours)),
            ("continent", seller.continent.0.as_str().into()),
            ("country", seller.country.0.as_str().into()),
            ("city", seller.city.as_str().into()),
            ("uri", request.uri("hardware", &self.key)),
        ])
    }

    /// Returns whether hardware matches the filter of a list. A filter that is not a number matches nothing.
    pub(super) fn fits(&self, seller: &Seller, request: &Request) -> bool {
        let bound = |name: &str, holds: fn(u64, u64) -> bool, ours: u64| {
            let asked = request.input.text(name);
            asked.is_none_or(|text| text.parse().is_ok_and(|asked| holds(ours, asked)))
        };
        let memory = self.mebibytes << 20;
        seller.is_at(request)
            && bound("min_cpu", |ours, asked| ours >= asked, self.cpu)
            && bound("max_cpu", |ours, asked| ours <= asked, self.cpu)
            && bound("min_memory", |ours, asked| ours >= asked, memory)
            && bound("max_memory", |ours, asked| ours <= asked, memory)
            && request
                .input
                .text("max_cost")
                .is_none_or(|text| hundredths(&text).is_some_and(|most| self.hundredths <= most))
    }
}

/// Formats an amount as text. Amounts are never floating point numbers.
pub(super) fn dollars(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Parses an amount and drops further decimals after two: a bound of 0.025 admits 0.02 and not 0.03.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<2}");
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(100)?.checked_add(digits.get(..2)?.parse().ok()?)
}
