//! The check of an access token, in this process.

use std::{hint::black_box, path::Path, time::Instant};

use chrono::TimeDelta;
use daybook::{
    accounts::signing::{
        key_lifecycle::KeyState,
        key_ring::KeyRing,
        signing_key::SigningKey,
        token::{Settings, Tokens},
    },
    app,
    config::{Config, Flag, Sources},
    identity::{Caller, Credential, Grant, Role, master_key::MasterKey},
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

/// Tokens of customers, signed with the key of the service on this database. A log-in's would not last to
/// the end.
pub(crate) async fn of_customers(
    folder: &Path,
    database_url: &str,
    count: u32,
) -> Outcome<Vec<MetadataValue<Ascii>>> {
    let ambient = Ambient::system();
    let now = ambient.now();
    let path = folder.join("daybook-master-key");
    let flag = |key: &str, value: &str| Flag {
        name: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let flags = vec![
        flag("database.url", database_url),
        flag("auth.master_key_file", &path.display().to_string()),
    ];
    let (config, _) = Config::load(Sources { flags, ..Sources::default() })?;
    let keys = app::key_commands::signing_keys(&config, ambient.clone()).await?;
    let active = keys.into_iter().find(|(_, state, _)| *state == KeyState::Active);
    let (active, ..) = active.ok_or("no key signs")?;
    let key = active.open(&MasterKey::read(&path)?)?;
    let tokens = Tokens::new(settings(TimeDelta::days(1)), KeyRing::of(key, now));
    let one = |number| -> Outcome<MetadataValue<Ascii>> {
        let user = UserId(Kind::Customer.id(number));
        let caller = Caller {
            user,
            role: Role::Customer,
            session: ambient.id(now),
            service: None,
            credential: Credential::Token { generation: 0 },
        };
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
