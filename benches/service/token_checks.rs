//! The check of an access token, in this process.

use std::{hint::black_box, time::Instant};

use chrono::TimeDelta;
use daybook::{
    accounts::signing::{key_ring::KeyRing, signing_key::SigningKey, token::Tokens},
    identity::{Caller, Credential, Grant, Role},
    kernel::{ambient::Ambient, id::UserId},
};

use crate::{
    Outcome,
    bed::Bed,
    report::{Report, Row, Spread, met},
    tell,
    tokens::settings,
};

/// Fewer than are remembered.
const TOKENS: u32 = 5_000;

/// New tokens, and the same ones again.
pub(crate) fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    tell("token checks");
    let ambient = Ambient::system();
    let key = SigningKey::from_seed(&ambient.bytes::<32>()).ok_or("no key")?;
    let (mut new, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..bed.settings.rounds {
        let now = ambient.now();
        let tokens = Tokens::new(settings(TimeDelta::hours(1)), KeyRing::of(key.clone(), now));
        let texts = (0..TOKENS).map(|_| {
            let caller = Caller {
                user: UserId(ambient.id(now)),
                role: Role::Customer,
                session: ambient.id(now),
                service: None,
                credential: Credential::Token { generation: 0 },
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
