//! People who are told what is stored about them.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        ExportMyDataRequest, ExportMyDataResponse, ListAuditEventsRequest, PersonalRecord,
        UpdateMeRequest, User, audit_event::Kind, personal_record::Record, second_factor::State,
    },
    booking::UpdateAppointmentRequest,
};
use tonic::Status;

use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        people::{PASSWORD, Person},
        refusal::{invalid, refused},
        types::kind,
    },
};

behaviours!(
    customers_are_told_everything_about_themselves,
    providers_are_told_what_they_offer_and_when,
    pages_are_read_to_the_end,
    a_token_alone_is_told_nothing,
    an_enrolment_is_told_as_long_as_it_waits,
    every_event_of_an_appointment_is_told,
);

async fn an_enrolment_is_told_as_long_as_it_waits(world: World) {
    let person = world.customer().await;
    world.enrol(&person).await;
    for (passed, expected) in
        [(TimeDelta::zero(), State::Pending), (TimeDelta::minutes(30), State::None)]
    {
        world.forward(passed);
        let person = world.log_in(&person.user.email).await;
        let records = all(&world, &person, 100).await;
        let told = records.into_iter().find_map(|record| match record.record {
            Some(Record::SecondFactor(told)) => Some(told.state()),
            _ => None,
        });
        assert_eq!(told, Some(expected), "after {passed}");
    }
}

async fn page(
    world: &World,
    person: &Person,
    (password, token, size): (&str, &str, i32),
) -> Result<ExportMyDataResponse, Status> {
    let request = ExportMyDataRequest {
        current_password: password.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    Ok(world.personal().export_my_data(person.asks(request)).await?.into_inner())
}

/// All records, in pages of this size.
async fn all(world: &World, person: &Person, size: i32) -> Vec<PersonalRecord> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(world, person, (PASSWORD, &token, size)).await.unwrap();
        found.extend(page.records);
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

/// How many records there are of each sort.
fn sorts(records: &[PersonalRecord]) -> BTreeMap<&'static str, usize> {
    let mut sorts = BTreeMap::new();
    for record in records {
        let sort = match record.record.as_ref().unwrap() {
            Record::User(_) => "user",
            Record::SecondFactor(_) => "second factor",
            Record::Session(_) => "session",
            Record::AccountEvent(_) => "account event",
            Record::AuditEvent(_) => "audit event",
            Record::Appointment(_) => "appointment",
            Record::Provider(_) => "provider",
            Record::Schedule(_) => "schedule",
            Record::TimeOff(_) => "time off",
            Record::Offering(_) => "offering",
            Record::AppointmentType(_) => "type",
        };
        *sorts.entry(sort).or_default() += 1;
    }
    sorts
}

async fn customers_are_told_everything_about_themselves(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let again = world.log_in(&customer.user.email).await;
    let user = Some(User { display_name: "Grace".to_owned(), ..Default::default() });
    let rename = UpdateMeRequest { user, ..Default::default() };
    world.auth().update_me(customer.asks(rename)).await.unwrap();
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let private = UpdateAppointmentRequest {
        appointment: Some(daybook::grpc::proto::booking::Appointment {
            name: booked.name.clone(),
            private_note: "Xylocopa".to_owned(),
            customer_message: "bring a friend".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.booking().update_appointment(provider.asks(private)).await.unwrap();
    // Somebody else's things are not among them.
    let (start, end) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    world.book(&world.customer().await, &provider, start, end).await.unwrap();

    let told = all(&world, &again, 0).await;
    let expected = [
        ("user", 1),
        ("second factor", 1),
        ("session", 2),
        ("account event", 2),
        // The sign-up, two log-ins, and this.
        ("audit event", 4),
        ("appointment", 1),
    ];
    assert_eq!(sorts(&told), BTreeMap::from(expected));
    let text = format!("{told:?}");
    for word in ["Grace", "bring a friend", &customer.user.email, &booked.name, "profile_changed"] {
        assert!(text.contains(word), "{word}");
    }
    for word in ["Xylocopa", "argon2", PASSWORD] {
        assert!(!text.contains(word), "{word}");
    }
    let own = told.iter().find_map(|record| match record.record.as_ref().unwrap() {
        Record::Appointment(own) => Some(own),
        _ => None,
    });
    let own = own.unwrap();
    assert_eq!(own.appointment, Some(world.get(&customer, &booked.name).await.unwrap()));
    assert_eq!(own.events, world.events_of(&customer, &booked.name).await.unwrap());
}

async fn providers_are_told_what_they_offer_and_when(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    world.own_type(&provider, kind(&[30])).await;
    world.schedule_for(&provider, "night").await;
    world.time_off(&provider, "2026-12-01 00:00", "2026-12-02 00:00").await;
    let (start, end) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    let told = sorts(&all(&world, &provider, 0).await);
    for (sort, count) in
        [("provider", 1), ("schedule", 2), ("time off", 1), ("offering", 1), ("type", 1)]
    {
        assert_eq!(told.get(sort), Some(&count), "{sort}");
    }
    // What customers booked is theirs, and the practice's.
    assert_eq!(told.get("appointment"), None);
}

async fn pages_are_read_to_the_end(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    for hour in 9..16 {
        let at = |minute: &str| berlin(&format!("2026-11-23 {hour:02}:{minute}"));
        world.book(&customer, &provider, at("00"), at("30")).await.unwrap();
    }
    let whole = all(&world, &customer, 500).await;
    for size in [1, 2, 7] {
        let told = sorts(&all(&world, &customer, size).await);
        assert_eq!(told.get("appointment"), Some(&7));
        assert_eq!(told.get("user"), Some(&1));
        assert_eq!(told.get("account event"), sorts(&whole).get("account event"));
    }
    let first = page(&world, &customer, (PASSWORD, "", 1)).await.unwrap();
    assert!(first.records.len() <= 2);
    let token = first.next_page_token;
    let other = world.customer().await;
    refused(page(&world, &other, (PASSWORD, &token, 1)).await, "INVALID_FIELDS");
}

async fn a_token_alone_is_told_nothing(world: World) {
    let (customer, admin) = (world.customer().await, world.admin().await);
    refused(page(&world, &customer, ("not the password", "", 0)).await, "CURRENT_PASSWORD_WRONG");
    let first = page(&world, &customer, (PASSWORD, "", 1)).await.unwrap();
    let token = first.next_page_token;
    let wrong = page(&world, &customer, ("not the password", &token, 1)).await;
    refused(wrong, "CURRENT_PASSWORD_WRONG");
    let request = ExportMyDataRequest { page_size: -1, ..Default::default() };
    let answer = world.personal().export_my_data(customer.asks(request)).await;
    invalid(answer, &["current_password", "page_size"]);
    let request = ListAuditEventsRequest {
        user: customer.user.name.clone(),
        kind: Kind::DataExported.into(),
        ..Default::default()
    };
    let trail = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    assert_eq!(trail.into_inner().audit_events.len(), 1);
    for _ in 0..20 {
        let guess = page(&world, &customer, ("not the password", "", 0)).await.unwrap_err();
        if crate::support::refusal::reason_of(&guess) == "TOO_MANY_ATTEMPTS" {
            break;
        }
    }
    refused(page(&world, &customer, (PASSWORD, "", 0)).await, "TOO_MANY_ATTEMPTS");
}

/// The events of each record of an appointment, in the order of the records.
async fn events_in_records(world: &World, person: &Person, size: i32) -> Vec<(String, Vec<i64>)> {
    let told =
        all(world, person, size).await.into_iter().filter_map(|record| match record.record {
            Some(Record::Appointment(own)) => {
                let versions = own.events.iter().map(|event| event.version).collect();
                Some((own.appointment.unwrap().name, versions))
            }
            _ => None,
        });
    told.collect()
}

async fn every_event_of_an_appointment_is_told(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let book = async |hour: u32| {
        let at = |minute: u32| berlin(&format!("2026-11-23 {hour:02}:{minute:02}"));
        world.book(&customer, &provider, at(0), at(30)).await.unwrap().name
    };
    let (first, last) = (book(10).await, book(12).await);
    let name = book(11).await;
    let write = async |times: usize| {
        for _ in 0..times {
            let request = UpdateAppointmentRequest {
                appointment: Some(daybook::grpc::proto::booking::Appointment {
                    name: name.clone(),
                    customer_message: crate::support::people::uuid(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            world.booking().update_appointment(provider.asks(request)).await.unwrap();
        }
    };
    // The booking is the first event.
    for (more, parts) in
        [(98, vec![99]), (1, vec![100]), (1, vec![100, 1]), (104, vec![100, 100, 5])]
    {
        write(more).await;
        for size in [0, 1, 2] {
            let told = events_in_records(&world, &customer, size).await;
            let names: Vec<_> = told.iter().map(|(name, _)| name.clone()).collect();
            let mut expected = vec![first.clone()];
            expected.extend(parts.iter().map(|_| name.clone()));
            expected.push(last.clone());
            assert_eq!(names, expected, "{parts:?} at {size}");
            let of: Vec<_> = told[1..told.len() - 1].iter().map(|(_, all)| all.len()).collect();
            assert_eq!(of, parts);
            let versions: Vec<_> =
                told[1..told.len() - 1].iter().flat_map(|(_, all)| all).collect();
            assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
        }
    }
}
