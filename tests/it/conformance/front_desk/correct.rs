//! Corrections of accounts by admins; and that contact data goes with the person.

use daybook::grpc::proto::auth::{
    Customer, DeleteMyAccountRequest, ExportMyDataRequest, ListAuditEventsRequest, Role,
    UpdateCustomerRequest, UpdateMeRequest, User, VerifyEmailRequest, audit_event::Kind,
    personal_data_service_client::PersonalDataServiceClient, personal_record::Record,
};
use prost_types::FieldMask;
use tonic::Status;

use super::{PHONE, caller, desk, enrol, found, get, invite, log_in, reset};
use crate::{
    conformance::behaviours,
    support::{
        World,
        dump::{digits, dump},
        people::{PASSWORD, Person, uuid},
        refusal::{fields_of, reason_of, refused},
        services::any_customer,
    },
};

behaviours!(
    an_admin_corrects_what_is_set_and_nothing_else,
    contact_data_stays_where_it_is_needed,
    a_corrected_address_is_nobodys_before_it_is_verified,
    only_admins_correct_and_only_others,
    contact_data_is_exported_and_goes_with_the_account,
);

async fn correct(
    world: &World,
    by: &Person,
    customer: Customer,
    mask: &[&str],
) -> Result<Customer, Status> {
    let paths: Vec<String> = mask.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateCustomerRequest {
        customer: Some(customer),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        request_id: uuid(),
    };
    Ok(desk(world).update_customer(by.asks(request)).await?.into_inner().customer.unwrap())
}

/// A correction of this account that sets nothing yet.
fn of(customer: &Customer) -> Customer {
    Customer { name: customer.name.clone(), ..Default::default() }
}

async fn an_admin_corrects_what_is_set_and_nothing_else(world: World) {
    let admin = world.admin().await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", PHONE)).await.unwrap();
    let same = |c: &Customer| Customer { etag: String::new(), update_time: None, ..c.clone() };
    let renamed = Customer { display_name: "Kim Kunde".to_owned(), ..of(&kim) };
    let now = correct(&world, &admin, renamed.clone(), &[]).await.unwrap();
    assert_eq!(same(&now), same(&Customer { display_name: "Kim Kunde".to_owned(), ..kim.clone() }));
    assert_eq!(found(&world, &admin, "kunde", 0).await, [&*kim.name]);
    let moved = Customer { email: "kim2@example.org".to_owned(), ..of(&kim) };
    let now = correct(&world, &admin, moved, &[]).await.unwrap();
    assert_eq!((&*now.email, &*now.phone), ("kim2@example.org", PHONE));
    assert!(found(&world, &admin, "kim@", 0).await.is_empty());
    let now = correct(&world, &admin, of(&kim), &["phone"]).await.unwrap();
    assert_eq!((&*now.email, &*now.phone), ("kim2@example.org", ""));
    assert!(found(&world, &admin, PHONE, 0).await.is_empty());
    // What sets nothing new is no version.
    let events = async || world.count("SELECT count(*) FROM user_events").await;
    let before = events().await;
    assert_eq!(correct(&world, &admin, renamed, &[]).await.unwrap(), now);
    assert_eq!(events().await, before);
    let stale = Customer { etag: kim.etag.clone(), phone: PHONE.to_owned(), ..of(&kim) };
    refused(correct(&world, &admin, stale, &[]).await, "ETAG_STALE");
    let fresh = Customer { etag: now.etag, phone: PHONE.to_owned(), ..of(&kim) };
    correct(&world, &admin, fresh, &[]).await.unwrap();
    // The star replaces all.
    let whole = caller("Kim", "", PHONE);
    let whole = Customer { name: kim.name.clone(), ..whole };
    let now = correct(&world, &admin, whole, &["*"]).await.unwrap();
    assert_eq!((&*now.display_name, &*now.email, &*now.phone), ("Kim", "", PHONE));
    let kind = Kind::CustomerUpdated.into();
    let request = ListAuditEventsRequest { kind, ..Default::default() };
    let trail = world.auth().list_audit_events(admin.asks(request)).await.unwrap().into_inner();
    // Of one moment they are in no order.
    let mut details: Vec<_> = trail.audit_events.iter().map(|e| e.detail.as_str()).collect();
    details.sort_unstable();
    assert_eq!(
        details,
        [
            r#"{"fields":["display_name","email"]}"#,
            r#"{"fields":["display_name"]}"#,
            r#"{"fields":["email"]}"#,
            r#"{"fields":["phone"]}"#,
            r#"{"fields":["phone"]}"#,
        ]
    );
}

async fn contact_data_stays_where_it_is_needed(world: World) {
    let (admin, owner) = (world.admin().await, world.customer().await);
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    let by_phone = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap();
    let owner = get(&world, &admin, &owner.user.name).await.unwrap();
    let before = world.state().await;
    for (of, mask, field) in [
        (&kim, "email", "customer.phone"),
        (&by_phone, "phone", "customer.phone"),
        (&owner, "email", "customer.email"),
    ] {
        let of = Customer { name: of.name.clone(), ..Default::default() };
        let status = refused(correct(&world, &admin, of, &[mask]).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status), [field]);
    }
    let bad = Customer {
        name: "x".to_owned(),
        email: "x".to_owned(),
        phone: "x".to_owned(),
        time_zone: "x".to_owned(),
        display_name: " ".to_owned(),
        etag: "x".to_owned(),
        ..Default::default()
    };
    let status = refused(correct(&world, &admin, bad, &[]).await, "INVALID_FIELDS");
    let fields = ["display_name", "email", "etag", "name", "phone", "time_zone"];
    assert_eq!(fields_of(&status), fields.map(|field| format!("customer.{field}")));
    let status = refused(correct(&world, &admin, of(&kim), &["role"]).await, "INVALID_FIELDS");
    assert_eq!(fields_of(&status), ["update_mask"]);
    // An address that is taken is named, as at an enrolment.
    let taken = Customer { email: "kim@example.org".to_owned(), ..of(&by_phone) };
    let status = correct(&world, &admin, taken, &[]).await.unwrap_err();
    assert_eq!(
        (&*reason_of(&status), fields_of(&status)),
        ("EMAIL_TAKEN", vec!["customer.email".into()])
    );
    assert_eq!(world.state().await, before);
}

async fn a_corrected_address_is_nobodys_before_it_is_verified(world: World) {
    let (admin, owner) = (world.admin().await, world.customer().await);
    let (world, mail) = world.mailing(&[("auth.verify_email", "true")]).await;
    let sql = "UPDATE users SET email_verified_at = created_at";
    world.execute(sql, sql).await;
    // Who has not taken it over yet is invited anew; the invitation to the wrong address is good no more.
    let kim = enrol(&world, &admin, caller("Kim", "wrong@example.org", "")).await.unwrap();
    invite(&world, &admin, &kim.name).await.unwrap();
    let wrong = mail.letter("wrong@example.org").await.code();
    let right = Customer { email: "right@example.org".to_owned(), ..of(&kim) };
    correct(&world, &admin, right, &[]).await.unwrap();
    refused(reset(&world, &wrong).await, "CODE_REFUSED");
    invite(&world, &admin, &kim.name).await.unwrap();
    reset(&world, &mail.letter("right@example.org").await.code()).await.unwrap();
    // Who logs in is told at both addresses, and shows that the new one is theirs.
    let owners = get(&world, &admin, &owner.user.name).await.unwrap();
    let moved = Customer { email: "moved@example.org".to_owned(), ..of(&owners) };
    let now = correct(&world, &admin, moved, &[]).await.unwrap();
    assert!(!now.email_verified && now.password_set);
    assert!(mail.letter(&owner.user.email).await.body.contains("moved@example.org"));
    let letter = mail.letter("moved@example.org").await;
    assert!(!letter.raw.contains(&owner.user.display_name));
    refused(log_in(&world, "moved@example.org", PASSWORD).await, "LOG_IN_FAILED");
    let request = VerifyEmailRequest { code: letter.code(), ..Default::default() };
    world.email().verify_email(request).await.unwrap();
    log_in(&world, "moved@example.org", PASSWORD).await.unwrap();
}

async fn only_admins_correct_and_only_others(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let kim = enrol(&world, &provider, caller("Kim", "", PHONE)).await.unwrap();
    let renamed = Customer { display_name: "Kim Kunde".to_owned(), ..of(&kim) };
    refused(correct(&world, &provider, renamed.clone(), &[]).await, "ROLE_NOT_ALLOWED");
    let own = Customer { name: admin.user.name.clone(), ..renamed.clone() };
    refused(correct(&world, &admin, own, &[]).await, "OWN_ACCOUNT");
    let absent = "users/01980000-0000-7000-8000-000000000000".to_owned();
    let absent = Customer { name: absent, ..renamed };
    refused(correct(&world, &admin, absent, &[]).await, "NOT_FOUND");
    // Of staff the name and the number, which a provider's schedule follows; the address is its owner's.
    let staff = Customer { name: provider.user.name.clone(), ..Default::default() };
    let name = Customer { display_name: "Dr. Kim".to_owned(), ..staff.clone() };
    correct(&world, &admin, name, &[]).await.unwrap();
    let request = daybook::grpc::proto::booking::GetProviderRequest { name: provider.provider() };
    let told = world.schedule().get_provider(admin.asks(request)).await.unwrap().into_inner();
    assert_eq!(told.provider.unwrap().display_name, "Dr. Kim");
    let email = Customer { email: "other@example.org".to_owned(), ..staff };
    refused(correct(&world, &admin, email, &[]).await, "WRONG_STATE");
    // No key corrects, whatever its scopes.
    let scope = "daybook.auth.v1.CustomerService/UpdateCustomer";
    let account = world.service_account(&admin, Role::Admin, any_customer()).await;
    refused(world.api_key(&admin, &account.name, &[scope]).await, "INVALID_FIELDS");
}

async fn contact_data_is_exported_and_goes_with_the_account(world: World) {
    let owner = world.customer().await;
    let name = "Xylocopa".to_owned();
    let user = User { display_name: name.clone(), phone: PHONE.to_owned(), ..Default::default() };
    let request = UpdateMeRequest { user: Some(user), request_id: uuid(), ..Default::default() };
    world.auth().update_me(owner.asks(request)).await.unwrap();
    let mut data = PersonalDataServiceClient::new(world.channel.clone());
    let request =
        ExportMyDataRequest { current_password: PASSWORD.to_owned(), ..Default::default() };
    let records = data.export_my_data(owner.asks(request)).await.unwrap().into_inner().records;
    let told = records.into_iter().find_map(|record| match record.record {
        Some(Record::User(user)) => Some(user.phone),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some(PHONE));
    let stored = async || {
        let stored = dump(&world).await;
        [PHONE, "03012345678", "493012345678", "xylocopa", "Xylocopa"]
            .map(|text| stored.contains(&digits(text.as_bytes())))
    };
    assert_eq!(stored().await, [true; 5]);
    let request =
        DeleteMyAccountRequest { current_password: PASSWORD.to_owned(), ..Default::default() };
    data.delete_my_account(owner.asks(request)).await.unwrap();
    assert_eq!(stored().await, [false; 5]);
}
