//! What is wrong with requests about service accounts, told by field.

use daybook::grpc::proto::auth::{
    ActFor, CreateApiKeyRequest, CreateServiceAccountRequest, GetServiceAccountRequest,
    ListApiKeysRequest, ListServiceAccountsRequest, RevokeApiKeyRequest, Role, ServiceAccount,
    UpdateServiceAccountRequest,
};
use prost_types::{FieldMask, Timestamp};

use crate::{
    conformance::behaviours,
    support::{
        World,
        refusal::{invalid, refused},
        services::BOOKING,
    },
};

behaviours!(
    a_service_account_is_told_what_is_wrong_with_it,
    a_key_is_told_what_is_wrong_with_it,
    what_is_no_name_or_not_there_is_told,
);

async fn a_service_account_is_told_what_is_wrong_with_it(world: World) {
    let (admin, ada) = (world.admin().await, world.customer().await);
    let create = async |wanted: Option<ServiceAccount>| {
        let request =
            CreateServiceAccountRequest { service_account: wanted, request_id: "x".to_owned() };
        world.services().create_service_account(admin.asks(request)).await
    };
    invalid(create(None).await, &["request_id", "service_account"]);
    let all = &["request_id", "service_account.display_name", "service_account.role"];
    for role in [Role::Unspecified, Role::Provider] {
        invalid(
            create(Some(ServiceAccount { role: role.into(), ..Default::default() })).await,
            all,
        );
    }
    let named = |any_customer, customers: Vec<String>| ServiceAccount {
        display_name: "Web shop".to_owned(),
        role: Role::Customer.into(),
        act_for: Some(ActFor { any_customer, customers }),
        ..Default::default()
    };
    let name = ada.user.name;
    let customers = "service_account.act_for.customers";
    invalid(create(Some(named(true, vec![name.clone()]))).await, &["request_id", customers]);
    invalid(create(Some(named(false, vec![name.clone(); 101]))).await, &["request_id", customers]);
    let bad = vec![name.clone(), "users/x".to_owned(), name];
    let (second, third) = (format!("{customers}[1]"), format!("{customers}[2]"));
    invalid(create(Some(named(false, bad))).await, &["request_id", &second, &third]);
    assert_eq!(world.count("SELECT count(*) FROM service_accounts").await, 0);

    let account = world.service_account(&admin, Role::Customer, None).await;
    let update = async |service_account: Option<ServiceAccount>, paths: Option<&[&str]>| {
        let paths = paths.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        let update_mask = paths.map(|paths| FieldMask { paths });
        let request =
            UpdateServiceAccountRequest { service_account, update_mask, request_id: String::new() };
        world.services().update_service_account(admin.asks(request)).await
    };
    invalid(update(None, None).await, &["service_account"]);
    let empty = ServiceAccount { name: account.name.clone(), ..Default::default() };
    invalid(update(Some(empty.clone()), None).await, &["service_account"]);
    invalid(update(Some(empty.clone()), Some(&["role"])).await, &["update_mask"]);
    let path = Some(&["display_name"][..]);
    invalid(update(Some(empty.clone()), path).await, &["service_account.display_name"]);
    let odd = ServiceAccount {
        name: "x".to_owned(),
        etag: "y".to_owned(),
        display_name: "Z".to_owned(),
        ..Default::default()
    };
    invalid(update(Some(odd), None).await, &["service_account.name", "service_account.etag"]);
    // A mask takes the grant away where there is none.
    let changed = update(Some(empty), Some(&["act_for"])).await.unwrap().into_inner();
    assert_eq!(changed.service_account.unwrap().act_for, Some(ActFor::default()));
}

async fn a_key_is_told_what_is_wrong_with_it(world: World) {
    let admin = world.admin().await;
    let parent = world.service_account(&admin, Role::Customer, None).await.name;
    let create = async |scopes: Vec<&str>, expire_time: Option<Timestamp>| {
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        let request = CreateApiKeyRequest { parent: parent.clone(), scopes, expire_time };
        world.services().create_api_key(admin.asks(request)).await
    };
    let fine = Some(world.in_days(400));
    for bad in [None, Some(world.in_days(0)), Some(world.in_days(-1)), Some(world.in_days(401))] {
        invalid(create(vec![BOOKING], bad).await, &["expire_time"]);
    }
    let late = fine.map(|at| Timestamp { seconds: at.seconds + 1, ..at });
    invalid(create(vec![BOOKING], late).await, &["expire_time"]);
    let odd = fine.map(|at| Timestamp { nanos: 1, ..at });
    invalid(create(vec![BOOKING], odd).await, &["expire_time"]);
    invalid(create(vec![], fine).await, &["scopes"]);
    invalid(create(vec![BOOKING; 101], fine).await, &["scopes"]);
    invalid(create(vec![BOOKING, BOOKING, "x"], fine).await, &["scopes[1]", "scopes[2]"]);
    create(vec![BOOKING], fine).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM api_keys").await, 1);
}

async fn what_is_no_name_or_not_there_is_told(world: World) {
    let admin = world.admin().await;
    let mut services = world.services();
    let nobodys = "serviceAccounts/01980000-0000-7000-8000-000000000000".to_owned();
    for name in ["", "x", "users/01980000-0000-7000-8000-000000000000"] {
        let get = GetServiceAccountRequest { name: name.to_owned() };
        invalid(services.get_service_account(admin.asks(get)).await, &["name"]);
        let list =
            ListApiKeysRequest { parent: name.to_owned(), page_size: -1, page_token: "x".into() };
        let answer = services.list_api_keys(admin.asks(list)).await;
        invalid(answer, &["parent", "page_size", "page_token"]);
        let revoke = RevokeApiKeyRequest { name: name.to_owned() };
        invalid(services.revoke_api_key(admin.asks(revoke)).await, &["name"]);
    }
    let list = ListServiceAccountsRequest { page_size: -1, page_token: "x".to_owned() };
    let answer = services.list_service_accounts(admin.asks(list)).await;
    invalid(answer, &["page_size", "page_token"]);
    let get = GetServiceAccountRequest { name: nobodys.clone() };
    refused(services.get_service_account(admin.asks(get)).await, "NOT_FOUND");
    refused(world.api_key(&admin, &nobodys, &[BOOKING]).await, "NOT_FOUND");
    // Somebody else's key.
    let mine = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let other = world.service_account(&admin, Role::Admin, None).await.name;
    let (_, id) = mine.key_name.rsplit_once('/').unwrap();
    let revoke = RevokeApiKeyRequest { name: format!("{other}/apiKeys/{id}") };
    refused(services.revoke_api_key(admin.asks(revoke)).await, "NOT_FOUND");
}
