//! What a call costs with few and with many appointments stored.

use std::time::Duration;

use crate::{
    Outcome,
    bed::{Bed, Side},
    rates::booked_by_sql,
    report::{Report, Row, Spread, met, thousands},
    tell,
};

const GOAL: f64 = 1.2;
const CALLERS: usize = 16;

/// What is measured of one side in one round.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Milliseconds of one call when nobody else calls.
    alone: f64,
    /// Calls a second of sixteen callers.
    rate: f64,
}

#[derive(Debug, Clone, Copy)]
struct Costs {
    asking: Cost,
    booking: Cost,
    /// Bookings a second by bare SQL, which grow dearer by themselves.
    bare: f64,
}

/// Measures both databases in each round; the questions and their answers are the same in both.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let mut rounds = Vec::new();
    for round in 1..=bed.settings.rounds {
        tell(&format!("growth, round {round} of {}", bed.settings.rounds));
        let small = costs(bed, &bed.small).await?;
        let large = costs(bed, &bed.large).await?;
        rounds.push((small, large));
    }
    let many = thousands(f64::from(bed.settings.many), 0);
    let kinds: [(&str, fn(&Costs) -> Cost); 2] =
        [("availability", |costs| costs.asking), ("booking", |costs| costs.booking)];
    for (name, cost) in kinds {
        let times = |costs: &Costs| cost(costs).alone;
        let rates = |costs: &Costs| cost(costs).rate;
        add(
            report,
            &rounds,
            &format!("{name} alone, median, 1,000 → {many} stored"),
            times,
            Unit::Ms,
        );
        let figure = format!("{name}, {CALLERS} callers, 1,000 → {many} stored");
        add(report, &rounds, &figure, rates, Unit::PerSecond);
    }
    let figure = format!("bare SQL booking, {CALLERS} clients, 1,000 → {many} stored");
    let dearer = Spread::of(rounds.iter().map(|(small, large)| small.bare / large.bare));
    report.row(Row {
        figure,
        measured: pair(&rounds, |costs| costs.bare, Unit::PerSecond),
        ratio: dearer.text(2, ""),
        ..Row::default()
    });
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Ms,
    PerSecond,
}

fn pair(rounds: &[(Costs, Costs)], value: impl Fn(&Costs) -> f64, unit: Unit) -> String {
    let (decimals, unit) = match unit {
        Unit::Ms => (2, " ms"),
        Unit::PerSecond => (0, "/s"),
    };
    let small = Spread::of(rounds.iter().map(|(small, _)| value(small)));
    let large = Spread::of(rounds.iter().map(|(_, large)| value(large)));
    format!("{} → {}", small.text(decimals, unit), large.text(decimals, unit))
}

fn add(
    report: &mut Report,
    rounds: &[(Costs, Costs)],
    figure: &str,
    value: impl Fn(&Costs) -> f64,
    unit: Unit,
) {
    let dearer = Spread::of(rounds.iter().map(|(small, large)| match unit {
        Unit::Ms => value(large) / value(small),
        Unit::PerSecond => value(small) / value(large),
    }));
    report.row(Row {
        figure: figure.to_owned(),
        goal: format!("≤ {GOAL} ×"),
        limit: "itself".to_owned(),
        measured: pair(rounds, value, unit),
        ratio: dearer.text(2, ""),
        met: met(dearer.median <= GOAL),
    });
}

async fn costs(bed: &Bed, side: &Side) -> Outcome<Costs> {
    let time: Duration = bed.settings.time();
    let is_small = side.database == bed.small.database;
    let alone = bed.callers(side, 1).await?;
    let together = bed.callers(side, CALLERS).await?;
    let start_anew = async || if is_small { bed.reset().await } else { Ok(()) };
    start_anew().await?;
    let asking = Cost {
        alone: alone.asking(time).await?.quantile(0.5),
        rate: together.asking(time).await?.rate(),
    };
    let quick = alone.booking(time).await?.quantile(0.5);
    start_anew().await?;
    let booking = Cost { alone: quick, rate: together.booking(time).await?.rate() };
    start_anew().await?;
    let bare = booked_by_sql(bed, side.database, CALLERS).await?;
    Ok(Costs { asking, booking, bare })
}
