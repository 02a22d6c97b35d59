//! Remotes defined by the variables of the vendors' own tools.
//!
//! The variable with the URL defines the remote, and the others set its keys. Such a remote replaces one of
//! the same name in the configuration file completely, so that two accounts are never mixed.

use std::path::PathBuf;

use super::Environment;
use super::profile::Profile;
use crate::provider::Provider;

/// The variables of a vendor.
struct Vendor {
    name: &'static str,
    provider: Provider,
    url: &'static str,
    /// The variable with `USER:SECRET`.
    auth: Option<&'static str>,
    account: Option<&'static str>,
    key_id: Option<&'static str>,
    identity: Option<&'static str>,
}

const BASIC: Vendor = Vendor {
    name: "oh",
    provider: Provider::OpenHosting,
    url: "OHURI",
    auth: Some("OHAUTH"),
    account: None,
    key_id: None,
    identity: None,
};

const VENDORS: [Vendor; 3] = [
    BASIC,
    // ElasticHosts runs the software that Crosspeer's manual describes.
    Vendor { name: "eh", provider: Provider::Crosspeer, url: "EHURI", auth: Some("EHAUTH"), ..BASIC },
    Vendor {
        name: "sdc",
        provider: Provider::Joyent,
        url: "SDC_CLI_URL",
        auth: None,
        account: Some("SDC_CLI_ACCOUNT"),
        key_id: Some("SDC_CLI_KEY_ID"),
        identity: Some("SDC_CLI_IDENTITY"),
    },
];

/// A remote defined by variables.
pub(super) struct Made {
    pub name: &'static str,
    pub profile: Profile,
    /// The variable with the secret.
    pub secret: Option<&'static str>,
    /// The variables that are set, that of the URL first.
    pub variables: Vec<&'static str>,
}

/// Returns the remotes that the environment defines.
pub(super) fn remotes(env: &Environment) -> Vec<Made> {
    VENDORS.iter().filter_map(|vendor| made(vendor, env)).collect()
}

fn made(vendor: &Vendor, env: &Environment) -> Option<Made> {
    let url = env.get(vendor.url)?;
    let mut variables = vec![vendor.url];
    let mut take = |name: Option<&'static str>| {
        let value = env.get(name?)?;
        variables.extend(name);
        Some(value)
    };
    let auth = take(vendor.auth);
    let account = take(vendor.account);
    let key_id = take(vendor.key_id);
    let identity = take(vendor.identity);
    // Without a colon the value could be the user or the secret, so it is used as neither.
    let user = auth.and_then(|auth| Some(auth.split_once(':')?.0.to_owned())).filter(|user| !user.is_empty());
    let profile = Profile {
        provider: Some(vendor.provider.name().to_owned()),
        url: Some(url),
        user,
        account,
        key_id,
        identity: identity.map(PathBuf::from),
        ..Profile::default()
    };
    Some(Made { name: vendor.name, profile, secret: vendor.auth, variables })
}

/// Returns the variables that would define a remote of this name, for a hint.
pub(super) fn variables_for(name: &str) -> Option<String> {
    let vendor = VENDORS.iter().find(|vendor| vendor.name == name)?;
    let all = [Some(vendor.url), vendor.auth, vendor.account, vendor.key_id, vendor.identity];
    Some(all.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
