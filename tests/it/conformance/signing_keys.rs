//! The keys that sign access tokens: shown, used, retired, gone.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use daybook::{
    accounts::signing::{commands::Rotated, key_lifecycle::KeyState},
    app::key_commands::Rotation,
    grpc::proto::auth::{
        GetMeRequest, ListAuditEventsRequest, LogInRequest, RefreshTokensRequest, audit_event::Kind,
    },
};
use futures_util::future::join_all;
use serde_json::Value;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World,
    keys::kid_of,
    people::{PASSWORD, Person, with_token},
    process::until,
    refusal::refused,
    rounds,
};

behaviours!(
    a_key_is_shown_before_it_signs_and_known_after,
    what_a_key_signed_is_refused_when_it_is_gone,
    an_old_key_is_replaced_by_itself_once,
    eight_rotations_at_once_are_one,
    replaced_at_once_ends_all_access_tokens_and_no_log_in,
    rotations_under_load_refuse_nobody,
    what_is_shown_verifies_tokens,
);

const LEAD: TimeDelta = TimeDelta::seconds(900);
const AT_ONCE: Rotation = Rotation::AtOnce { master_key_lost: false };

async fn me(world: &World, token: &str) -> Result<(), Status> {
    world.auth().get_me(with_token(GetMeRequest {}, token)).await.map(drop)
}

async fn token_of(world: &World, person: &Person) -> String {
    world.log_in(&person.user.email).await.token
}

/// Rotates as the command line does, and waits until the server has seen it.
async fn rotate(world: &World, settings: &[(&str, &str)]) {
    let rotated = world.rotate(Rotation::Usual, settings).await.unwrap();
    let Rotated::Done(keys) = rotated else { panic!("{rotated:?}") };
    world.knows(&keys.last().unwrap().kid.to_string()).await;
}

async fn rotations(world: &World, admin: &Person) -> Vec<Value> {
    let kind = Kind::SigningKeyRotated.into();
    let request = admin.asks(ListAuditEventsRequest { kind, ..Default::default() });
    let events = world.auth().list_audit_events(request).await.unwrap().into_inner().audit_events;
    for event in &events {
        // Nobody's account, and nobody who calls.
        assert_eq!((&*event.user, &*event.actor, &*event.address), ("", "", ""));
    }
    events.iter().map(|event| serde_json::from_str(&event.detail).unwrap()).collect()
}

async fn a_key_is_shown_before_it_signs_and_known_after(world: World) {
    let other = world.beside().await;
    let admin = world.admin().await;
    let (first, next) = (world.key_in(KeyState::Active).await, world.key_in(KeyState::Next).await);
    let shown = async |world: &World| {
        world.jwks().await.keys.into_iter().map(|key| key.kid).collect::<Vec<_>>()
    };
    let mut both = vec![first.kid.to_string(), next.kid.to_string()];
    both.sort();
    for server in [&world, &other] {
        let mut seen = shown(server).await;
        seen.sort();
        assert_eq!(seen, both);
    }
    assert_eq!(kid_of(&admin.token), first.kid.to_string());
    let max_age = world.jwks().await.max_age.unwrap();
    assert_eq!((max_age.seconds, max_age.nanos), (300, 0));

    world.forward(LEAD - TimeDelta::seconds(1));
    let early = world.rotate(Rotation::Usual, &[]).await.unwrap();
    assert_eq!(early, Rotated::TooSoon(TimeDelta::seconds(1)));
    for server in [&world, &other] {
        server.forward(TimeDelta::seconds(1));
    }
    other.clock.set(world.clock.now());
    rotate(&world, &[]).await;
    assert_eq!(world.key_in(KeyState::Retiring).await.kid, first.kid);
    assert_eq!(world.key_in(KeyState::Active).await.kid, next.kid);
    let third = world.key_in(KeyState::Next).await;
    let erased = "SELECT count(*) FROM signing_keys WHERE sealed_key IS NULL";
    assert_eq!(world.count(erased).await, 1, "the private key is erased at once");
    assert_eq!(shown(&world).await.len(), 3);
    let later = token_of(&world, &admin).await;
    assert_eq!(kid_of(&later), next.kid.to_string());
    // The other server knew the key before it signed, and knows the one before for a while.
    for server in [&world, &other] {
        me(server, &later).await.unwrap();
        me(server, &admin.token).await.unwrap();
    }
    other.knows(&third.kid.to_string()).await;
    let told = rotations(&world, &admin).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["by"], "command");
    assert_eq!(told[0]["retiring"], first.kid.to_string());
    assert_eq!(told[0]["active"], next.kid.to_string());
    assert_eq!(told[0]["next"], third.kid.to_string());
}

async fn what_a_key_signed_is_refused_when_it_is_gone(world: World) {
    let settings = [("auth.access_token_ttl_seconds", "300")];
    let server = world.beside_with(&settings).await;
    let person = world.customer().await;
    let (seen, unseen) = (token_of(&world, &person).await, token_of(&world, &person).await);
    me(&server, &seen).await.unwrap();
    world.forward(LEAD);
    server.clock.set(world.clock.now());
    rotate(&server, &settings).await;
    // These tokens last a day: it is their key that ends, five minutes of the longest token, half a
    // minute of leeway and two and a half for whoever is behind after it signed last.
    let gone = server.clock.now() + TimeDelta::seconds(300 + 30 + 150);
    server.clock.set(gone - TimeDelta::microseconds(1));
    me(&server, &seen).await.unwrap();
    assert_eq!(server.jwks().await.keys.len(), 3);
    server.clock.set(gone);
    for token in [&seen, &unseen] {
        refused(me(&server, token).await, "NOT_AUTHENTICATED");
    }
    assert_eq!(server.jwks().await.keys.len(), 2);
    assert_eq!(server.key_in(KeyState::Gone).await.sealed, None);
    me(&server, &token_of(&server, &person).await).await.unwrap();
}

async fn an_old_key_is_replaced_by_itself_once(world: World) {
    let servers = [world.beside().await, world.beside().await];
    let all = [&world, &servers[0], &servers[1]];
    let admin = world.admin().await;
    let never = world.beside_with(&[("auth.signing_key_rotation_hours", "0")]).await;
    let first = world.key_in(KeyState::Active).await.kid;
    let old = world.clock.now() + TimeDelta::hours(720);
    never.clock.set(old + TimeDelta::hours(720));
    for server in all {
        server.clock.set(old - TimeDelta::seconds(1));
    }
    // Whoever would replace it has looked at least once by then.
    never.knows(&world.key_in(KeyState::Next).await.kid.to_string()).await;
    assert_eq!(world.key_in(KeyState::Active).await.kid, first);
    for server in all {
        server.clock.set(old);
    }
    let replaced = async || {
        let keys = world.signing_keys().await;
        keys.iter().any(|(key, state)| key.kid == first && *state == KeyState::Retiring)
    };
    until(30, "the old key is replaced", replaced).await;
    let next = world.key_in(KeyState::Next).await.kid.to_string();
    for server in all {
        server.knows(&next).await;
    }
    let again = world.log_in(&admin.user.email).await;
    let told = rotations(&world, &again).await;
    assert_eq!((told.len(), &told[0]["by"]), (1, &Value::from("age")));
    assert_eq!(world.count("SELECT count(*) FROM signing_keys").await, 3);
}

async fn eight_rotations_at_once_are_one(world: World) {
    for round in 1..=rounds(3, 30) {
        world.forward(LEAD);
        let all = join_all((0..8).map(|_| world.rotate(Rotation::Usual, &[]))).await;
        let done = |rotated: &Rotated| matches!(rotated, Rotated::Done(_));
        let soon = |rotated: &Rotated| *rotated == Rotated::TooSoon(LEAD);
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(all.iter().filter(|one| done(one)).count(), 1, "{all:?}");
        assert_eq!(all.iter().filter(|one| soon(one)).count(), 7, "{all:?}");
        world.key_in(KeyState::Active).await;
        world.key_in(KeyState::Next).await;
        let expected = i64::try_from(round).unwrap();
        assert_eq!(world.count("SELECT count(*) FROM audit_events").await, expected);
        assert_eq!(world.count("SELECT count(*) FROM signing_keys").await, expected + 2);
    }
}

async fn replaced_at_once_ends_all_access_tokens_and_no_log_in(world: World) {
    let other = world.beside().await;
    let admin = world.admin().await;
    let request = LogInRequest {
        email: admin.user.email.clone(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let begun = world.auth().log_in(request).await.unwrap().into_inner();
    world.forward(LEAD);
    other.clock.set(world.clock.now());
    rotate(&world, &[]).await;
    let later = token_of(&world, &admin).await;
    let before: Vec<String> = world.jwks().await.keys.into_iter().map(|key| key.kid).collect();
    assert_eq!(before.len(), 3);
    for token in [&begun.access_token, &later] {
        me(&world, token).await.unwrap();
        me(&other, token).await.unwrap();
    }
    world.rotate(AT_ONCE, &[]).await.unwrap();
    let active = world.key_in(KeyState::Active).await.kid.to_string();
    for server in [&world, &other] {
        server.knows(&active).await;
        for token in [&begun.access_token, &later, &admin.token] {
            refused(me(server, token).await, "NOT_AUTHENTICATED");
        }
        let shown = server.jwks().await;
        assert_eq!(shown.keys.len(), 2);
        assert!(shown.keys.iter().all(|key| !before.contains(&key.kid)));
    }
    let erased = "SELECT count(*) FROM signing_keys WHERE sealed_key IS NULL";
    assert_eq!(world.count(erased).await, 3);
    // Refresh tokens carry on.
    let request = RefreshTokensRequest { refresh_token: begun.refresh_token };
    let next = other.auth().refresh_tokens(request).await.unwrap().into_inner();
    me(&world, &next.access_token).await.unwrap();
    let kind = Kind::SigningKeysReplaced.into();
    let request = ListAuditEventsRequest { kind, ..Default::default() };
    let told = world.auth().list_audit_events(with_token(request, &next.access_token)).await;
    let told = told.unwrap().into_inner().audit_events;
    assert_eq!((told.len(), told[0].actor.as_str()), (1, ""));
    let detail: Value = serde_json::from_str(&told[0].detail).unwrap();
    assert_eq!(detail["gone"].as_array().unwrap().len(), 3);
    assert_eq!(detail["active"], active);
}

/// Three servers, and a key that is replaced every ten seconds of their clock, as soon as may be.
async fn rotations_under_load_refuse_nobody(world: World) {
    let settings = [("auth.signing_key_lead_seconds", "10")];
    let servers: Arc<Vec<World>> = Arc::new(vec![
        world.beside_with(&settings).await,
        world.beside_with(&settings).await,
        world.beside_with(&settings).await,
    ]);
    let person = world.customer().await;
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let met = Arc::new(Mutex::new(BTreeSet::new()));
    let load = (0..3).map(|number| {
        let (servers, over, calls) = (Arc::clone(&servers), Arc::clone(&over), Arc::clone(&calls));
        let met = Arc::clone(&met);
        let email = person.user.email.clone();
        tokio::spawn(async move {
            let request =
                LogInRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
            let begun = servers[number].auth().log_in(request).await.unwrap().into_inner();
            let (mut refresh_token, mut tokens) = (begun.refresh_token, vec![begun.access_token]);
            let mut round = number;
            while !over.load(Ordering::SeqCst) {
                // A new token of one server at once at every server, and some that there were.
                round += 1;
                let request = RefreshTokensRequest { refresh_token };
                let next = servers[round % 3].auth().refresh_tokens(request).await.unwrap();
                let next = next.into_inner();
                refresh_token = next.refresh_token;
                let kid = kid_of(&next.access_token);
                tokens.insert(0, next.access_token);
                if tokens.len() > 8 {
                    tokens.remove(4);
                }
                for token in &tokens {
                    for server in servers.iter() {
                        me(server, token).await.unwrap();
                        calls.fetch_add(1, Ordering::SeqCst);
                    }
                }
                met.lock().unwrap().insert(kid);
            }
        })
    });
    let load: Vec<_> = load.collect();
    let rotated = rounds(6, 60);
    for _ in 0..rotated {
        for server in servers.iter() {
            server.forward(TimeDelta::seconds(10));
        }
        let now = servers[0].clock.now();
        assert!(servers.iter().all(|server| server.clock.now() == now));
        let done = servers[0].rotate(Rotation::Usual, &settings).await.unwrap();
        let Rotated::Done(keys) = done else { panic!("{done:?}") };
        // In ten seconds each server has looked ten times; here it has looked once.
        for server in servers.iter() {
            server.knows(&keys.last().unwrap().kid.to_string()).await;
        }
        let active = keys.iter().find(|key| key.life.state(now) == KeyState::Active).unwrap();
        let active = active.kid.to_string();
        let used = async || met.lock().unwrap().contains(&active);
        until(60, "tokens of the new key are used", used).await;
    }
    over.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    let (met, calls) = (met.lock().unwrap().len(), calls.load(Ordering::SeqCst));
    println!("{rotated} rotations, {calls} calls, none refused; {met} keys");
    assert!(met >= rotated);
}

async fn what_is_shown_verifies_tokens(world: World) {
    let person = world.customer().await;
    let answer = world.jwks().await;
    let json: Value = serde_json::from_str(&answer.json).unwrap();
    assert_eq!(json["keys"].as_array().unwrap().len(), answer.keys.len());
    let mut verified = 0;
    for (key, text) in answer.keys.iter().zip(json["keys"].as_array().unwrap()) {
        assert_eq!(
            (key.kty.as_str(), key.crv.as_str(), key.r#use.as_str(), key.alg.as_str()),
            ("OKP", "Ed25519", "sig", "EdDSA")
        );
        let names = ["alg", "crv", "kid", "kty", "use", "x"];
        let text = text.as_object().unwrap();
        assert_eq!(text.keys().map(String::as_str).collect::<Vec<_>>(), names);
        let values = [&key.alg, &key.crv, &key.kid, &key.kty, &key.r#use, &key.x];
        for (name, value) in names.iter().zip(values) {
            assert_eq!(text[*name], **value);
        }
        let (said, signature) = person.token.rsplit_once('.').unwrap();
        let x = URL_SAFE_NO_PAD.decode(&key.x).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, x);
        let is_right = public.verify(said.as_bytes(), &signature).is_ok();
        assert_eq!(is_right, key.kid == kid_of(&person.token));
        verified += usize::from(is_right);
    }
    assert_eq!(verified, 1);
}
