//! The table.

use std::{fmt::Write as _, path::Path};

use crate::{Outcome, Settings, tell};

/// What repeated measurements found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(values.len() / 2));
        Self { least: at(0), median, most: at(last) }
    }

    /// `median unit (least–most)`.
    pub(crate) fn text(&self, decimals: usize, unit: &str) -> String {
        let number = |value: f64| thousands(value, decimals);
        format!("{}{unit} ({}–{})", number(self.median), number(self.least), number(self.most))
    }
}

/// One line of the table.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) goal: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) ratio: String,
    pub(crate) met: String,
}

/// The table, and what has to be known to read it.
#[derive(Debug)]
pub(crate) struct Report {
    head: String,
    rows: Vec<Row>,
    notes: Vec<String>,
    is_quick: bool,
}

impl Report {
    pub(crate) fn new(settings: &Settings, postgres: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut head = format!(
            "Daybook {}, PostgreSQL {postgres}, {}, {cores} cores of {}, Linux {}.\n",
            env!("CARGO_PKG_VERSION"),
            compiler().unwrap_or_else(|| "an unknown compiler".to_owned()),
            processor().unwrap_or_else(|| "an unknown processor".to_owned()),
            kernel().unwrap_or_else(|| "of an unknown version".to_owned()),
        );
        let _ = writeln!(
            head,
            "{} rounds of {} s for each figure: median (least–most). The load generator, PostgreSQL \
             and the server share the cores.",
            settings.rounds, settings.seconds
        );
        Self { head, rows: Vec::new(), notes: Vec::new(), is_quick: settings.is_quick }
    }

    /// Adds a line, and tells it at once.
    pub(crate) fn row(&mut self, row: Row) {
        tell(&format!("{}: {} {}", row.figure, row.measured, row.ratio));
        self.rows.push(row);
    }

    /// Adds a remark under the table.
    pub(crate) fn note(&mut self, text: String) {
        tell(&text);
        self.notes.push(text);
    }

    /// Prints the table and keeps it.
    pub(crate) fn write(&self) -> Outcome {
        let mut text = String::new();
        if self.is_quick {
            text.push_str("A quick run: it shows that everything works, and no more.\n\n");
        }
        let _ = writeln!(text, "{}", self.head);
        text.push_str("| figure | goal | limit | measured | ratio | met |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let Row { figure, goal, limit, measured, ratio, met } = row;
            let cells =
                [figure, goal, limit, measured, ratio, met].map(|cell| match cell.as_str() {
                    "" => "–",
                    cell => cell,
                });
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        println!("{text}");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
        let folder = target.join("bench");
        std::fs::create_dir_all(&folder)?;
        // A quick run does not replace the figures of a full one.
        let name = if self.is_quick { "quick.md" } else { "service.md" };
        std::fs::write(folder.join(name), text)?;
        tell(&format!("written to bench/{name} in the target folder"));
        Ok(())
    }
}

/// The ranks, of 20 sorted values, between which the median is with 95.9 % (a binomial distribution).
const RANKS: [usize; 2] = [6, 15];

/// The median of 20 ratios and its interval of 95 %; there is none of fewer.
pub(crate) fn middle(mut ratios: Vec<f64>) -> (f64, [f64; 2]) {
    ratios.sort_unstable_by(f64::total_cmp);
    let between = RANKS.map(|rank| ratios.get(rank - 1).copied().unwrap_or(f64::NAN));
    (Spread::of(ratios).median, between)
}

/// `yes` or `no`.
pub(crate) fn met(is_met: bool) -> String {
    if is_met { "yes" } else { "no" }.to_owned()
}

/// A number with commas between thousands.
pub(crate) fn thousands(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn processor() -> Option<String> {
    let all = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = all.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    // The rest names the build.
    Some(release.trim().split(['-', '+']).next()?.to_owned())
}

fn compiler() -> Option<String> {
    let output = std::process::Command::new("rustc").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}
