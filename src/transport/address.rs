//! Addresses: paths below a base URL, and whether one leads to this machine.

use url::{Host, Url};

/// A path, with its query if it has one, below a base URL. Segments must be percent-encoded where they need to be.
pub fn join(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    url.set_path(&squeeze(&format!("{}/{path}", base.path())));
    url.set_query(query);
    url
}

/// Makes one slash of several.
pub(crate) fn squeeze(path: &str) -> String {
    let mut squeezed = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !squeezed.ends_with('/') {
            squeezed.push(c);
        }
    }
    squeezed
}

/// Whether a URL leads to this machine by its very form, without asking a name server.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
