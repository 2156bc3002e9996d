//! Lists of intervals as one text: `start,end` pairs in seconds since 1970. A row for each would cost several times as
//! much to send and to read.

use chrono::DateTime;

use crate::kernel::time::Interval;

/// Reads `start,end` pairs in seconds since 1970 and sorts them.
pub fn intervals(text: Option<&str>) -> Option<Vec<Interval>> {
    let Some(text) = text else { return Some(Vec::new()) };
    let mut seconds = text
        .split(',')
        .map(|number| number.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)));
    let mut all = Vec::new();
    while let Some(start) = seconds.next() {
        all.push(Interval::new(start?, seconds.next()??)?);
    }
    all.sort_unstable();
    Some(all)
}
