//! Fuzzing, for a bounded time: every parser of outside input with the committed corpus and with what comes of
//! changing it, and every method with messages that make little sense. `fuzz/` does the former with coverage
//! and without a bound.

mod requests;
mod targets;

use std::{fs, path::Path};

use targets::{TARGETS, good_secrets, good_token, named};

use crate::support::rounds;

/// The inputs of a target, as they were committed, and those that are good.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut inputs: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    match name {
        "token" => inputs.push(good_token().into_bytes()),
        "secrets" => inputs.extend(good_secrets().into_iter().map(String::into_bytes)),
        _ => {}
    }
    inputs
}

/// Random numbers that are the same in every run (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }

    /// The same with a few changes, sometimes with a part of another.
    pub(super) fn change(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut changed = input.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(changed.len() + 1);
            match self.roll(7) {
                0 => changed.insert(at, self.byte()),
                1 => changed.truncate(at),
                2 if at < changed.len() => drop(changed.remove(at)),
                3 if at < changed.len() => changed[at] ^= 1 << self.roll(8),
                4 if at < changed.len() => changed[at] = b"/.-_=+@ \0{}[]\",:%\n"[self.roll(18)],
                5 => {
                    let end = at + self.roll(changed.len() - at + 1);
                    let part = changed[at..end].to_vec();
                    changed.splice(at..at, part);
                }
                _ => {
                    let from = self.roll(other.len() + 1);
                    changed.splice(at..at, other[from..].iter().copied());
                }
            }
        }
        changed.truncate(16_384);
        changed
    }
}

#[test]
fn parsers_take_nothing_that_they_should_not() {
    for (name, _) in TARGETS {
        let target = named(name);
        let corpus = corpus(name);
        assert!(corpus.len() > 10, "{name} has {} inputs", corpus.len());
        corpus.iter().for_each(|input| target(input));
        let mut dice = Dice(1);
        for _ in 0..rounds(20_000, 2_000_000) {
            let (one, other) = (dice.roll(corpus.len()), dice.roll(corpus.len()));
            let input = dice.change(&corpus[one], &corpus[other]);
            target(&input);
        }
    }
}
