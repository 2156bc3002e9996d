//! API keys: their life, what is refused, what is stored, what is written down.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use daybook::{
    accounts::service_accounts::api_key,
    grpc::proto::auth::{
        ApiKey, AuditEvent, CreateServiceAccountRequest, DisableServiceAccountRequest,
        EnableServiceAccountRequest, ListApiKeysRequest, ListAuditEventsRequest,
        ListServiceAccountsRequest, ListUsersRequest, RevokeApiKeyRequest, Role, ServiceAccount,
        audit_event::Kind,
    },
    kernel::id::ApiKeyId,
};
use tonic::Status;

use super::knock;
use crate::{
    conformance::behaviours,
    support::{
        Engine, World,
        people::Person,
        process::until,
        raw::{authorized, seen, unary},
        refusal::{reason_of, refused},
        services::{BOOKING, Backend, any_customer},
    },
};

behaviours!(
    a_key_works_at_once_here_and_soon_elsewhere_and_ends_so,
    a_disabled_service_account_has_no_good_key,
    a_key_ends_when_it_expires,
    what_is_no_good_key_is_refused_alike,
    nothing_that_is_stored_is_a_key,
    service_accounts_are_no_users,
    the_use_of_a_key_is_written_down,
    the_trail_tells_what_happened_to_keys,
    a_service_account_has_at_most_ten_good_keys,
    a_hundred_service_accounts_are_enabled_at_most,
    who_is_an_admin_no_more_makes_no_key,
    a_use_that_cannot_be_written_down_keeps_no_other_and_is_written_later,
);

/// How soon others know of a change, in seconds.
const SOON: u64 = 5;

async fn works(world: &World, backend: &Backend) -> bool {
    match knock(world, |message| backend.asks(message)).await {
        Ok(()) => true,
        Err(status) => {
            assert_eq!(reason_of(&status), "NOT_AUTHENTICATED");
            false
        }
    }
}

async fn revoke(world: &World, admin: &Person, name: &str) -> Result<(), Status> {
    let request = RevokeApiKeyRequest { name: name.to_owned() };
    world.services().revoke_api_key(admin.asks(request)).await.map(drop)
}

async fn keys(world: &World, admin: &Person, account: &str) -> Vec<ApiKey> {
    let request = ListApiKeysRequest { parent: account.to_owned(), ..Default::default() };
    world.services().list_api_keys(admin.asks(request)).await.unwrap().into_inner().api_keys
}

async fn a_key_works_at_once_here_and_soon_elsewhere_and_ends_so(world: World) {
    let (admin, other) = (world.admin().await, world.beside().await);
    for _ in 0..10 {
        let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
        assert!(works(&world, &backend).await);
        until(SOON, "the key works elsewhere", async || works(&other, &backend).await).await;
        revoke(&world, &admin, &backend.key_name).await.unwrap();
        assert!(!works(&world, &backend).await);
        until(SOON, "the key ends elsewhere", async || !works(&other, &backend).await).await;
        // Once more changes nothing.
        revoke(&world, &admin, &backend.key_name).await.unwrap();
        let revoked = &keys(&world, &admin, &backend.account.name).await[0];
        assert!(revoked.revoke_time.is_some());
    }
}

async fn a_disabled_service_account_has_no_good_key(world: World) {
    let (admin, other) = (world.admin().await, world.beside().await);
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    until(SOON, "the key works elsewhere", async || works(&other, &backend).await).await;
    let name = backend.account.name.clone();
    let request = DisableServiceAccountRequest { name: name.clone(), ..Default::default() };
    let disabled = world.services().disable_service_account(admin.asks(request)).await.unwrap();
    assert!(disabled.into_inner().service_account.unwrap().disabled);
    assert!(!works(&world, &backend).await);
    until(SOON, "it is shut out elsewhere", async || !works(&other, &backend).await).await;
    let request = EnableServiceAccountRequest { name, ..Default::default() };
    world.services().enable_service_account(admin.asks(request)).await.unwrap();
    assert!(works(&world, &backend).await);
}

async fn a_key_ends_when_it_expires(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    world.forward(TimeDelta::days(10) - TimeDelta::seconds(1));
    assert!(works(&world, &backend).await);
    world.forward(TimeDelta::seconds(1));
    assert!(!works(&world, &backend).await);
}

async fn what_is_no_good_key_is_refused_alike(world: World) {
    const PATH: &str = "/daybook.booking.v1.BookingService/ListAppointments";
    let admin = world.admin().await;
    let good = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let other = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let gone = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    revoke(&world, &admin, &gone.key_name).await.unwrap();
    let key = &good.key;
    let (id, secret) = key.split_at(43);
    let secret = &secret[1..];
    let id_of = |backend: &Backend| backend.key[..43].to_owned();
    let last = if key.ends_with('A') { "B" } else { "A" };
    let wrong = api_key::ApiKey::new(
        ApiKeyId(uuid::Uuid::try_parse(&id["daybook_sk_".len()..]).unwrap()),
        [0; 32],
    );
    let unknown = api_key::ApiKey::new(ApiKeyId(uuid::Uuid::nil()), [7; 32]);
    let mut corpus = vec![
        format!("Bearer {}", gone.key),
        // The right check with a wrong secret, and with an id that nobody has.
        format!("Bearer {}", wrong.text()),
        format!("Bearer {}", unknown.text()),
        // The id of another key with the own secret, and the other way round.
        format!("Bearer {}_{secret}", id_of(&other)),
        format!("Bearer {id}_{}", &other.key[44..]),
        // A wrong check.
        format!("Bearer {}{last}", &key[..key.len() - 1]),
        format!("Bearer {}", &key[..key.len() - 1]),
        format!("Bearer {}", &key[..key.len() - 6]),
        format!("Bearer {}", &key[1..]),
        format!("Bearer {id}"),
        format!("Bearer {id}_"),
        "Bearer daybook_sk_".to_owned(),
        "Bearer daybook_sk__".to_owned(),
        format!("Bearer {key}A"),
        format!("Bearer {key}="),
        format!("Bearer {key} "),
        format!("Bearer  {key}"),
        format!("Bearer\t{key}"),
        format!("Bearer {key},{key}"),
        format!("Bearer {key} {key}"),
        format!("Basic {key}"),
        key.clone(),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer {}", key.to_lowercase()),
        format!("Bearer {}", key.replacen("daybook_sk_", "Daybook_sk_", 1)),
        format!("Bearer {}", key.replacen("daybook_sk_", "daybook_pk_", 1)),
        format!("Bearer {}", key.replacen("daybook_sk_", "", 1)),
        format!("Bearer \"{key}\""),
        format!("Bearer {key}{}", "A".repeat(9000)),
        format!("Bearer {}", good.key_name),
        format!("Bearer {}.{key}", admin.token),
    ];
    // With hyphens, which the parser of ids would take.
    let hyphens = uuid::Uuid::try_parse(&id["daybook_sk_".len()..]).unwrap().hyphenated();
    corpus.push(format!("Bearer daybook_sk_{hyphens}_{secret}"));
    assert!(corpus.len() >= 30);
    let mut answers = BTreeSet::new();
    for bad in corpus {
        let answer = unary(&world.channel, PATH, authorized(Vec::new(), Some(&bad))).await;
        let status = refused(answer, "NOT_AUTHENTICATED");
        answers.insert((seen(&status).1, seen(&status).2));
    }
    for second in [key, &admin.token, ""] {
        let mut request = authorized(Vec::new(), Some(&format!("Bearer {key}")));
        let second = format!("Bearer {second}").parse().unwrap();
        request.metadata_mut().append("authorization", second);
        let status = refused(unary(&world.channel, PATH, request).await, "NOT_AUTHENTICATED");
        answers.insert((seen(&status).1, seen(&status).2));
    }
    let anonymous = unary(&world.channel, PATH, authorized(Vec::new(), None)).await;
    let status = refused(anonymous, "NOT_AUTHENTICATED");
    answers.insert((seen(&status).1, seen(&status).2));
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(works(&world, &good).await);
}

async fn nothing_that_is_stored_is_a_key(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    assert!(works(&world, &backend).await);
    let hex = match world.engine {
        Engine::Sqlite => "SELECT lower(hex(key_hash)) FROM api_keys",
        Engine::Postgres => "SELECT encode(key_hash, 'hex') FROM api_keys",
    };
    let hash = world.text(hex).await;
    let shown = api_key::ApiKey::parse(&backend.key).unwrap();
    let told: String = shown.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, told);
    // Whoever reads the table and makes a key of what is there gets nothing.
    let made = api_key::ApiKey::new(shown.id, shown.hash()).text();
    refused(
        knock(&world, |message| Backend { key: made, ..backend.clone() }.asks(message)).await,
        "NOT_AUTHENTICATED",
    );
    let hash = Backend { key: format!("daybook_sk_{hash}"), ..backend.clone() };
    refused(knock(&world, |message| hash.asks(message)).await, "NOT_AUTHENTICATED");
    // Nor is the secret in any row of what such a call writes.
    let secret = &backend.key[44..80];
    for (table, column) in [
        ("api_keys", "scopes"),
        ("api_keys", "last_address"),
        ("audit_events", "detail"),
        ("requests", "response"),
    ] {
        let sql =
            format!("SELECT count(*) FROM {table} WHERE CAST({column} AS text) LIKE '%{secret}%'");
        assert_eq!(world.count(&sql).await, 0, "{table}.{column}");
    }
}

async fn service_accounts_are_no_users(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, any_customer(), &[BOOKING]).await;
    let users = world.auth().list_users(admin.asks(ListUsersRequest::default())).await.unwrap();
    let users = users.into_inner().users;
    assert_eq!(users.len(), 1, "{users:?}");
    assert_eq!(world.count("SELECT count(*) FROM users").await, 1);
    let request = ListServiceAccountsRequest { page_size: 1, ..Default::default() };
    let answer = world.services().list_service_accounts(admin.asks(request)).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.service_accounts, [backend.account]);
    assert_eq!(answer.next_page_token, "");
}

async fn the_use_of_a_key_is_written_down(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let account = backend.account.name.clone();
    let first = &keys(&world, &admin, &account).await[0];
    assert_eq!((first.last_use_time, &*first.last_address), (None, ""));
    assert!(backend.key.starts_with(&first.prefix));
    assert_eq!(first.scopes, [BOOKING]);
    assert!(works(&world, &backend).await);
    let began = world.in_days(0);
    let used = async || keys(&world, &admin, &account).await[0].last_use_time == Some(began);
    until(SOON, "the use is written down", used).await;
    assert_eq!(keys(&world, &admin, &account).await[0].last_address, "127.0.0.1");
    // Within a minute it is not written down again, and then the last one is.
    world.forward(TimeDelta::seconds(59));
    assert!(works(&world, &backend).await);
    let late = world.in_days(0);
    assert!(used().await);
    world.forward(TimeDelta::seconds(1));
    let used = async || keys(&world, &admin, &account).await[0].last_use_time == Some(late);
    until(SOON, "the last use is written down", used).await;
}

async fn trail(world: &World, admin: &Person, kind: Kind) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest { kind: kind.into(), ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}

async fn the_trail_tells_what_happened_to_keys(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let name = backend.account.name.clone();
    let request = DisableServiceAccountRequest { name: name.clone(), ..Default::default() };
    world.services().disable_service_account(admin.asks(request)).await.unwrap();
    let request = EnableServiceAccountRequest { name: name.clone(), ..Default::default() };
    world.services().enable_service_account(admin.asks(request)).await.unwrap();
    revoke(&world, &admin, &backend.key_name).await.unwrap();
    for kind in [
        Kind::ServiceAccountCreated,
        Kind::ServiceAccountDisabled,
        Kind::ServiceAccountEnabled,
        Kind::ApiKeyCreated,
        Kind::ApiKeyRevoked,
    ] {
        let found = trail(&world, &admin, kind).await;
        assert_eq!(found.len(), 1, "{kind:?}");
        assert_eq!(found[0].actor, admin.user.name);
        assert!(found[0].detail.contains(&name), "{}", found[0].detail);
    }
    // However often it is refused: once, and again after a minute.
    for _ in 0..50 {
        assert!(!works(&world, &backend).await);
    }
    let refusals = async || trail(&world, &admin, Kind::ApiKeyRefused).await.len();
    until(SOON, "the refusal is written down", async || refusals().await == 1).await;
    assert!(!works(&world, &backend).await);
    world.forward(TimeDelta::minutes(1));
    until(SOON, "the next one is", async || refusals().await == 2).await;
    let last = &trail(&world, &admin, Kind::ApiKeyRefused).await[0];
    assert!(last.detail.contains("\"revoked\"") && last.detail.contains(&backend.key_name));
    assert_eq!((&*last.actor, &*last.address), ("", "127.0.0.1"));
    assert_eq!(last.call_id.len(), 36, "{last:?}");
}

async fn a_service_account_has_at_most_ten_good_keys(world: World) {
    let admin = world.admin().await;
    let account = world.service_account(&admin, Role::Admin, None).await.name;
    let first = world.api_key(&admin, &account, &[BOOKING]).await.unwrap();
    for _ in 1..10 {
        world.api_key(&admin, &account, &[BOOKING]).await.unwrap();
    }
    refused(world.api_key(&admin, &account, &[BOOKING]).await, "TOO_MANY");
    revoke(&world, &admin, &first.api_key.unwrap().name).await.unwrap();
    world.api_key(&admin, &account, &[BOOKING]).await.unwrap();
    // Nor do those count that have expired.
    refused(world.api_key(&admin, &account, &[BOOKING]).await, "TOO_MANY");
    world.forward(TimeDelta::days(10));
    let admin = world.log_in(&admin.user.email).await;
    world.api_key(&admin, &account, &[BOOKING]).await.unwrap();
    // In pages, oldest first.
    let mut found = Vec::new();
    let mut request = ListApiKeysRequest { parent: account, page_size: 4, ..Default::default() };
    loop {
        let answer = world.services().list_api_keys(admin.asks(request.clone())).await.unwrap();
        let answer = answer.into_inner();
        found.extend(answer.api_keys.into_iter().map(|key| key.name));
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    assert_eq!(found.len(), 12);
    assert!(found.is_sorted());
}

async fn a_hundred_service_accounts_are_enabled_at_most(world: World) {
    let admin = world.admin().await;
    let mut names = Vec::new();
    for _ in 0..100 {
        names.push(world.service_account(&admin, Role::Admin, None).await.name);
    }
    let create = async || {
        let account = ServiceAccount {
            display_name: "One more".to_owned(),
            role: Role::Admin.into(),
            ..Default::default()
        };
        let service_account = Some(account);
        let request = CreateServiceAccountRequest { service_account, ..Default::default() };
        world.services().create_service_account(admin.asks(request)).await
    };
    let enable = async |name: &str| {
        let request = EnableServiceAccountRequest { name: name.to_owned(), ..Default::default() };
        world.services().enable_service_account(admin.asks(request)).await
    };
    refused(create().await, "TOO_MANY");
    // Nobody can delete a disabled one, so it takes no room.
    let request = DisableServiceAccountRequest { name: names[0].clone(), ..Default::default() };
    world.services().disable_service_account(admin.asks(request)).await.unwrap();
    create().await.unwrap();
    refused(create().await, "TOO_MANY");
    refused(enable(&names[0]).await, "TOO_MANY");
    // One that is enabled already stays so.
    enable(&names[1]).await.unwrap();
}

async fn who_is_an_admin_no_more_makes_no_key(world: World) {
    let (admin, other) = (world.admin().await, world.beside().await);
    let account = world.service_account(&admin, Role::Admin, None).await.name;
    // Past the server, so that nobody knows but the row.
    world.execute("UPDATE users SET role = 'customer'", "UPDATE users SET role = 'customer'").await;
    for at in [&world, &other] {
        refused(at.api_key(&admin, &account, &[BOOKING]).await, "NOT_AUTHENTICATED");
    }
    assert_eq!(world.count("SELECT count(*) FROM api_keys").await, 0);
}

async fn a_use_that_cannot_be_written_down_keeps_no_other_and_is_written_later(world: World) {
    let admin = world.admin().await;
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(world.backend(&admin, Role::Admin, None, &[BOOKING]).await);
    }
    let id = |backend: &Backend| backend.key_name.rsplit('/').next().unwrap().to_owned();
    let hex = id(&backends[1]).replace('-', "");
    world
        .execute(
            &format!(
                "CREATE TRIGGER broken BEFORE UPDATE ON api_keys
                    WHEN hex(NEW.api_key_id) = upper('{hex}')
                    BEGIN SELECT RAISE(FAIL, 'on purpose'); END"
            ),
            &format!(
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'on purpose'; END $$;
                 CREATE TRIGGER broken BEFORE UPDATE ON api_keys FOR EACH ROW
                    WHEN (NEW.api_key_id = '{}') EXECUTE FUNCTION broken()",
                id(&backends[1])
            ),
        )
        .await;
    for backend in &backends {
        assert!(works(&world, backend).await);
    }
    let used = world.clock.now();
    let at = Some(prost_types::Timestamp { seconds: used.timestamp(), nanos: 0 });
    let last = async |backend: &Backend| {
        keys(&world, &admin, &backend.account.name).await[0].last_use_time
    };
    for backend in [&backends[0], &backends[2]] {
        until(SOON, "the others are", async || last(backend).await == at).await;
    }
    assert_eq!(last(&backends[1]).await, None);
    // Later, and as of when it was used.
    world.forward(TimeDelta::seconds(10));
    world.execute("DROP TRIGGER broken", "DROP TRIGGER broken ON api_keys").await;
    until(SOON, "it is written down", async || last(&backends[1]).await == at).await;
}
