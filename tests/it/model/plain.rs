//! The model: what a booking is, in plain words and without a database. A list of claims, three rules of
//! hours, and one function for every call. Times are seconds after Monday 23 November 2026, 00:00 UTC.

use daybook::grpc::proto::booking::appointment_event::Kind;

use super::hours::Stay;

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

/// A provider who is open every day between two times of day, in UTC but for a stay.
#[derive(Debug, Clone)]
pub struct Provider {
    pub opens: i64,
    pub closes: i64,
    pub stay: Option<Stay>,
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
    /// The zone in which its time was promised, and in which the move that is asked for is.
    pub zones: (&'static str, &'static str),
    /// How long is kept free after it.
    pub after: i64,
    /// The end that was agreed, where the rest was freed.
    pub agreed: Option<i64>,
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
        /// Whether the rest of what is completed or missed is free.
        free: bool,
    },
    Correct {
        claim: usize,
        by: By,
        to: State,
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
    Close {
        start: i64,
        end: i64,
    },
    Reopen {
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
    /// A closure, and the appointments in it.
    Closure(usize, Vec<usize>),
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
    /// The closures of the practice; none in the place of one that was taken back.
    pub closures: Vec<Option<(i64, i64)>>,
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
    pub(super) fn takes(&self) -> impl Iterator<Item = (i64, i64)> {
        let moved = self.asked.map(|(start, ..)| (start, start + self.end - self.start));
        std::iter::once((self.start, self.end)).chain(moved)
    }

    /// Whether it keeps its customer busy.
    pub(super) fn is_live(&self) -> bool {
        self.is_open() || matches!(self.state, State::Completed | State::NoShow)
    }

    /// Whether it takes its provider's time.
    pub(super) fn claims(&self) -> bool {
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
            Op::Decide { claim, by, change, stale, free } => {
                self.decide(claim, by, (change, free), stale)
            }
            Op::Correct { claim, by, to } => self.correct(claim, by, to),
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
                Ok(Done::TimeOff(id, self.touched(Some(provider), (start, end))))
            }
            Op::Close { start, end } => {
                if end <= self.now {
                    return Err("INVALID_FIELDS");
                }
                self.closures.push(Some((start, end)));
                Ok(Done::Closure(self.closures.len() - 1, self.touched(None, (start, end))))
            }
            Op::Reopen { id } => {
                self.closures[id].take().ok_or("NOT_FOUND")?;
                Ok(Done::Nothing)
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

    /// The open appointments of a provider, or of all, that overlap a stretch.
    fn touched(&self, provider: Option<usize>, (start, end): (i64, i64)) -> Vec<usize> {
        let touched = (0..self.claims.len()).filter(|each| {
            let claim = &self.claims[*each];
            provider.is_none_or(|provider| claim.provider == provider)
                && claim.is_open()
                && claim.start < end
                && start < claim.end
        });
        touched.collect()
    }

    /// Whether the practice is closed in an interval.
    pub(super) fn is_closed(&self, (start, end): (i64, i64)) -> bool {
        self.closures.iter().flatten().any(|(from, until)| *from < end && start < *until)
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
}

/// What is the staff's own, customers are told before anything else.
pub(super) fn not_the_customer(by: By) -> Result<(), &'static str> {
    if by == By::Customer { Err("ROLE_NOT_ALLOWED") } else { Ok(()) }
}
