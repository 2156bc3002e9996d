//! What the service does in a second, held against what is left when its own code costs nothing.
//!
//! `cargo bench` runs this with the release binary as a process of its own and a PostgreSQL cluster
//! that lives as long as the run. Limits and service are measured in turn, round by round, on the
//! same cores, and the table is printed and written to `target/bench/service.md`.
//! `docs/benchmarks.md` says what each figure means.
//!
//! `cargo bench -- --quick` only shows that everything works; `TEST_BENCH_SECONDS` sets the length of
//! one measurement; names of parts (`rates`, `growth`, `crowd`, `slots`, `overload`,
//! `logins`, `deadlines`, `timing`, `hostile`, `tokens`, `start`) leave out the others.

#![expect(
    clippy::pedantic,
    clippy::type_complexity,
    reason = "a program for measuring, not a library"
)]
#![expect(clippy::indexing_slicing, reason = "a broken measurement may panic")]

mod apart;
mod bed;
mod calls;
mod crowd;
mod deadlines;
#[path = "../../tests/it/support/frames.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared with the tests"
)]
mod frames;
mod growth;
mod hostile;
mod load;
mod logins;
mod overload;
mod pairs;
mod postgres;
mod process;
mod rates;
mod report;
mod seed;
mod slots;
mod sql;
mod start;
mod timing;
mod token_checks;
mod tokens;

use std::{process::ExitCode, time::Duration};

use report::Report;

/// The server's, so that the echo has no other.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What can be measured by itself.
const PARTS: [&str; 12] = [
    "rates",
    "growth",
    "crowd",
    "slots",
    "overload",
    "logins",
    "deadlines",
    "pairs",
    "timing",
    "hostile",
    "tokens",
    "start",
];

/// Whatever stops a run is told as it is.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// One measurement, in whole seconds, because pgbench takes no others.
    seconds: u64,
    /// How often each is repeated.
    rounds: usize,
    /// The appointments of the large database.
    many: u32,
    is_quick: bool,
}

impl Settings {
    fn read(is_quick: bool) -> Outcome<Self> {
        let seconds = match std::env::var("TEST_BENCH_SECONDS") {
            Ok(text) => text
                .parse()
                .ok()
                .filter(|seconds| (1..=600).contains(seconds))
                .ok_or("TEST_BENCH_SECONDS must be a whole number from 1 to 600")?,
            Err(_) if is_quick => 1,
            Err(_) => 3,
        };
        let (rounds, many) = if is_quick { (2, 100_000) } else { (5, 1_000_000) };
        Ok(Self { seconds, rounds, many, is_quick })
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let done = match arguments.as_slice() {
        // This program again, as the server that does nothing.
        [word, port] if word == "echo" => process::echo(port),
        _ if has("--bench") => run(has("--quick"), &arguments),
        // `cargo test --all-targets` comes this way.
        _ => {
            println!("this is a benchmark; run it with `cargo bench`");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("benchmark: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(is_quick: bool, arguments: &[String]) -> Outcome {
    let parts: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|text| !text.starts_with('-')).collect();
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        return Err(format!("no part is called {unknown:?}; there are {}", PARTS.join(", ")).into());
    }
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let settings = Settings::read(is_quick)?;
    // The load comes from one thread, the same one for the echo and for the service.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bed = bed::Bed::make(settings).await?;
        let mut report = Report::new(&settings, &bed.cluster.version().await?);
        if wanted("rates") {
            rates::measure(&bed, &mut report).await?;
        }
        if wanted("growth") {
            growth::measure(&bed, &mut report).await?;
        }
        if wanted("crowd") {
            crowd::measure(&bed, &mut report).await?;
        }
        if wanted("slots") {
            slots::measure(&bed, &mut report).await?;
        }
        if wanted("overload") {
            overload::measure(&bed, &mut report).await?;
        }
        if wanted("logins") {
            logins::measure(&bed, &mut report).await?;
        }
        if wanted("deadlines") {
            deadlines::measure(&bed, &mut report).await?;
        }
        // It needs another binary: only when it is named.
        if parts.contains(&"pairs") {
            pairs::measure(&bed, &mut report).await?;
        }
        // Minutes of it: only when it is named.
        if parts.contains(&"timing") {
            timing::measure(&bed, &mut report).await?;
        }
        if wanted("hostile") {
            hostile::measure(&bed, &mut report).await?;
        }
        if wanted("tokens") {
            token_checks::measure(&bed, &mut report)?;
        }
        if wanted("start") {
            start::measure(bed, &mut report).await?;
        }
        report.write()
    })
}

/// Says on standard error what is being done; the table goes to standard output.
fn tell(what: &str) {
    eprintln!("  {what}");
}
