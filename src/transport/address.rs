//! URLs: paths below a base, and whether a URL leads to this machine.

use url::{Host, Url};

/// Returns the URL of a path, with its query if any, below a base URL. Segments must be percent-encoded where
/// necessary.
pub fn join(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    url.set_path(&squeeze(&format!("{}/{path}", base.path())));
    url.set_query(query);
    url
}

/// Collapses repeated slashes.
pub(crate) fn squeeze(path: &str) -> String {
    let mut squeezed = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !squeezed.ends_with('/') {
            squeezed.push(c);
        }
    }
    squeezed
}

/// Returns whether the form of a URL shows that it leads to this machine, without a name lookup.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
