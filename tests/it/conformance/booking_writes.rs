//! The writes of BookingService as data.

use daybook::grpc::proto::booking::{
    Answer, Appointment, ApproveAppointmentRequest, BookAppointmentRequest,
    CorrectAppointmentRequest, DeclineAppointmentRequest, ExtendHoldRequest, HoldSlotRequest,
    MarkNoShowRequest, OfferAppointmentTypeRequest, ReassignAppointmentRequest, ReleaseHoldRequest,
    RescheduleAppointmentRequest, UpdateAppointmentRequest, answer::Value, appointment::State,
};
use prost_types::{FieldMask, Timestamp};

use super::{
    catalogue::{create, mins, plain},
    writes::{Case, Cast},
};
use crate::support::{
    World, berlin,
    people::{Person, booking, uuid},
};

/// What the cases are about, beside the cast.
struct Stage {
    provider: Person,
    customer: Person,
    /// Offered by `provider` and by the cast's `busy`.
    plain: String,
    approved: String,
}

async fn stage(world: &World, cast: &Cast) -> Stage {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain_type = create(world, &cast.admin, plain()).await.unwrap().name;
    let wanted =
        daybook::grpc::proto::booking::AppointmentType { requires_approval: true, ..plain() };
    let approved = create(world, &cast.admin, wanted).await.unwrap().name;
    for (appointment_type, who) in
        [(&plain_type, &provider), (&approved, &provider), (&plain_type, &cast.busy)]
    {
        let request = OfferAppointmentTypeRequest {
            appointment_type: appointment_type.clone(),
            provider: who.provider(),
            ..Default::default()
        };
        world.catalogue().offer_appointment_type(cast.admin.asks(request)).await.unwrap();
    }
    Stage { provider, customer, plain: plain_type, approved }
}

impl Stage {
    /// Records a visit of the customer that ends now, and marks it as missed; its name.
    async fn missed(&self, world: &World, cast: &Cast) -> String {
        let request = BookAppointmentRequest {
            customer: self.customer.user.name.clone(),
            ..booking(&cast.busy, berlin("2026-11-23 12:30"), berlin("2026-11-23 12:45"))
        };
        let made = world.booking().book_appointment(cast.busy.asks(request)).await.unwrap();
        let name = made.into_inner().appointment.unwrap().name;
        let request = MarkNoShowRequest { name: name.clone(), ..Default::default() };
        world.booking().mark_no_show(cast.busy.asks(request)).await.unwrap();
        name
    }

    /// Books for the customer; its name.
    async fn booked(&self, world: &World, appointment_type: &str, local: &str) -> String {
        let request = BookAppointmentRequest {
            provider: self.provider.provider(),
            start_time: Some(berlin(local)),
            appointment_type: appointment_type.to_owned(),
            ..Default::default()
        };
        let made = world.booking().book_appointment(self.customer.asks(request)).await.unwrap();
        made.into_inner().appointment.unwrap().name
    }

    async fn held(&self, world: &World, local: &str) -> String {
        let request = HoldSlotRequest {
            provider: self.provider.provider(),
            start_time: Some(berlin(local)),
            appointment_type: self.plain.clone(),
            ..Default::default()
        };
        let held = world.booking().hold_slot(self.customer.asks(request)).await.unwrap();
        held.into_inner().hold.unwrap().name
    }
}

/// The cases. They change nothing that the cases of other services see.
pub(super) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let stage = stage(world, cast).await;
    let mut all = vec![books(world, cast, &stage).await];
    all.extend(holds(world, cast, &stage).await);
    all.extend(answers(world, &stage).await);
    all.extend(moves(world, cast, &stage).await);
    all
}

/// An admin books for a customer.
async fn books(world: &World, cast: &Cast, stage: &Stage) -> Case {
    let (start, end) = (berlin("2026-11-24 10:00"), berlin("2026-11-24 10:30"));
    let book = BookAppointmentRequest {
        note: "with a note".to_owned(),
        customer: stage.customer.user.name.clone(),
        request_id: uuid(),
        ..booking(&cast.provider, start, end)
    };
    let typed = BookAppointmentRequest {
        provider: stage.provider.provider(),
        appointment_type: stage.plain.clone(),
        end_time: None,
        ..book.clone()
    };
    let hold = stage.held(world, "2026-11-24 15:00").await;
    let held = BookAppointmentRequest {
        hold,
        note: book.note.clone(),
        request_id: book.request_id.clone(),
        ..Default::default()
    };
    let answers = vec![Answer {
        question: "why".to_owned(),
        value: Some(Value::TextValue("so".to_owned())),
        ..Default::default()
    }];
    let other = cast.other_provider.provider();
    let time = |local: &str| Some(berlin(local));
    let changed = vec![
        ("provider", BookAppointmentRequest { provider: other, ..book.clone() }),
        ("provider", BookAppointmentRequest { provider: String::new(), ..typed.clone() }),
        (
            "start_time",
            BookAppointmentRequest { start_time: time("2026-11-24 10:10"), ..book.clone() },
        ),
        ("end_time", BookAppointmentRequest { end_time: time("2026-11-24 10:20"), ..book.clone() }),
        ("note", BookAppointmentRequest { note: String::new(), ..book.clone() }),
        ("appointment_type", typed.clone()),
        ("duration", BookAppointmentRequest { duration: mins(30), ..typed.clone() }),
        ("answers", BookAppointmentRequest { answers, ..typed.clone() }),
        ("link_code", BookAppointmentRequest { link_code: "x".to_owned(), ..typed.clone() }),
        ("hold", held),
        (
            "customer",
            BookAppointmentRequest { customer: cast.customer.user.name.clone(), ..book.clone() },
        ),
        (
            "override_reason",
            BookAppointmentRequest { override_reason: "asked to".to_owned(), ..book.clone() },
        ),
    ];
    Case::new(path("BookAppointment"), Some(&cast.admin), &book, changed)
}

async fn holds(world: &World, cast: &Cast, stage: &Stage) -> Vec<Case> {
    let hold = HoldSlotRequest {
        provider: stage.provider.provider(),
        start_time: Some(berlin("2026-11-24 11:00")),
        appointment_type: stage.plain.clone(),
        request_id: uuid(),
        ..Default::default()
    };
    let bare = HoldSlotRequest {
        appointment_type: String::new(),
        end_time: Some(berlin("2026-11-24 11:30")),
        ..hold.clone()
    };
    let rescheduling = stage.booked(world, &stage.plain, "2026-11-24 13:00").await;
    let other: Timestamp = berlin("2026-11-24 11:30");
    let later: Timestamp = berlin("2026-11-24 11:45");
    let holds = vec![
        ("provider", HoldSlotRequest { provider: cast.busy.provider(), ..hold.clone() }),
        ("start_time", HoldSlotRequest { start_time: Some(other), ..hold.clone() }),
        ("end_time", HoldSlotRequest { end_time: Some(later), ..bare.clone() }),
        ("appointment_type", bare),
        ("duration", HoldSlotRequest { duration: mins(30), ..hold.clone() }),
        ("link_code", HoldSlotRequest { link_code: "x".to_owned(), ..hold.clone() }),
        ("hold_duration", HoldSlotRequest { hold_duration: mins(7), ..hold.clone() }),
        (
            "customer",
            HoldSlotRequest { customer: stage.customer.user.name.clone(), ..hold.clone() },
        ),
        ("rescheduling", HoldSlotRequest { rescheduling, ..hold.clone() }),
    ];
    let name = stage.held(world, "2026-11-24 12:00").await;
    let extend = ExtendHoldRequest { name, hold_duration: mins(10), request_id: uuid() };
    let given_up = stage.held(world, "2026-11-24 12:30").await;
    let extends = vec![
        ("name", ExtendHoldRequest { name: given_up.clone(), ..extend.clone() }),
        ("hold_duration", ExtendHoldRequest { hold_duration: mins(11), ..extend.clone() }),
    ];
    let release = ReleaseHoldRequest { name: given_up, request_id: uuid() };
    let releases =
        vec![("name", ReleaseHoldRequest { name: extend.name.clone(), ..release.clone() })];
    let caller = Some(&stage.customer);
    vec![
        Case::new(path("HoldSlot"), caller, &hold, holds),
        Case::new(path("ExtendHold"), caller, &extend, extends),
        Case::new(path("ReleaseHold"), caller, &release, releases),
    ]
}

async fn answers(world: &World, stage: &Stage) -> Vec<Case> {
    let spare = stage.booked(world, &stage.approved, "2026-11-25 09:00").await;
    let etag = "\"999\"".to_owned();
    let approve = ApproveAppointmentRequest {
        name: stage.booked(world, &stage.approved, "2026-11-25 09:30").await,
        etag: String::new(),
        request_id: uuid(),
    };
    let approves = vec![
        ("name", ApproveAppointmentRequest { name: spare.clone(), ..approve.clone() }),
        ("etag", ApproveAppointmentRequest { etag: etag.clone(), ..approve.clone() }),
    ];
    let decline = DeclineAppointmentRequest {
        name: stage.booked(world, &stage.approved, "2026-11-25 10:00").await,
        reason: "no".to_owned(),
        etag: String::new(),
        request_id: uuid(),
    };
    let declines = vec![
        ("name", DeclineAppointmentRequest { name: spare.clone(), ..decline.clone() }),
        ("reason", DeclineAppointmentRequest { reason: String::new(), ..decline.clone() }),
        ("etag", DeclineAppointmentRequest { etag: etag.clone(), ..decline.clone() }),
    ];
    let update = UpdateAppointmentRequest {
        appointment: Some(Appointment {
            name: approve.name.clone(),
            customer_message: "bring a towel".to_owned(),
            private_note: "late last time".to_owned(),
            ..Default::default()
        }),
        update_mask: None,
        request_id: uuid(),
    };
    let with = |change: &dyn Fn(&mut Appointment)| {
        let mut update = update.clone();
        change(update.appointment.as_mut().unwrap());
        update
    };
    let mask = Some(FieldMask { paths: vec!["private_note".to_owned()] });
    let updates = vec![
        ("appointment", with(&|a| a.name.clone_from(&spare))),
        ("appointment", with(&|a| a.customer_message.clear())),
        ("appointment", with(&|a| a.private_note.clear())),
        ("appointment", with(&|a| a.etag.clone_from(&etag))),
        ("update_mask", UpdateAppointmentRequest { update_mask: mask, ..update.clone() }),
    ];
    let caller = Some(&stage.provider);
    vec![
        Case::new(path("ApproveAppointment"), caller, &approve, approves),
        Case::new(path("DeclineAppointment"), caller, &decline, declines),
        Case::new(path("UpdateAppointment"), caller, &update, updates),
    ]
}

async fn moves(world: &World, cast: &Cast, stage: &Stage) -> Vec<Case> {
    let spare = stage.booked(world, &stage.plain, "2026-11-26 09:00").await;
    let (etag, why) = ("\"999\"".to_owned(), "asked to".to_owned());
    let (start, end) = (berlin("2026-11-26 10:00"), berlin("2026-11-26 10:30"));
    let bare = world.book(&stage.customer, &stage.provider, start, end).await.unwrap().name;
    let reschedule = RescheduleAppointmentRequest {
        name: bare,
        start_time: Some(berlin("2026-11-26 11:00")),
        request_id: uuid(),
        ..Default::default()
    };
    let (later, longer) = (Some(berlin("2026-11-26 11:30")), Some(berlin("2026-11-26 12:00")));
    let with = |request: RescheduleAppointmentRequest| request;
    let reschedules = vec![
        ("name", with(RescheduleAppointmentRequest { name: spare.clone(), ..reschedule.clone() })),
        ("start_time", RescheduleAppointmentRequest { start_time: later, ..reschedule.clone() }),
        ("end_time", RescheduleAppointmentRequest { end_time: longer, ..reschedule.clone() }),
        ("reason", RescheduleAppointmentRequest { reason: why.clone(), ..reschedule.clone() }),
        (
            "override_reason",
            RescheduleAppointmentRequest { override_reason: why.clone(), ..reschedule.clone() },
        ),
        ("etag", RescheduleAppointmentRequest { etag: etag.clone(), ..reschedule.clone() }),
    ];
    let reassign = ReassignAppointmentRequest {
        name: stage.booked(world, &stage.plain, "2026-11-26 14:00").await,
        provider: cast.busy.provider(),
        request_id: uuid(),
        ..Default::default()
    };
    let other = cast.provider.provider();
    let reassigns = vec![
        ("name", ReassignAppointmentRequest { name: spare, ..reassign.clone() }),
        ("provider", ReassignAppointmentRequest { provider: other, ..reassign.clone() }),
        ("reason", ReassignAppointmentRequest { reason: why.clone(), ..reassign.clone() }),
        (
            "override_reason",
            ReassignAppointmentRequest { override_reason: why, ..reassign.clone() },
        ),
        ("etag", ReassignAppointmentRequest { etag: etag.clone(), ..reassign.clone() }),
    ];
    let missed = MarkNoShowRequest {
        name: cast.appointments[3].clone(),
        etag: String::new(),
        request_id: uuid(),
        free_rest: false,
    };
    let misses = vec![
        ("name", MarkNoShowRequest { name: cast.appointments[1].clone(), ..missed.clone() }),
        ("etag", MarkNoShowRequest { etag: etag.clone(), ..missed.clone() }),
        ("free_rest", MarkNoShowRequest { free_rest: true, ..missed.clone() }),
    ];
    let corrected = CorrectAppointmentRequest {
        name: stage.missed(world, cast).await,
        state: State::Completed.into(),
        reason: "they came after all".to_owned(),
        etag: String::new(),
        request_id: uuid(),
    };
    let (name, state) = (cast.appointments[1].clone(), State::Booked.into());
    let corrections = vec![
        ("name", CorrectAppointmentRequest { name, ..corrected.clone() }),
        ("state", CorrectAppointmentRequest { state, ..corrected.clone() }),
        ("reason", CorrectAppointmentRequest { reason: "x".to_owned(), ..corrected.clone() }),
        ("etag", CorrectAppointmentRequest { etag, ..corrected.clone() }),
    ];
    let admin = Some(&cast.admin);
    vec![
        Case::new(path("RescheduleAppointment"), admin, &reschedule, reschedules),
        Case::new(path("ReassignAppointment"), admin, &reassign, reassigns),
        Case::new(path("MarkNoShow"), Some(&cast.busy), &missed, misses),
        Case::new(path("CorrectAppointment"), Some(&cast.busy), &corrected, corrections),
    ]
}

fn path(method: &str) -> &'static str {
    let wanted = format!("BookingService/{method}");
    let all = daybook::grpc::policy::TABLE;
    all.iter().find(|(path, ..)| path.ends_with(&wanted)).unwrap().0
}
