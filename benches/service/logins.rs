//! Log-ins against the hash alone, and what they do to others.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::{
    Outcome,
    bed::Bed,
    calls::{logging_in, storming},
    load::paced,
    report::{Report, Row, Spread, met},
    seed::PASSWORD,
    tell,
};

/// More than there are cores, fewer than may wait.
const CALLERS: usize = 8;
const BOOKERS: u32 = 8;
/// Many more than may wait.
const STORM: u32 = 500;
const BOOKINGS_PER_SECOND: u32 = 200;

/// Raw hashes, log-ins, and bookings beside them.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let time = bed.settings.time();
    let channels = bed.small.service.connect(2).await?;
    let bookers = bed.callers(&bed.small, BOOKERS as usize).await?;
    let book = |caller: usize, random: &mut _| bookers.book_any(caller, random);
    let (mut raw, mut kept, mut served, mut idle) = (vec![], vec![], vec![], vec![]);
    let (mut busy, mut beside_rate, mut stormed, mut memory) = (vec![], vec![], vec![], vec![]);
    let mut storm_rate = vec![];
    bed.reset().await?;
    for round in 1..=bed.settings.rounds {
        tell(&format!("log-ins, round {round} of {}", bed.settings.rounds));
        raw.push(hashes(time, false)?);
        kept.push(hashes(time, true)?);
        served.push(logging_in(&channels, CALLERS, time).await.only(&["OK"])?.rate());
        // Twice as long, for a p99 of more calls.
        let calm = paced(BOOKERS, BOOKINGS_PER_SECOND, time * 2, book).await;
        idle.push(calm.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"])?.quantile(0.99));
        let (log_ins, beside) = tokio::join!(
            logging_in(&channels, CALLERS, time * 2),
            paced(BOOKERS, BOOKINGS_PER_SECOND, time * 2, book),
        );
        beside_rate.push(log_ins.only(&["OK"])?.rate());
        busy.push(beside.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"])?.quantile(0.99));
        let (storm, beside) = tokio::join!(
            storming(&channels, STORM, time * 2),
            paced(BOOKERS, BOOKINGS_PER_SECOND, time * 2, book),
        );
        memory.push(f64::from(u32::try_from(bed.small.service.resident_kib()?)?) / 1024.0);
        let storm = storm.only(&["OK", "OVERLOADED", "TOO_MANY_ATTEMPTS"])?;
        storm_rate.push(storm.rate());
        stormed.push(beside.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"])?.quantile(0.99));
    }
    let beside = Spread::of(beside_rate.iter().zip(&raw).map(|(beside, raw)| beside / raw));
    let limit = Spread::of(raw.iter().copied());
    let harder = Spread::of(served.iter().zip(&kept).map(|(served, kept)| served / kept));
    let served_again = Spread::of(served.iter().copied());
    let ratio = Spread::of(served.iter().zip(&raw).map(|(served, raw)| served / raw));
    report.row(Row {
        figure: format!("log-ins, {CALLERS} callers"),
        goal: "≥ 0.9".to_owned(),
        limit: Spread::of(raw).text(1, "/s"),
        measured: Spread::of(served).text(1, "/s"),
        ratio: ratio.text(2, ""),
        met: met(ratio.median >= 0.9),
    });
    report.row(Row {
        figure: "the same, held against hashes that keep their memory".to_owned(),
        goal: "–".to_owned(),
        limit: Spread::of(kept).text(1, "/s"),
        measured: served_again.text(1, "/s"),
        ratio: harder.text(2, ""),
        met: "–".to_owned(),
    });
    report.note(format!(
        "Of {STORM} log-ins each second {} were served beside {BOOKINGS_PER_SECOND} bookings.",
        Spread::of(storm_rate).text(1, "/s")
    ));
    let ratio = Spread::of(stormed.iter().zip(&idle).map(|(storm, idle)| storm / idle));
    report.row(Row {
        figure: format!("booking p99 beside {STORM} log-ins each second"),
        goal: "≤ 2 × idle".to_owned(),
        limit: Spread::of(idle.iter().copied()).text(2, " ms"),
        measured: Spread::of(stormed).text(2, " ms"),
        ratio: ratio.text(2, ""),
        met: met(ratio.median <= 2.0),
    });
    let memory = Spread::of(memory);
    // A hash for each core, and 64 MiB for everything else.
    let workers = std::thread::available_parallelism()?.get();
    let most = f64::from(u32::try_from(workers)?).mul_add(19.0, 64.0);
    report.row(Row {
        figure: "resident memory at the end of that".to_owned(),
        goal: format!("≤ {most} MiB"),
        measured: memory.text(1, " MiB"),
        met: met(memory.median <= most),
        ..Row::default()
    });
    let ratio = Spread::of(busy.iter().zip(&idle).map(|(busy, idle)| busy / idle));
    report.row(Row {
        figure: format!("booking p99 beside those, {BOOKINGS_PER_SECOND} bookings/s"),
        goal: "≤ 2 × idle".to_owned(),
        limit: Spread::of(idle).text(2, " ms"),
        measured: Spread::of(busy).text(2, " ms"),
        ratio: ratio.text(2, ""),
        met: met(ratio.median <= 2.0),
    });
    // Half of the hashing threads stand back, so half is what there is to have.
    report.row(Row {
        figure: format!("log-ins beside {BOOKINGS_PER_SECOND} bookings/s, {CALLERS} callers"),
        goal: "–".to_owned(),
        limit: limit.text(1, "/s"),
        measured: Spread::of(beside_rate).text(1, "/s"),
        ratio: beside.text(2, ""),
        met: "–".to_owned(),
    });
    Ok(())
}

/// Hashes a second on all cores: argon2id with 19 MiB, two passes, one lane. Each asks for its memory anew, as
/// the library does by itself, or keeps it, as the server does.
fn hashes(time: Duration, keeps: bool) -> Outcome<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let began = Instant::now();
    let until = began + time;
    let threads: Vec<_> =
        (0..cores).map(|_| std::thread::spawn(move || hash(until, keeps))).collect();
    let mut count = 0;
    for thread in threads {
        count += thread.join().map_err(|_| "a hashing thread panicked")??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

fn hash(until: Instant, keeps: bool) -> Outcome<u32> {
    let failed = |error: argon2::Error| error.to_string();
    let params = Params::new(19_456, 2, 1, None).map_err(failed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let blocks = if keeps { argon2.params().block_count() } else { 0 };
    let mut memory = vec![Block::default(); blocks];
    let mut count = 0;
    while Instant::now() < until {
        let mut out = [0; 32];
        let (password, salt) = (PASSWORD.as_bytes(), b"sixteen bytes of");
        if keeps {
            argon2.hash_password_into_with_memory(password, salt, &mut out, &mut memory)
        } else {
            argon2.hash_password_into(password, salt, &mut out)
        }
        .map_err(failed)?;
        std::hint::black_box(out);
        count += 1;
    }
    Ok(count)
}
