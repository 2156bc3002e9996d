//! The model: what a booking is, in plain words and without a database. A list of claims, three rules of
//! hours, and one function for every call. Times are seconds after Monday 23 November 2026, 00:00 UTC.

use daybook::grpc::proto::booking::appointment_event::Kind;

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// How many slots somebody may hold at a time.
pub const MOST_HOLDS: usize = 5;
/// What a request that nobody answered says.
const EXPIRED: &str = "nobody answered in time";

/// An appointment type; lengths in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Type {
    pub duration: i64,
    pub before: i64,
    pub after: i64,
    pub step: i64,
    pub notice: i64,
    pub per_day: Option<usize>,
    pub per_week: Option<usize>,
    pub per_customer: Option<usize>,
    pub cancel_cutoff: i64,
    pub reschedule_cutoff: i64,
    /// After how long a request ends, where the type takes requests.
    pub request: Option<i64>,
    /// Which providers offer it.
    pub offered: [bool; 3],
}

/// A provider who is open every day between two times of day.
#[derive(Debug, Clone)]
pub struct Provider {
    pub opens: i64,
    pub closes: i64,
    pub longest: i64,
    pub last_assigned: Option<i64>,
    pub time_off: Vec<(usize, i64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Held,
    Pending,
    Booked,
    Completed,
    NoShow,
    Cancelled,
    Declined,
    /// A hold that was given up.
    Released,
}

/// An appointment or a hold, whatever became of it.
#[derive(Debug, Clone)]
pub struct Claim {
    pub provider: usize,
    pub customer: usize,
    pub start: i64,
    pub end: i64,
    pub of_type: Option<usize>,
    pub state: State,
    pub expires: Option<i64>,
    /// By when a request must be answered, wherever it is moved.
    pub answer_by: i64,
    /// The start to which it is asked to be moved, by when that must be answered, and when it ends by itself.
    pub asked: Option<(i64, i64, i64)>,
    pub extended: bool,
    pub cancel_reason: String,
    pub override_reason: String,
    pub message: String,
    pub private: String,
    pub predecessor: Option<usize>,
    pub successor: Option<usize>,
    pub events: Vec<Kind>,
    /// How often it changed since it is an appointment, for etags.
    pub changes: usize,
}

/// Who asks for something of an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Customer,
    Provider,
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A bare interval of this length.
    Interval(i64),
    Type(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Cancel,
    Complete,
    NoShow,
    Approve,
    Decline,
}

/// A wish for a provider's time.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub customer: usize,
    /// None for whoever is free.
    pub provider: Option<usize>,
    pub what: What,
    pub start: i64,
}

/// A call, or a move of the clock.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// `by` is not a provider where nobody is named, and not the customer with `overriding`.
    Book {
        by: By,
        wish: Wish,
        overriding: bool,
    },
    Hold {
        wish: Wish,
        length: i64,
    },
    BookHold {
        claim: usize,
        by: usize,
    },
    Extend {
        claim: usize,
        by: usize,
        length: i64,
    },
    Release {
        claim: usize,
        by: usize,
    },
    Decide {
        claim: usize,
        by: By,
        change: Change,
        stale: bool,
    },
    Reschedule {
        claim: usize,
        by: By,
        start: i64,
        overriding: bool,
    },
    Reassign {
        claim: usize,
        by: By,
        to: usize,
        overriding: bool,
    },
    Write {
        claim: usize,
        by: By,
        text: usize,
    },
    TimeOff {
        provider: usize,
        start: i64,
        end: i64,
    },
    GiveBack {
        provider: usize,
        id: usize,
    },
    Clock {
        by: i64,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// This claim is new or changed.
    Claim(usize),
    /// Time off, and the appointments in it.
    TimeOff(usize, Vec<usize>),
    Nothing,
}

pub type Answer = Result<Done, &'static str>;

#[derive(Debug, Clone)]
pub struct Model {
    pub now: i64,
    pub types: Vec<Type>,
    pub providers: Vec<Provider>,
    pub claims: Vec<Claim>,
    /// Whose each time off was.
    pub time_off: Vec<usize>,
}

impl Claim {
    /// How it stands, whether or not anybody wrote it down.
    pub(super) fn settle(&mut self, now: i64) {
        if self.asked.is_some_and(|(_, _, at)| at <= now) {
            self.asked = None;
            self.changes += 1;
            self.events.push(Kind::MoveExpired);
        }
        if self.expires.is_some_and(|at| at <= now) {
            self.expires = None;
            self.changes += 1;
            if self.state == State::Held {
                self.state = State::Released;
            } else {
                self.state = State::Declined;
                EXPIRED.clone_into(&mut self.cancel_reason);
                self.events.push(Kind::Expired);
            }
        }
    }

    pub fn is_appointment(&self) -> bool {
        !matches!(self.state, State::Held | State::Released)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Pending | State::Booked)
    }

    /// The intervals that it takes: of itself, and of the move that is asked for.
    fn takes(&self) -> impl Iterator<Item = (i64, i64)> {
        let moved = self.asked.map(|(start, ..)| (start, start + self.end - self.start));
        std::iter::once((self.start, self.end)).chain(moved)
    }

    /// Whether it keeps its customer busy.
    fn is_live(&self) -> bool {
        self.is_open() || matches!(self.state, State::Completed | State::NoShow)
    }

    /// Whether it takes its provider's time.
    fn claims(&self) -> bool {
        self.is_live() || self.state == State::Held
    }
}

impl Model {
    /// Does it, if the rules allow it.
    pub fn apply(&mut self, op: &Op) -> Answer {
        // A failed call leaves nothing behind.
        let mut next = self.clone();
        let answer = next.act(op)?;
        for claim in &mut next.claims {
            claim.settle(next.now);
        }
        *self = next;
        Ok(answer)
    }

    fn act(&mut self, op: &Op) -> Answer {
        match *op {
            Op::Book { by, wish, overriding } => self.book(by, wish, overriding, None),
            Op::Hold { wish, length } => self.book(By::Customer, wish, false, Some(length)),
            Op::BookHold { claim, by } => self.book_hold(claim, by),
            Op::Extend { claim, by, length } => {
                let expires = self.now + length;
                let held = self.own_hold(claim, by)?;
                if held.extended {
                    return Err("HOLD_EXTENDED");
                }
                held.extended = true;
                held.expires = held.expires.max(Some(expires));
                Ok(Done::Claim(claim))
            }
            Op::Release { claim, by } => {
                let held = self.own_hold(claim, by)?;
                (held.state, held.expires) = (State::Released, None);
                Ok(Done::Nothing)
            }
            Op::Decide { claim, by, change, stale } => self.decide(claim, by, change, stale),
            Op::Reschedule { claim, by, start, overriding } => {
                self.reschedule(claim, by, start, overriding)
            }
            Op::Reassign { claim, by, to, overriding } => self.reassign(claim, by, to, overriding),
            Op::Write { claim, by, text } => {
                not_the_customer(by)?;
                let found = self.appointment(claim)?;
                let message = format!("message {text}");
                // The customer is told of what is for them alone.
                let told = message != found.message;
                found.events.push(if told { Kind::Updated } else { Kind::Noted });
                found.message = message;
                found.private = format!("private {text}");
                found.changes += 1;
                Ok(Done::Claim(claim))
            }
            Op::TimeOff { provider, start, end } => {
                if end <= self.now {
                    return Err("INVALID_FIELDS");
                }
                let id = self.time_off.len();
                self.time_off.push(provider);
                self.providers[provider].time_off.push((id, start, end));
                let touched = (0..self.claims.len()).filter(|each| {
                    let claim = &self.claims[*each];
                    claim.provider == provider
                        && claim.is_open()
                        && claim.start < end
                        && start < claim.end
                });
                Ok(Done::TimeOff(id, touched.collect()))
            }
            Op::GiveBack { provider, id } => {
                let all = &mut self.providers[provider].time_off;
                let place = all.iter().position(|each| each.0 == id).ok_or("NOT_FOUND")?;
                all.remove(place);
                Ok(Done::Nothing)
            }
            Op::Clock { by } => {
                self.now += by;
                Ok(Done::Nothing)
            }
        }
    }

    pub(super) fn appointment(&mut self, claim: usize) -> Result<&mut Claim, &'static str> {
        Some(&mut self.claims[claim]).filter(|found| found.is_appointment()).ok_or("NOT_FOUND")
    }

    pub(super) fn own_hold(&mut self, claim: usize, by: usize) -> Result<&mut Claim, &'static str> {
        let found = &mut self.claims[claim];
        match (found.customer == by, found.state) {
            (false, _) => Err("NOT_FOUND"),
            (true, State::Held) => Ok(found),
            (true, _) => Err("HOLD_ENDED"),
        }
    }

    /// How many of a type start in a stretch with a provider.
    pub(super) fn counted(
        &self,
        (of, provider): (usize, usize),
        from: i64,
        until: i64,
        but: usize,
    ) -> usize {
        let counted = self.claims.iter().enumerate().filter(|(id, claim)| {
            *id != but
                && claim.of_type == Some(of)
                && claim.provider == provider
                && claim.claims()
                && (from..until).contains(&claim.start)
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
        let (from, until) = (start.rem_euclid(DAY), start.rem_euclid(DAY) + end - start);
        let around_the_clock = provider.closes - provider.opens == DAY;
        let opens = from >= provider.opens && from < provider.closes;
        rule(around_the_clock || opens && until <= provider.closes, "OUTSIDE_HOURS");
        for (_, off_from, off_until) in &provider.time_off {
            rule(*off_from >= end || *off_until <= start, "TIME_OFF");
        }
        if let What::Type(of) = what {
            let kind = &self.types[of];
            rule(!opens || (from - provider.opens) % kind.step == 0, "OFF_GRID");
            let day = start.div_euclid(DAY) * DAY;
            let week = start.div_euclid(7 * DAY) * 7 * DAY;
            let today = self.counted((of, p), day, day + DAY, but);
            rule(kind.per_day.is_none_or(|most| today < most), "DAY_LIMIT");
            let in_week = self.counted((of, p), week, week + 7 * DAY, but);
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
            let theirs = self.buffers(claim.of_type);
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
        let week = |start: i64| start.div_euclid(7 * DAY);
        let load = |p: usize| -> i64 {
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

/// What is the staff's own, customers are told before anything else.
pub(super) fn not_the_customer(by: By) -> Result<(), &'static str> {
    if by == By::Customer { Err("ROLE_NOT_ALLOWED") } else { Ok(()) }
}
