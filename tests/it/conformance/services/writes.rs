//! The writes of `ServiceAccountService` as cases.

use daybook::grpc::proto::auth::{
    CreateServiceAccountRequest, DisableServiceAccountRequest, EnableServiceAccountRequest, Role,
    ServiceAccount, UpdateServiceAccountRequest,
};
use prost_types::FieldMask;

use crate::{
    conformance::writes::{Case, Cast},
    support::{World, people::uuid, services::any_customer},
};

/// One case for every write that has a request id.
pub(in crate::conformance) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let admin = &cast.admin;
    let wanted = ServiceAccount {
        display_name: "Web shop".to_owned(),
        role: Role::Customer.into(),
        act_for: any_customer(),
        ..Default::default()
    };
    let create =
        CreateServiceAccountRequest { service_account: Some(wanted.clone()), request_id: uuid() };
    let creating = |service_account: ServiceAccount| {
        let service_account = Some(service_account);
        CreateServiceAccountRequest { service_account, ..create.clone() }
    };
    let creates = vec![
        (
            "service_account",
            creating(ServiceAccount { display_name: "B".into(), ..wanted.clone() }),
        ),
        (
            "service_account",
            creating(ServiceAccount { role: Role::Admin.into(), ..wanted.clone() }),
        ),
        ("service_account", creating(ServiceAccount { act_for: None, ..wanted.clone() })),
    ];

    let first = world.service_account(admin, Role::Customer, None).await;
    let second = world.service_account(admin, Role::Customer, None).await;
    let change = ServiceAccount {
        name: first.name.clone(),
        display_name: "Another shop".to_owned(),
        etag: first.etag.clone(),
        ..Default::default()
    };
    let update = UpdateServiceAccountRequest {
        service_account: Some(change.clone()),
        update_mask: None,
        request_id: uuid(),
    };
    let updating = |service_account: ServiceAccount| {
        let service_account = Some(service_account);
        UpdateServiceAccountRequest { service_account, ..update.clone() }
    };
    let update_mask = Some(FieldMask { paths: vec!["display_name".to_owned()] });
    let updates = vec![
        (
            "service_account",
            updating(ServiceAccount { name: second.name.clone(), ..change.clone() }),
        ),
        ("service_account", updating(ServiceAccount { etag: String::new(), ..change.clone() })),
        ("service_account", updating(ServiceAccount { act_for: any_customer(), ..change.clone() })),
        ("update_mask", UpdateServiceAccountRequest { update_mask, ..update.clone() }),
    ];

    let disable = DisableServiceAccountRequest {
        name: second.name.clone(),
        etag: second.etag.clone(),
        request_id: uuid(),
    };
    let disables = vec![
        ("name", DisableServiceAccountRequest { name: first.name.clone(), ..disable.clone() }),
        ("etag", DisableServiceAccountRequest { etag: String::new(), ..disable.clone() }),
    ];
    let enable = EnableServiceAccountRequest {
        name: second.name.clone(),
        etag: String::new(),
        request_id: uuid(),
    };
    let enables = vec![
        ("name", EnableServiceAccountRequest { name: first.name.clone(), ..enable.clone() }),
        ("etag", EnableServiceAccountRequest { etag: "\"2\"".to_owned(), ..enable.clone() }),
    ];

    const SERVICE: &str = "/daybook.auth.v1.ServiceAccountService";
    let path = |method: &str| -> &'static str { format!("{SERVICE}/{method}").leak() };
    let admin = Some(admin);
    vec![
        Case::new(path("CreateServiceAccount"), admin, &create, creates),
        Case::new(path("UpdateServiceAccount"), admin, &update, updates),
        Case::new(path("DisableServiceAccount"), admin, &disable, disables),
        Case::new(path("EnableServiceAccount"), admin, &enable, enables),
    ]
}
