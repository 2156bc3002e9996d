//! The model's calls that make, move and end claims.

use daybook::grpc::proto::booking::appointment_event::Kind;

use super::plain::{
    Answer, By, Change, Claim, Done, MOST_HOLDS, Model, State, What, Wish, not_the_customer,
};

/// Refusals that a hold of the customer's own may be the reason of, or has settled.
const OF_HOLDS: [&str; 8] = [
    "SLOT_TAKEN",
    "DAY_LIMIT",
    "WEEK_LIMIT",
    "NOTICE_TOO_SHORT",
    "OFF_GRID",
    "OUTSIDE_HOURS",
    "TOO_LONG",
    "TOO_MANY_HOLDS",
];

impl Claim {
    /// Frees what is left of its time; whether anything was.
    fn free(&mut self, outcome: State, now: i64) -> bool {
        let end = now.max(self.start + 1).min(self.end);
        let after = if outcome == State::NoShow { 0 } else { self.after };
        let claimed = self.end + self.after;
        if now >= claimed || end + after >= claimed {
            return false;
        }
        self.agreed = self.agreed.or(Some(self.end));
        (self.end, self.after) = (end, after);
        true
    }
}

impl Model {
    pub(super) fn book(
        &mut self,
        by: By,
        wish: Wish,
        overriding: bool,
        hold: Option<i64>,
    ) -> Answer {
        let (length, of_type) = match wish.what {
            What::Interval(length) => (length, None),
            What::Type(of) => (self.types[of].duration, Some(of)),
        };
        let interval = (wish.start, wish.start + length);
        let provider = match (wish.provider, of_type) {
            (Some(provider), _) => provider,
            (None, Some(of)) => self.anybody((of, wish.customer), interval)?,
            (None, None) => return Err("INVALID_FIELDS"),
        };
        let mut tried = self.clone();
        let refused = match tried.place(by, wish, (provider, interval, of_type), (overriding, hold))
        {
            Err(refused) if OF_HOLDS.contains(&refused) => refused,
            other => {
                *self = tried;
                return other;
            }
        };
        let own = self.own_holds(wish.customer, provider, of_type, interval);
        let is_same = |id: &&usize| {
            let held = &self.claims[**id];
            held.of_type == of_type && (held.start, held.end) == interval
        };
        match (own.first(), own.iter().find(is_same).copied()) {
            (None, _) => Err(refused),
            (_, Some(same)) if hold.is_some() => Ok(Done::Claim(same)),
            (_, Some(same)) => {
                let booked = self.book_held(same, by, overriding)?;
                if wish.provider.is_none() {
                    self.providers[provider].last_assigned = Some(self.now);
                }
                Ok(booked)
            }
            (_, None) => {
                self.give_up(&own);
                self.place(by, wish, (provider, interval, of_type), (overriding, hold))
            }
        }
    }

    /// What a customer holds with a provider in the place of an interval with its buffers.
    pub(super) fn own_holds(
        &self,
        customer: usize,
        provider: usize,
        of_type: Option<usize>,
        (start, end): (i64, i64),
    ) -> Vec<usize> {
        let (before, after) = self.buffers(of_type);
        let mine = self.claims.iter().enumerate().filter(|(_, held)| {
            let theirs = self.buffers(held.of_type);
            held.state == State::Held
                && held.customer == customer
                && held.provider == provider
                && held.start - theirs.0 < end + after
                && start - before < held.end + theirs.1
        });
        mine.map(|(id, _)| id).collect()
    }

    pub(super) fn give_up(&mut self, holds: &[usize]) {
        for id in holds {
            let held = &mut self.claims[*id];
            (held.state, held.expires) = (State::Released, None);
        }
    }

    fn place(
        &mut self,
        by: By,
        wish: Wish,
        (provider, interval, of_type): (usize, (i64, i64), Option<usize>),
        (overriding, hold): (bool, Option<i64>),
    ) -> Answer {
        let nothing = usize::MAX;
        if overriding {
            if interval.1 < self.now {
                return Err("IN_THE_PAST");
            }
        } else {
            if of_type.is_some_and(|of| !self.types[of].offered[provider]) {
                return Err("NOT_OFFERED");
            }
            // Staff record also what has begun: who walked in gave no notice and came at no round time.
            let may_record = by != By::Customer && hold.is_none() && interval.1 >= self.now;
            let is_lifted = |rule: &str| {
                may_record
                    && interval.0 <= self.now
                    && ["IN_THE_PAST", "NOTICE_TOO_SHORT", "OFF_GRID"].contains(&rule)
            };
            let rules = self.rules(provider, wish.what, interval, nothing);
            if let Some(first) = rules.iter().find(|rule| !is_lifted(rule)) {
                return Err(first);
            }
        }
        if let Some(of) = of_type.filter(|_| !overriding) {
            self.has_room(wish.customer, of)?;
        }
        let held = self.claims.iter();
        let held = held.filter(|c| c.customer == wish.customer && c.state == State::Held).count();
        if hold.is_some() && held >= MOST_HOLDS {
            return Err("TOO_MANY_HOLDS");
        }
        if self.taken(provider, of_type, interval, nothing) > 0 {
            return Err("SLOT_TAKEN");
        }
        if self.busy(wish.customer, interval, nothing) {
            return Err("CUSTOMER_BUSY");
        }
        if wish.provider.is_none() {
            self.providers[provider].last_assigned = Some(self.now);
        }
        let request = of_type.and_then(|of| self.types[of].request);
        let request = request.filter(|_| by == By::Customer);
        let (state, expires, event) = match (hold, request) {
            (Some(length), _) => (State::Held, Some(self.now + length), None),
            (None, Some(expiry)) => {
                let expires = (self.now + expiry).min(wish.start);
                (State::Pending, Some(expires), Some(Kind::Requested))
            }
            (None, None) => (State::Booked, None, Some(Kind::Booked)),
        };
        let override_reason = if overriding { "must be" } else { "" };
        self.claims.push(Claim {
            provider,
            customer: wish.customer,
            start: interval.0,
            end: interval.1,
            of_type,
            zones: (self.providers[provider].zone(interval.0), ""),
            after: self.buffers(of_type).1,
            agreed: None,
            state,
            expires,
            answer_by: self.now + request.unwrap_or(0),
            asked: None,
            extended: false,
            cancel_reason: String::new(),
            override_reason: override_reason.to_owned(),
            message: String::new(),
            private: String::new(),
            predecessor: None,
            successor: None,
            events: event.into_iter().collect(),
            changes: 1,
        });
        Ok(Done::Claim(self.claims.len() - 1))
    }

    pub(super) fn book_hold(&mut self, claim: usize, by: usize) -> Answer {
        self.own_hold(claim, by)?;
        self.book_held(claim, By::Customer, false)
    }

    fn book_held(&mut self, claim: usize, by: By, overriding: bool) -> Answer {
        let now = self.now;
        let held = self.claims[claim].clone();
        if held.start <= now {
            return Err("IN_THE_PAST");
        }
        let off = &self.providers[held.provider].time_off;
        let is_off = off.iter().any(|(_, from, until)| *from < held.end && held.start < *until);
        if is_off && !overriding {
            return Err("TIME_OFF");
        }
        if self.is_closed((held.start, held.end)) && !overriding {
            return Err("PRACTICE_CLOSED");
        }
        if let Some(of) = held.of_type.filter(|_| !overriding) {
            self.has_room(held.customer, of)?;
        }
        if self.busy(held.customer, (held.start, held.end), claim) {
            return Err("CUSTOMER_BUSY");
        }
        let request = held.of_type.and_then(|of| self.types[of].request);
        let request = request.filter(|_| by == By::Customer);
        let found = &mut self.claims[claim];
        if overriding {
            "must be".clone_into(&mut found.override_reason);
        }
        found.answer_by = now + request.unwrap_or(0);
        (found.state, found.expires) = match request {
            Some(expiry) => (State::Pending, Some((now + expiry).min(held.start))),
            None => (State::Booked, None),
        };
        found.events.push(if request.is_some() { Kind::Requested } else { Kind::Booked });
        found.changes = 1;
        Ok(Done::Claim(claim))
    }

    pub(super) fn decide(
        &mut self,
        claim: usize,
        by: By,
        (change, free): (Change, bool),
        stale: bool,
    ) -> Answer {
        let now = self.now;
        let of_type = self.claims[claim].of_type;
        let cutoff = of_type.map_or(0, |of| self.types[of].cancel_cutoff);
        if change != Change::Cancel {
            not_the_customer(by)?;
        }
        let found = self.appointment(claim)?;
        if stale {
            return Err("ETAG_STALE");
        }
        if let Some((start, ..)) = found.asked {
            // It is the move that is answered; what is agreed stays or is moved.
            match change {
                Change::Approve => {
                    (found.start, found.end) = (start, start + found.end - found.start);
                    found.zones.0 = found.zones.1;
                    found.events.push(Kind::Approved);
                }
                Change::Decline => found.events.push(Kind::MoveDeclined),
                Change::Cancel | Change::Complete | Change::NoShow => {}
            }
            if matches!(change, Change::Approve | Change::Decline) {
                found.asked = None;
                found.changes += 1;
                return Ok(Done::Claim(claim));
            }
        }
        let (allowed, state, event) = match change {
            Change::Cancel => (found.is_open(), State::Cancelled, Kind::Cancelled),
            Change::Complete => (found.state == State::Booked, State::Completed, Kind::Completed),
            Change::NoShow => (found.state == State::Booked, State::NoShow, Kind::NoShow),
            Change::Approve => (found.state == State::Pending, State::Booked, Kind::Approved),
            Change::Decline => (found.state == State::Pending, State::Declined, Kind::Declined),
        };
        let is_outcome = matches!(change, Change::Complete | Change::NoShow);
        let is_marked = free && is_outcome && found.state == state;
        if !allowed && !is_marked {
            return Err("WRONG_STATE");
        }
        if is_outcome && now < found.start {
            return Err("NOT_STARTED");
        }
        if free && is_outcome && !found.free(state, now) && is_marked {
            return Err("TOO_LATE");
        }
        if change == Change::Cancel && by == By::Customer && found.state == State::Booked {
            in_time(found.start, cutoff, now)?;
        }
        (found.state, found.expires) = (state, None);
        found.asked = None;
        if matches!(change, Change::Cancel | Change::Decline) {
            "so it is".clone_into(&mut found.cancel_reason);
        }
        found.events.push(event);
        found.changes += 1;
        Ok(Done::Claim(claim))
    }

    pub(super) fn correct(&mut self, claim: usize, by: By, to: State) -> Answer {
        not_the_customer(by)?;
        let found = self.appointment(claim)?;
        if !matches!(found.state, State::Completed | State::NoShow) || found.state == to {
            return Err("WRONG_STATE");
        }
        found.state = to;
        found.events.push(Kind::Corrected);
        found.changes += 1;
        if to == State::Booked {
            // It is to take place as it was agreed.
            found.end = found.agreed.take().unwrap_or(found.end);
            let found = self.claims[claim].clone();
            self.claims[claim].after = self.buffers(found.of_type).1;
            let interval = (found.start, found.end);
            if self.taken(found.provider, found.of_type, interval, claim) > 0 {
                return Err("SLOT_TAKEN");
            }
            if self.busy(found.customer, interval, claim) {
                return Err("CUSTOMER_BUSY");
            }
        }
        Ok(Done::Claim(claim))
    }

    pub(super) fn reschedule(
        &mut self,
        claim: usize,
        by: By,
        start: i64,
        overriding: bool,
    ) -> Answer {
        let now = self.now;
        let found = self.appointment(claim)?.clone();
        if !found.is_open() {
            return Err("WRONG_STATE");
        }
        let cutoff = found.of_type.map_or(0, |of| self.types[of].reschedule_cutoff);
        if by == By::Customer {
            in_time(found.start, cutoff, now)?;
        }
        if start == found.start || found.asked.is_some_and(|(asked, ..)| asked == start) {
            return Err("INVALID_FIELDS");
        }
        let interval = (start, start + found.end - found.start);
        let own = self.own_holds(found.customer, found.provider, found.of_type, interval);
        self.give_up(&own);
        // What was agreed may be longer than is taken today.
        let lifted = ["TOO_LONG"];
        self.may_move(&found, found.provider, interval, overriding, (claim, &lifted))?;
        if self.taken(found.provider, found.of_type, interval, claim) > 0 {
            return Err("SLOT_TAKEN");
        }
        if self.busy(found.customer, interval, claim) {
            return Err("CUSTOMER_BUSY");
        }
        // What was agreed to was another time.
        let request = found.of_type.and_then(|of| self.types[of].request);
        let request = request.filter(|_| by == By::Customer && found.state == State::Booked);
        let zone = self.providers[found.provider].zone(start);
        let found = &mut self.claims[claim];
        if let Some(expiry) = request {
            let answer_by = found.asked.map_or(now + expiry, |(_, by, _)| by);
            found.asked = Some((start, answer_by, answer_by.min(start).min(found.start)));
            found.zones.1 = zone;
            found.events.push(Kind::MoveRequested);
            found.changes += 1;
            return Ok(Done::Claim(claim));
        }
        found.asked = None;
        (found.start, found.end) = interval;
        found.zones.0 = zone;
        found.expires = (found.state == State::Pending).then_some(found.answer_by.min(start));
        if overriding {
            "must be".clone_into(&mut found.override_reason);
        }
        found.events.push(Kind::Rescheduled);
        found.changes += 1;
        Ok(Done::Claim(claim))
    }

    /// Whether the rules of a provider allow an appointment there.
    fn may_move(
        &self,
        found: &Claim,
        provider: usize,
        interval: (i64, i64),
        overriding: bool,
        (but, lifted): (usize, &[&str]),
    ) -> Result<(), &'static str> {
        if overriding {
            return if interval.1 < self.now { Err("IN_THE_PAST") } else { Ok(()) };
        }
        let what = found.of_type.map_or(What::Interval(interval.1 - interval.0), What::Type);
        let rules = self.rules(provider, what, interval, but);
        match rules.into_iter().find(|rule| !lifted.contains(rule)) {
            Some(first) => Err(first),
            None => Ok(()),
        }
    }

    pub(super) fn reassign(&mut self, claim: usize, by: By, to: usize, overriding: bool) -> Answer {
        not_the_customer(by)?;
        let found = self.appointment(claim)?.clone();
        // Rules are lifted by who acts for the provider whose they are; staff of both is the admin alone.
        if overriding && by == By::Provider && to != found.provider {
            return Err("ROLE_NOT_ALLOWED");
        }
        if !found.is_open() {
            return Err("WRONG_STATE");
        }
        if to == found.provider {
            return Err("INVALID_FIELDS");
        }
        if !overriding && found.of_type.is_some_and(|of| !self.types[of].offered[to]) {
            return Err("NOT_OFFERED");
        }
        let interval = (found.start, found.end);
        // What was agreed keeps its time, also where it has begun.
        let lifted: &[&str] = match interval.1 < self.now {
            true => &["NOTICE_TOO_SHORT"],
            false => &["NOTICE_TOO_SHORT", "IN_THE_PAST"],
        };
        self.may_move(&found, to, interval, overriding, (claim, lifted))?;
        if self.taken(to, found.of_type, interval, claim) > 0 {
            return Err("SLOT_TAKEN");
        }
        let new = self.claims.len();
        let left = &mut self.claims[claim];
        (left.state, left.expires, left.successor) = (State::Cancelled, None, Some(new));
        "so it is".clone_into(&mut left.cancel_reason);
        left.events.push(Kind::Reassigned);
        left.changes += 1;
        let pending = found.state == State::Pending;
        self.claims[claim].asked = None;
        let mut taken = Claim { provider: to, predecessor: Some(claim), asked: None, ..found };
        taken.private.clear();
        taken.events = vec![if pending { Kind::Requested } else { Kind::Booked }];
        taken.changes = 1;
        if overriding {
            "must be".clone_into(&mut taken.override_reason);
        }
        self.claims.push(taken);
        Ok(Done::Claim(new))
    }
}

/// Customers do it before the start, by so much as was agreed.
fn in_time(start: i64, cutoff: i64, now: i64) -> Result<(), &'static str> {
    if now >= start || now > start - cutoff { Err("TOO_LATE") } else { Ok(()) }
}
