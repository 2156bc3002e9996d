//! Staff hold and book for customers: the customers' own limits and busy times count, and what staff held they use.

use daybook::grpc::proto::{
    auth::Role,
    booking::{
        AppointmentType, BookAppointmentRequest, BookingLimits, ExtendHoldRequest, Hold,
        HoldSlotRequest, ReleaseHoldRequest, appointment::State,
    },
};
use prost_types::Duration;
use tonic::Status;

use super::{PHONE, caller, enrol, person};
use crate::{
    conformance::behaviours,
    support::{
        World, books,
        people::Person,
        raw::seen,
        refusal::{reason_of, refused},
        services::any_customer,
        types::{holding, kind, typed},
    },
};

behaviours!(
    staff_use_what_staff_held_for_a_customer,
    limits_and_busy_times_are_the_customers,
    a_hold_for_somebody_is_used_in_their_name,
    an_api_key_holds_and_books_for_who_was_enrolled,
);

async fn extend(world: &World, by: &Person, name: &str) -> Result<Hold, Status> {
    let hold_duration = Some(Duration { seconds: 600, nanos: 0 });
    let request = ExtendHoldRequest { name: name.to_owned(), hold_duration, ..Default::default() };
    Ok(world.booking().extend_hold(by.asks(request)).await?.into_inner().hold.unwrap())
}

async fn release(world: &World, by: &Person, name: &str) -> Result<(), Status> {
    let request = ReleaseHoldRequest { name: name.to_owned(), ..Default::default() };
    world.booking().release_hold(by.asks(request)).await.map(drop)
}

fn holding_for(customer: &str, request: HoldSlotRequest) -> HoldSlotRequest {
    HoldSlotRequest { customer: customer.to_owned(), ..request }
}

async fn staff_use_what_staff_held_for_a_customer(world: World) {
    let (admin, provider, other) =
        (world.admin().await, world.provider().await, world.provider().await);
    let owner = world.customer().await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let at =
        |hour: u32| holding_for(&kim, holding(&provider, &asked, &format!("2026-11-23 {hour}:00")));
    // Whoever of the provider's side: the one placed it, the other takes the next call.
    for (hour, one, two) in [(9, &admin, &provider), (11, &provider, &admin)] {
        let hold = world.hold(one, at(hour)).await.unwrap();
        assert_eq!(hold.customer, kim);
        assert!(extend(&world, two, &hold.name).await.unwrap().extended);
        let booked = world.book_hold(two, &hold).await.unwrap();
        assert_eq!((&booked.customer, &*booked.customer_display_name), (&kim, "Kim"));
        assert_eq!(booked.state(), State::Booked, "staff approve as they book");
        let hold = world.hold(one, at(hour + 1)).await.unwrap();
        release(&world, two, &hold.name).await.unwrap();
        // Without the name it is used as well.
        let hold = world.hold(one, at(hour + 1)).await.unwrap();
        let request = BookAppointmentRequest {
            customer: kim.clone(),
            ..typed(&provider, &asked, &format!("2026-11-23 {}:00", hour + 1))
        };
        let booked = world.send(two, request).await.unwrap();
        assert!(booked.name.ends_with(hold.name.rsplit('/').next().unwrap()));
    }
    // Nobody else's, and not what a customer holds.
    let hold = world.hold(&admin, at(15)).await.unwrap();
    let absent = hold.name.replace("holds/0", "holds/1");
    let own = world.hold(&owner, holding(&provider, &asked, "2026-11-23 16:00")).await.unwrap();
    for (stranger, hold) in [(&other, &hold), (&owner, &hold), (&provider, &own), (&admin, &own)] {
        let missing = release(&world, stranger, &absent).await.unwrap_err();
        let foreign = release(&world, stranger, &hold.name).await.unwrap_err();
        assert_eq!(reason_of(&foreign), "NOT_FOUND");
        assert_eq!(seen(&foreign).1, seen(&missing).1);
        refused(extend(&world, stranger, &hold.name).await, "NOT_FOUND");
        refused(world.book_hold(stranger, hold).await, "NOT_FOUND");
    }
    books::check(&world.sql().await).await;
}

async fn limits_and_busy_times_are_the_customers(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let limited = AppointmentType {
        limits: Some(BookingLimits { open_per_customer: 1, ..Default::default() }),
        ..kind(&[30])
    };
    let limited = world.shared_type(&admin, limited, &[&one, &two]).await;
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let lee = enrol(&world, &admin, caller("Lee", "", PHONE)).await.unwrap().name;
    let book =
        async |by: &Person, provider: &Person, of: &AppointmentType, customer: &str, at: &str| {
            let request =
                BookAppointmentRequest { customer: customer.to_owned(), ..typed(provider, of, at) };
            world.send(by, request).await
        };
    book(&admin, &one, &limited, &kim, "2026-11-23 09:00").await.unwrap();
    // One customer's limit is not another's, nor that of whoever books.
    refused(book(&admin, &two, &limited, &kim, "2026-11-23 10:00").await, "CUSTOMER_LIMIT");
    book(&admin, &two, &limited, &lee, "2026-11-23 10:00").await.unwrap();
    // Whoever is treated then is busy, whoever books.
    refused(book(&two, &two, &plain, &kim, "2026-11-23 09:00").await, "CUSTOMER_BUSY");
    let hold = holding_for(&kim, holding(&two, &plain, "2026-11-23 09:00"));
    refused(world.hold(&admin, hold).await, "CUSTOMER_BUSY");
    book(&admin, &two, &plain, &lee, "2026-11-23 09:00").await.unwrap();
    // A customer may hold five slots, and so may the next one.
    for customer in [&kim, &lee] {
        for number in 0..6 {
            let provider = if customer == &kim { &one } else { &two };
            let at = format!("2026-11-24 {}:00", 9 + number);
            let hold = holding_for(customer, holding(provider, &plain, &at));
            let held = world.hold(&admin, hold).await;
            if number < 5 { drop(held.unwrap()) } else { drop(refused(held, "TOO_MANY_HOLDS")) }
        }
    }
    books::check(&world.sql().await).await;
}

async fn a_hold_for_somebody_is_used_in_their_name(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let limited = AppointmentType {
        limits: Some(BookingLimits { open_per_customer: 1, ..Default::default() }),
        ..kind(&[30])
    };
    let limited = world.shared_type(&admin, limited, &[&one, &two]).await;
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    // The customer's limit is asked when the hold is booked, and so is the customer's own time.
    let hold = holding_for(&kim, holding(&one, &limited, "2026-11-23 09:00"));
    let hold = world.hold(&admin, hold).await.unwrap();
    let request = BookAppointmentRequest {
        customer: kim.clone(),
        ..typed(&two, &limited, "2026-11-23 11:00")
    };
    let booked = world.send(&admin, request).await.unwrap();
    refused(world.book_hold(&admin, &hold).await, "CUSTOMER_LIMIT");
    world.cancel(&admin, &booked.name).await.unwrap();
    let request =
        BookAppointmentRequest { customer: kim.clone(), ..typed(&two, &plain, "2026-11-23 09:00") };
    let busy = world.send(&admin, request).await.unwrap();
    refused(world.book_hold(&admin, &hold).await, "CUSTOMER_BUSY");
    world.cancel(&admin, &busy.name).await.unwrap();
    world.book_hold(&admin, &hold).await.unwrap();
    // A colleague is a customer too: what they attend claims their own time.
    let hold = holding_for(&two.user.name, holding(&one, &plain, "2026-11-23 14:00"));
    let hold = world.hold(&admin, hold).await.unwrap();
    world.book_hold(&one, &hold).await.unwrap();
    let request =
        BookAppointmentRequest { customer: kim, ..typed(&two, &plain, "2026-11-23 14:00") };
    refused(world.send(&admin, request).await, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn an_api_key_holds_and_books_for_who_was_enrolled(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap();
    let scopes = [crate::support::services::BOOKING];
    let backend = world.backend(&admin, Role::Admin, any_customer(), &scopes).await;
    let as_key = Person { token: backend.key.clone(), ..person(&kim) };
    let hold = holding_for(&kim.name, holding(&provider, &plain, "2026-11-23 09:00"));
    let hold = world.hold(&as_key, hold).await.unwrap();
    let booked = world.book_hold(&as_key, &hold).await.unwrap();
    assert_eq!(booked.customer, kim.name);
    // Acting for them it is them.
    let request = backend.asks_for(typed(&provider, &plain, "2026-11-23 10:00"), &kim.name);
    let booked = world.booking().book_appointment(request).await.unwrap().into_inner();
    assert_eq!(booked.appointment.unwrap().customer, kim.name);
}
