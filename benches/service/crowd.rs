//! Sixty-four callers who all want about the same hour.

use std::time::{Duration, Instant};

use crate::{
    Outcome,
    bed::Bed,
    calls::Wish,
    load::Tally,
    report::{Report, Row, met},
    seed::{Kind, PROVIDERS},
    tell,
};

const CALLERS: usize = 64;
const PROVIDER: u32 = PROVIDERS - 1;

/// Wave after wave, each around another hour of one provider.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let waves = if bed.settings.is_quick { 50 } else { 300 };
    tell(&format!("a crowd, {waves} waves"));
    bed.reset().await?;
    let callers = bed.callers(&bed.small, CALLERS).await?;
    let deadlocks_before = deadlocks(bed).await?;
    let mut parts = Vec::new();
    let began = Instant::now();
    for wave in 0..waves {
        let hour = bed.calendar.crowd() + wave * 86_400;
        // Sixty minutes each, with starts every five minutes from an hour before to an hour after.
        let wish = |caller: usize| {
            let step = i64::try_from(caller * 7 % 25).unwrap_or_default() - 12;
            Wish { provider: PROVIDER, start: hour + step * 300, minutes: 60 }
        };
        parts.push(callers.crowd(wish).await);
    }
    let tally = Tally::sum(parts, began.elapsed()).only(&["OK", "SLOT_TAKEN"])?;
    let deadlocks = deadlocks(bed).await? - deadlocks_before;
    let double = double_bookings(bed).await?;

    let (p50, p99, worst) = (tally.quantile(0.5), tally.quantile(0.99), tally.quantile(1.0));
    report.row(Row {
        figure: format!("flash crowd: {CALLERS} callers around one hour, {waves} times"),
        goal: "p99 ≤ 100 ms, worst ≤ 1 s, no deadlock".to_owned(),
        measured: format!(
            "p50 {p50:.1} ms, p99 {p99:.1} ms, worst {worst:.1} ms; {deadlocks} deadlocks"
        ),
        met: met(p99 <= 100.0 && worst <= 1000.0 && deadlocks == 0 && double == 0),
        ..Row::default()
    });
    report.note(format!(
        "The crowd's {} answers: {:?}; overlapping appointments afterwards: {double}.",
        tally.calls(),
        tally.seen
    ));
    Ok(())
}

async fn deadlocks(bed: &Bed) -> Outcome<i64> {
    // Sessions report what they saw about once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let asked = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    Ok(bed.cluster.sql(bed.small.database, asked).await?.trim().parse()?)
}

async fn double_bookings(bed: &Bed) -> Outcome<u64> {
    let provider = Kind::Provider.id(PROVIDER);
    let asked = format!(
        "SELECT count(*) FROM appointments a JOIN appointments b USING (provider_id)
        WHERE provider_id = '{provider}' AND a.appointment_id < b.appointment_id
            AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at"
    );
    Ok(bed.cluster.sql(bed.small.database, &asked).await?.trim().parse()?)
}
