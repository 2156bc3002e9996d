//! What API keys are for: every method of the policy table, against keys of every scope.

use daybook::grpc::policy::{self, Access, Method, Scoped, TABLE};
use daybook::grpc::proto::auth::Role;

use crate::{
    conformance::behaviours,
    support::{
        World,
        people::Person,
        raw::{authorized, unary},
        refusal::{fields_of, reason_of, refused},
        services::{Backend, any_customer},
    },
};

behaviours!(
    a_key_is_for_its_scopes_and_for_nothing_else,
    what_is_for_people_is_in_no_scope,
    a_role_stays_within_its_bounds,
);

/// All services and methods that there are, as scopes name them.
fn everything() -> Vec<(Method, Access)> {
    let ours = TABLE.iter().filter(|(path, ..)| path.starts_with("/daybook."));
    ours.map(|(path, access, _)| (Method(path), *access)).collect()
}

fn service(method: Method) -> &'static str {
    method.scope().split('/').next().unwrap()
}

/// The reason of the refusal of an empty request, if it is refused.
async fn knock(world: &World, method: Method, backend: &Backend) -> Option<String> {
    let bearer = format!("Bearer {}", backend.key);
    let request = authorized(Vec::new(), Some(&bearer));
    unary(&world.channel, method.0, request).await.err().map(|status| reason_of(&status))
}

async fn with(world: &World, admin: &Person, scopes: &[&str]) -> Backend {
    world.backend(admin, Role::Admin, any_customer(), scopes).await
}

async fn a_key_is_for_its_scopes_and_for_nothing_else(world: World) {
    let admin = world.admin().await;
    let mut scopes: Vec<&str> = everything().iter().map(|(m, _)| service(*m)).collect();
    scopes.retain(|scope| scope.starts_with("daybook.booking.v1."));
    scopes.sort_unstable();
    scopes.dedup();
    assert_eq!(scopes.len(), 5, "{scopes:?}");
    scopes.extend([
        "daybook.auth.v1.AuthService/GetUser",
        "daybook.auth.v1.AuthService/ListUsers",
        "daybook.auth.v1.CustomerService/SearchCustomers",
        "daybook.auth.v1.CustomerService/GetCustomer",
        "daybook.auth.v1.CustomerService/EnrolCustomer",
        "daybook.auth.v1.CustomerService/InviteCustomer",
        "daybook.booking.v1.BookingService/BookAppointment",
    ]);
    let mut passed = 0;
    for scope in scopes {
        let backend = with(&world, &admin, &[scope]).await;
        for (method, access) in everything() {
            if access == Access::Open {
                continue;
            }
            let refusal = knock(&world, method, &backend).await;
            let told = format!("{} with {scope}: {refusal:?}", method.scope());
            if method.scope() == scope || service(method) == scope {
                assert!(matches!(refusal.as_deref(), None | Some("INVALID_FIELDS")), "{told}");
                passed += 1;
            } else {
                assert_eq!(refusal.as_deref(), Some("SCOPE_MISSING"), "{told}");
            }
        }
    }
    // Every method of bookings once, one of them twice, and the six of accounts.
    let all = everything();
    let of_bookings = all.iter().filter(|(m, _)| m.scope().starts_with("daybook.booking."));
    assert_eq!(passed, of_bookings.count() + 7);
}

async fn what_is_for_people_is_in_no_scope(world: World) {
    let admin = world.admin().await;
    let account = world.service_account(&admin, Role::Admin, None).await.name;
    let mut scopes: Vec<String> = everything()
        .into_iter()
        .filter(|(method, _)| policy::entry(method.0).unwrap().scoped == Scoped::People)
        .map(|(method, _)| method.scope().to_owned())
        .collect();
    assert!(scopes.len() > 35, "{}", scopes.len());
    for odd in [
        "",
        "*",
        "/",
        "daybook",
        "daybook.booking.v1",
        "daybook.booking.v1.*",
        "daybook.booking.v1.BookingService/",
        "daybook.booking.v1.BookingService/*",
        "/daybook.booking.v1.BookingService",
        "/daybook.booking.v1.BookingService/BookAppointment",
        "daybook.booking.v1.BookingService/bookappointment",
        "daybook.booking.v1.BookingService/Nothing",
        "daybook.booking.v1.Booking",
        "daybook.auth.v1.AuthService",
        "daybook.auth.v1.CustomerService",
        "daybook.auth.v1.EmailService",
        "daybook.auth.v1.SecondFactorService",
        "daybook.auth.v1.ServiceAccountService",
        "grpc.health.v1.Health",
        " daybook.booking.v1.BookingService",
    ] {
        scopes.push(odd.to_owned());
    }
    let texts: Vec<&str> = scopes.iter().map(String::as_str).collect();
    // A few at a time: not everything that is wrong is told at once.
    for some in texts.chunks(10) {
        let status = refused(world.api_key(&admin, &account, some).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status).len(), some.len(), "{some:?}");
    }
}

async fn a_role_stays_within_its_bounds(world: World) {
    let admin = world.admin().await;
    let all = &["daybook.booking.v1.BookingService", "daybook.booking.v1.ScheduleService"];
    let backend = world.backend(&admin, Role::Customer, any_customer(), all).await;
    for (method, access) in everything() {
        if !all.contains(&service(method)) {
            continue;
        }
        let refusal = knock(&world, method, &backend).await;
        let told = format!("{}: {refusal:?}", method.scope());
        // As itself it sees what everybody may see, and nothing else.
        match access {
            Access::Roles(_) => assert_eq!(refusal.as_deref(), Some("ROLE_NOT_ALLOWED"), "{told}"),
            _ => assert!(matches!(refusal.as_deref(), None | Some("INVALID_FIELDS")), "{told}"),
        }
    }
}
