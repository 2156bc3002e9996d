//! Pages of lists: one item more than asked for tells whether there is a next page.

use prost::Message;
use serde::Serialize;

use crate::kernel::page::PageTokens;

/// How large a page grows at most, in bytes: half of what clients read unless told otherwise.
pub(super) const LONGEST_PAGE: usize = 2 * 1024 * 1024;

/// Cuts a list that was fetched with one item too many, and makes the token for what follows. For items so
/// small that the longest page of them fits into an answer.
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

/// The same for items that can be large: a page ends where it would not fit into an answer. Gives their
/// messages.
pub(super) fn cut_to_fit<T, M: Message, C: Serialize>(
    items: Vec<T>,
    size: u32,
    (tokens, query): (&PageTokens, &str),
    wire: impl Fn(&T) -> M,
    cursor: impl Fn(&T) -> C,
) -> (Vec<M>, String) {
    let mut messages: Vec<M> = items.iter().map(wire).collect();
    let size = fitting(&messages, size);
    let (items, token) = cut(items, size, tokens, query, cursor);
    messages.truncate(items.len());
    (messages, token)
}

/// How many of these make a page: so many, but not more than fit, and at least one.
pub(super) fn fitting<M: Message>(all: &[M], size: u32) -> u32 {
    let mut room = LONGEST_PAGE;
    let fit = all.iter().take_while(|each| {
        let left = room.checked_sub(each.encoded_len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    u32::try_from(fit.count()).unwrap_or(u32::MAX).clamp(1, size.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(length: usize) -> String {
        "x".repeat(length)
    }

    #[test]
    fn a_page_is_no_longer_than_asked_and_no_larger_than_fits() {
        let small: Vec<_> = (0..10).map(|_| of(10)).collect();
        assert_eq!(fitting(&small, 3), 3);
        assert_eq!(fitting(&small, 500), 10);
        assert_eq!(fitting::<String>(&[], 3), 1);
        let large: Vec<_> = (0..10).map(|_| of(LONGEST_PAGE / 4)).collect();
        assert_eq!(fitting(&large, 500), 3);
        assert_eq!(fitting(&large, 2), 2);
        assert_eq!(fitting(&[of(2 * LONGEST_PAGE), of(1)], 500), 1);
    }

    #[test]
    fn the_next_page_begins_where_a_large_one_was_cut() {
        let tokens = PageTokens::new(&[[7; 32]]);
        let items: Vec<usize> = (0..6).collect();
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let (page, token) = cut_to_fit(
                items[from..].to_vec(),
                100,
                (&tokens, "items"),
                |item| format!("{item}{}", of(LONGEST_PAGE / 3)),
                |last| *last,
            );
            assert!(page.len() <= 2);
            found.extend(page.iter().map(|each| each[..1].parse::<usize>().unwrap()));
            match tokens.read::<usize>("items", &token).unwrap() {
                Some(last) => from = last + 1,
                None => break,
            }
        }
        assert_eq!(found, items);
    }
}
