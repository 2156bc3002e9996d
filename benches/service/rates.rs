//! Calls a second against their limits, in turn.

use std::future::Future;

use crate::{
    Outcome,
    bed::Bed,
    calls::{Callers, echoing},
    load::Tally,
    process::{Meter, Process},
    report::{Report, Row, Spread},
    sql::Script,
    tell,
};

const ECHO_CALLERS: usize = 32;
const ECHO_CONNECTIONS: usize = 2;
const CALLERS: [usize; 2] = [16, 64];

/// What is measured of one call with one number of callers, one value a round.
#[derive(Debug, Default)]
struct Figure {
    sql: Vec<f64>,
    service: Vec<f64>,
    limit: Vec<f64>,
    /// Microseconds of the server's processor time for each call.
    cost: Vec<f64>,
}

/// Calls a second, and what each cost the server.
#[derive(Debug, Clone, Copy)]
struct Load {
    rate: f64,
    cost: f64,
}

async fn metered(process: &Process, load: impl Future<Output = Outcome<Tally>>) -> Outcome<Load> {
    let meter = Meter::start(process)?;
    let tally = load.await?;
    Ok(Load { rate: tally.rate(), cost: meter.micros_each(tally.all_calls())? })
}

/// A call, with 16 and with 64 callers.
#[derive(Debug, Default)]
struct Figures([Figure; 2]);

impl Figures {
    /// One round. With many callers nothing keeps a service from using fewer connections than
    /// callers, so the better of the two SQL figures counts.
    fn add(&mut self, echo: f64, sql: [f64; 2], service: [Load; 2]) {
        let [few, many] = sql;
        for ((figure, own), (best, service)) in
            self.0.iter_mut().zip(sql).zip([few, few.max(many)].into_iter().zip(service))
        {
            figure.sql.push(own);
            figure.service.push(service.rate);
            figure.cost.push(service.cost);
            figure.limit.push(1.0 / (1.0 / echo + 1.0 / best));
        }
    }
}

/// A goal in two steps.
struct Goal {
    first: f64,
    end: f64,
}

impl Goal {
    fn text(&self) -> String {
        if self.first < self.end {
            format!("≥ {} first, {} in the end", self.first, self.end)
        } else {
            format!("≥ {}", self.first)
        }
    }

    fn met(&self, ratio: f64) -> String {
        if ratio >= self.end {
            "yes"
        } else if ratio >= self.first {
            "the first"
        } else {
            "no"
        }
        .to_owned()
    }
}

/// Measures echo, SQL and service in each round.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let (seconds, time) = (bed.settings.seconds, bed.settings.time());
    let (cluster, database, server) = (&bed.cluster, bed.small.database, &bed.small.service);
    let channels = bed.echo.connect(ECHO_CONNECTIONS).await?;
    let [few, many] = CALLERS;
    let few = bed.callers(&bed.small, few).await?;
    let many = bed.callers(&bed.small, many).await?;
    let (week, appointment) = (Script::week(bed.calendar), Script::appointment());
    let sql = async |script: &Script| -> Outcome<[f64; 2]> {
        let [few, many] = CALLERS;
        Ok([
            script.run(cluster, database, few, seconds).await?.rate,
            script.run(cluster, database, many, seconds).await?.rate,
        ])
    };

    let mut echoes = Vec::new();
    let [mut booking, mut asking, mut getting] = [(); 3].map(|()| Figures::default());
    for round in 1..=bed.settings.rounds {
        tell(&format!("limits and service, round {round} of {}", bed.settings.rounds));
        let bare = metered(&bed.echo, echoing(&channels, ECHO_CALLERS, time)).await?;
        let echo = bare.rate;
        echoes.push(bare);
        bed.reset().await?;
        let bare = sql(&week).await?;
        let few_asking = metered(server, few.asking(time)).await?;
        asking.add(echo, bare, [few_asking, metered(server, many.asking(time)).await?]);
        let bare = sql(&appointment).await?;
        let few_getting = metered(server, few.getting(time)).await?;
        getting.add(echo, bare, [few_getting, metered(server, many.getting(time)).await?]);
        let (bare, service) = bookings(bed, [&few, &many]).await?;
        booking.add(echo, bare, service);
    }

    report.row(Row {
        figure: format!("bare echo, {ECHO_CALLERS} callers, {ECHO_CONNECTIONS} connections"),
        measured: Spread::of(echoes.iter().map(|echo| echo.rate)).text(0, "/s"),
        ..Row::default()
    });
    let names = ["tightest booking", "one provider's week of claims", "one appointment by key"];
    for (name, figures) in names.into_iter().zip([&booking, &asking, &getting]) {
        for (clients, figure) in CALLERS.into_iter().zip(&figures.0) {
            report.row(Row {
                figure: format!("bare SQL, {name}, {clients} clients"),
                measured: Spread::of(figure.sql.iter().copied()).text(0, "/s"),
                ..Row::default()
            });
        }
    }
    let calls = [
        ("bookings", &booking, Goal { first: 0.7, end: 0.9 }),
        ("availability, one provider and week", &asking, Goal { first: 0.7, end: 1.0 }),
        ("authenticated read of an appointment", &getting, Goal { first: 0.7, end: 0.7 }),
    ];
    let echo = Spread::of(echoes.iter().map(|echo| echo.cost)).text(0, " µs");
    let mut costs = vec![format!("bare echo {echo}")];
    for (name, figures, goal) in calls {
        for (callers, figure) in CALLERS.into_iter().zip(&figures.0) {
            let ratio = Spread::of(figure.service.iter().zip(&figure.limit).map(|(s, l)| s / l));
            report.row(Row {
                figure: format!("{name}, {callers} callers"),
                goal: goal.text(),
                limit: Spread::of(figure.limit.iter().copied()).text(0, "/s"),
                measured: Spread::of(figure.service.iter().copied()).text(0, "/s"),
                ratio: ratio.text(2, ""),
                met: goal.met(ratio.median),
            });
            let cost = Spread::of(figure.cost.iter().copied()).text(0, " µs");
            costs.push(format!("{name}, {callers} callers, {cost}"));
        }
    }
    report.note(format!("The server's processor time for each call: {}.", costs.join("; ")));
    Ok(())
}

/// Bookings a second of bare SQL and of the service, each from the same beginning.
async fn bookings(bed: &Bed, callers: [&Callers; 2]) -> Outcome<([f64; 2], [Load; 2])> {
    let (mut bare, mut service) = ([0.0; 2], [Load { rate: 0.0, cost: 0.0 }; 2]);
    let both = CALLERS.into_iter().zip(callers);
    for ((clients, callers), (bare, service)) in both.zip(bare.iter_mut().zip(&mut service)) {
        bed.reset().await?;
        *bare = booked_by_sql(bed, bed.small.database, clients).await?;
        bed.reset().await?;
        *service = metered(&bed.small.service, callers.booking(bed.settings.time())).await?;
    }
    Ok((bare, service))
}

/// Bookings a second of the bare statement; those that met another one do not count.
pub(crate) async fn booked_by_sql(bed: &Bed, database: &str, clients: usize) -> Outcome<f64> {
    let count = async || -> Outcome<u32> {
        Ok(bed.cluster.sql(database, "SELECT count(*) FROM events").await?.trim().parse()?)
    };
    let before = count().await?;
    let script = Script::book(bed.calendar);
    let found = script.run(&bed.cluster, database, clients, bed.settings.seconds).await?;
    let booked = f64::from(count().await? - before);
    Ok(found.rate * booked / f64::from(u32::try_from(found.done)?))
}
