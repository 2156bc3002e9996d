//! Another release binary against this one, in pairs: whether a change made anything slower.

use std::{path::Path, time::Duration};

use crate::{
    Outcome,
    bed::{Bed, side},
    process::{BINARY, Process},
    report::{Report, Row, Spread, middle},
    seed,
    slots::Asking,
    tell,
};

const CALLERS: usize = 16;
const PAIRS: usize = 20;
/// How long each side of a pair is measured.
const TIME: Duration = Duration::from_secs(2);
/// After this nothing of the start is under way any more.
const IDLE: Duration = Duration::from_secs(2);
/// A change is no slower where the whole interval is at this or above.
const GOAL: f64 = 0.97;

/// What was measured of the other binary and of this one, pair by pair.
type Pairs = Vec<[f64; 2]>;

/// Measures both in turn. The other binary is that of the environment variable `TEST_BENCH_BEFORE`; each has a database of its own.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let other = std::env::var("TEST_BENCH_BEFORE")
        .map_err(|_| "TEST_BENCH_BEFORE must name the binary to compare with")?;
    let folder = bed.cluster.folder().join("before");
    std::fs::create_dir(&folder)?;
    std::fs::copy(other, folder.join(BINARY))?;
    let before = side(&bed.cluster, &folder, "before").await?;
    let hash = bed.cluster.sql("small", "SELECT min(password_hash) FROM users").await?;
    seed::people(&bed.cluster, before.database, hash.trim()).await?;
    let sides = [&before, &bed.small];
    for side in sides {
        seed::few(&bed.cluster, side.database, bed.calendar).await?;
        bed.callers(side, CALLERS).await?.book_with_everybody().await?;
    }

    let of = async |which: usize| bed.callers(sides[which], CALLERS).await;
    let callers = [of(0).await?, of(1).await?];
    let book = async |which: usize| Ok(callers[which].booking(TIME).await?.rate());
    rates(report, "bookings, 16 callers", &pairs(bed, "bookings", book).await?);
    for side in sides {
        seed::few(&bed.cluster, side.database, bed.calendar).await?;
    }
    let ask = async |which: usize| Ok(callers[which].asking(TIME).await?.rate());
    let found = pairs(bed, "availability", ask).await?;
    rates(report, "availability, one provider and week, 16 callers", &found);
    let get = async |which: usize| Ok(callers[which].getting(TIME).await?.rate());
    let found = pairs(bed, "reads", get).await?;
    rates(report, "authenticated read of an appointment, 16 callers", &found);
    for side in sides {
        seed::types(&bed.cluster, side.database, bed.calendar).await?;
    }
    let asking =
        [Asking::new(bed, sides[0], CALLERS).await?, Asking::new(bed, sides[1], CALLERS).await?];
    let slots = asking[1].slots().await?;
    let list = async |which: usize| asking[which].of_one(TIME, slots).await;
    let found = pairs(bed, "slots", list).await?;
    rates(report, "slots of one provider and a month, 16 callers", &found);
    starts(bed, report, [&folder, &bed.folder]).await
}

/// Starts of both on a SQLite file that is there already, and the memory that they hold then.
async fn starts(bed: &Bed, report: &mut Report, folders: [&Path; 2]) -> Outcome {
    let url = |which: usize| format!("sqlite:{}", folders[which].join("pairs.db").display());
    for (which, folder) in folders.into_iter().enumerate() {
        drop(Process::daybook(folder, &url(which)).await?);
    }
    let mut memory = Pairs::new();
    let both = async |which: usize| {
        let process = Process::daybook(folders[which], &url(which)).await?;
        tokio::time::sleep(IDLE).await;
        let kib = f64::from(u32::try_from(process.resident_kib()?)?);
        Ok([process.started_in.as_secs_f64() * 1000.0, kib / 1024.0])
    };
    let mut times = Pairs::new();
    for pair in 0..count(bed) {
        tell(&format!("starts, pair {} of {}", pair + 1, count(bed)));
        let mut seen = [[0.0; 2]; 2];
        for which in order(pair) {
            let measured: Outcome<[f64; 2]> = both(which).await;
            seen[which] = measured?;
        }
        times.push([seen[0][0], seen[1][0]]);
        memory.push([seen[0][1], seen[1][1]]);
    }
    less(report, "start to SERVING, SQLite", (0, " ms"), &times);
    less(report, "resident memory idle, SQLite", (1, " MiB"), &memory);
    Ok(())
}

fn count(bed: &Bed) -> usize {
    if bed.settings.is_quick { 2 } else { PAIRS }
}

/// Every other pair begins with this binary.
const fn order(pair: usize) -> [usize; 2] {
    if pair.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

async fn pairs(
    bed: &Bed,
    what: &str,
    measure: impl AsyncFn(usize) -> Outcome<f64>,
) -> Outcome<Pairs> {
    let mut all = Pairs::new();
    for pair in 0..count(bed) {
        tell(&format!("{what}, pair {} of {}", pair + 1, count(bed)));
        let mut both = [0.0; 2];
        for which in order(pair) {
            both[which] = measure(which).await?;
        }
        all.push(both);
    }
    Ok(all)
}

/// Where more is better.
fn rates(report: &mut Report, figure: &str, pairs: &Pairs) {
    let ratios = pairs.iter().map(|[before, after]| after / before).collect();
    row(report, figure, (0, "/s"), pairs, ratios);
}

/// Where less is better.
fn less(report: &mut Report, figure: &str, unit: (usize, &str), pairs: &Pairs) {
    let ratios = pairs.iter().map(|[before, after]| before / after).collect();
    row(report, figure, unit, pairs, ratios);
}

fn row(
    report: &mut Report,
    figure: &str,
    (decimals, unit): (usize, &str),
    pairs: &Pairs,
    ratios: Vec<f64>,
) {
    let [before, after] =
        [0, 1].map(|which| Spread::of(pairs.iter().map(|both| both[which])).text(decimals, unit));
    let (median, [low, high]) = middle(ratios);
    let verdict = match (low, high) {
        (low, _) if low >= GOAL => "yes",
        (_, high) if high < GOAL => "no",
        _ => "too wide to tell",
    };
    report.row(Row {
        figure: format!("{figure}, {} pairs: the other binary, this one", pairs.len()),
        goal: format!("≥ {GOAL}"),
        limit: before,
        measured: after,
        ratio: format!("{median:.3} (95 %: {low:.3}–{high:.3})"),
        met: verdict.to_owned(),
    });
}
