//! Random calls, the same for the same seed.

use super::plain::{By, Change, HOUR, MINUTE, Model, Op, State, What, Wish};

/// A small generator (SplitMix64): tests need the same numbers everywhere, not good ones.
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn seconds(&mut self, from: i64, until: i64) -> i64 {
        from + i64::try_from(self.below(usize::try_from(until - from).unwrap())).unwrap()
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A UUID for a request.
    pub fn uuid(&mut self) -> String {
        let bytes = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid().to_string()
    }

    /// A quarter of an hour soon, now and then some minutes off it.
    fn start(&mut self, model: &Model) -> i64 {
        let quarter = 15 * MINUTE;
        let next = model.now.div_euclid(quarter) * quarter;
        let off = if self.one_in(12) { 5 * MINUTE } else { 0 };
        next + self.seconds(0, 26) * quarter + off
    }

    fn wish(&mut self, model: &Model) -> Wish {
        let bare = self.one_in(3);
        let what = if bare {
            What::Interval(self.of(&[15, 30, 45, 60, 60, 150]) * MINUTE)
        } else {
            What::Type(self.below(model.types.len()))
        };
        let named = bare || self.below(3) > 0;
        let provider = named.then(|| self.below(model.providers.len()));
        Wish { customer: self.below(3), provider, what, start: self.start(model) }
    }

    /// A claim in a state that suits, if there is one, and now and then any.
    fn claim(&mut self, model: &Model, suits: &[State]) -> Option<usize> {
        let any = self.one_in(8);
        let suiting =
            (0..model.claims.len()).filter(|id| any || suits.contains(&model.claims[*id].state));
        let suiting: Vec<usize> = suiting.collect();
        (!suiting.is_empty()).then(|| self.of(&suiting))
    }

    fn holder(&mut self, model: &Model, claim: usize) -> usize {
        if self.one_in(12) { self.below(3) } else { model.claims[claim].customer }
    }

    /// What happens next; none where there is nothing to do it with.
    pub fn op(&mut self, model: &Model) -> Option<Op> {
        use State::{Booked, Held, Pending};
        let by = self.of(&[By::Customer, By::Customer, By::Provider, By::Admin]);
        let staff = if self.one_in(10) { by } else { self.of(&[By::Provider, By::Admin]) };
        let overriding = by != By::Customer && self.one_in(3);
        Some(match self.below(38) {
            0..=7 => {
                let wish = self.wish(model);
                let anybodys = wish.provider.is_none();
                let by = if anybodys && by == By::Provider { By::Admin } else { by };
                Op::Book { by, wish, overriding: overriding && !anybodys }
            }
            8..=11 => {
                Op::Hold { wish: self.wish(model), length: self.seconds(MINUTE, 15 * MINUTE) }
            }
            12..=13 => {
                let claim = self.claim(model, &[Held])?;
                Op::BookHold { claim, by: self.holder(model, claim) }
            }
            14 => {
                let claim = self.claim(model, &[Held])?;
                let length = self.seconds(MINUTE, 15 * MINUTE);
                Op::Extend { claim, by: self.holder(model, claim), length }
            }
            15 => {
                let claim = self.claim(model, &[Held])?;
                Op::Release { claim, by: self.holder(model, claim) }
            }
            16..=21 => {
                let (change, suits) = self.of(&[
                    (Change::Cancel, [Pending, Booked]),
                    (Change::Complete, [Booked, Booked]),
                    (Change::NoShow, [Booked, Booked]),
                    (Change::Approve, [Pending, Pending]),
                    (Change::Decline, [Pending, Pending]),
                ]);
                let mut claim = self.claim(model, &suits)?;
                // What has begun, if anything has.
                if matches!(change, Change::Complete | Change::NoShow) && !self.one_in(4) {
                    let begun = |each: &usize| {
                        let each = &model.claims[*each];
                        each.state == Booked && each.start <= model.now
                    };
                    let begun: Vec<_> = (0..model.claims.len()).filter(begun).collect();
                    claim = if begun.is_empty() { return None } else { self.of(&begun) };
                }
                let by = if change == Change::Cancel { by } else { staff };
                let stale = model.claims[claim].changes > 1 && self.one_in(10);
                Op::Decide { claim, by, change, stale, free: self.one_in(3) }
            }
            22..=25 => {
                let claim = self.claim(model, &[Pending, Booked])?;
                // Often over where it was.
                let was = model.claims[claim].start;
                let near = was + self.seconds(-2, 3) * 15 * MINUTE;
                let start = if self.one_in(2) { near } else { self.start(model) };
                Op::Reschedule { claim, by, start, overriding }
            }
            26..=28 => {
                let claim = self.claim(model, &[Pending, Booked])?;
                let from = model.claims[claim].provider;
                let others = if self.one_in(10) { 0 } else { 1 + self.below(2) };
                let to = (from + others) % model.providers.len();
                let overriding = staff != By::Customer && self.one_in(4);
                Op::Reassign { claim, by: staff, to, overriding }
            }
            29 => {
                let claim = self.claim(model, &[Pending, Booked, State::Declined])?;
                Op::Write { claim, by: staff, text: self.below(1000) }
            }
            30 if self.one_in(2) => {
                let provider = self.below(model.providers.len());
                let start = self.start(model) - HOUR;
                Op::TimeOff { provider, start, end: start + self.of(&[30, 60, 120]) * MINUTE }
            }
            30 => {
                let id = (!model.time_off.is_empty()).then(|| self.below(model.time_off.len()))?;
                Op::GiveBack { provider: model.time_off[id], id }
            }
            31..=32 => {
                let claim = self.claim(model, &[State::Completed, State::NoShow])?;
                let to = self.of(&[Booked, Booked, State::Completed, State::NoShow]);
                Op::Correct { claim, by: staff, to }
            }
            33 if self.one_in(4) => {
                let start = self.start(model) - HOUR;
                Op::Close { start, end: start + self.of(&[15, 30, 60]) * MINUTE }
            }
            33 => {
                let id = (!model.closures.is_empty()).then(|| self.below(model.closures.len()))?;
                Op::Reopen { id }
            }
            _ => Op::Clock { by: self.of(&[1, 7, 60, 180, 400, 900, 1_800, 3_600]) },
        })
    }
}
