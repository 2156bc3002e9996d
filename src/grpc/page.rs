//! Pages of lists: one item more than asked for tells whether there is a next page.

use serde::Serialize;

use crate::kernel::page::PageTokens;

/// Cuts a list that was fetched with one item too many, and makes the token for what follows.
pub(super) fn cut<T, C: Serialize>(
    mut items: Vec<T>,
    size: u32,
    tokens: &PageTokens,
    query: &str,
    cursor: impl Fn(&T) -> C,
) -> (Vec<T>, String) {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if items.len() <= size {
        return (items, String::new());
    }
    items.truncate(size);
    let token = items.last().map(|last| tokens.make(query, &cursor(last))).unwrap_or_default();
    (items, token)
}
