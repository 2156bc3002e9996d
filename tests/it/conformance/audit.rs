//! What the audit trail tells, of whom and to whom.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{
    AuditEvent, ChangePasswordRequest, DeleteMyAccountRequest, DisableTotpRequest,
    EnrolTotpAtLogInRequest, EnrolTotpRequest, ExportMyDataRequest, ListAuditEventsRequest,
    ListSessionsRequest, LogInRequest, RegenerateRecoveryCodesRequest, RequestEmailChangeRequest,
    Role, SetUserRoleRequest, VerifyEmailRequest, audit_event::Kind,
    personal_data_service_client::PersonalDataServiceClient, personal_record::Record,
};
use serde_json::{Value, json};
use tonic::{Request, metadata::MetadataMap};

use super::behaviours;
use crate::support::{
    World,
    people::{PASSWORD, Person, sign_up},
    refusal::refused,
};

behaviours!(
    every_line_names_the_call_that_wrote_it,
    accounts_that_are_made_are_told_of,
    wrong_passwords_of_who_is_logged_in_are_told_with_the_session,
    an_app_that_waits_to_be_confirmed_is_told_of,
    a_command_that_seals_anew_is_told_of,
    from_where_others_acted_is_told_to_admins_alone,
);

/// What the trail tells an admin, latest first.
async fn trail(world: &World, admin: &Person, user: &str, kind: Kind) -> Vec<AuditEvent> {
    let (user, kind) = (user.to_owned(), kind.into());
    let request = ListAuditEventsRequest { user, kind, ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}

/// What of the trail people are told about themselves.
async fn exported(world: &World, person: &Person) -> Vec<AuditEvent> {
    let mut service = PersonalDataServiceClient::new(world.channel.clone());
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let current_password = PASSWORD.to_owned();
        let request = ExportMyDataRequest { current_password, page_token, ..Default::default() };
        let page = service.export_my_data(person.asks(request)).await.unwrap().into_inner();
        found.extend(page.records.into_iter().filter_map(|record| match record.record {
            Some(Record::AuditEvent(event)) => Some(event),
            _ => None,
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// The id of a call, as its answer carries it.
fn id_in(metadata: &MetadataMap) -> String {
    metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned()
}

async fn every_line_names_the_call_that_wrote_it(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let log_in = |password: &str, id: &str| {
        let (email, password) = (person.user.email.clone(), password.to_owned());
        let mut request = Request::new(LogInRequest { email, password, ..Default::default() });
        if !id.is_empty() {
            request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        }
        // Lines of one instant are in no order.
        world.forward(TimeDelta::seconds(1));
        let mut auth = world.auth();
        async move { auth.log_in(request).await }
    };
    // One that the caller chose is kept, in the answer and in the line.
    let answer = log_in(PASSWORD, "trace-7").await.unwrap();
    assert_eq!(id_in(answer.metadata()), "trace-7");
    assert_eq!(
        trail(&world, &admin, &person.user.name, Kind::LoggedIn).await[0].call_id,
        "trace-7"
    );
    // So is the server's own, also where the call was refused.
    let made = id_in(log_in(PASSWORD, "").await.unwrap().metadata());
    assert_eq!(made.len(), 36, "{made}");
    assert_eq!(trail(&world, &admin, &person.user.name, Kind::LoggedIn).await[0].call_id, made);
    let refused = id_in(log_in("not the password", "").await.unwrap_err().metadata());
    let failed = trail(&world, &admin, &person.user.name, Kind::LogInFailed).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].call_id, refused);
    // People are told of their own calls.
    let told = exported(&world, &person).await;
    let told: Vec<_> = told.iter().map(|event| event.call_id.as_str()).collect();
    for id in ["trace-7", &made, &refused] {
        assert!(told.contains(&id), "{id} in {told:?}");
    }
}

/// What more a line says.
fn detail(event: &AuditEvent) -> Value {
    serde_json::from_str(&event.detail).unwrap()
}

async fn accounts_that_are_made_are_told_of(world: World) {
    // At the command line there is no call.
    let admin = world.admin().await;
    let of = |name: &str| (name.to_owned(), Kind::AccountCreated);
    let (name, kind) = of(&admin.user.name);
    let made = trail(&world, &admin, &name, kind).await;
    assert_eq!(made.len(), 1);
    assert_eq!(detail(&made[0]), json!({ "role": "admin" }));
    assert_eq!((&*made[0].actor, &*made[0].address, &*made[0].call_id), ("", "", ""));
    // By a sign-up.
    let answer = world.auth().sign_up(sign_up(Role::Provider)).await.unwrap();
    let id = id_in(answer.metadata());
    let (name, kind) = of(&answer.into_inner().user.unwrap().name);
    let made = trail(&world, &admin, &name, kind).await;
    assert_eq!(made.len(), 1);
    assert_eq!(detail(&made[0]), json!({ "role": "provider" }));
    assert_eq!((&*made[0].address, &*made[0].call_id), ("127.0.0.1", &*id));
    // Of one whose address is verified first, when it is.
    let (world, mail) = world.mailing(&[("auth.verify_email", "true")]).await;
    let request = sign_up(Role::Customer);
    let email = request.email.clone();
    world.auth().sign_up(request).await.unwrap();
    assert_eq!(trail(&world, &admin, "", kind).await.len(), 2);
    let (code, password) = (mail.letter(&email).await.code(), PASSWORD.to_owned());
    let request = VerifyEmailRequest { code, password, ..Default::default() };
    let answer = world.email().verify_email(request).await.unwrap();
    let id = id_in(answer.metadata());
    let name = answer.into_inner().user.unwrap().name;
    for kind in [Kind::AccountCreated, Kind::EmailVerified] {
        let told = trail(&world, &admin, &name, kind).await;
        assert_eq!(told.len(), 1, "{kind:?}");
        assert_eq!(told[0].call_id, id);
    }
}

async fn wrong_passwords_of_who_is_logged_in_are_told_with_the_session(world: World) {
    let admin = world.admin().await;
    let (world, _mail) = world.mailing(&[]).await;
    let person = world.customer().await;
    let (app, _) = world.turn_on(&person).await;
    let (wrong, code) = ("not the password".to_owned(), world.code(&app));
    let listed = world.auth().list_sessions(person.asks(ListSessionsRequest::default())).await;
    let session = listed.unwrap().into_inner().sessions.remove(0).name;
    let count = async |expected: usize| {
        let told = trail(&world, &admin, &person.user.name, Kind::CurrentPasswordWrong).await;
        assert_eq!(told.len(), expected);
        let last = &told[0];
        assert_eq!((&last.actor, &last.session), (&person.user.name, &session));
        assert_eq!((&*last.address, last.call_id.len()), ("127.0.0.1", 36));
    };
    let reason = "CURRENT_PASSWORD_WRONG";
    let change = ChangePasswordRequest {
        current_password: wrong.clone(),
        new_password: "quite another staple".to_owned(),
        ..Default::default()
    };
    refused(world.auth().change_password(person.asks(change)).await, reason);
    count(1).await;
    let enrol = EnrolTotpRequest { current_password: wrong.clone(), code: code.clone() };
    refused(world.second_factor().enrol_totp(person.asks(enrol)).await, reason);
    count(2).await;
    let codes =
        RegenerateRecoveryCodesRequest { current_password: wrong.clone(), code: code.clone() };
    refused(world.second_factor().regenerate_recovery_codes(person.asks(codes)).await, reason);
    count(3).await;
    let (current_password, request_id) = (wrong.clone(), String::new());
    let off = DisableTotpRequest { current_password, code: code.clone(), request_id };
    refused(world.second_factor().disable_totp(person.asks(off)).await, reason);
    count(4).await;
    let elsewhere = RequestEmailChangeRequest {
        new_email: "elsewhere@example.org".to_owned(),
        current_password: wrong.clone(),
        ..Default::default()
    };
    refused(world.email().request_email_change(person.asks(elsewhere)).await, reason);
    count(5).await;
    let mut personal = PersonalDataServiceClient::new(world.channel.clone());
    let export = ExportMyDataRequest { current_password: wrong.clone(), ..Default::default() };
    refused(personal.export_my_data(person.asks(export)).await, reason);
    count(6).await;
    let delete = DeleteMyAccountRequest { current_password: wrong, code };
    refused(personal.delete_my_account(person.asks(delete)).await, reason);
    count(7).await;
    // The right one is not told so.
    exported(&world, &person).await;
    count(7).await;
}

async fn an_app_that_waits_to_be_confirmed_is_told_of(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    world.enrol(&person).await;
    let told = trail(&world, &admin, &person.user.name, Kind::SecondFactorEnrolled).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].actor, person.user.name);
    // So is one that a log-in asks for.
    let strict = world.beside_with(&[("auth.second_factor_required_for", "customer")]).await;
    let challenge = strict.challenge(&person.user.email).await;
    let request = EnrolTotpAtLogInRequest { challenge };
    strict.second_factor().enrol_totp_at_log_in(request).await.unwrap();
    let told = trail(&world, &admin, &person.user.name, Kind::SecondFactorEnrolled).await;
    assert_eq!(told.len(), 2);
    assert_eq!((&*told[0].address, told[0].call_id.len()), ("127.0.0.1", 36));
    assert!(trail(&world, &admin, "", Kind::SecondFactorEnabled).await.is_empty());
}

async fn a_command_that_seals_anew_is_told_of(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    world.turn_on(&person).await;
    world.reseal(&[]).await.unwrap();
    let told = trail(&world, &admin, "", Kind::SecretsResealed).await;
    assert_eq!(told.len(), 2);
    let told: Vec<_> = told.iter().map(detail).collect();
    // At one instant of the test's clock, so in no order.
    let (begun, ended): (Vec<_>, _) = told.into_iter().partition(|told| told["state"] == "begun");
    assert_eq!(ended[0]["state"], "ended");
    assert_eq!(ended[0]["master_key"], begun[0]["master_key"]);
    assert_eq!((&ended[0]["sealed"], &ended[0]["lost"]), (&json!(0), &json!(0)));
}

async fn from_where_others_acted_is_told_to_admins_alone(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let (name, role) = (person.user.name.clone(), Role::Provider.into());
    let request = SetUserRoleRequest { name, role, ..Default::default() };
    let id = id_in(world.auth().set_user_role(admin.asks(request)).await.unwrap().metadata());
    let person = world.log_in(&person.user.email).await;
    let by_admin = |events: Vec<AuditEvent>| {
        let found = events.into_iter().find(|event| event.kind() == Kind::RoleChanged).unwrap();
        assert_eq!(found.actor, admin.user.name);
        (found.address, found.call_id)
    };
    let told = trail(&world, &admin, &person.user.name, Kind::Unspecified).await;
    assert_eq!(by_admin(told), ("127.0.0.1".to_owned(), id));
    let told = exported(&world, &person).await;
    let own = told.iter().filter(|event| event.kind() == Kind::LoggedIn);
    let own: Vec<_> = own.map(|event| event.address.as_str()).collect();
    assert_eq!(own, ["127.0.0.1", "127.0.0.1"], "where they logged in themselves is theirs");
    assert_eq!(by_admin(told), (String::new(), String::new()));
    // The admin is told of the same act as their own.
    assert_eq!(by_admin(exported(&world, &admin).await).0, "127.0.0.1");
}
