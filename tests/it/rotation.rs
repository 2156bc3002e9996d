//! Signing keys over several processes, with the real clock and as operators replace them.

use std::{
    collections::BTreeSet,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use daybook::grpc::proto::auth::{
    GetMeRequest, LogInRequest, RefreshTokensRequest, Role, auth_service_client::AuthServiceClient,
};
use sea_orm::{ConnectionTrait, Statement};
use tokio::time::Instant;

use crate::support::{
    Engine,
    books::number,
    keys::kid_of,
    people::{PASSWORD, with_token},
    process::{Process, until, within},
    refusal::refused,
    rounds,
};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The states of the listed keys, in the order of the list.
fn states(list: &Output) -> Vec<String> {
    assert!(list.status.success(), "{}", err(list));
    let state = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    out(list).lines().filter(|line| !line.starts_with("master key")).map(state).collect()
}

/// A key that is replaced every ten seconds, which is as soon as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_whose_keys_rotate_every_ten_seconds_refuse_nobody() {
    let settings =
        [("auth.signing_key_lead_seconds", "10"), ("auth.access_token_ttl_seconds", "60")];
    let first = Process::start(Engine::Postgres, &settings).await;
    let processes = [&first, &first.twin().await, &first.twin().await];
    let email = first.person(Role::Customer).await.user.email;
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // By which keys each of them was let in.
    let met: Arc<[Mutex<BTreeSet<String>>; 3]> = Arc::default();
    let load = (0..3).map(|number| {
        let servers = processes.map(|process| AuthServiceClient::new(process.channel.clone()));
        let (email, over, calls) = (email.clone(), Arc::clone(&over), Arc::clone(&calls));
        let met = Arc::clone(&met);
        tokio::spawn(async move {
            let request =
                LogInRequest { email, password: PASSWORD.to_owned(), ..LogInRequest::default() };
            let begun = servers[number].clone().log_in(request).await.unwrap().into_inner();
            let mut refresh_token = begun.refresh_token;
            let mut tokens = vec![(begun.access_token, Instant::now())];
            let mut round = number;
            while !over.load(Ordering::SeqCst) {
                round += 1;
                let request = RefreshTokensRequest { refresh_token };
                let next = servers[round % 3].clone().refresh_tokens(request).await.unwrap();
                let next = next.into_inner();
                refresh_token = next.refresh_token;
                let kid = kid_of(&next.access_token);
                tokens.insert(0, (next.access_token, Instant::now()));
                // Those that will not end meanwhile, the newest first; of many, the oldest and the newest.
                tokens.retain(|(_, since)| since.elapsed() < Duration::from_secs(50));
                if tokens.len() > 12 {
                    tokens.remove(6);
                }
                for (token, _) in &tokens {
                    for server in &servers {
                        let request = with_token(GetMeRequest {}, token);
                        server.clone().get_me(request).await.unwrap();
                        calls.fetch_add(1, Ordering::SeqCst);
                    }
                }
                met[number].lock().unwrap().insert(kid);
            }
        })
    });
    let load: Vec<_> = load.collect();
    let rotations = rounds(2, 12);
    let (began, mut refusals, mut newest) = (Instant::now(), 0, String::new());
    for _ in 0..rotations {
        loop {
            let rotated = first.run(&["keys", "rotate"]).await;
            if rotated.status.success() {
                let all = out(&rotated);
                let active = all.lines().find(|line| line.contains("  active ")).unwrap();
                active.split_whitespace().next().unwrap().clone_into(&mut newest);
                break;
            }
            assert!(err(&rotated).contains("try again in"), "{}", err(&rotated));
            assert!(load.iter().all(|task| !task.is_finished()), "somebody was refused");
            refusals += 1;
        }
    }
    let took = began.elapsed();
    let used = async || met.iter().all(|met| met.lock().unwrap().contains(&newest));
    until(60, "everybody has a token of the last key", used).await;
    over.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    let calls = calls.load(Ordering::SeqCst);
    let all: BTreeSet<String> = met.iter().flat_map(|met| met.lock().unwrap().clone()).collect();
    println!("{rotations} rotations in {took:?}, {calls} calls, none refused; {} keys", all.len());
    assert!(refusals > 0 && took > Duration::from_secs(10));
    assert_eq!(all.len(), rotations + 1);
    let listed = states(&first.run(&["keys", "list"]).await);
    assert_eq!(listed.len(), rotations + 2);
    assert_eq!(listed[rotations..], ["active", "next"]);
    assert!(listed[..rotations].iter().all(|state| state == "retiring"));
}

async fn operators_list_and_replace_keys(engine: Engine) {
    let process = Process::start(engine, &[]).await;
    let person = process.person(Role::Customer).await;
    let mut auth = AuthServiceClient::new(process.channel.clone());
    let list = process.run(&["keys", "list"]).await;
    assert_eq!(states(&list), ["active", "next"]);
    assert!(out(&list).contains(&kid_of(&person.token)), "{}", out(&list));
    let early = process.run(&["keys", "rotate"]).await;
    assert_eq!(early.status.code(), Some(1));
    for told in ["try again in", "--at-once"] {
        assert!(err(&early).contains(told), "{}", err(&early));
    }
    auth.get_me(person.asks(GetMeRequest {})).await.unwrap();
    let replaced = process.run(&["keys", "rotate", "--at-once"]).await;
    assert_eq!(states(&replaced), ["active", "next"]);
    let list = process.run(&["keys", "list"]).await;
    assert_eq!(states(&list), ["gone", "gone", "active", "next"]);
    let gone = async || auth.clone().get_me(person.asks(GetMeRequest {})).await.is_err();
    until(30, "the token ends", gone).await;
    refused(auth.get_me(person.asks(GetMeRequest {})).await, "NOT_AUTHENTICATED");
    let present = out(&list).lines().last().unwrap().to_owned();
    assert!(present.contains("  present   needed by 2 signing keys"), "{present}");
    let resealed = process.run(&["keys", "reseal"]).await;
    assert_eq!(out(&resealed), "0 secrets of second factors sealed anew\n", "{}", err(&resealed));
    let told = "SELECT count(*) FROM audit_events WHERE kind = 'secrets_resealed'";
    assert_eq!(number(&process.sql().await, told).await, 2, "when it began, and when it ended");
    let half = process.run(&["keys", "rotate", "--master-key-lost"]).await;
    assert_eq!(half.status.code(), Some(2));

    // What there was before says what took its place.
    let old = process.run(&["--set", "auth.signing_key_file=old.pem", "config", "check"]).await;
    assert_eq!(old.status.code(), Some(2));
    for told in ["is no longer a setting", "auth.master_key_file", "openssl rand -base64 32"] {
        assert!(err(&old).contains(told), "{}", err(&old));
    }
    // With another master key the server does not start, and says why; nothing is changed.
    let rows = async || {
        let db = process.sql().await;
        let sql = "SELECT count(*), sum(length(sealed_key)), max(kid) FROM signing_keys";
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let row = db.query_one_raw(statement).await.unwrap().unwrap();
        let number = |at| row.try_get_by_index::<i64>(at).unwrap();
        (number(0), number(1), row.try_get_by_index::<String>(2).unwrap())
    };
    let before = rows().await;
    let other = format!("auth.master_key={}", STANDARD.encode([9; 32]));
    let args = ["--listen", "127.0.0.1:0", "--set", &other];
    for command in
        [&["serve"][..], &["keys", "rotate"], &["keys", "rotate", "--at-once"], &["keys", "reseal"]]
    {
        let args = [&args[..], command].concat();
        let ended = within(60, "the end of the process", process.run(&args)).await;
        assert_eq!(ended.status.code(), Some(1), "{command:?}");
        for told in ["sealed with another master key", "auth.master_key_file"] {
            assert!(err(&ended).contains(told), "{command:?}: {}", err(&ended));
        }
    }
    assert_eq!(rows().await, before);
    assert_eq!(before.0, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_list_and_replace_keys_on_sqlite() {
    operators_list_and_replace_keys(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_list_and_replace_keys_on_postgres() {
    operators_list_and_replace_keys(Engine::Postgres).await;
}
