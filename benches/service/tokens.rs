//! The check of an access token, in this process.

use std::{hint::black_box, time::Instant};

use chrono::TimeDelta;
use daybook::{
    identity::{
        Caller, Grant, Role,
        signing_key::SigningKey,
        token::{Settings, Tokens},
    },
    kernel::{ambient::Ambient, id::UserId},
};

use crate::{
    Outcome,
    bed::Bed,
    report::{Report, Row, Spread, met},
    tell,
};

/// Fewer than are remembered.
const TOKENS: u32 = 5_000;

/// New tokens, and the same ones again.
pub(crate) fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    tell("token checks");
    let ambient = Ambient::system();
    let (key, _) = SigningKey::read_or_make(&bed.folder.join("bench-key.pem"))?;
    let (mut new, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..bed.settings.rounds {
        let settings = Settings {
            issuer: "daybook".to_owned(),
            audience: "daybook".to_owned(),
            time_to_live: TimeDelta::hours(1),
        };
        let tokens = Tokens::new(settings, key.clone());
        let now = ambient.now();
        let texts = (0..TOKENS).map(|_| {
            let caller = Caller {
                user: UserId(ambient.id(now)),
                role: Role::Customer,
                session: ambient.id(now),
            };
            let grant = Grant { caller, generation: 0 };
            tokens
                .make(grant, ambient.id(now), now, now + TimeDelta::days(1))
                .map(|token| token.text)
        });
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|fault| fault.to_string())?;
        for found in [&mut new, &mut seen] {
            let began = Instant::now();
            for text in &texts {
                black_box(tokens.check(text, now)).map_err(|fault| fault.to_string())?;
            }
            found.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(TOKENS));
        }
    }
    for (name, goal, found) in [("a new token", 60.0, new), ("a token seen before", 3.0, seen)] {
        let spread = Spread::of(found);
        report.row(Row {
            figure: format!("check of {name}"),
            goal: format!("< {goal} µs"),
            measured: spread.text(2, " µs"),
            met: met(spread.median < goal),
            ..Row::default()
        });
    }
    Ok(())
}
