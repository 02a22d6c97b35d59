//! The datasets and packages that the datacenter offers: those of the manual's samples, and what it describes beside
//! them (Joyent CloudAPI 6.5, "Datasets" and "Packages").

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "smartmachine")]
    Smart,
    #[serde(rename = "virtualmachine")]
    Virtual,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Smart => "smartmachine",
            Kind::Virtual => "virtualmachine",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Kind::Smart, Kind::Virtual].into_iter().find(|kind| kind.name() == name)
    }
}

/// The software that a machine begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dataset {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    os: &'static str,
    pub(super) kind: Kind,
    pub(super) default: bool,
    created: &'static str,
    /// For whom passwords are generated ("`CreateMachine`").
    pub(super) users: &'static [&'static str],
}

/// The datasets. One of them is the default.
pub(super) const DATASETS: [Dataset; 4] = [
    Dataset {
        id: "7456f2b0-67ac-11e0-b5ec-832e6cf079d5",
        name: "nodejs",
        version: "1.1.3",
        os: "smartos",
        kind: Kind::Smart,
        default: true,
        created: "2011-04-15T22:04:12+00:00",
        users: &["root", "admin"],
    },
    Dataset {
        id: "63ce06d8-7ae7-11e0-b0df-1fcf8f45c5d5",
        name: "smartos",
        version: "1.3.13",
        os: "smartos",
        kind: Kind::Smart,
        default: false,
        created: "2011-06-27T18:41:39+00:00",
        users: &["root", "admin"],
    },
    Dataset {
        id: "1ee2be0e-3c44-4d83-9d3c-0d0b3a5f6b10",
        name: "ubuntu",
        version: "10.04.2",
        os: "linux",
        kind: Kind::Virtual,
        default: false,
        created: "2011-07-05T09:30:00+00:00",
        users: &[],
    },
    Dataset {
        id: "2a7c9d54-90b5-4f0e-8a41-5f1c2f7f2b11",
        name: "windows",
        version: "2008.2",
        os: "windows",
        kind: Kind::Virtual,
        default: false,
        created: "2011-07-05T10:15:00+00:00",
        users: &["administrator"],
    },
];

impl Dataset {
    /// `cloud:vendor:name:version`.
    pub(super) fn urn(&self) -> String {
        format!("sdc:sdc:{}:{}", self.name, self.version)
    }

    /// Whether it is a Unix, into which the account's keys are written when a virtual machine is made.
    pub(super) fn is_unix(&self) -> bool {
        self.os != "windows"
    }

    /// Whether a parameter means it: by its id, its URN or its name.
    pub(super) fn is(&self, text: &str) -> bool {
        text == self.id || text == self.urn() || text == self.name
    }

    /// As the API shows it.
    pub(super) fn show(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "os": self.os,
            "urn": self.urn(),
            "default": self.default,
            "type": self.kind.name(),
            "requirements": {},
            "created": self.created,
        })
    }
}

/// The size of a machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: &'static str,
    /// MB.
    pub(super) memory: u64,
    /// MB, as the samples have it; the table says GB.
    pub(super) disk: u64,
    /// MB.
    swap: u64,
    pub(super) default: bool,
}

/// The packages. One of them is the default, and the name of one has spaces.
pub(super) const PACKAGES: [Package; 5] = [
    Package { name: "regular_128", memory: 128, disk: 5120, swap: 256, default: true },
    Package { name: "regular_256", memory: 256, disk: 5120, swap: 512, default: false },
    Package { name: "regular_512", memory: 512, disk: 10_240, swap: 1024, default: false },
    Package { name: "regular_1024", memory: 1024, disk: 15_360, swap: 2048, default: false },
    Package { name: "Extra Large 4GB", memory: 4096, disk: 61_440, swap: 8192, default: false },
];

impl Package {
    /// As the API shows it.
    pub(super) fn show(&self) -> Value {
        json!({
            "name": self.name,
            "memory": self.memory,
            "disk": self.disk,
            "swap": self.swap,
            "default": self.default,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_default_of_each() {
        assert_eq!(DATASETS.iter().filter(|dataset| dataset.default).count(), 1);
        assert_eq!(PACKAGES.iter().filter(|package| package.default).count(), 1);
        assert!(PACKAGES.iter().any(|package| package.name.contains(' ')));
    }
}
