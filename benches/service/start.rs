//! From the start of the process to SERVING, and the memory that it then holds.

use std::{path::Path, time::Duration};

use crate::{
    Outcome,
    bed::Bed,
    process::Process,
    report::{Report, Row, Spread, met},
    tell,
};

/// After this nothing of the start is under way any more.
const IDLE: Duration = Duration::from_secs(3);

/// On an existing database of each kind.
pub(crate) async fn measure(bed: Bed, report: &mut Report) -> Outcome {
    tell("starts");
    let Bed { cluster, folder, settings, small, large, echo, .. } = bed;
    drop((small, large, echo));
    let sqlite = format!("sqlite:{}", folder.join("bench.db").display());
    // The first start makes the tables.
    drop(Process::daybook(&folder, &sqlite).await?);
    let starts = settings.rounds * 3;
    for (name, url) in [("SQLite", sqlite), ("PostgreSQL", cluster.url("large"))] {
        one(report, name, &url, &folder, starts).await?;
    }
    Ok(())
}

async fn one(report: &mut Report, name: &str, url: &str, folder: &Path, starts: usize) -> Outcome {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for start in 0..starts {
        let process = Process::daybook(folder, url).await?;
        times.push(process.started_in.as_secs_f64() * 1000.0);
        if start + 3 >= starts {
            tokio::time::sleep(IDLE).await;
            memory.push(f64::from(u32::try_from(process.resident_kib()?)?) / 1024.0);
        }
    }
    let (times, memory) = (Spread::of(times), Spread::of(memory));
    report.row(Row {
        figure: format!("start to SERVING, {name}"),
        goal: "≤ 200 ms".to_owned(),
        measured: times.text(0, " ms"),
        met: met(times.median <= 200.0),
        ..Row::default()
    });
    report.row(Row {
        figure: format!("resident memory idle, {name}"),
        goal: "≤ 40 MiB".to_owned(),
        measured: memory.text(1, " MiB"),
        met: met(memory.median <= 40.0),
        ..Row::default()
    });
    Ok(())
}
