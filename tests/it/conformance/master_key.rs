//! The master key: what it keeps from whoever reads the database, what happens with another one, and how
//! it is changed.

use std::{fs, sync::Arc};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::TimeDelta;
use daybook::{
    accounts::signing::key_lifecycle::KeyState,
    app::{self, commands, key_commands::Rotation},
    grpc::proto::{
        auth::{
            GetMeRequest, ListUsersRequest, LogInRequest, LogInResponse, RefreshTokensRequest,
            UpdateMeRequest, User,
        },
        booking::ListProvidersRequest,
    },
    identity::master_key::MasterKey,
    kernel::ambient::Ambient,
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, Statement};

use super::behaviours;
use crate::support::{
    Engine, World, config, database,
    keys::kid_of,
    people::{PASSWORD, uuid, with_token},
    process::until,
    refusal::{fields_of, refused},
    rounds,
};

behaviours!(
    eight_first_starts_agree_on_the_keys,
    no_private_key_can_be_read_in_the_database,
    what_others_write_into_the_table_verifies_nothing,
    the_database_lets_one_be_active_and_keeps_no_key_that_retired,
    a_restart_goes_on_with_tokens_and_sessions,
    another_master_key_changes_nothing,
    a_lost_master_key_can_be_left_behind,
    a_new_master_key_takes_over_line_by_line,
);

async fn log_in(world: &World, email: &str, device: &str) -> LogInResponse {
    let request = LogInRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        device_token: device.to_owned(),
    };
    world.auth().log_in(request).await.unwrap().into_inner()
}

async fn works(world: &World, token: &str) -> bool {
    world.auth().get_me(with_token(GetMeRequest {}, token)).await.is_ok()
}

async fn eight_first_starts_agree_on_the_keys(world: World) {
    for _ in 0..rounds(1, 10) {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = database(world.engine, folder.path()).await;
        // The tables are there; what is raced for is the keys, and the file of the master key.
        commands::migrate_up(&config(&url, folder.path(), &[])).await.unwrap();
        let start = |_| World::in_folder(world.engine, url.clone(), Arc::clone(&folder), &[]);
        let servers = join_all((0..8).map(start)).await;
        let states: Vec<_> = servers[0].signing_keys().await.into_iter().map(|key| key.1).collect();
        assert_eq!(states.len(), 2);
        assert!(states.contains(&KeyState::Active) && states.contains(&KeyState::Next));
        let shown = servers[0].jwks().await.keys;
        let email = servers[0].customer().await.user.email;
        for server in &servers {
            assert_eq!(server.jwks().await.keys, shown);
            let token = server.log_in(&email).await.token;
            for other in &servers {
                assert!(works(other, &token).await);
            }
        }
    }
}

/// Every value of every table as text, bytes in hex.
async fn everything(world: &World) -> String {
    let db = world.sql().await;
    let backend = db.get_database_backend();
    let rows = async |sql: &str| {
        let found = db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        let text = |row: &sea_orm::QueryResult| row.try_get_by_index::<Option<String>>(0).unwrap();
        found.iter().filter_map(text).collect::<Vec<_>>()
    };
    let tables = match world.engine {
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Engine::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let mut all = Vec::new();
    for table in rows(tables).await {
        if world.engine == Engine::Postgres {
            all.extend(rows(&format!("SELECT to_jsonb(t)::text FROM \"{table}\" t")).await);
            continue;
        }
        for column in rows(&format!("SELECT name FROM pragma_table_info('{table}')")).await {
            let value = format!("SELECT quote(\"{column}\") FROM \"{table}\"");
            all.extend(rows(&value).await);
        }
    }
    all.join("\n").to_lowercase()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn no_private_key_can_be_read_in_the_database(world: World) {
    let person = world.customer().await;
    world.forward(TimeDelta::seconds(900));
    world.rotate(Rotation::Usual, &[]).await.unwrap();
    let master = world.master_key();
    let stored = everything(&world).await;
    let mut seen = 0;
    for (key, state) in world.signing_keys().await {
        assert!(stored.contains(&hex(&key.public)), "the scan sees what is there");
        if !key.life.has_private_key() {
            assert_eq!((key.sealed, state), (None, KeyState::Retiring));
            continue;
        }
        seen += 1;
        let opened = key.open(&master).unwrap();
        // PKCS #8 ends with the private key, or with the public key after it.
        let document = opened.encoding.as_bytes();
        let at = document.windows(2).position(|part| part == [0x04, 0x20]).unwrap() + 2;
        let seed = &document[at..at + 32];
        assert_eq!(
            daybook::accounts::signing::signing_key::SigningKey::from_seed(seed)
                .unwrap()
                .public
                .kid,
            key.kid
        );
        for form in [hex(seed), hex(&seed[..16]), STANDARD.encode(seed).to_lowercase()] {
            assert!(!stored.contains(&form), "a private key can be read");
        }
        let sealed = key.sealed.unwrap();
        assert!(stored.contains(&hex(&sealed)));
        // Nothing else that is stored opens it, nor another row's place.
        let other = MasterKey::of(&[1; 32]);
        assert!(other.open("signing key", &key.public, &sealed).is_err());
        assert!(master.open("signing key", &[0; 32], &sealed).is_err());
    }
    assert_eq!(seen, 2);
    let text = fs::read_to_string(world.master_key_file()).unwrap();
    let text = text.lines().last().unwrap().to_owned();
    let master = STANDARD.decode(&text).unwrap();
    assert!(!stored.contains(&text.to_lowercase()) && !stored.contains(&hex(&master)));
    assert!(!stored.contains(&person.token.to_lowercase()));
}

async fn what_others_write_into_the_table_verifies_nothing(world: World) {
    let person = world.customer().await;
    let known = world.key_in(KeyState::Active).await;
    let seed = [2; 32];
    // Somebody who can write into the database, and does not have the master key, adds a key of theirs.
    let foreign = daybook::accounts::signing::StoredKey::make(
        &MasterKey::of(&[1; 32]),
        (seed, [3; 12]),
        daybook::accounts::signing::key_lifecycle::Life::active(world.clock.now()),
    )
    .unwrap();
    for tag in [foreign.tag.clone(), known.tag.clone()] {
        let (public, tag) = (hex(&foreign.public), hex(&tag));
        let insert = |quote: fn(&str) -> String| {
            format!(
                "INSERT INTO signing_keys (kid, public_key, tag, created_at, activated_at, retired_at,
                    gone_at)
                 SELECT '{}', {}, {}, created_at, activated_at, created_at, '2099-01-01T00:00:00+00:00'
                 FROM signing_keys WHERE kid = '{}'",
                foreign.kid,
                quote(&public),
                quote(&tag),
                known.kid
            )
        };
        let sqlite = insert(|hex| format!("x'{hex}'"));
        let postgres = insert(|hex| format!("'\\x{hex}'::bytea"));
        let delete = format!("DELETE FROM signing_keys WHERE kid = '{}'", foreign.kid);
        world.execute(&sqlite, &postgres).await;
        // A rotation makes a row that the server will see, and with it what was there before.
        world.forward(TimeDelta::seconds(900));
        world.rotate(Rotation::Usual, &[]).await.unwrap();
        world.knows(&world.key_in(KeyState::Next).await.kid.to_string()).await;
        let shown = world.jwks().await.keys;
        assert!(shown.iter().all(|key| key.kid != foreign.kid.to_string()), "{shown:?}");
        let [head, body, _] = person.token.split('.').collect::<Vec<_>>()[..] else { panic!() };
        let head = String::from_utf8(URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
        let head = head.replace(&known.kid.to_string(), &foreign.kid.to_string());
        let said = format!("{}.{body}", URL_SAFE_NO_PAD.encode(head));
        let signature = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().sign(said.as_bytes());
        let forged = format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        assert_eq!(kid_of(&forged), foreign.kid.to_string());
        assert!(!works(&world, &forged).await);
        world.execute(&delete, &delete).await;
    }
    assert!(works(&world, &person.token).await);
}

async fn the_database_lets_one_be_active_and_keeps_no_key_that_retired(world: World) {
    let db = world.sql().await;
    let next = world.key_in(KeyState::Next).await.kid;
    for (statement, broken) in [
        (
            "UPDATE signing_keys SET activated_at = created_at WHERE activated_at IS NULL",
            "signing_keys",
        ),
        ("UPDATE signing_keys SET activated_at = NULL", "signing_keys"),
        ("UPDATE signing_keys SET sealed_key = NULL", "signing_keys"),
        ("UPDATE signing_keys SET retired_at = created_at, gone_at = created_at", "signing_keys"),
        ("UPDATE signing_keys SET retired_at = created_at, sealed_key = NULL", "signing_keys"),
    ] {
        let told = db.execute_unprepared(statement).await.unwrap_err().to_string();
        let is_constraint = told.contains("constraint") || told.contains("CONSTRAINT");
        assert!(told.contains(broken) || is_constraint, "{statement}: {told}");
    }
    assert_eq!(world.key_in(KeyState::Next).await.kid, next);
}

async fn a_restart_goes_on_with_tokens_and_sessions(world: World) {
    let person = world.customer().await;
    let begun = log_in(&world, &person.user.email, "").await;
    let shown = world.jwks().await.keys;
    // The same folder and database, another process.
    let again = world.beside().await;
    assert_eq!(again.jwks().await.keys, shown);
    assert!(works(&again, &begun.access_token).await);
    let request = RefreshTokensRequest { refresh_token: begun.refresh_token };
    let next = again.auth().refresh_tokens(request).await.unwrap().into_inner();
    assert_eq!(kid_of(&next.access_token), kid_of(&begun.access_token));
    assert!(works(&world, &next.access_token).await);
    assert_eq!(world.count("SELECT count(*) FROM signing_keys").await, 2);
}

/// A server on the same database with another master key, and why it ended.
async fn start_elsewhere(world: &World, master: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (ambient, _) = Ambient::manual(world.clock.now());
    let settings = [("auth.master_key_file", master)];
    let running = app::start(config(&world.url, folder.path(), &settings), ambient).await.unwrap();
    running.ended().await.unwrap_err().to_string()
}

async fn another_master_key_changes_nothing(world: World) {
    let person = world.customer().await;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    MasterKey::read_or_make(&other).unwrap();
    let other = other.to_str().unwrap();
    let settings = [("auth.master_key_file", other)];
    let before = everything(&world).await;
    let told = start_elsewhere(&world, other).await;
    for words in ["does not open", "another master key", "auth.master_key_file", "Nothing was"] {
        assert!(told.contains(words), "{told}");
    }
    world.forward(TimeDelta::seconds(900));
    for rotation in [Rotation::Usual, Rotation::AtOnce { master_key_lost: false }] {
        let told = world.rotate(rotation, &settings).await.unwrap_err().to_string();
        assert!(told.contains("does not open"), "{told}");
    }
    // None is made where there is none.
    let none = folder.path().join("none");
    let settings = [("auth.master_key_file", none.to_str().unwrap())];
    let told = world.rotate(Rotation::Usual, &settings).await.unwrap_err().to_string();
    assert!(told.contains("master key file") && !none.exists(), "{told}");
    assert_eq!(everything(&world).await, before);
    assert!(works(&world, &person.token).await);
    assert!(works(&world, &world.log_in(&person.user.email).await.token).await);
}

async fn a_lost_master_key_can_be_left_behind(world: World) {
    let person = world.customer().await;
    let begun = log_in(&world, &person.user.email, "").await;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    MasterKey::read_or_make(&other).unwrap();
    let settings = [("auth.master_key_file", other.to_str().unwrap())];
    let lost = Rotation::AtOnce { master_key_lost: true };
    world.rotate(lost, &settings).await.unwrap();
    let server = world.beside_with(&settings).await;
    assert!(!works(&server, &begun.access_token).await);
    let request = RefreshTokensRequest { refresh_token: begun.refresh_token };
    let next = server.auth().refresh_tokens(request).await.unwrap().into_inner();
    assert!(works(&server, &next.access_token).await);
    // Who still has the old one can check nothing and sign nothing, and says so.
    let request = LogInRequest {
        email: person.user.email.clone(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let refused = async || {
        let answer = world.auth().log_in(request.clone()).await;
        answer.is_err_and(|status| status.code() == tonic::Code::Unavailable)
    };
    until(30, "the old master key is of no use", refused).await;
}

async fn a_new_master_key_takes_over_line_by_line(world: World) {
    let (admin, _) = (world.admin().await, world.provider().await);
    world.provider().await;
    let begun = log_in(&world, &admin.user.email, "").await;
    // What was made with the old one: a page token, a request, a device word, a refresh token.
    let list = ListProvidersRequest { page_size: 1, ..Default::default() };
    let page = world.schedule().list_providers(with_token(list.clone(), &begun.access_token)).await;
    let page_token = page.unwrap().into_inner().next_page_token;
    let update = UpdateMeRequest {
        user: Some(User { display_name: "Grace".to_owned(), ..Default::default() }),
        request_id: uuid(),
        ..Default::default()
    };
    let updated = world.auth().update_me(with_token(update.clone(), &begun.access_token)).await;
    let updated = updated.unwrap().into_inner();
    let sealed = "SELECT count(DISTINCT substr(sealed_key, 1, 9)) FROM signing_keys";
    let before = everything(&world).await;

    let folder = tempfile::tempdir().unwrap();
    let old = fs::read_to_string(world.master_key_file()).unwrap();
    let old = old.lines().last().unwrap();
    let new = STANDARD.encode([7; 32]);
    let file = folder.path().join("lines");
    fs::write(&file, format!("{new}\n{old}\n")).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let settings = [("auth.master_key_file", path.as_str())];
    let server = world.beside_with(&settings).await;
    assert_ne!(everything(&world).await, before, "sealed anew at the start");
    assert_eq!(world.count(sealed).await, 1);
    assert!(works(&server, &begun.access_token).await);
    let next = ListProvidersRequest { page_token: page_token.clone(), ..list.clone() };
    let next = with_token(next, &begun.access_token);
    server.schedule().list_providers(next).await.unwrap();
    let again = with_token(update.clone(), &begun.access_token);
    let again = server.auth().update_me(again).await.unwrap().into_inner();
    assert_eq!(again, updated);
    let device = log_in(&server, &admin.user.email, &begun.device_token).await;
    // The same device, under the new key from now on.
    let of = |token: &str| token[..40].to_owned();
    let (later, first) = (of(&device.device_token), of(&begun.device_token));
    assert_eq!(later, first, "the device is still known");
    let refresh = RefreshTokensRequest { refresh_token: begun.refresh_token.clone() };
    let refreshed = server.auth().refresh_tokens(refresh).await.unwrap().into_inner();

    // The old line goes: tokens and sessions go on, and what was derived from it is unknown.
    fs::write(&file, format!("{new}\n")).unwrap();
    let last = world.beside_with(&settings).await;
    assert!(works(&last, &refreshed.access_token).await);
    let next = with_token(ListProvidersRequest { page_token, ..list }, &refreshed.access_token);
    let status = last.schedule().list_providers(next).await.unwrap_err();
    assert_eq!(fields_of(&status), ["page_token"]);
    let again = last.auth().update_me(with_token(update, &refreshed.access_token)).await;
    refused(again, "REQUEST_ID_REUSED");
    let device = log_in(&last, &admin.user.email, &begun.device_token).await;
    assert_ne!(device.device_token, begun.device_token);
    let refresh = RefreshTokensRequest { refresh_token: refreshed.refresh_token };
    let refreshed = last.auth().refresh_tokens(refresh).await.unwrap().into_inner();
    let users = with_token(ListUsersRequest::default(), &refreshed.access_token);
    last.auth().list_users(users).await.unwrap();
    // Who has only the old one cannot start any more.
    let told = start_elsewhere(&world, world.master_key_file().to_str().unwrap()).await;
    assert!(told.contains("another master key"), "{told}");
}
