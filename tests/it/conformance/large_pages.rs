//! Pages of large items are short enough for a client that reads 4 MiB, and none is left out.

use chrono::{Datelike as _, NaiveDate};
use daybook::grpc::proto::{
    booking::{
        Answer, AppointmentType, BookAppointmentRequest, CreateScheduleRequest,
        DeleteScheduleRequest, IntakeQuestion, ListAppointmentsRequest, ListSlotsRequest, Schedule,
        answer::Value, intake_question::Kind,
    },
    google::r#type::DayOfWeek,
};

use super::{
    behaviours,
    overrides::own,
    schedules::{update, window},
};
use crate::support::{
    World, instant,
    refusal::refused,
    types::{kind, minutes, typed},
};

behaviours!(
    large_appointments_come_in_short_pages,
    slots_with_many_providers_come_in_short_pages,
    the_schedules_of_a_provider_are_bounded_in_all,
);

async fn the_schedules_of_a_provider_are_bounded_in_all(world: World) {
    let provider = world.provider().await;
    let first = NaiveDate::from_ymd_opt(2026, 12, 1).unwrap();
    let dates = first.iter_days().take(1000).map(|date| {
        let day = (date.year(), date.month().try_into().unwrap(), date.day().try_into().unwrap());
        own(day, &[((8, 0), (12, 0)), ((13, 0), (17, 0))])
    });
    let dates: Vec<_> = dates.collect();
    let create = async |id: &str| {
        let time_zone = "UTC".to_owned();
        let schedule = Schedule { time_zone, date_overrides: dates.clone(), ..Default::default() };
        let request = CreateScheduleRequest {
            parent: provider.provider(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            ..Default::default()
        };
        world.schedule().create_schedule(provider.asks(request)).await
    };
    create("one").await.unwrap();
    create("two").await.unwrap();
    let state = world.state().await;
    refused(create("three").await, "TOO_MANY");
    let open =
        Schedule { name: provider.schedule(), date_overrides: dates.clone(), ..Default::default() };
    refused(update(&world, &provider, open, &["date_overrides"]).await, "TOO_MANY");
    assert_eq!(world.state().await, state);
    // What takes nothing is not refused, and what is deleted makes room.
    let fewer = Schedule {
        name: provider.schedule_named("one"),
        date_overrides: dates[..10].to_vec(),
        ..Default::default()
    };
    update(&world, &provider, fewer, &["date_overrides"]).await.unwrap();
    create("three").await.unwrap();
    let name = provider.schedule_named("two");
    let request = DeleteScheduleRequest { name, ..Default::default() };
    world.schedule().delete_schedule(provider.asks(request)).await.unwrap();
    create("four").await.unwrap();
}

async fn large_appointments_come_in_short_pages(world: World) {
    const COUNT: usize = 90;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let ids: Vec<String> = (0..28).map(|number| format!("q{number}")).collect();
    let question = |id: &String| IntakeQuestion {
        id: id.clone(),
        text: "What about it?".to_owned(),
        kind: Kind::Text.into(),
        ..Default::default()
    };
    let of = AppointmentType { questions: ids.iter().map(question).collect(), ..kind(&[5]) };
    let of = world.own_type(&provider, of).await;
    let answers: Vec<Answer> = ids
        .iter()
        .map(|id| Answer {
            question: id.clone(),
            value: Some(Value::TextValue("x".repeat(2000))),
            ..Default::default()
        })
        .collect();
    for number in 0..COUNT {
        let start = format!("2026-11-23 {:02}:{:02}", 9 + number * 5 / 60, number * 5 % 60);
        let request =
            BookAppointmentRequest { answers: answers.clone(), ..typed(&provider, &of, &start) };
        world.send(&customer, request).await.unwrap();
    }
    let mut request = ListAppointmentsRequest { page_size: 500, ..Default::default() };
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let asked = customer.asks(request.clone());
        let page = world.booking().list_appointments(asked).await.unwrap().into_inner();
        found.extend(page.appointments.into_iter().map(|each| each.start_time.unwrap().seconds));
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!(found.len(), COUNT);
    assert!(found.is_sorted_by(|one, two| one < two));
}

async fn slots_with_many_providers_come_in_short_pages(world: World) {
    const PROVIDERS: usize = 20;
    let (admin, customer) = (world.admin().await, world.customer().await);
    let of = AppointmentType { slot_step: minutes(5), ..kind(&[5]) };
    let of = world.shared_type(&admin, of, &[]).await;
    for _ in 0..PROVIDERS {
        let provider = world.provider().await;
        let weekly_windows =
            (1..=7).map(|day| window(DayOfWeek::try_from(day).unwrap(), (0, 0), (24, 0))).collect();
        let open = Schedule { name: provider.schedule(), weekly_windows, ..Default::default() };
        update(&world, &provider, open, &["weekly_windows"]).await.unwrap();
        world.offer(&admin, &of, &provider, "").await;
    }
    let mut request =
        ListSlotsRequest { appointment_type: of.name, page_size: 5000, ..Default::default() };
    let mut starts = Vec::new();
    for _ in 0..3 {
        let answer = world.slots().list_slots(customer.asks(request.clone())).await;
        let page = answer.unwrap().into_inner();
        assert!(page.slots.iter().all(|slot| slot.providers.len() == PROVIDERS));
        starts.extend(page.slots.iter().map(|slot| slot.start_time.unwrap().seconds));
        request.page_token = page.next_page_token;
    }
    // Every five minutes from now on, without a gap where a page ended.
    let first = instant("2026-11-22 13:05", "Europe/Berlin").timestamp();
    assert!(starts.len() > 4000);
    assert!((0..).zip(&starts).all(|(place, start)| *start == first + 300 * place));
}
