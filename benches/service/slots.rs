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
    report::{Report, Row, Spread, met, thousands},
    seed::{self, ASKED, FULL, FULL_PROVIDERS, Kind, OFFERED},
    sql::Script,
    tell,
};

const CALLERS: usize = 16;
const MONTH: i64 = 31 * 86_400;
/// How much dearer many stored appointments may make a call.
const GROWTH: f64 = 1.2;

/// Callers who ask for slots.
struct Asking {
    clients: Vec<AvailabilityServiceClient<Channel>>,
    tokens: Arc<Vec<MetadataValue<Ascii>>>,
    week: i64,
    count: usize,
}

impl Asking {
    async fn new(bed: &Bed, side: &Side, count: usize) -> Outcome<Self> {
        let channels = side.service.connect(connections(count)).await?;
        Ok(Self {
            clients: channels.into_iter().map(AvailabilityServiceClient::new).collect(),
            tokens: Arc::clone(&bed.tokens),
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

    async fn list(&self, time: Duration, of_one: bool) -> Outcome<Tally> {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let tally = closed(self.count, time, |caller, random: &mut Random| {
            let one = format!("providers/{}", Kind::Provider.id(random.below(ASKED)));
            let request = self.request(
                caller,
                ListSlotsRequest {
                    appointment_type: format!("appointmentTypes/{}", Kind::Type.id(OFFERED)),
                    providers: if of_one { vec![one] } else { Vec::new() },
                    start_time: at(self.week),
                    end_time: at(self.week + MONTH),
                    ..ListSlotsRequest::default()
                },
            );
            let mut client = self.client(caller);
            async move {
                let answer = client.list_slots(request).await?.into_inner();
                let plenty = answer.slots.len() > 200;
                if plenty { Ok(()) } else { Err(other("too few slots")) }
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
    one_alone: f64,
    any_alone: f64,
    first_alone: f64,
}

async fn round(bed: &Bed, side: &Side) -> Outcome<Round> {
    let time = bed.settings.time();
    let (alone, together) =
        (Asking::new(bed, side, 1).await?, Asking::new(bed, side, CALLERS).await?);
    Ok(Round {
        one: together.list(time, true).await?.rate(),
        one_alone: alone.list(time, true).await?.quantile(0.5),
        any_alone: alone.list(time, false).await?.quantile(0.5),
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
    let (mut limits, mut rounds) = (Vec::new(), Vec::new());
    for number in 1..=bed.settings.rounds {
        tell(&format!("slots, round {number} of {}", bed.settings.rounds));
        let echo = echoing(&channels, 32, time).await?.rate();
        let bare = script.run(&bed.cluster, bed.small.database, CALLERS, seconds).await?.rate;
        limits.push(1.0 / (1.0 / echo + 1.0 / bare));
        rounds.push((round(bed, &bed.small).await?, round(bed, &bed.large).await?));
    }
    let ratio = Spread::of(rounds.iter().zip(&limits).map(|((small, _), limit)| small.one / limit));
    report.row(Row {
        figure: format!("slots of one provider and a month, {CALLERS} callers"),
        goal: "≥ 0.7".to_owned(),
        limit: Spread::of(limits.iter().copied()).text(0, "/s"),
        measured: Spread::of(rounds.iter().map(|(small, _)| small.one)).text(0, "/s"),
        ratio: ratio.text(2, ""),
        met: met(ratio.median >= 0.7),
    });
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
