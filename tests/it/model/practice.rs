//! The real practice beside the model: the same calls, compared after each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use daybook::grpc::proto::{
    auth::Role,
    booking::{
        Appointment, AppointmentType, BookingLimits, GetAppointmentRequest, Hold,
        ListAppointmentEventsRequest, ListAppointmentsRequest, appointment_event::Kind,
    },
};
use prost_types::{Duration, Timestamp};
use tonic::Status;

use super::{
    calls::{Reply, in_the_books, seen_by, wire_state},
    chance::Chance,
    hours::{AUCKLAND, KATHMANDU, Stay},
    plain::{By, DAY, Done, HOUR, MINUTE, Model, Op, Provider, Type, What, Wish},
};
use crate::support::{
    World, books,
    people::Person,
    practice::{offered_by, open_every_day},
    refusal::reason_of,
};

/// A call that was put before.
struct Past {
    op: Op,
    request_id: String,
    reply: Option<Reply>,
}

pub struct Practice {
    pub(super) worlds: Vec<World>,
    pub(super) admin: Person,
    pub(super) providers: Vec<Person>,
    pub(super) customers: Vec<Person>,
    pub(super) types: Vec<String>,
    pub(super) model: Model,
    /// The appointment's name of each claim, and its first etag.
    pub(super) names: Vec<(String, String)>,
    pub(super) time_off: Vec<String>,
    pub(super) closures: Vec<String>,
    past: Vec<Past>,
    /// How often what was answered.
    pub heard: BTreeMap<String, usize>,
    logged_in: i64,
    pub(super) steps: usize,
    last: VecDeque<String>,
    seed: u64,
}

pub(super) fn monday() -> DateTime<Utc> {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

pub fn wire(at: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: monday().timestamp() + at, nanos: 0 })
}

fn length(seconds: i64) -> Option<Duration> {
    (seconds > 0).then_some(Duration { seconds, nanos: 0 })
}

/// Three types: a plain one with buffers, one that takes requests, one with limits.
fn types() -> Vec<Type> {
    let plain = Type {
        duration: 30 * MINUTE,
        before: 10 * MINUTE,
        after: 15 * MINUTE,
        step: 15 * MINUTE,
        offered: [true; 3],
        ..Type::default()
    };
    let requested = Type {
        duration: 45 * MINUTE,
        before: 0,
        after: 5 * MINUTE,
        per_customer: Some(2),
        cancel_cutoff: HOUR,
        reschedule_cutoff: 2 * HOUR,
        request: Some(40 * MINUTE),
        offered: [true, true, false],
        ..plain
    };
    let limited = Type {
        duration: HOUR,
        before: 5 * MINUTE,
        after: 0,
        step: 30 * MINUTE,
        notice: 45 * MINUTE,
        per_day: Some(2),
        per_week: Some(5),
        ..plain
    };
    vec![plain, requested, limited]
}

fn message(of: &Type) -> AppointmentType {
    let mut message = AppointmentType {
        display_name: "A type".to_owned(),
        durations: length(of.duration).into_iter().collect(),
        buffer_before: length(of.before),
        buffer_after: length(of.after),
        slot_step: length(of.step),
        minimum_notice: length(of.notice),
        cancel_cutoff: length(of.cancel_cutoff),
        reschedule_cutoff: length(of.reschedule_cutoff),
        requires_approval: of.request.is_some(),
        request_expiry: of.request.and_then(length),
        ..AppointmentType::default()
    };
    let number = |most: Option<usize>| i32::try_from(most.unwrap_or(0)).unwrap();
    message.limits = Some(BookingLimits {
        per_provider_day: number(of.per_day),
        per_provider_week: number(of.per_week),
        open_per_customer: number(of.per_customer),
        ..Default::default()
    });
    message
}

impl Practice {
    pub async fn open(worlds: Vec<World>, seed: u64) -> Self {
        let world = &worlds[0];
        let admin = world.admin().await;
        let (mut providers, mut customers) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            providers.push(world.person(Role::Provider).await);
            customers.push(world.customer().await);
        }
        // By their ids, which decide where nothing else does.
        providers.sort_by_key(Person::provider);
        let now = (world.clock.now() - monday()).num_seconds();
        let today = now.div_euclid(DAY);
        let hours = [(0, 24), (6, 22), (0, 24)];
        // One of them is away at first, one goes away the next day.
        let away = [None, Some((AUCKLAND, today)), Some((KATHMANDU, today + 1))]
            .map(|stay| stay.map(|(zone, day)| Stay { first: day, last: day, zone }));
        let of = |((opens, closes), stay): ((i64, i64), Option<Stay>)| Provider {
            opens: opens * HOUR,
            closes: closes * HOUR,
            stay,
            longest: 2 * HOUR,
            last_assigned: None,
            time_off: Vec::new(),
        };
        for (provider, (opens, closes)) in providers.iter().zip(hours) {
            open_every_day(&world.channel, provider, (opens, closes), 2).await;
        }
        for (provider, stay) in providers.iter().zip(away) {
            if let Some(stay) = stay {
                stay.tell(&world.channel, provider).await;
            }
        }
        let mut names = Vec::new();
        for of in types() {
            let by = providers.iter().zip(of.offered).filter(|(_, offers)| *offers);
            let by: Vec<&Person> = by.map(|(provider, _)| provider).collect();
            names.push(offered_by(&world.channel, &admin, message(&of), &by).await);
        }
        let model = Model {
            now,
            types: types(),
            providers: hours.into_iter().zip(away).map(of).collect(),
            claims: Vec::new(),
            time_off: Vec::new(),
            closures: Vec::new(),
        };
        Self {
            worlds,
            admin,
            providers,
            customers,
            types: names,
            model,
            names: Vec::new(),
            time_off: Vec::new(),
            closures: Vec::new(),
            past: Vec::new(),
            heard: BTreeMap::new(),
            logged_in: now,
            steps: 0,
            last: VecDeque::new(),
            seed,
        }
    }

    /// The next thing that happens, or one that happened before once more.
    pub async fn step(&mut self, chance: &mut Chance) {
        if !self.past.is_empty() && chance.one_in(12) {
            let place = self.past.len() - 1 - chance.below(self.past.len().min(12));
            return self.again(place).await;
        }
        let Some(op) = chance.op(&self.model) else { return };
        if matches!(op, Op::Clock { .. }) {
            self.model.apply(&op).unwrap();
            for world in &self.worlds {
                world.clock.set(monday() + TimeDelta::seconds(self.model.now));
            }
            self.note(format!("{op:?}"));
            if self.model.now - self.logged_in > 20 * HOUR {
                self.log_in().await;
            }
        } else {
            self.act(op, chance.uuid()).await;
        }
        self.compare_all().await;
        self.compare_calendar().await;
        self.compare_slots(chance).await;
    }

    /// Tokens last a day.
    async fn log_in(&mut self) {
        let people = self.providers.iter_mut().chain(&mut self.customers).chain([&mut self.admin]);
        for person in people {
            *person = self.worlds[0].log_in(&person.user.email).await;
        }
        self.logged_in = self.model.now;
    }

    async fn act(&mut self, op: Op, request_id: String) {
        let expected = self.model.apply(&op);
        let got = self.call(&op, &request_id).await;
        let reply = self.compare(&op, expected, got);
        self.past.push(Past { op, request_id, reply });
        self.look_at(&op).await;
    }

    /// Puts a request again: what was done before gets the same answer, what was refused is tried anew.
    async fn again(&mut self, place: usize) {
        let Past { op, request_id, reply } = &self.past[place];
        let (op, request_id, reply) = (*op, request_id.clone(), reply.clone());
        self.note(format!("again: {op:?}"));
        let Some(reply) = reply else {
            self.past.remove(place);
            return self.act(op, request_id).await;
        };
        let got = self.call(&op, &request_id).await;
        let got = got.unwrap_or_else(|status| panic!("{}: {status:?}", self.tell()));
        assert!(got == reply, "{}: then {reply:?}, now {got:?}", self.tell());
        self.compare_all().await;
    }

    fn note(&mut self, what: String) {
        self.steps += 1;
        self.last.push_back(format!("at {}: {what}", self.model.now));
        if self.last.len() > 25 {
            self.last.pop_front();
        }
    }

    /// Where this is, and how it came there.
    pub(super) fn tell(&self) -> String {
        let last: Vec<_> = self.last.iter().map(String::as_str).collect();
        format!("TEST_SEED={} step {}:\n{}\n", self.seed, self.steps, last.join("\n"))
    }

    /// The answer is the model's; what is new gets its name.
    fn compare(
        &mut self,
        op: &Op,
        expected: Result<Done, &'static str>,
        got: Result<Reply, Status>,
    ) -> Option<Reply> {
        self.note(format!("{op:?} -> {expected:?}"));
        let word = expected.as_ref().err().copied().unwrap_or("OK");
        *self.heard.entry(word.to_owned()).or_default() += 1;
        let (done, reply) = match (expected, got) {
            (Ok(done), Ok(reply)) => (done, reply),
            (Err(reason), Err(status)) if reason_of(&status) == reason => return None,
            (expected, got) => panic!("{}: {expected:?}, but {got:?}", self.tell()),
        };
        match (done, &reply) {
            (Done::Claim(id), Reply::Appointment(got)) => {
                if id == self.names.len() {
                    self.names.push((got.name.clone(), String::new()));
                }
                if self.names[id].1.is_empty() {
                    self.names[id].1.clone_from(&got.etag);
                }
                let seen = self.seen(id, got, &seen_by(op));
                assert!(seen == **got, "{}: {seen:?}, but {got:?}", self.tell());
            }
            (Done::Claim(id), Reply::Hold(got)) => {
                if id == self.names.len() {
                    let name = got.name.replace("/holds/", "/appointments/");
                    self.names.push((name, String::new()));
                }
                let held = self.hold(id, got);
                assert!(held == *got, "{}: {held:?}, but {got:?}", self.tell());
            }
            (Done::TimeOff(id, touched), Reply::TimeOff(name, told)) => {
                assert_eq!(id, self.time_off.len());
                self.time_off.push(name.clone());
                self.compare_touched(&touched, told);
            }
            (Done::Closure(id, touched), Reply::Closure(name, told)) => {
                assert_eq!(id, self.closures.len());
                self.closures.push(name.clone());
                self.compare_touched(&touched, told);
            }
            (Done::Nothing, Reply::Nothing) => {}
            (done, reply) => panic!("{}: {done:?}, but {reply:?}", self.tell()),
        }
        Some(reply)
    }

    /// The appointments in time off or a closure are told by start.
    fn compare_touched(&self, touched: &[usize], told: &[String]) {
        let starts: BTreeMap<&String, i64> =
            touched.iter().map(|id| (&self.names[*id].0, self.model.claims[*id].start)).collect();
        assert!(told.is_sorted_by_key(|name| starts.get(name)), "{}", self.tell());
        let told: BTreeSet<&String> = told.iter().collect();
        assert_eq!(told, starts.into_keys().collect(), "{}", self.tell());
    }

    fn hold(&self, id: usize, got: &Hold) -> Hold {
        let claim = &self.model.claims[id];
        Hold {
            name: self.names[id].0.replace("/appointments/", "/holds/"),
            provider: self.providers[claim.provider].provider(),
            appointment_type: claim.of_type.map(|of| self.types[of].clone()).unwrap_or_default(),
            start_time: wire(claim.start),
            end_time: wire(claim.end),
            expire_time: claim.expires.and_then(wire),
            extended: claim.extended,
            customer: self.customers[claim.customer].user.name.clone(),
            customer_display_name: self.customers[claim.customer].user.display_name.clone(),
            create_time: got.create_time,
        }
    }

    /// What the model says of an appointment; what it does not know is as in `got`.
    fn seen(&self, id: usize, got: &Appointment, by: &By) -> Appointment {
        let claim = &self.model.claims[id];
        let of = claim.of_type.map(|of| (&self.types[of], &self.model.types[of]));
        let for_staff =
            |text: &String| if *by == By::Customer { String::new() } else { text.clone() };
        let name = |id: Option<usize>| id.map(|id| self.names[id].0.clone()).unwrap_or_default();
        Appointment {
            name: self.names[id].0.clone(),
            provider: self.providers[claim.provider].provider(),
            customer: self.customers[claim.customer].user.name.clone(),
            customer_display_name: self.customers[claim.customer].user.display_name.clone(),
            start_time: wire(claim.start),
            end_time: wire(claim.end),
            state: wire_state(claim.state).into(),
            note: String::new(),
            time_zone: claim.zones.0.to_owned(),
            cancel_reason: claim.cancel_reason.clone(),
            appointment_type: of.map(|(name, _)| name.clone()).unwrap_or_default(),
            buffer_before: of.and_then(|(_, of)| length(of.before)),
            buffer_after: length(claim.after),
            agreed_end_time: claim.agreed.and_then(wire),
            expire_time: claim.expires.and_then(wire),
            move_start_time: claim.asked.and_then(|(start, ..)| wire(start)),
            move_end_time: claim
                .asked
                .and_then(|(start, ..)| wire(start + claim.end - claim.start)),
            move_expire_time: claim.asked.and_then(|(_, _, at)| wire(at)),
            override_reason: for_staff(&claim.override_reason),
            customer_message: claim.message.clone(),
            private_note: for_staff(&claim.private),
            successor: name(claim.successor),
            predecessor: name(claim.predecessor),
            ..got.clone()
        }
    }

    /// Every appointment is as the model says, and there is no other.
    async fn compare_all(&mut self) {
        let world = &self.worlds[self.steps % self.worlds.len()];
        let mut request = ListAppointmentsRequest { page_size: 500, ..Default::default() };
        let mut listed = BTreeMap::new();
        loop {
            let asked = self.admin.asks(request.clone());
            let page = world.booking().list_appointments(asked).await.unwrap().into_inner();
            listed.extend(page.appointments.into_iter().map(|each| (each.name.clone(), each)));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        for (id, claim) in self.model.claims.iter().enumerate() {
            let got = listed.remove(&self.names[id].0);
            let Some(got) = got else {
                assert!(!claim.is_appointment(), "{}: {claim:?} is not listed", self.tell());
                continue;
            };
            let seen = self.seen(id, &got, &By::Admin);
            assert!(seen == got, "{}: {seen:?}, but {got:?}", self.tell());
        }
        assert!(listed.is_empty(), "{}: {listed:?}", self.tell());
    }

    /// The claim that a call was about, as its customer sees it.
    async fn look_at(&mut self, op: &Op) {
        let (Op::BookHold { claim, .. }
        | Op::Release { claim, .. }
        | Op::Decide { claim, .. }
        | Op::Correct { claim, .. }
        | Op::Reschedule { claim, .. }
        | Op::Reassign { claim, .. }) = *op
        else {
            return;
        };
        let found = &self.model.claims[claim];
        let request = GetAppointmentRequest { name: self.names[claim].0.clone() };
        let world = &self.worlds[self.steps % self.worlds.len()];
        let asked = self.customers[found.customer].asks(request);
        match world.booking().get_appointment(asked).await {
            Ok(got) => {
                let got = got.into_inner().appointment.unwrap();
                let seen = self.seen(claim, &got, &By::Customer);
                assert!(seen == got, "{}: {seen:?}, but {got:?}", self.tell());
            }
            Err(status) => {
                assert_eq!(reason_of(&status), "NOT_FOUND", "{}", self.tell());
                assert!(!found.is_appointment(), "{}: {found:?}", self.tell());
            }
        }
    }

    /// Settles everything, and compares what is remembered: events, states, and the books.
    pub async fn ends_like_the_model(&mut self) {
        let start = (self.model.now.div_euclid(DAY) + 30) * DAY + 12 * HOUR;
        for provider in 0..3 {
            // What has expired is written down with the next change.
            let what = What::Interval(HOUR);
            let start = start + i64::try_from(provider).unwrap() * DAY;
            let wish = Wish { customer: 0, provider: Some(provider), what, start };
            self.act(Op::Book { by: By::Admin, wish, overriding: true }, String::new()).await;
        }
        let stored = books::check(&self.worlds[0].sql().await).await;
        let mut standing = 0;
        for (id, claim) in self.model.claims.iter().enumerate() {
            let name = self.names[id].0.clone();
            let word = stored.get(&name).map(String::as_str);
            standing += usize::from(word.is_some());
            assert_eq!(word, in_the_books(claim.state), "{}: {claim:?}", self.tell());
            if !claim.is_appointment() {
                continue;
            }
            let request = ListAppointmentEventsRequest { parent: name, ..Default::default() };
            let asked = self.admin.asks(request);
            let events = self.worlds[0].booking().list_appointment_events(asked).await.unwrap();
            let events = events.into_inner().events;
            let kinds: Vec<Kind> = events.iter().map(|event| event.kind()).collect();
            assert_eq!(kinds, claim.events, "{}: {claim:?}", self.tell());
            assert!(events.is_sorted_by(|a, b| a.version < b.version));
        }
        assert_eq!(standing, stored.len(), "{}", self.tell());
    }
}
