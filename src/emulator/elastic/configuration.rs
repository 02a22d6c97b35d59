//! The configuration of a server: the known keys and their valid values (Open Hosting API and Crosspeer API,
//! "Server Configuration"; CloudSigma API 1.0, "Server create").

use super::keys::{is_user_key, one_of, uuids};
use crate::emulator::Dialect;
use crate::emulator::account::is_device;
use crate::emulator::answer::Wrong;
use crate::emulator::properties::Properties;
use std::net::Ipv4Addr;

/// The keys that may be set while a server runs (Open Hosting API, "Set server configuration"). Crosspeer's
/// list lacks user:*, apparently by oversight.
const WHILE_ACTIVE: [&str; 5] = ["name", "cpu", "persistent", "tags", "vnc:password"];

/// The longest VNC password (Crosspeer API, "Set server configuration" and "Server Configuration").
const VNC_PASSWORD: usize = 8;

/// Applies what was sent to a configuration. An empty value removes a key. Unknown keys are ignored.
pub(crate) fn apply(
    provider: Dialect,
    old: &Properties,
    sent: &Properties,
    active: bool,
) -> Result<Properties, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut new = old.clone();
    for (key, value) in sent.iter() {
        let Some(checked) = check(provider, key, value) else { continue };
        // CloudSigma's manual has no restriction (CloudSigma API 1.0, 8.8).
        let fixed = active && provider != Dialect::CloudSigma;
        if let Err(message) = checked {
            wrong.push(Wrong::new(key, message));
        } else if fixed && !WHILE_ACTIVE.contains(&key) && !key.starts_with("user:") {
            wrong.push(Wrong::new(key, "This cannot be changed while the server is active."));
        } else {
            new.set_or_remove(key, value);
        }
    }
    let unset = |key: &&str| !new.contains(key) && wrong.iter().all(|w| w.key != *key);
    let required: Vec<&str> = ["name", "cpu", "mem"].into_iter().filter(unset).collect();
    wrong.extend(required.into_iter().map(Wrong::required));
    for device in new.get("boot").unwrap_or_default().split_whitespace() {
        if !new.contains(device) {
            wrong.push(Wrong::new("boot", format!("There is no device {device}.")));
        }
    }
    if wrong.is_empty() { Ok(new) } else { Err(wrong) }
}

/// Checks the value of a key; returns `None` for an unknown key.
fn check(provider: Dialect, key: &str, value: &str) -> Option<Result<(), String>> {
    let family = provider != Dialect::CloudSigma;
    if value.is_empty() {
        // Whether it may be empty depends on the whole configuration.
        return check(provider, key, "1").map(|_| Ok(()));
    }
    let outcome = match key {
        "vnc:password" if provider == Dialect::Crosspeer && value.chars().count() > VNC_PASSWORD => {
            Err(format!("The password has more than {VNC_PASSWORD} characters."))
        }
        "name" | "vnc:password" | "boot" => Ok(()),
        "tags" if family => Ok(()),
        "smp" if value == "auto" => Ok(()),
        "cpu" | "mem" | "smp" => number(value),
        "persistent" => one_of(value, &["true", "false"]),
        "vnc:tls" => one_of(value, &["on", "off"]),
        "vnc" | "vnc:ip" => address(value),
        "avoid:drives" | "avoid:servers" if family => uuids(value),
        "parent" if !family => uuids(value),
        _ if is_device(key) => uuids(value),
        _ if key.strip_suffix(":media").is_some_and(is_device) => one_of(value, &["cdrom", "disk"]),
        _ if family && is_user_key(key) => Ok(()),
        _ => return network(key, value),
    };
    Some(outcome)
}

/// Checks the keys `nic:N:model`, `dhcp`, `vlan` and `mac`.
fn network(key: &str, value: &str) -> Option<Result<(), String>> {
    let (number, what) = key.strip_prefix("nic:")?.split_once(':')?;
    if !matches!(number.as_bytes(), [b'0'..=b'9']) {
        return None;
    }
    match what {
        "model" => Some(one_of(value, &["e1000", "rtl8139", "virtio"])),
        "dhcp" => Some(value.split_whitespace().try_for_each(address)),
        "vlan" => Some(uuids(value)),
        "mac" => Some(mac(value)),
        _ => None,
    }
}

fn number(value: &str) -> Result<(), String> {
    match value.parse::<u32>() {
        Ok(1..) => Ok(()),
        _ => Err("A whole number above zero is needed.".to_owned()),
    }
}

fn address(value: &str) -> Result<(), String> {
    if value == "auto" || value.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    Err(format!("{value} is neither auto nor an IP address."))
}

fn mac(value: &str) -> Result<(), String> {
    let octet = |word: &str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
    if value.split(':').count() == 6 && value.split(':').all(octet) {
        return Ok(());
    }
    Err(format!("{value} is not a MAC address."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Dialect::{CloudSigma, Crosspeer, OpenHosting};
    use crate::emulator::properties::to_text;

    fn applied(provider: Dialect, old: &str, sent: &str, active: bool) -> Result<String, Vec<String>> {
        let object = |text: &str| Properties::from_text(text).unwrap();
        apply(provider, &object(old), &object(sent), active)
            .map(|new| to_text(&[new]))
            .map_err(|wrong| wrong.into_iter().map(|w| w.key).collect())
    }

    #[test]
    fn every_wrong_key_is_named() {
        let sent = "name x\ncpu fast\nide:0:0 nodrive\nnic:0:dhcp 1.2.3\nboot ide:1:1\npersistent yes\nnew:key 1\n\
                    nic:1:mac 1:2\nblock:0:media floppy";
        let wrong = applied(Crosspeer, "", sent, false).unwrap_err();
        let keys =
            ["cpu", "ide:0:0", "nic:0:dhcp", "persistent", "nic:1:mac", "block:0:media", "mem", "boot"];
        assert_eq!(wrong, keys);
    }

    #[test]
    fn unknown_keys_are_left_out_and_empty_ones_removed() {
        let old = "name x\ncpu 500\nmem 256\nvnc:tls on\n";
        let sent = "vnc:tls\nuser:a b\nstrange 1\ntags t";
        let kept = "name x\ncpu 500\nmem 256\n";
        assert_eq!(applied(Crosspeer, old, sent, false), Ok(format!("{kept}user:a b\ntags t\n")));
        assert_eq!(applied(CloudSigma, old, sent, false), Ok(kept.to_owned()));
        assert_eq!(applied(Crosspeer, old, "mem", false), Err(vec!["mem".to_owned()]));
    }

    #[test]
    fn an_active_server_takes_few_changes() {
        let old = "name x\ncpu 500\nmem 256\n";
        assert!(
            applied(Crosspeer, old, "name y\ncpu 600\npersistent true\nuser:a b\nvnc:password z", true)
                .is_ok()
        );
        assert_eq!(applied(Crosspeer, old, "mem 512\nboot ide:0:0", true).unwrap_err()[0], "mem");
        // CloudSigma API 1.0, 8.8, has no restriction.
        let changed = applied(CloudSigma, old, "mem 512", true).unwrap();
        assert_eq!(changed, "name x\ncpu 500\nmem 512\n");
    }

    #[test]
    fn crosspeers_vnc_passwords_have_eight_characters_at_most() {
        let old = "name x\ncpu 500\nmem 256\n";
        for (password, ok) in [("12345678", true), ("123456789", false)] {
            let sent = format!("vnc:password {password}");
            assert_eq!(applied(Crosspeer, old, &sent, true).is_ok(), ok);
            assert!(
                applied(OpenHosting, old, &sent, true).is_ok()
                    && applied(CloudSigma, old, &sent, true).is_ok()
            );
        }
    }
}
