//! The check of an access token, in this process.

use std::{hint::black_box, path::Path, time::Instant};

use chrono::TimeDelta;
use daybook::{
    identity::{
        Caller, Grant, Role,
        master_key::MasterKey,
        signing_key::SigningKey,
        token::{Settings, Tokens},
    },
    kernel::{ambient::Ambient, id::UserId},
};
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    Outcome,
    bed::Bed,
    report::{Report, Row, Spread, met},
    seed::Kind,
    tell,
};

/// Tokens of customers, signed with the services' own key. A log-in's would not last to the end.
pub(crate) fn of_customers(folder: &Path, count: u32) -> Outcome<Vec<MetadataValue<Ascii>>> {
    let ambient = Ambient::system();
    let (master, _) = MasterKey::read_or_make(&folder.join("daybook-master-key"))?;
    let key = SigningKey::from_seed(&master.derived("signing key")).ok_or("no key")?;
    let tokens = Tokens::new(settings(TimeDelta::days(1)), key);
    let now = ambient.now();
    let one = |number| -> Outcome<MetadataValue<Ascii>> {
        let user = UserId(Kind::Customer.id(number));
        let caller = Caller { user, role: Role::Customer, session: ambient.id(now) };
        let grant = Grant { caller, generation: 0 };
        let token = tokens.make(grant, ambient.id(now), now, now + TimeDelta::days(1));
        let token = token.map_err(|fault| fault.to_string())?;
        Ok(format!("Bearer {}", token.text).parse()?)
    };
    (0..count).map(one).collect()
}

fn settings(time_to_live: TimeDelta) -> Settings {
    Settings { issuer: "daybook".to_owned(), audience: "daybook".to_owned(), time_to_live }
}

/// Fewer than are remembered.
const TOKENS: u32 = 5_000;

/// New tokens, and the same ones again.
pub(crate) fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    tell("token checks");
    let ambient = Ambient::system();
    let key = SigningKey::from_seed(&ambient.bytes::<32>()).ok_or("no key")?;
    let (mut new, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..bed.settings.rounds {
        let tokens = Tokens::new(settings(TimeDelta::hours(1)), key.clone());
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
