//! The model's rules: what stands against an interval, and who of those who offer a type is chosen.

use super::plain::{MINUTE, Model, What};

impl Model {
    /// How many of a type start where this holds of their start, with a provider.
    pub(super) fn counted(
        &self,
        (of, provider): (usize, usize),
        holds: impl Fn(i64) -> bool,
        but: usize,
    ) -> usize {
        let counted = self.claims.iter().enumerate().filter(|(id, claim)| {
            *id != but
                && claim.of_type == Some(of)
                && claim.provider == provider
                && claim.claims()
                && holds(claim.start)
        });
        counted.count()
    }

    /// Every rule against an interval, in the order in which they are told.
    pub(super) fn rules(
        &self,
        p: usize,
        what: What,
        (start, end): (i64, i64),
        but: usize,
    ) -> Vec<&'static str> {
        let provider = &self.providers[p];
        let mut against = Vec::new();
        let mut rule = |holds: bool, reason| {
            if !holds {
                against.push(reason);
            }
        };
        rule(start > self.now, "IN_THE_PAST");
        match what {
            What::Interval(length) => rule(length <= provider.longest, "TOO_LONG"),
            What::Type(of) => {
                let notice = self.types[of].notice;
                rule(notice == 0 || start >= self.now + notice, "NOTICE_TOO_SHORT");
            }
        }
        rule(provider.is_open((start, end)), "OUTSIDE_HOURS");
        for (_, off_from, off_until) in &provider.time_off {
            rule(*off_from >= end || *off_until <= start, "TIME_OFF");
        }
        for (from, until) in self.closures.iter().flatten() {
            rule(*from >= end || *until <= start, "PRACTICE_CLOSED");
        }
        if let What::Type(of) = what {
            let kind = &self.types[of];
            let mut opened = provider.opened(start).peekable();
            let is_open = opened.peek().is_some();
            rule(!is_open || opened.any(|opens| (start - opens) % kind.step == 0), "OFF_GRID");
            let (day, week) = (provider.day(start), provider.week(start));
            let today = self.counted((of, p), |at| provider.day(at) == day, but);
            rule(kind.per_day.is_none_or(|most| today < most), "DAY_LIMIT");
            let in_week = self.counted((of, p), |at| provider.week(at) == week, but);
            rule(kind.per_week.is_none_or(|most| in_week < most), "WEEK_LIMIT");
        }
        against
    }

    pub(super) fn buffers(&self, of_type: Option<usize>) -> (i64, i64) {
        of_type.map_or((0, 0), |of| (self.types[of].before, self.types[of].after))
    }

    /// How many claims of a provider are in the way of an interval with its buffers.
    pub(super) fn taken(
        &self,
        p: usize,
        of: Option<usize>,
        (start, end): (i64, i64),
        but: usize,
    ) -> usize {
        let (before, after) = self.buffers(of);
        let in_the_way = self.claims.iter().enumerate().filter(|(id, claim)| {
            let theirs = (self.buffers(claim.of_type).0, claim.after);
            *id != but
                && claim.provider == p
                && claim.claims()
                && claim.takes().any(|(from, until)| {
                    from - theirs.0 < end + after && start - before < until + theirs.1
                })
        });
        in_the_way.count()
    }

    pub(super) fn busy(&self, customer: usize, (start, end): (i64, i64), but: usize) -> bool {
        self.claims.iter().enumerate().any(|(id, claim)| {
            id != but
                && claim.customer == customer
                && claim.is_live()
                && claim.takes().any(|(from, until)| from < end && start < until)
        })
    }

    pub(super) fn has_room(&self, customer: usize, of: usize) -> Result<(), &'static str> {
        let open = self.claims.iter().filter(|claim| {
            claim.customer == customer
                && claim.of_type == Some(of)
                && claim.is_open()
                && claim.start > self.now
        });
        let most = self.types[of].per_customer;
        if most.is_some_and(|most| open.count() >= most) { Err("CUSTOMER_LIMIT") } else { Ok(()) }
    }

    /// Whoever of those who offer a type is free and has the least to do.
    /// The customer's own holds are in nobody's way, and whoever is held exactly comes first.
    pub(super) fn anybody(
        &self,
        (of, customer): (usize, usize),
        interval: (i64, i64),
    ) -> Result<usize, &'static str> {
        let nothing = usize::MAX;
        let offering = (0..self.providers.len()).filter(|p| self.types[of].offered[*p]);
        let against = |p: usize| {
            let mut without = self.clone();
            without.give_up(&self.own_holds(customer, p, Some(of), interval));
            let rules = without.rules(p, What::Type(of), interval, nothing);
            (rules, without.taken(p, Some(of), interval, nothing))
        };
        let load = |p: usize| -> i64 {
            let week = |at| self.providers[p].week(at);
            let booked = self.claims.iter().filter(|claim| {
                claim.provider == p && claim.claims() && week(claim.start) == week(interval.0)
            });
            booked.map(|claim| (claim.end - claim.start) / MINUTE).sum()
        };
        let free = offering.clone().filter(|p| against(*p) == (Vec::new(), 0));
        let holds = |p: usize| {
            self.own_holds(customer, p, Some(of), interval).iter().any(|id| {
                let held = &self.claims[*id];
                held.of_type == Some(of) && (held.start, held.end) == interval
            })
        };
        let order = |p: &usize| (!holds(*p), load(*p), self.providers[*p].last_assigned, *p);
        if let Some(p) = free.min_by_key(order) {
            return Ok(p);
        }
        let fewest = offering.map(against).min_by_key(|(rules, taken)| (rules.len(), *taken));
        let (rules, _) = fewest.ok_or("NOT_OFFERED")?;
        Err(rules.first().copied().unwrap_or("SLOT_TAKEN"))
    }
}
