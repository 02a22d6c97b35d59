//! The drives that Crosspeer offers to all its users (Crosspeer API, "Standard Drives").
//!
//! They are system images, which are gzipped and so need the conversion `gunzip` when imaged, and install
//! CDs, which a server connects as they are. The list is copied from the manual; call `drives.info` to see
//! whether a drive still exists.

use super::Provider;
use crate::{Error, Result};

/// The contents of a standard drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contents {
    /// A gzipped system image, and the number of bytes that a drive needs to hold it uncompressed.
    GzippedImage(u64),
    /// A CD or DVD.
    Cd,
}

/// A drive that a provider offers to all its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardDrive {
    pub uuid: &'static str,
    pub name: &'static str,
    /// The contents.
    pub contents: Contents,
}

const GIB: u64 = 1 << 30;

const fn image(uuid: &'static str, name: &'static str, gibibytes: u64) -> StandardDrive {
    StandardDrive { uuid, name, contents: Contents::GzippedImage(gibibytes * GIB) }
}

const fn cd(uuid: &'static str, name: &'static str) -> StandardDrive {
    StandardDrive { uuid, name, contents: Contents::Cd }
}

const CROSSPEER: &[StandardDrive] = &[
    image("38df0986-4d85-4b76-b502-3878ffc80161", "CentOS Linux 5.5", 1),
    image("980cf63c-f21e-4382-997b-6541d5809629", "Debian Linux 6.0", 1),
    image("aee5589a-88c3-43ef-bb0a-9cab6e64192d", "Ubuntu Linux 10.04", 1),
    image("b9d0eb72-d273-43f1-98e3-0d4b87d372c0", "Windows Web Server 2008", 13),
    image("30824e97-05a4-410c-946e-2ba5a92b07cb", "Windows Web Server 2008 R2", 13),
    image("9ecf810e-6ad1-40ef-b360-d606f0444671", "Windows Web Server 2008 R2 + SQL Server", 13),
    image("10a88d1c-6575-46e3-8d2c-7744065ea530", "Windows Web Server Standard", 13),
    image("2567f25c-8fb8-45c7-95fc-bfe3c3d84c47", "Windows Web Server Standard R2 + SQL Server", 13),
    cd("b86afe3a-b5dc-4184-9ef0-3a52dce63238", "CentOS Linux 5.3 Install CD"),
    cd("ac646eda-62be-4366-8cc9-10afdf6506b5", "CentOS Linux 5.4 Install CD"),
    cd("5f029de7-1729-486b-9bb3-65e326febb4d", "CentOS Linux 5.5 Install CD"),
    cd("adb59223-edcf-418f-a74c-8a9b4788e1d6", "Debian Linux 5.0 Install CD"),
    cd("86f52611-567b-40b9-8db7-933ad4f483d7", "FreeBSD 7.2 Install CD"),
    cd("a080dce0-2f28-4e42-9db6-1c5f410a3da8", "FreeBSD 8.0 Install CD"),
    cd("a1cd7ea0-6539-4cb6-b35f-03c9a6b61917", "Knoppix Linux 6.0.1 Live CD"),
    cd("b36bd91f-ce93-45c3-946a-d095018681c0", "OpenSolaris 2009 06 Install CD"),
    cd("c06a0aa9-9919-4e0f-92a0-c67b6799a732", "Red Hat Fedora Linux 10 Install CD"),
    cd("9b283809-2990-4f3b-a4e9-8b59a417536c", "Red Hat Fedora Linux 10 Live CD"),
    cd("b3df1320-5f11-4ebd-bd8c-2eef0e2ffe0d", "Red Hat Fedora Linux 11 Install CD"),
    cd("bf3cf10d-d07b-47de-b79c-327983182ef0", "Red Hat Fedora Linux 11 Live CD"),
    cd("d10281f4-3bf1-4a98-bc0c-6dcec04fd995", "Red Hat Fedora Linux 12 Install CD"),
    cd("c0ae458c-d5fb-4d9c-ae3c-778c12fe0649", "Red Hat Fedora Linux 12 Live CD"),
    cd("d2511065-1d4f-46e5-936a-c6b5c32a7556", "Red Hat Fedora Linux 13 Install CD"),
    cd("853bb98a-4fff-4c2f-a265-97c363f19ea5", "Red Hat Fedora Linux 13 Live CD"),
    cd("5d63810b-6e11-4a26-a820-9e0e92c2f35c", "Ubuntu Linux 8.04.2 LTS Server Install CD"),
    cd("b06b793a-2aa6-433b-80b2-1863eacd3391", "Ubuntu Linux 8.10 Server Install CD"),
    cd("95a324fd-3e45-498d-812f-98778bd127b9", "Ubuntu Linux 9.04 Server Install CD"),
    cd("c90a801d-679e-4647-81ac-3146da724c62", "Ubuntu Linux 9.10 Server Install CD"),
    cd("37e0f871-8a71-4b15-9478-ada0109dcce5", "Ubuntu Linux 10.04 Server Install CD"),
    cd("f89af28e-ff00-4fc9-a7ed-22e7fa5a88db", "Windows Server 2008 Trial Install CD"),
    cd("7aead6d3-c3e6-4940-85c7-f5ee61f6ef2b", "Windows Web Server 2008 Trial Install CD"),
];

/// Returns the standard drives that a provider's manual lists.
pub fn standard_drives(provider: Provider) -> &'static [StandardDrive] {
    match provider {
        Provider::Crosspeer => CROSSPEER,
        _ => &[],
    }
}

/// Returns the standard drive with this name or UUID, or `None` if there is none. Case is ignored, and any
/// part of a name that is unique is enough.
///
/// # Errors
/// A usage error if several drives match.
pub fn find(provider: Provider, name: &str) -> Result<Option<&'static StandardDrive>> {
    let all = standard_drives(provider);
    let exact = |d: &&StandardDrive| d.name.eq_ignore_ascii_case(name) || d.uuid.eq_ignore_ascii_case(name);
    if let Some(drive) = all.iter().find(exact) {
        return Ok(Some(drive));
    }
    let wanted = name.to_ascii_lowercase();
    if wanted.is_empty() {
        return Ok(None);
    }
    let near: Vec<&StandardDrive> =
        all.iter().filter(|d| d.name.to_ascii_lowercase().contains(&wanted)).collect();
    match near[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let names: Vec<&str> = near.iter().map(|d| d.name).collect();
            Err(Error::usage(format!("`{name}` is more than one standard drive"))
                .hint(format!("it may be {}", names.join(", or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_eight_images_and_twenty_three_cds() {
        let all = standard_drives(Provider::Crosspeer);
        let cds = all.iter().filter(|d| d.contents == Contents::Cd).count();
        assert_eq!((all.len() - cds, cds), (8, 23));
        for (i, a) in all.iter().enumerate() {
            assert!(uuid::Uuid::parse_str(a.uuid).is_ok(), "{a:?}");
            assert!(all[i + 1..].iter().all(|b| a.uuid != b.uuid && a.name != b.name), "{a:?}");
        }
        assert!(standard_drives(Provider::OpenHosting).is_empty());
    }

    #[test]
    fn a_drive_is_found_by_what_tells_it_from_the_others() {
        let found = |name| find(Provider::Crosspeer, name).map(|d| d.map(|d| d.name));
        assert_eq!(found("debian linux 6.0").unwrap(), Some("Debian Linux 6.0"));
        assert_eq!(found("980CF63C-f21e-4382-997b-6541d5809629").unwrap(), Some("Debian Linux 6.0"));
        assert_eq!(found("knoppix").unwrap(), Some("Knoppix Linux 6.0.1 Live CD"));
        // An exact match wins over longer names that begin with it.
        assert_eq!(found("Windows Web Server 2008").unwrap(), Some("Windows Web Server 2008"));
        assert_eq!(found("plan 9").unwrap(), None);
        assert_eq!(found("").unwrap(), None);
        let error = found("fedora linux 10").unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.hint_text().is_some_and(|h| h.contains("Red Hat Fedora Linux 10 Live CD")));
    }
}
