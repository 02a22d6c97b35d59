//! The tables of the manuals: offers, prices, the market, metrics. They are data, in files beside this one.

/// Returns the rows of a table with columns separated by tabs. Lines that begin with `#` are comments.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok())
}

/// The drives that providers offer to everybody: provider, UUID, name, contents.
pub(super) fn standard_drives() -> impl Iterator<Item = [&'static str; 4]> {
    rows(include_str!("standard-drives.tsv"))
}

/// The products: key, label, unit, group, hundredths a month, the units that they pay for, the least
/// quantity.
pub(super) fn products() -> impl Iterator<Item = [&'static str; 7]> {
    rows(include_str!("products.tsv"))
}

/// The prices as text (CloudSigma API 1.0, 11.3).
pub(super) const PRICES: &str = include_str!("prices.txt");

/// The offers of `SpotCloud`, as JSON.
pub(super) const MARKET: &str = include_str!("market.json");

/// The datasets and packages of a Joyent datacenter, as JSON.
pub(super) const OFFERS: &str = include_str!("offers.json");

/// The metrics of a Joyent datacenter, as JSON (Joyent CloudAPI 6.5, `DescribeAnalytics`).
pub(super) const METRICS: &str = include_str!("metrics.json");

/// Names and locations of addresses, by the transformations that return them, as JSON.
pub(super) const ADDRESSES: &str = include_str!("addresses.json");

/// Operations that can be measured, one a row. The first row names the fields.
pub(super) fn operations() -> impl Iterator<Item = [&'static str; 12]> {
    rows(include_str!("operations.tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(table: &str) -> usize {
        table.lines().filter(|line| !line.starts_with('#')).count()
    }

    #[test]
    fn no_row_is_lost() {
        assert_eq!(standard_drives().count(), lines(include_str!("standard-drives.tsv")));
        assert_eq!(products().count(), lines(include_str!("products.tsv")));
        assert_eq!(operations().count(), lines(include_str!("operations.tsv")));
        // Crosspeer API, "Standard Drives": eight images and twenty-three CDs.
        let crosspeer: Vec<_> = standard_drives().filter(|[provider, ..]| *provider == "crosspeer").collect();
        let cds = crosspeer.iter().filter(|[_, _, _, contents]| *contents == "cd").count();
        assert_eq!((crosspeer.len() - cds, cds), (8, 23));
    }
}
