//! Five times as many bookings as can be served.

use crate::{
    Outcome,
    apart::Apart,
    bed::Bed,
    load::{Tally, closed, paced},
    report::{Report, Row, Spread, met},
    tell,
};

/// As many as the peak is measured with.
const CALLERS: usize = 64;
/// More than there are places for writes.
const CROWD: u32 = 1000;
const TIMES: f64 = 5.0;
const USUAL: [&str; 3] = ["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"];

/// The most that is booked, what is booked of five times that, and what is booked right afterwards. Whoever
/// is refused comes again at its pace, whatever it was told to wait.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let time = bed.settings.time();
    let callers = bed.callers(&bed.small, CALLERS).await?;
    let crowd = bed.callers(&bed.small, CROWD as usize).await?;
    let (mut peak, mut good, mut after, mut shed) = (vec![], vec![], vec![], vec![]);
    let _apart = Apart::begin(bed)?;
    for round in 1..=bed.settings.rounds.min(3) {
        tell(&format!("overload, round {round}"));
        bed.reset().await?;
        let book = |caller: usize, random: &mut _| callers.book_any(caller, random);
        let most = closed(CALLERS, time, book).await.only(&USUAL)?.rate();
        bed.reset().await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
        let offered = (most * TIMES) as u32;
        let all =
            paced(CROWD, offered, time * 4, |caller, random| crowd.book_any(caller, random)).await;
        let all: Tally = all.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY", "OVERLOADED"])?;
        let then = closed(CALLERS, time, book).await.only(&USUAL)?.rate();
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        shed.push(100.0 * all.count("OVERLOADED") as f64 / all.calls() as f64);
        peak.push(most);
        good.push(all.rate());
        after.push(then);
    }
    let ratio = |values: &[f64], limit: &[f64]| {
        Spread::of(values.iter().zip(limit).map(|(one, limit)| one / limit))
    };
    let (of_good, of_after) = (ratio(&good, &peak), ratio(&after, &peak));
    let seconds = bed.settings.seconds * 4;
    let shed = Spread::of(shed).text(0, " %");
    for (figure, values, ratio) in [
        (format!("bookings at {TIMES} × the peak for {seconds} s, {shed} shed"), good, of_good),
        ("bookings right after that".to_owned(), after, of_after),
    ] {
        report.row(Row {
            figure,
            goal: "≥ 0.9 of the peak".to_owned(),
            limit: Spread::of(peak.iter().copied()).text(0, "/s"),
            measured: Spread::of(values).text(0, "/s"),
            ratio: ratio.text(2, ""),
            met: met(ratio.median >= 0.9),
        });
    }
    Ok(())
}
