//! What is for sale: a fixed set of providers and the hardware that each offers (SpotCloud Buyer API 1.2, 4 and 5).
//!
//! Numbers come as numbers from one provider and as text from the next, since the manual shows neither: a client has to
//! take both.

use serde_json::{Map, Value, json};

/// Who sells.
pub(super) struct Seller {
    pub(super) key: &'static str,
    id: &'static str,
    continent: &'static str,
    country: &'static str,
    city: &'static str,
    rating: Option<&'static str>,
    /// Whether its numbers come as text.
    text: bool,
}

/// What is sold.
pub(super) struct Hardware {
    pub(super) key: &'static str,
    pub(super) seller: &'static str,
    name: &'static str,
    pub(super) cpu: u64,
    /// MiB.
    memory: u64,
    /// Hundredths of a US dollar an hour.
    pub(super) cost: u64,
    max_hours: u64,
}

#[rustfmt::skip]
pub(super) const SELLERS: &[Seller] = &[
    Seller { key: "p-tor1", id: "Toronto One", continent: "NA", country: "CA", city: "Toronto", rating: Some("4.5"), text: false },
    Seller { key: "p-dal1", id: "Dallas & Sons", continent: "NA", country: "US", city: "Dallas", rating: Some("3"), text: true },
    Seller { key: "p-gru1", id: "Nuvem", continent: "SA", country: "BR", city: "São Paulo", rating: None, text: false },
    Seller { key: "p-ams1", id: "Polder", continent: "EU", country: "NL", city: "Amsterdam", rating: Some("5"), text: true },
];

#[rustfmt::skip]
pub(super) const HARDWARE: &[Hardware] = &[
    Hardware { key: "h-tor1-s", seller: "p-tor1", name: "Small", cpu: 1, memory: 512, cost: 2, max_hours: 720 },
    Hardware { key: "h-tor1-l", seller: "p-tor1", name: "Large", cpu: 4, memory: 4096, cost: 14, max_hours: 720 },
    Hardware { key: "h-dal1-s", seller: "p-dal1", name: "Tiny", cpu: 1, memory: 256, cost: 1, max_hours: 48 },
    Hardware { key: "h-dal1-m", seller: "p-dal1", name: "Medium", cpu: 2, memory: 2048, cost: 9, max_hours: 168 },
    Hardware { key: "h-gru1-m", seller: "p-gru1", name: "Médio", cpu: 2, memory: 1024, cost: 6, max_hours: 24 },
    Hardware { key: "h-gru1-x", seller: "p-gru1", name: "Grande", cpu: 8, memory: 16384, cost: 45, max_hours: 24 },
    Hardware { key: "h-ams1-s", seller: "p-ams1", name: "Klein", cpu: 1, memory: 1024, cost: 3, max_hours: 720 },
    Hardware { key: "h-ams1-l", seller: "p-ams1", name: "Groot <8>", cpu: 8, memory: 8192, cost: 25, max_hours: 720 },
];

impl Seller {
    pub(super) fn find(key: &str) -> Option<&'static Seller> {
        SELLERS.iter().find(|seller| seller.key == key)
    }

    fn hardware(&self) -> impl Iterator<Item = &'static Hardware> {
        HARDWARE.iter().filter(|hardware| hardware.seller == self.key)
    }

    /// The fields of a list; `root` is what its own addresses begin with.
    pub(super) fn fields(&self, root: &str) -> Map<String, Value> {
        let costs = || self.hardware().map(|hardware| hardware.cost);
        fields(json!({
            "id": self.id, "key": self.key, "continent": self.continent, "country": self.country, "city": self.city,
            "rating": self.rating, "min_cost": costs().min().map(dollars), "max_cost": costs().max().map(dollars),
            "uri": format!("{root}/api/v1/buyer/provider/{}.json", self.key),
        }))
    }

    /// With its hardware.
    pub(super) fn details(&self, root: &str) -> Map<String, Value> {
        let mut fields = self.fields(root);
        let offers = self.hardware().map(|hardware| {
            let mut offer = hardware.fields(root);
            for place in ["continent", "country", "city"] {
                offer.remove(place);
            }
            Value::Object(offer)
        });
        fields.insert("hardware".into(), offers.collect());
        fields
    }
}

impl Hardware {
    pub(super) fn find(key: &str) -> Option<&'static Hardware> {
        HARDWARE.iter().find(|hardware| hardware.key == key)
    }

    pub(super) fn fields(&self, root: &str) -> Map<String, Value> {
        let seller = Seller::find(self.seller);
        let place = |field: fn(&Seller) -> &'static str| seller.map(field);
        fields(json!({
            "key": self.key, "name": self.name, "cost": dollars(self.cost), "cpu": self.number(self.cpu),
            "memory": self.number(self.memory << 20), "max_hours": self.number(self.max_hours),
            "continent": place(|s| s.continent), "country": place(|s| s.country), "city": place(|s| s.city),
            "uri": format!("{root}/api/v1/buyer/hardware/{}.json", self.key),
        }))
    }

    /// A number, as its seller sends them.
    pub(super) fn number(&self, number: u64) -> Value {
        let text = Seller::find(self.seller).is_some_and(|seller| seller.text);
        if text { number.to_string().into() } else { number.into() }
    }

    /// Whether it is what a list is asked for. A filter that is no number finds nothing.
    pub(super) fn fits(&self, asked: impl Fn(&str) -> Option<String>) -> bool {
        let bound = |name: &str, holds: fn(u64, u64) -> bool, ours: u64| {
            asked(name).is_none_or(|text| text.parse().is_ok_and(|asked| holds(ours, asked)))
        };
        let place = Seller::find(self.seller).is_some_and(|seller| seller.is_at(&asked));
        place
            && bound("min_cpu", |ours, asked| ours >= asked, self.cpu)
            && bound("max_cpu", |ours, asked| ours <= asked, self.cpu)
            && bound("min_memory", |ours, asked| ours >= asked, self.memory << 20)
            && bound("max_memory", |ours, asked| ours <= asked, self.memory << 20)
            && asked("max_cost").is_none_or(|text| cents(&text).is_some_and(|most| self.cost <= most))
    }
}

impl Seller {
    fn is_at(&self, asked: &impl Fn(&str) -> Option<String>) -> bool {
        [("continent", self.continent), ("country", self.country), ("city", self.city)]
            .into_iter()
            .all(|(name, ours)| asked(name).is_none_or(|text| text.eq_ignore_ascii_case(ours)))
    }

    /// Whether it is what a list is asked for: it is there, and some of its hardware fits.
    pub(super) fn fits(&self, asked: impl Fn(&str) -> Option<String>) -> bool {
        self.hardware().any(|hardware| hardware.fits(&asked))
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// As text: amounts are no floating point numbers.
pub(super) fn dollars(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Rounded up to hundredths, so that a bound of 0.025 admits 0.02 and not 0.03.
fn cents(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<2}");
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(100)?.checked_add(digits.get(..2)?.parse().ok()?)
}
