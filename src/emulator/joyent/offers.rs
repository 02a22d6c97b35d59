//! The datasets and packages that the datacenter offers: those of the manual's samples and others that it
//! describes (Joyent CloudAPI 6.5, "Datasets" and "Packages"), from `data/offers.json`.

use super::failure::Failure;
use crate::emulator::data;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::LazyLock;

static OFFERS: LazyLock<Offers> = LazyLock::new(|| {
    serde_json::from_str(data::OFFERS).unwrap_or_else(|error| panic!("the offers: {error}"))
});

#[derive(Deserialize)]
struct Offers {
    datasets: Vec<Dataset>,
    packages: Vec<Package>,
}

/// The kind of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "smartmachine")]
    Smart,
    #[serde(rename = "virtualmachine")]
    Virtual,
}

/// The software that a machine starts with.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Dataset {
    pub(super) id: String,
    pub(super) name: String,
    version: String,
    os: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) default: bool,
    created: String,
    /// The users whose passwords are generated ("`CreateMachine`").
    pub(super) users: Vec<String>,
}

impl Dataset {
    pub(super) fn all() -> &'static [Dataset] {
        &OFFERS.datasets
    }

    /// Returns a dataset by its id, its URN or its name.
    pub(super) fn find(text: &str) -> Result<&'static Dataset, Failure> {
        let is =
            |dataset: &&Dataset| [&dataset.id, &dataset.urn(), &dataset.name].contains(&&text.to_owned());
        Self::all().iter().find(is).ok_or_else(|| Failure::missing("The dataset", text))
    }

    /// Returns the URN, `cloud:vendor:name:version`.
    pub(super) fn urn(&self) -> String {
        format!("sdc:sdc:{}:{}", self.name, self.version)
    }

    /// Returns whether it is a Unix, into which the account's keys are written when a virtual machine is
    /// created.
    pub(super) fn is_unix(&self) -> bool {
        self.os != "windows"
    }

    pub(super) fn show(&self) -> Value {
        let Dataset { id, name, version, os, kind, default, created, .. } = self;
        json!({
            "id": id, "name": name, "version": version, "os": os, "urn": self.urn(), "default": default, "type": kind,
            "requirements": {}, "created": created,
        })
    }
}

/// The size of a machine. All values are in MB; for the disk the samples say MB, the table GB. One package's
/// name has spaces.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) memory: u64,
    pub(super) disk: u64,
    swap: u64,
    pub(super) default: bool,
}

impl Package {
    pub(super) fn all() -> &'static [Package] {
        &OFFERS.packages
    }

    pub(super) fn find(name: &str) -> Result<&'static Package, Failure> {
        Self::all()
            .iter()
            .find(|package| package.name == name)
            .ok_or_else(|| Failure::missing("The package", name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_default_of_each() {
        assert_eq!(Dataset::all().iter().filter(|dataset| dataset.default).count(), 1);
        assert_eq!(Package::all().iter().filter(|package| package.default).count(), 1);
        assert!(Package::all().iter().any(|package| package.name.contains(' ')));
    }

    #[test]
    fn datasets_go_by_three_names() {
        for name in ["63ce06d8-7ae7-11e0-b0df-1fcf8f45c5d5", "sdc:sdc:smartos:1.3.13", "smartos"] {
            assert_eq!(Dataset::find(name).unwrap().name, "smartos");
        }
        assert!(Dataset::find("plan9").is_err());
    }
}
