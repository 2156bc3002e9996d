//! Reasons of schedules, types, appointments and holds. Each has days or hours of its own.

use daybook::grpc::proto::{
    booking::{
        Appointment, AppointmentType, BookingLimits, CancelAppointmentRequest,
        CompleteAppointmentRequest, CreateScheduleRequest, DeleteScheduleRequest,
        ExtendHoldRequest, ReleaseHoldRequest, Schedule, UpdateAppointmentRequest,
        UpdateScheduleRequest, WeeklyWindow, appointment_type::Horizon,
    },
    google::r#type::{DayOfWeek, TimeOfDay},
};
use prost_types::FieldMask;
use tonic::Status;

use super::{Stage, refusal};
use crate::support::{
    berlin,
    people::Person,
    types::{holding, kind, minutes},
};

impl Stage {
    /// Books a bare interval with the provider.
    async fn book(
        &self,
        customer: &Person,
        from: &str,
        until: &str,
    ) -> Result<Appointment, Status> {
        self.world.book(customer, &self.provider, berlin(from), berlin(until)).await
    }

    /// A new provider whose schedule has this of its own.
    async fn provider_with(&self, path: &str, schedule: Schedule) -> Person {
        let provider = self.world.provider().await;
        let schedule = Some(Schedule { name: provider.schedule(), ..schedule });
        let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
        let request = UpdateScheduleRequest { schedule, update_mask, ..Default::default() };
        self.world.schedule().update_schedule(provider.asks(request)).await.unwrap();
        provider
    }

    /// Books a new type of the provider's own.
    async fn book_new(&self, rules: AppointmentType, start: &str) -> Result<Appointment, Status> {
        let kind = self.world.own_type(&self.provider, rules).await;
        self.world.book_type(&self.customer, &self.provider, &kind, start).await
    }
}

pub(super) async fn slot_taken(stage: &Stage) -> Status {
    stage.book(&stage.other, "2026-11-23 09:00", "2026-11-23 09:30").await.unwrap();
    refusal(stage.book(&stage.customer, "2026-11-23 09:00", "2026-11-23 09:30").await)
}

pub(super) async fn etag_stale(stage: &Stage) -> Status {
    let booked = stage.book(&stage.customer, "2026-11-23 09:30", "2026-11-23 10:00").await.unwrap();
    let appointment = Appointment {
        name: booked.name.clone(),
        customer_message: "Please ring twice.".to_owned(),
        ..Default::default()
    };
    let request = UpdateAppointmentRequest { appointment: Some(appointment), ..Default::default() };
    stage.world.booking().update_appointment(stage.provider.asks(request)).await.unwrap();
    let (name, etag) = (booked.name, booked.etag);
    let request = CancelAppointmentRequest { name, etag, ..Default::default() };
    refusal(stage.world.booking().cancel_appointment(stage.customer.asks(request)).await)
}

pub(super) async fn outside_hours(stage: &Stage) -> Status {
    refusal(stage.book(&stage.customer, "2026-11-23 03:00", "2026-11-23 03:30").await)
}

pub(super) async fn in_the_past(stage: &Stage) -> Status {
    refusal(stage.book(&stage.customer, "2026-11-20 10:00", "2026-11-20 10:30").await)
}

pub(super) async fn too_long(stage: &Stage) -> Status {
    let schedule = Schedule { longest_booking: minutes(60), ..Default::default() };
    let provider = stage.provider_with("longest_booking", schedule).await;
    let (from, until) = (berlin("2026-11-27 09:00"), berlin("2026-11-27 10:30"));
    refusal(stage.world.book(&stage.customer, &provider, from, until).await)
}

pub(super) async fn too_short(stage: &Stage) -> Status {
    refusal(stage.book(&stage.customer, "2026-11-23 10:00", "2026-11-23 10:00:30").await)
}

pub(super) async fn own_time(stage: &Stage) -> Status {
    refusal(stage.book(&stage.provider, "2026-11-23 10:00", "2026-11-23 10:30").await)
}

pub(super) async fn customer_busy(stage: &Stage) -> Status {
    stage.book(&stage.customer, "2026-11-23 11:00", "2026-11-23 11:30").await.unwrap();
    let (another, world) = (stage.world.provider().await, &stage.world);
    let (from, until) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    refusal(world.book(&stage.customer, &another, from, until).await)
}

pub(super) async fn not_started(stage: &Stage) -> Status {
    let booked = stage.book(&stage.customer, "2026-11-23 12:00", "2026-11-23 12:30").await.unwrap();
    let request = CompleteAppointmentRequest { name: booked.name, ..Default::default() };
    refusal(stage.world.booking().complete_appointment(stage.provider.asks(request)).await)
}

pub(super) async fn wrong_state(stage: &Stage) -> Status {
    let booked = stage.book(&stage.customer, "2026-11-23 12:30", "2026-11-23 13:00").await.unwrap();
    stage.world.cancel(&stage.customer, &booked.name).await.unwrap();
    refusal(stage.world.cancel(&stage.customer, &booked.name).await)
}

pub(super) async fn notice_too_short(stage: &Stage) -> Status {
    let rules = AppointmentType { minimum_notice: minutes(2 * 24 * 60), ..kind(&[30]) };
    refusal(stage.book_new(rules, "2026-11-23 13:00").await)
}

pub(super) async fn beyond_horizon(stage: &Stage) -> Status {
    let rules = AppointmentType { horizon: Some(Horizon::RollingDays(1)), ..kind(&[30]) };
    refusal(stage.book_new(rules, "2026-11-24 13:00").await)
}

pub(super) async fn off_grid(stage: &Stage) -> Status {
    refusal(stage.book_new(kind(&[30]), "2026-11-24 13:07").await)
}

pub(super) async fn time_off(stage: &Stage) -> Status {
    stage.world.time_off(&stage.provider, "2026-12-01 09:00", "2026-12-01 12:00").await;
    refusal(stage.book(&stage.customer, "2026-12-01 10:00", "2026-12-01 10:30").await)
}

pub(super) async fn practice_closed(stage: &Stage) -> Status {
    stage.world.closure(&stage.admin, "2026-12-02 00:00", "2026-12-03 00:00").await;
    refusal(stage.book(&stage.customer, "2026-12-02 10:00", "2026-12-02 10:30").await)
}

/// Books a type with these limits at both times; the second one's answer.
async fn limited(stage: &Stage, limits: BookingLimits, starts: [&str; 2]) -> Status {
    let rules = AppointmentType { limits: Some(limits), ..kind(&[30]) };
    let kind = stage.world.own_type(&stage.provider, rules).await;
    let book = async |start: &str| {
        stage.world.book_type(&stage.customer, &stage.provider, &kind, start).await
    };
    book(starts[0]).await.unwrap();
    refusal(book(starts[1]).await)
}

pub(super) async fn day_limit(stage: &Stage) -> Status {
    let limits = BookingLimits { per_provider_day: 1, ..Default::default() };
    limited(stage, limits, ["2026-12-07 09:00", "2026-12-07 10:00"]).await
}

pub(super) async fn week_limit(stage: &Stage) -> Status {
    let limits = BookingLimits { per_provider_week: 1, ..Default::default() };
    limited(stage, limits, ["2026-12-14 09:00", "2026-12-15 09:00"]).await
}

pub(super) async fn customer_limit(stage: &Stage) -> Status {
    let limits = BookingLimits { open_per_customer: 1, ..Default::default() };
    limited(stage, limits, ["2026-12-21 09:00", "2027-01-11 09:00"]).await
}

pub(super) async fn type_archived(stage: &Stage) -> Status {
    let kind = stage.world.own_type(&stage.provider, kind(&[30])).await;
    stage.world.archive(&stage.provider, &kind, true).await;
    let start = "2026-11-24 14:00";
    refusal(stage.world.book_type(&stage.customer, &stage.provider, &kind, start).await)
}

pub(super) async fn not_offered(stage: &Stage) -> Status {
    let kind = stage.world.shared_type(&stage.admin, kind(&[30]), &[]).await;
    let start = "2026-11-24 14:00";
    refusal(stage.world.book_type(&stage.customer, &stage.provider, &kind, start).await)
}

pub(super) async fn intervals_not_accepted(stage: &Stage) -> Status {
    let schedule = Schedule { accepts_intervals: Some(false), ..Default::default() };
    let provider = stage.provider_with("accepts_intervals", schedule).await;
    let (from, until) = (berlin("2026-11-27 11:00"), berlin("2026-11-27 11:30"));
    refusal(stage.world.book(&stage.customer, &provider, from, until).await)
}

pub(super) async fn too_late(stage: &Stage) -> Status {
    let rules = AppointmentType { cancel_cutoff: minutes(2 * 24 * 60), ..kind(&[30]) };
    let booked = stage.book_new(rules, "2026-11-23 15:00").await.unwrap();
    refusal(stage.world.cancel(&stage.customer, &booked.name).await)
}

/// Holds an interval of the other customer's; the name of the hold.
async fn hold(stage: &Stage, from: &str, until: &str) -> String {
    stage.world.hold_interval(&stage.other, &stage.provider, from, until).await
}

pub(super) async fn hold_ended(stage: &Stage) -> Status {
    let name = hold(stage, "2026-11-24 09:00", "2026-11-24 09:30").await;
    let release = async || {
        let request = ReleaseHoldRequest { name: name.clone(), ..Default::default() };
        stage.world.booking().release_hold(stage.other.asks(request)).await
    };
    release().await.unwrap();
    refusal(release().await)
}

pub(super) async fn hold_extended(stage: &Stage) -> Status {
    let name = hold(stage, "2026-11-24 09:30", "2026-11-24 10:00").await;
    let extend = async || {
        let request = ExtendHoldRequest { name: name.clone(), ..Default::default() };
        stage.world.booking().extend_hold(stage.other.asks(request)).await
    };
    extend().await.unwrap();
    refusal(extend().await)
}

pub(super) async fn too_many_holds(stage: &Stage) -> Status {
    let kind = stage.world.own_type(&stage.provider, kind(&[30])).await;
    for hour in 9..17 {
        let start = format!("2026-11-26 {hour:02}:00");
        let request = holding(&stage.provider, &kind, &start);
        if let Err(status) = stage.world.hold(&stage.customer, request).await {
            return status;
        }
    }
    panic!("eight holds at once");
}

/// A schedule with this name, open on Mondays.
async fn name_schedule(stage: &Stage, provider: &Person, id: &str) -> Result<String, Status> {
    let time = |hours| Some(TimeOfDay { hours, ..Default::default() });
    let day = DayOfWeek::Monday.into();
    let schedule = Schedule {
        time_zone: "Europe/Berlin".to_owned(),
        weekly_windows: vec![WeeklyWindow { day, start_time: time(9), end_time: time(17) }],
        ..Default::default()
    };
    let request = CreateScheduleRequest {
        parent: provider.provider(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        ..Default::default()
    };
    let answer = stage.world.schedule().create_schedule(provider.asks(request)).await?;
    Ok(answer.into_inner().schedule.unwrap().name)
}

pub(super) async fn name_taken(stage: &Stage) -> Status {
    name_schedule(stage, &stage.provider, "nights").await.unwrap();
    refusal(name_schedule(stage, &stage.provider, "nights").await)
}

pub(super) async fn too_many(stage: &Stage) -> Status {
    let provider = stage.world.provider().await;
    for number in 0..20 {
        name_schedule(stage, &provider, &format!("s{number}")).await.unwrap();
    }
    refusal(name_schedule(stage, &provider, "s20").await)
}

pub(super) async fn in_use(stage: &Stage) -> Status {
    let provider = stage.world.provider().await;
    let name = name_schedule(stage, &provider, "mondays").await.unwrap();
    let kind = stage.world.own_type(&provider, kind(&[30])).await;
    stage.world.offer(&provider, &kind, &provider, &name).await;
    let request = DeleteScheduleRequest { name, ..Default::default() };
    refusal(stage.world.schedule().delete_schedule(provider.asks(request)).await)
}
