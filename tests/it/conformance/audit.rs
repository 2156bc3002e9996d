//! What the audit trail tells, of whom and to whom.

use daybook::grpc::proto::auth::{
    AuditEvent, ExportMyDataRequest, ListAuditEventsRequest, LogInRequest, audit_event::Kind,
    personal_data_service_client::PersonalDataServiceClient, personal_record::Record,
};
use tonic::{Request, metadata::MetadataMap};

use super::behaviours;
use crate::support::{
    World,
    people::{PASSWORD, Person},
};

behaviours!(every_line_names_the_call_that_wrote_it,);

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
