//! Pages of lists: one item more than asked for tells whether there is a next page.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use prost::Message;
use serde::Serialize;

use crate::{
    bulkhead::Bulkhead,
    kernel::{fault::Fault, page::PageTokens},
    storage::Deadline,
};

/// How large a page grows at most, in bytes: half of what clients read unless told otherwise.
pub(in crate::grpc) const LONGEST_PAGE: usize = 2 * 1024 * 1024;

/// A page of more bytes is large: it waits for a turn before it grows on.
const LARGE: usize = 256 * 1024;
/// How many items are read at first, and at most at once.
const FIRST_PIECE: u64 = 16;
const LONGEST_PIECE: usize = 64;
/// About how many bytes are read at once, as far as that can be told from what was read before.
const PIECE: usize = 512 * 1024;

/// How large the items of a list were when it was last read: the longest in bytes. Lists whose items all callers
/// share have one, so that a page that will be large waits for its turn before anything of it is read.
#[derive(Debug, Clone, Default)]
pub(in crate::grpc) struct Weight(Arc<AtomicUsize>);

impl Weight {
    /// Whether a page of so many items is likely to be large.
    fn is_large(&self, items: u64) -> bool {
        let items = usize::try_from(items).unwrap_or(usize::MAX);
        self.0.load(Ordering::Relaxed).saturating_mul(items) > LARGE
    }
}

/// A page of large items, as messages.
pub(in crate::grpc) struct Filled<M, C> {
    pub(in crate::grpc) messages: Vec<M>,
    /// Where the next page goes on, if there is one.
    pub(in crate::grpc) next: Option<C>,
}

/// Reads a list of items that can be large piece by piece, until it has as many as asked for or as many as fit
/// into an answer, so that nothing is read that would be left out: a page costs about its own size.
///
/// `read` gives the items after a cursor, at most so many; fewer only at the end. With a `weight` a page that was
/// large before takes its turn first.
pub(in crate::grpc) async fn fill<T, M, C, F>(
    (bulkhead, deadline): (&Bulkhead, Deadline),
    weight: Option<&Weight>,
    (asked, mut after): (u32, Option<C>),
    read: impl Fn(Option<C>, u64) -> F,
    wire: impl Fn(&T) -> M,
    cursor: impl Fn(&T) -> C,
) -> Result<Filled<M, C>, Fault>
where
    M: Message,
    C: Clone,
    F: Future<Output = Result<Vec<T>, Fault>>,
{
    let mut page = Filled { messages: Vec::new(), next: None };
    let mut turn = None;
    let size = usize::try_from(asked).unwrap_or(usize::MAX);
    let (mut room, mut longest, mut piece) = (LONGEST_PAGE, 1, FIRST_PIECE);
    if weight.is_some_and(|weight| weight.is_large(FIRST_PIECE.min(u64::from(asked) + 1))) {
        turn = Some(bulkhead.turn(deadline).await?);
    }
    loop {
        // One more tells whether there is a next page.
        let left = u64::try_from(size - page.messages.len()).unwrap_or(u64::MAX).saturating_add(1);
        let limit = left.min(piece);
        let some = read(after.clone(), limit).await?;
        let is_end = u64::try_from(some.len()).is_ok_and(|count| count < limit);
        for item in &some {
            let message = wire(item);
            let length = message.encoded_len();
            longest = longest.max(length);
            if let Some(weight) = weight {
                weight.0.store(longest, Ordering::Relaxed);
            }
            if page.messages.len() == size || (length > room && !page.messages.is_empty()) {
                page.next = after;
                return Ok(page);
            }
            room = room.saturating_sub(length);
            page.messages.push(message);
            after = Some(cursor(item));
        }
        if is_end {
            return Ok(page);
        }
        if turn.is_none() && LONGEST_PAGE - room > LARGE {
            turn = Some(bulkhead.turn(deadline).await?);
        }
        let most = PIECE.checked_div(longest).unwrap_or(1).clamp(4, LONGEST_PIECE);
        piece = u64::try_from(most).unwrap_or(FIRST_PIECE);
    }
}

/// Cuts a list that was fetched with one item too many, and makes the token for what follows. For items so
/// small that the longest page of them fits into an answer.
pub(in crate::grpc) fn cut<T, C: Serialize>(
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
pub(in crate::grpc) fn cut_to_fit<T, M: Message, C: Serialize>(
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
pub(in crate::grpc) fn fitting<M: Message>(all: &[M], size: u32) -> u32 {
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

    /// Fills pages of these lengths until the end; gives the items, the pages and how many items were read.
    async fn filled(lengths: &[usize], size: u32) -> (Vec<usize>, usize, usize) {
        let bulkhead = Bulkhead::start(1).unwrap();
        let deadline = Deadline::after(std::time::Duration::from_mins(1));
        let (read, mut found, mut pages, mut after) = (AtomicUsize::new(0), vec![], 0, None);
        loop {
            let page = fill(
                (&bulkhead, deadline),
                None,
                (size, after),
                |after: Option<usize>, limit| {
                    let from = after.map_or(0, |last| last + 1);
                    let count = usize::try_from(limit).unwrap().min(lengths.len() - from);
                    read.fetch_add(count, Ordering::Relaxed);
                    async move { Ok((from..from + count).collect()) }
                },
                |item| format!("{item} {}", of(lengths[*item])),
                |item| *item,
            );
            let page = page.await.unwrap();
            pages += 1;
            assert!(page.messages.len() <= usize::try_from(size).unwrap());
            let bytes: usize = page.messages.iter().map(String::encoded_len).sum();
            assert!(bytes <= LONGEST_PAGE || page.messages.len() == 1, "{bytes}");
            found.extend(
                page.messages
                    .iter()
                    .map(|text| text.split_once(' ').unwrap().0.parse::<usize>().unwrap()),
            );
            match page.next {
                Some(next) => after = Some(next),
                None => return (found, pages, read.into_inner()),
            }
        }
    }

    #[tokio::test]
    async fn a_page_of_large_items_reads_little_more_than_fits_on_it() {
        for (lengths, size, pages) in [
            (vec![10; 1000], 500, 2),
            (vec![64 * 1024; 500], 500, 17),
            (vec![LONGEST_PAGE + 1; 3], 500, 3),
            // Small ones first, so that what follows cannot be told from them.
            ([vec![10; 64], vec![64 * 1024; 100]].concat(), 500, 4),
            (vec![], 500, 1),
            (vec![10; 50], 50, 1),
            (vec![10; 51], 50, 2),
        ] {
            let (found, count, read) = filled(&lengths, size).await;
            assert_eq!(found, (0..lengths.len()).collect::<Vec<_>>());
            assert_eq!(count, pages, "{} of {size}", lengths.len());
            // Of each page one piece at most was read in vain.
            assert!(read <= lengths.len() + pages * LONGEST_PIECE, "{read} of {}", lengths.len());
        }
    }

    #[tokio::test]
    async fn only_a_large_page_waits_for_its_turn() {
        let bulkhead = Bulkhead::start(1).unwrap();
        let patient = Deadline::after(std::time::Duration::from_mins(1));
        let turn = bulkhead.turn(patient).await.unwrap();
        for (length, waits) in [(10, false), (64 * 1024, true)] {
            // Nobody gives the turn back.
            let deadline = Deadline::after(std::time::Duration::from_millis(20));
            let page = fill(
                (&bulkhead, deadline),
                None,
                (500, None),
                |after: Option<u64>, limit| {
                    let from = after.map_or(0, |last| last + 1);
                    async move { Ok((from..(from + limit).min(100)).collect()) }
                },
                |_| of(length),
                |item| *item,
            );
            assert_eq!(page.await.is_err(), waits, "{length}");
        }
        drop(turn);
    }

    #[tokio::test]
    async fn a_list_that_was_large_takes_its_turn_before_it_reads() {
        let (bulkhead, weight) = (Bulkhead::start(1).unwrap(), Weight::default());
        let (patient, read) =
            (Deadline::after(std::time::Duration::from_mins(1)), AtomicUsize::new(0));
        let page = |deadline, length: usize| {
            fill(
                (&bulkhead, deadline),
                Some(&weight),
                (20, None),
                |_: Option<u64>, limit| {
                    read.fetch_add(1, Ordering::Relaxed);
                    async move { Ok((0..limit.min(3)).collect()) }
                },
                move |_| of(length),
                |item| *item,
            )
        };
        page(patient, 64 * 1024).await.unwrap();
        let turn = bulkhead.turn(patient).await.unwrap();
        let short = Deadline::after(std::time::Duration::from_millis(20));
        assert!(page(short, 64 * 1024).await.is_err());
        assert_eq!(read.load(Ordering::Relaxed), 1);
        drop(turn);
        // One that became small waits for nobody any more.
        page(patient, 10).await.unwrap();
        let _turn = bulkhead.turn(patient).await.unwrap();
        page(Deadline::after(std::time::Duration::from_millis(20)), 10).await.unwrap();
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
