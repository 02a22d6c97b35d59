//! Lists that a provider sends in pages.

use super::Item;
use crate::error::Result;
use std::collections::HashSet;

/// The number of items on a page: "default is 1000 (which is also the maximum allowable result set size)"
/// (Joyent CloudAPI 6.5, "`ListMachines`").
pub const PAGE: usize = 1000;

/// The maximum number of pages to fetch, in case a server never ends its list. No account has as many.
const MOST_PAGES: usize = 1000;

/// Fetches all pages. Returns their items, and a warning if the list may be incomplete.
///
/// `fetch` takes a limit and an offset. The list ends with the first page that is not full. The manual's rule
/// about `x-resource-count` cannot be used, since it fails if that header counts all machines.
pub async fn all(
    limit: usize,
    id: &str,
    mut fetch: impl AsyncFnMut(usize, usize) -> Result<Vec<Item>>,
) -> Result<(Vec<Item>, Option<&'static str>)> {
    let mut found: Vec<Item> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for _ in 0..MOST_PAGES {
        let page = fetch(limit, found.len()).await?;
        let full = page.len() >= limit;
        let new: Vec<Item> = page.into_iter().filter(|item| seen.insert(item.text(id))).collect();
        if full && new.is_empty() {
            return Ok((found, Some("the server repeats the same page: the list may be incomplete")));
        }
        found.extend(new);
        if !full {
            return Ok((found, None));
        }
    }
    Ok((found, Some("the list does not end: only its beginning is shown")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Pages through a server that has `total` machines. If it does not heed the offset, it repeats the first
    /// page.
    fn pages(total: usize, limit: usize, heeds: bool) -> (usize, bool, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut asked = 0;
        let fetch = async |limit: usize, offset: usize| {
            asked += 1;
            let from = if heeds { offset } else { 0 };
            let page = from..total.min(from + limit);
            Ok(page.map(|n| Item::Json(json!({ "id": format!("m{n}") }))).collect())
        };
        let (found, odd) = runtime.block_on(all(limit, "id", fetch)).unwrap();
        (found.len(), odd.is_some(), asked)
    }

    #[test]
    fn a_list_is_paged_through_to_its_end() {
        assert_eq!(pages(0, 2, true), (0, false, 1));
        assert_eq!(pages(1, 2, true), (1, false, 1));
        assert_eq!(pages(2, 2, true), (2, false, 2));
        assert_eq!(pages(5, 2, true), (5, false, 3));
    }

    #[test]
    fn a_server_that_repeats_itself_is_not_followed_for_ever() {
        assert_eq!(pages(5, 2, false), (2, true, 2));
    }
}
