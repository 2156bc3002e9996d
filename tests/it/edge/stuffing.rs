//! Passwords from elsewhere, tried once each at as many accounts, from as many addresses.

use std::time::Duration;

use daybook::grpc::proto::auth::{
    LogInRequest, LogInResponse, auth_service_client::AuthServiceClient,
};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::support::{
    Engine, books::number, people::PASSWORD, process::Process, refusal::reason_of, rounds,
};

const HASHED: &str = "SELECT count(*) FROM audit_events WHERE kind = 'log_in_failed'";
const TOLD: &str = "SELECT count(*) FROM audit_events WHERE kind = 'log_ins_delayed'";
const ADDRESSES: usize = 1000;

async fn log_in(
    process: &Process,
    number: usize,
    (email, password, device): (String, &str, &str),
) -> Result<LogInResponse, Status> {
    let (password, device_token) = (password.to_owned(), device.to_owned());
    let mut request = Request::new(LogInRequest { email, password, device_token });
    let address = number % ADDRESSES;
    let address = format!("198.18.{}.{}", address / 250, address % 250);
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    let mut auth = AuthServiceClient::new(process.channel.clone());
    Ok(auth.log_in(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_try_at_each_of_many_accounts_is_delayed_and_told() {
    let (in_all, tries) = (rounds(30, 1000), rounds(300, 100_000));
    let limit = in_all.to_string();
    let settings =
        [("server.trusted_proxies", "127.0.0.0/8"), ("auth.attempts_in_all", limit.as_str())];
    let process = Process::start(Engine::Postgres, &settings).await;
    let email = process.customers(1).await.remove(0).user.email;
    let right =
        async |device: String| log_in(&process, 0, (email.clone(), PASSWORD, &device)).await;
    let device = right(String::new()).await.unwrap().device_token;

    let began = Instant::now();
    let mut told_after = None;
    let mut all = stream::iter(0..tries)
        .map(|number| {
            let wrong = (format!("somebody-{number}@example.org"), "a leaked password", "");
            log_in(&process, number, wrong)
        })
        .buffer_unordered(32);
    while let Some(answer) = all.next().await {
        match reason_of(&answer.unwrap_err()).as_str() {
            "LOG_IN_FAILED" | "OVERLOADED" => {}
            "TOO_MANY_ATTEMPTS" => _ = told_after.get_or_insert_with(|| began.elapsed()),
            other => panic!("{other}"),
        }
    }
    let (took, sql) = (began.elapsed(), process.sql().await);
    let count = async |what: &str| number(&sql, what).await;
    let hashed = count(HASHED).await;
    println!("{tries} tries in {took:?}: {hashed} hashed, delayed after {told_after:?}");
    // Those that are free, those that are forgotten meanwhile, and one after each delay, which is a second
    // at least.
    let minutes = took.div_duration_f64(Duration::from_mins(1));
    let most = (minutes + 1.0) * f64::from(u32::try_from(in_all).unwrap()) + took.as_secs_f64();
    assert!(f64::from(i32::try_from(hashed).unwrap()) <= most + 1.0, "{hashed} of {most}");
    assert!(told_after.is_some());
    assert_eq!(count(TOLD).await, 1);
    assert_eq!(process.log().matches("secrets of many accounts are being guessed").count(), 1);
    // Who has logged in from this device before does not notice.
    right(device).await.unwrap();
}
