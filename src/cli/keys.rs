//! The command `keys`: what operators read of the signing keys and master keys, and do with them.

use chrono::SecondsFormat;

use super::{
    Failure,
    args::{Keys, SettingsArgs},
    load, print, runtime,
};
use crate::{
    accounts::{
        master_keys::{KeyUse, Place, Resealed},
        signing::{StoredKey, commands::Rotated, key_lifecycle::KeyState},
    },
    app::key_commands::{self, Rotation},
    config::key,
    kernel::{ambient::Ambient, time::Instant},
    telemetry,
};

/// Runs the subcommand.
pub(super) fn run(settings: SettingsArgs, command: &Keys) -> Result<(), Failure> {
    let (config, origins) = load(settings)?;
    let config = key::settle(config, &origins)?;
    telemetry::init(&config.log)?;
    let (runtime, ambient) = (runtime()?, Ambient::system());
    let rotation = match *command {
        Keys::List => {
            let all = runtime.block_on(key_commands::signing_keys(&config, ambient))?;
            let lines = all.iter().map(|(key, state, older)| key_line(key, *state, *older));
            let uses = runtime.block_on(key_commands::master_keys(&config, Ambient::system()))?;
            let lines = lines.collect::<String>() + &uses.iter().map(use_line).collect::<String>();
            return print(&(lines + if is_wrong(&uses) { WRONG } else { "" }));
        }
        Keys::Reseal => return reseal(runtime.block_on(key_commands::reseal(&config, ambient))?),
        Keys::Rotate { at_once: true, master_key_lost } => Rotation::AtOnce { master_key_lost },
        Keys::Rotate { .. } => Rotation::Usual,
    };
    let now = ambient.now();
    match runtime.block_on(key_commands::rotate_signing_key(&config, ambient, rotation))? {
        Rotated::Done(keys) => {
            let lines = keys.iter().map(|key| key_line(key, key.life.state(now), false));
            print(&lines.collect::<String>())
        }
        Rotated::TooSoon(left) => Err(Failure::Other(
            format!(
                "the next key was not shown to others for long enough: try again in {} s, or, if a key \
                 has leaked, give --at-once",
                left.num_seconds() + 1
            )
            .into(),
        )),
        Rotated::NotDue => Ok(()),
    }
}

const WRONG: &str = "the master key is the wrong one: it opens none of the signing keys; give the one that is missing\n";

/// Whether the master key of the settings opens none of the keys that there are.
fn is_wrong(uses: &[KeyUse]) -> bool {
    let needed = |one: &&KeyUse| one.needed.signing_keys > 0;
    let mut needed = uses.iter().filter(needed).peekable();
    needed.peek().is_some()
        && needed.all(|one| matches!(one.place, Place::Missing | Place::Unknown))
}

/// A key with the last instant of its life so far.
fn key_line(key: &StoredKey, state: KeyState, older: bool) -> String {
    let life = &key.life;
    let told = match (life.retired, life.activated_at) {
        (Some(retired), _) if state == KeyState::Gone => {
            format!("since {}", shown(retired.gone_at))
        }
        (Some(retired), _) => format!("until {}", shown(retired.gone_at)),
        (None, Some(since)) => format!("since {}", shown(since)),
        (None, None) => format!("since {}", shown(life.created_at)),
    };
    let older = if older { "  sealed with an older master key" } else { "" };
    format!("{}  {:8}  {told}{older}\n", key.kid, state.word())
}

fn shown(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What came of sealing anew. Not everything is a failure, which scripts see.
fn reseal(Resealed { sealed, lost }: Resealed) -> Result<(), Failure> {
    print(&format!("{} sealed anew\n", counted(sealed, "secret of second factors")))?;
    if lost == 0 {
        return Ok(());
    }
    let secrets = counted(lost, "secret of second factors");
    Err(Failure::Other(
        format!(
            "{secrets} could not be opened with any master key of the settings, and stayed; `daybook keys \
             list` tells which key is missing: give it as a further line, or reset these second factors"
        )
        .into(),
    ))
}

/// A master key and what needs it.
fn use_line(one: &KeyUse) -> String {
    let needed = one.needed;
    let all = [
        (needed.signing_keys, "signing key"),
        (needed.secrets, "secret of second factors"),
        (needed.recovery_codes, "recovery code"),
        (needed.letters, "email"),
    ];
    let all: Vec<_> = all.into_iter().filter(|(many, _)| *many > 0).collect();
    let all: Vec<_> = all.into_iter().map(|(many, what)| counted(many, what)).collect();
    let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
    let key = one.key.map_or_else(|| "(not known)".to_owned(), |key| key.to_string());
    let place = match one.place {
        Place::Present => "present",
        Place::Older => "older",
        Place::Missing => "missing",
        Place::Unknown => "unknown",
    };
    format!("master key {key:16}  {place:8}  needed by {all}\n")
}

/// A number of things.
fn counted(many: u64, what: &str) -> String {
    match (many, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("secret", rest))) => format!("{many} secrets {rest}"),
        _ => format!("{many} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::master_keys::Needed, identity::master_key::MasterKey};

    #[test]
    fn a_master_key_is_told_with_what_needs_it() {
        let id = MasterKey::of(&[7; 32]).id();
        let key = Some(id);
        let nothing = KeyUse { key, place: Place::Older, needed: Needed::default() };
        let line = format!("master key {id}  older     needed by nothing\n");
        assert_eq!(use_line(&nothing), line);
        let needed = Needed { signing_keys: 1, secrets: 2, recovery_codes: 1, letters: 3 };
        let some = KeyUse { key: None, place: Place::Unknown, needed };
        let line = "master key (not known)       unknown   needed by 1 signing key, \
                    2 secrets of second factors, 1 recovery code, 3 emails\n";
        assert_eq!(use_line(&some), line);
    }
}
