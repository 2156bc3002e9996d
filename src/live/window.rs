//! The events that came last, as the watchers of one process share them.

use std::{collections::VecDeque, sync::Arc};

use super::{Cursor, Found};
use crate::booking::actors::Names;

/// How many events are kept at most. Whoever is further behind reads the database.
const MOST: usize = 4096;

/// Events that follow one another, and who acted in them.
#[derive(Debug)]
pub struct Batch {
    /// After which place; nothing is before the first event of all.
    pub after: Option<Cursor>,
    /// The place after the last of them, or beyond it where what follows cannot be read.
    pub until: Cursor,
    /// In the order.
    pub events: Vec<Found>,
    /// The names of those who acted.
    pub names: Names,
}

/// The last batches, each of which begins where the one before it ends. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// The place after everything that is known; nothing while nobody follows, or where there is no event.
    pub head: Option<Cursor>,
    /// How often the history of the database was found to be another one: places of before are no good then.
    pub history: u64,
    batches: VecDeque<Arc<Batch>>,
}

/// What a window says to somebody who stands at a place.
#[derive(Debug)]
pub enum News {
    /// There is nothing more.
    Nothing,
    /// These follow: the first may begin before the place.
    Batches(Vec<Arc<Batch>>),
    /// What follows is in the database alone.
    Missed,
}

impl Window {
    /// With nothing in it, at this place of this history.
    pub fn at(head: Option<Cursor>, history: u64) -> Self {
        Self { head, history, batches: VecDeque::new() }
    }

    /// Adds what follows, and lets go of what is too much.
    pub fn add(&mut self, batch: Batch) {
        self.head = Some(batch.until);
        self.batches.push_back(Arc::new(batch));
        let mut kept: usize = self.batches.iter().map(|batch| batch.events.len()).sum();
        while kept > MOST
            && let Some(oldest) = self.batches.pop_front()
        {
            kept -= oldest.events.len();
        }
    }

    /// What follows a place.
    pub fn after(&self, place: Option<Cursor>) -> News {
        let Some(head) = self.head else { return News::Nothing };
        if Self::order(place) >= Self::order(Some(head)) {
            return News::Nothing;
        }
        let after = |batch: &&Arc<Batch>| Self::order(Some(batch.until)) > Self::order(place);
        let news: Vec<_> = self.batches.iter().filter(after).cloned().collect();
        match news.first() {
            Some(first) if Self::order(first.after) <= Self::order(place) => News::Batches(news),
            _ => News::Missed,
        }
    }

    /// Places are ordered by position and version; the beginning is before all.
    pub fn order(place: Option<Cursor>) -> (i64, i64) {
        place.map_or((0, 0), |place| (place.position, place.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(position: i64) -> Cursor {
        Cursor { position, version: 1, stamp: 7 }
    }

    fn batch(after: i64, until: i64) -> Batch {
        let after = (after > 0).then(|| cursor(after));
        Batch { after, until: cursor(until), events: Vec::new(), names: Names::default() }
    }

    fn ends(news: News) -> Option<Vec<i64>> {
        match news {
            News::Nothing => Some(Vec::new()),
            News::Batches(batches) => Some(batches.iter().map(|b| b.until.position).collect()),
            News::Missed => None,
        }
    }

    #[test]
    fn who_is_within_the_window_is_told_what_follows_and_who_is_behind_it_that_they_missed_some() {
        let mut window = Window::at(Some(cursor(3)), 0);
        let after =
            |window: &Window, place: i64| ends(window.after((place > 0).then(|| cursor(place))));
        assert_eq!(after(&window, 3), Some(vec![]));
        assert_eq!(after(&window, 4), Some(vec![]));
        assert_eq!(after(&window, 2), None);
        assert_eq!(after(&window, 0), None);
        window.add(batch(3, 5));
        window.add(batch(5, 9));
        assert_eq!(after(&window, 3), Some(vec![5, 9]));
        assert_eq!(after(&window, 4), Some(vec![5, 9]));
        assert_eq!(after(&window, 5), Some(vec![9]));
        assert_eq!(after(&window, 9), Some(vec![]));
        assert_eq!(after(&window, 2), None);
        // Where nobody follows nothing is known.
        assert_eq!(after(&Window::default(), 2), Some(vec![]));
    }

    #[test]
    fn the_first_event_of_all_follows_the_beginning() {
        let mut window = Window::at(None, 0);
        window.add(batch(0, 2));
        assert_eq!(ends(window.after(None)), Some(vec![2]));
    }
}
