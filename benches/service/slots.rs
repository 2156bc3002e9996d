//! Slots of appointment types: one provider, any of fifty, and the first of a thousand.

use std::{sync::Arc, time::Duration};

use daybook::grpc::proto::booking::{
    FindFirstSlotRequest, ListSlotsRequest, availability_service_client::AvailabilityServiceClient,
};
use prost_types::Timestamp;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    Outcome,
    bed::{Bed, Side, connections},
    calls::echoing,
    load::{Random, Tally, closed},
    process::{Meter, Process},
    report::{Report, Row, Spread, met, thousands},
    seed::{self, ASKED, FULL, FULL_PROVIDERS, Kind, OFFERED},
    sql::Script,
    tell,
};

const CALLERS: usize = 16;
const MONTH: i64 = 31 * 86_400;
/// How much dearer many stored appointments may make a call.
const GROWTH: f64 = 1.2;

/// Whose slots.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// One provider's, who has about so many.
    One(usize),
    /// Anybody's.
    Any,
}

/// Callers who ask for slots.
pub(crate) struct Asking {
    clients: Vec<AvailabilityServiceClient<Channel>>,
    tokens: Arc<Vec<MetadataValue<Ascii>>>,
    week: i64,
    count: usize,
}

impl Asking {
    pub(crate) async fn new(bed: &Bed, side: &Side, count: usize) -> Outcome<Self> {
        Self::at(bed, &side.service, &side.tokens, count).await
    }

    async fn at(
        bed: &Bed,
        service: &Process,
        tokens: &Arc<Vec<MetadataValue<Ascii>>>,
        count: usize,
    ) -> Outcome<Self> {
        let channels = service.connect(connections(count)).await?;
        Ok(Self {
            clients: channels.into_iter().map(AvailabilityServiceClient::new).collect(),
            tokens: Arc::clone(tokens),
            week: bed.calendar.week(),
            count,
        })
    }

    fn client(&self, caller: usize) -> AvailabilityServiceClient<Channel> {
        self.clients[caller % self.clients.len()].clone()
    }

    fn request<T>(&self, caller: usize, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.tokens[caller % self.tokens.len()].clone();
        request.metadata_mut().insert("authorization", token);
        request
    }

    fn month(&self, provider: Option<u32>, page_size: i32) -> ListSlotsRequest {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let name = provider.map(|number| format!("providers/{}", Kind::Provider.id(number)));
        ListSlotsRequest {
            appointment_type: format!("appointmentTypes/{}", Kind::Type.id(OFFERED)),
            providers: name.into_iter().collect(),
            start_time: at(self.week),
            end_time: at(self.week + MONTH),
            page_size,
            ..ListSlotsRequest::default()
        }
    }

    /// How many slots a provider has in the month.
    pub(crate) async fn slots(&self) -> Outcome<usize> {
        let request = self.request(0, self.month(Some(0), 0));
        Ok(self.client(0).list_slots(request).await?.into_inner().slots.len())
    }

    /// How many lists of one provider, who has about so many slots, come each second.
    pub(crate) async fn of_one(&self, time: Duration, slots: usize) -> Outcome<f64> {
        Ok(self.list(time, Of::One(slots)).await?.rate())
    }

    async fn list(&self, time: Duration, of: Of) -> Outcome<Tally> {
        let tally = closed(self.count, time, |caller, random: &mut Random| {
            let (request, least) = match of {
                Of::One(slots) => {
                    let size = i32::try_from(slots).unwrap_or(i32::MAX);
                    // On some days one more is booked or one less.
                    (self.month(Some(random.below(ASKED)), size), slots.saturating_sub(10))
                }
                Of::Any => (self.month(None, 0), 200),
            };
            let request = self.request(caller, request);
            let mut client = self.client(caller);
            async move {
                let count = client.list_slots(request).await?.into_inner().slots.len();
                if count < least { Err(other(&format!("only {count} slots"))) } else { Ok(()) }
            }
        });
        tally.await.only(&["OK"])
    }

    async fn first(&self, time: Duration) -> Outcome<Tally> {
        // Friday at 16:30.
        let expected = self.week + 4 * 86_400 + 16 * 3600 + 1800;
        let tally = closed(self.count, time, |caller, _| {
            let request = self.request(
                caller,
                FindFirstSlotRequest {
                    appointment_type: format!("appointmentTypes/{}", Kind::Type.id(FULL)),
                    start_time: Some(Timestamp { seconds: self.week, nanos: 0 }),
                    ..FindFirstSlotRequest::default()
                },
            );
            let mut client = self.client(caller);
            async move {
                let answer = client.find_first_slot(request).await?.into_inner();
                let found = answer.slot.and_then(|slot| slot.start_time).map(|at| at.seconds);
                if found == Some(expected) {
                    Ok(())
                } else {
                    Err(other(&format!("another first slot: {found:?}")))
                }
            }
        });
        tally.await.only(&["OK"])
    }
}

/// An answer that is another one than was expected, as a failed call.
fn other(what: &str) -> Status {
    Status::from_error(what.into())
}

/// What was measured of one side in one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    one: f64,
    micros: f64,
    one_alone: f64,
    any_alone: f64,
    first_alone: f64,
}

async fn round(bed: &Bed, side: &Side, slots: usize) -> Outcome<Round> {
    let time = bed.settings.time();
    let alone = Asking::new(bed, side, 1).await?;
    let together = Asking::new(bed, side, CALLERS).await?;
    let meter = Meter::start(&side.service)?;
    let tally = together.list(time, Of::One(slots)).await?;
    let micros = meter.micros_each(tally.all_calls())?;
    Ok(Round {
        one: tally.rate(),
        micros,
        one_alone: alone.list(time, Of::One(slots)).await?.quantile(0.5),
        any_alone: alone.list(time, Of::Any).await?.quantile(0.5),
        first_alone: alone.first(time).await?.quantile(0.5),
    })
}

/// Both databases in each round; the questions and their answers are the same in both.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    tell("storing types, and weeks that are nearly full");
    bed.reset().await?;
    for side in [&bed.small, &bed.large] {
        seed::types(&bed.cluster, side.database, bed.calendar).await?;
    }
    let channels = bed.echo.connect(2).await?;
    let script = Script::month(bed.calendar);
    let (seconds, time) = (bed.settings.seconds, bed.settings.time());
    let slots = Asking::new(bed, &bed.small, 1).await?.slots().await?;
    let large_echo = Asking::at(bed, &bed.echo, &bed.small.tokens, CALLERS).await?;
    let (mut limits, mut large, mut rounds) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=bed.settings.rounds {
        tell(&format!("slots, round {number} of {}", bed.settings.rounds));
        let echo = echoing(&channels, 32, time).await?.rate();
        let bare = script.run(&bed.cluster, bed.small.database, CALLERS, seconds).await?.rate;
        limits.push(1.0 / (1.0 / echo + 1.0 / bare));
        let echo = large_echo.list(time, Of::One(slots)).await?.rate();
        large.push((echo, 1.0 / (1.0 / echo + 1.0 / bare)));
        rounds.push((round(bed, &bed.small, slots).await?, round(bed, &bed.large, slots).await?));
    }
    report.row(Row {
        figure: format!("echo that answers {slots} slots, {CALLERS} callers"),
        measured: Spread::of(large.iter().map(|(echo, _)| *echo)).text(0, "/s"),
        ..Row::default()
    });
    let ratio = Spread::of(rounds.iter().zip(&limits).map(|((small, _), limit)| small.one / limit));
    report.row(Row {
        figure: format!("slots of one provider and a month, {CALLERS} callers"),
        goal: "≥ 0.7".to_owned(),
        limit: Spread::of(limits.iter().copied()).text(0, "/s"),
        measured: Spread::of(rounds.iter().map(|(small, _)| small.one)).text(0, "/s"),
        ratio: ratio.text(2, ""),
        met: met(ratio.median >= 0.7),
    });
    let ratio = rounds.iter().zip(&large).map(|((small, _), (_, limit))| small.one / limit);
    report.row(Row {
        figure: "the same, the limit's echo answering as many slots".to_owned(),
        limit: Spread::of(large.iter().map(|(_, limit)| *limit)).text(0, "/s"),
        measured: Spread::of(rounds.iter().map(|(small, _)| small.one)).text(0, "/s"),
        ratio: Spread::of(ratio).text(2, ""),
        ..Row::default()
    });
    report.note(format!(
        "The server's processor time for the slots of one provider and a month: {}.",
        Spread::of(rounds.iter().map(|(small, _)| small.micros)).text(0, " µs"),
    ));
    let kinds: [(String, f64, fn(&Round) -> f64); 3] = [
        ("one provider and a month".to_owned(), f64::INFINITY, |round| round.one_alone),
        (format!("any of {ASKED} and a month"), 10.0, |round| round.any_alone),
        (
            format!("the first of {} with nearly full weeks", thousands(FULL_PROVIDERS.into(), 0)),
            50.0,
            |round| round.first_alone,
        ),
    ];
    let many = thousands(f64::from(bed.settings.many), 0);
    for (name, most, value) in kinds {
        let small = Spread::of(rounds.iter().map(|(small, _)| value(small)));
        let large = Spread::of(rounds.iter().map(|(_, large)| value(large)));
        let dearer = Spread::of(rounds.iter().map(|(small, large)| value(large) / value(small)));
        let within = small.median <= most && large.median <= most && dearer.median <= GROWTH;
        let goal = if most.is_finite() { format!("≤ {most} ms, ") } else { String::new() };
        report.row(Row {
            figure: format!("slots, {name}, alone, median, 1,000 → {many} stored"),
            goal: format!("{goal}≤ {GROWTH} ×"),
            limit: "itself".to_owned(),
            measured: format!("{} → {}", small.text(2, " ms"), large.text(2, " ms")),
            ratio: dearer.text(2, ""),
            met: met(within),
        });
    }
    Ok(())
}
