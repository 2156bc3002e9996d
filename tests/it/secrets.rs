//! What the log never holds, at its most talkative.

use std::{fs, path::Path};

use daybook::{
    grpc::proto::{
        auth::{
            ChangePasswordRequest, CompleteLogInRequest, ConfirmTotpRequest, CreateApiKeyRequest,
            CreateServiceAccountRequest, EnrolTotpRequest, GetMeRequest, LogInRequest,
            LogOutRequest, RefreshTokensRequest, RequestPasswordResetRequest, ResetPasswordRequest,
            Role, ServiceAccount, SignUpRequest, VerifyEmailRequest,
            auth_service_client::AuthServiceClient, email_service_client::EmailServiceClient,
            second_factor_service_client::SecondFactorServiceClient,
            service_account_service_client::ServiceAccountServiceClient,
        },
        booking::{ListAppointmentsRequest, booking_service_client::BookingServiceClient},
    },
    kernel::ambient::Ambient,
};

use prost_types::Timestamp;
use sea_orm::ConnectionTrait;

use crate::support::{
    Engine,
    people::{sign_up, with_token},
    process::{Process, until},
    refusal::refused,
    services::BOOKING,
    totp::App,
};

/// The code for a new password in the letters of a folder.
fn code_in(folder: &Path) -> Option<String> {
    let letters =
        fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()));
    let mut letters = letters.map(Result::unwrap);
    let letter = letters.find(|letter| letter.contains("Subject: Set a new password"))?;
    letter.lines().find(|line| line.len() == 43 && !line.contains(' ')).map(str::to_owned)
}

/// Everything that is told to the server and by it which nobody may read in a log.
async fn nothing_secret_is_logged(engine: Engine) {
    let letters = tempfile::tempdir().unwrap();
    let settings = [
        ("log.level", "trace"),
        ("log.format", "json"),
        ("mail.transport", "folder"),
        ("mail.folder", letters.path().to_str().unwrap()),
    ];
    let process = Process::start(engine, &settings).await;
    let mut auth = AuthServiceClient::new(process.connect().await);
    let (first, second) = ("canary-old-marmalade", "canary-new-thimble");
    let email = "canary.sparrow@example.org".to_owned();
    let request = SignUpRequest {
        email: email.clone(),
        password: first.to_owned(),
        ..sign_up(Role::Customer)
    };
    auth.sign_up(request).await.unwrap();
    let log_in = |password: &str| LogInRequest {
        email: email.clone(),
        password: password.to_owned(),
        ..LogInRequest::default()
    };
    refused(auth.log_in(log_in("canary-wrong-lantern")).await, "LOG_IN_FAILED");
    let known = auth.log_in(log_in(first)).await.unwrap().into_inner();
    let request = LogInRequest { device_token: known.device_token.clone(), ..log_in(first) };
    let begun = auth.log_in(request).await.unwrap().into_inner();
    let request = RefreshTokensRequest { refresh_token: begun.refresh_token.clone() };
    let next = auth.refresh_tokens(request).await.unwrap().into_inner();
    auth.get_me(with_token(GetMeRequest {}, &next.access_token)).await.unwrap();
    let request = ChangePasswordRequest {
        current_password: first.to_owned(),
        new_password: second.to_owned(),
        ..Default::default()
    };
    auth.change_password(with_token(request, &next.access_token)).await.unwrap();
    let mut factors = SecondFactorServiceClient::new(process.connect().await);
    let request = EnrolTotpRequest { current_password: second.to_owned(), ..Default::default() };
    let enrolled = factors.enrol_totp(with_token(request, &next.access_token)).await.unwrap();
    let enrolled = enrolled.into_inner().totp.unwrap();
    let code = App::of(&enrolled).code(Ambient::system().now());
    let confirm = with_token(ConfirmTotpRequest { code }, &next.access_token);
    let recovery = factors.confirm_totp(confirm).await.unwrap().into_inner().recovery_codes;
    let step = auth.log_in(log_in(second)).await.unwrap().into_inner().second_step.unwrap();
    let challenge = step.challenge;
    let complete = |recovery_code: &str| {
        let (challenge, recovery_code) = (challenge.clone(), recovery_code.to_owned());
        CompleteLogInRequest { challenge, recovery_code, ..Default::default() }
    };
    refused(auth.complete_log_in(complete("CCCC-CCCC-CCCC")).await, "CODE_WRONG");
    auth.complete_log_in(complete(&recovery[0])).await.unwrap();
    let bad = RefreshTokensRequest { refresh_token: "canary-token".to_owned() };
    refused(auth.refresh_tokens(bad).await, "REFRESH_REFUSED");
    auth.log_out(with_token(LogOutRequest {}, &next.access_token)).await.unwrap();

    // A code that came by mail, tried where it is not good and used.
    let mut mail = EmailServiceClient::new(process.connect().await);
    let ask = RequestPasswordResetRequest { email: email.clone(), request_id: String::new() };
    mail.request_password_reset(ask).await.unwrap();
    let came = async || code_in(letters.path()).is_some();
    until(30, "the letter", came).await;
    let mailed = code_in(letters.path()).unwrap();
    let verify = VerifyEmailRequest { code: mailed.clone(), ..Default::default() };
    refused(mail.verify_email(verify).await, "CODE_REFUSED");
    let (code, new_password) = (mailed.clone(), "canary-third-lighthouse".to_owned());
    let reset = ResetPasswordRequest { code, new_password, ..Default::default() };
    mail.reset_password(reset).await.unwrap();

    // An API key, made by an admin.
    let admin = sign_up(Role::Customer);
    let log_in = LogInRequest {
        email: admin.email.clone(),
        password: admin.password.clone(),
        ..LogInRequest::default()
    };
    auth.sign_up(admin.clone()).await.unwrap();
    let promote = format!("UPDATE users SET role = 'admin' WHERE email = '{}'", admin.email);
    process.sql().await.execute_unprepared(&promote).await.unwrap();
    let token = auth.log_in(log_in).await.unwrap().into_inner().access_token;
    let mut services = ServiceAccountServiceClient::new(process.connect().await);
    let account = ServiceAccount {
        display_name: "Web shop".to_owned(),
        role: Role::Admin.into(),
        ..ServiceAccount::default()
    };
    let request =
        CreateServiceAccountRequest { service_account: Some(account), request_id: String::new() };
    let made = services.create_service_account(with_token(request, &token)).await.unwrap();
    let expires = Ambient::system().now().timestamp() + 3600;
    let request = CreateApiKeyRequest {
        parent: made.into_inner().service_account.unwrap().name,
        scopes: vec![BOOKING.to_owned()],
        expire_time: Some(Timestamp { seconds: expires, nanos: 0 }),
    };
    let key = services.create_api_key(with_token(request, &token)).await.unwrap().into_inner().key;
    let mut booking = BookingServiceClient::new(process.connect().await);
    let list = ListAppointmentsRequest::default;
    booking.list_appointments(with_token(list(), &key)).await.unwrap();
    let wrong = key.replace("daybook_sk_", "daybook_sk_canary");
    refused(booking.list_appointments(with_token(list(), &wrong)).await, "NOT_AUTHENTICATED");

    let log = process.log();
    assert!(log.contains("TRACE"), "the log is at its most talkative");
    let mut secrets = vec!["canary".to_owned(), "marmalade".to_owned(), "thimble".to_owned()];
    secrets.extend([known.access_token, known.refresh_token, known.device_token]);
    secrets.push(process.master_key());
    secrets.extend([begun.access_token, begun.refresh_token]);
    secrets.extend([next.access_token, next.refresh_token]);
    secrets.extend([enrolled.secret, challenge, "CCCC-CCCC-CCCC".to_owned()]);
    secrets.extend(recovery.iter().map(|code| code.replace('-', "")));
    secrets.extend(recovery);
    secrets.extend([key, mailed]);
    for secret in secrets {
        // A part of it would be enough for somebody to begin with.
        let part = secret.get(secret.len().saturating_sub(24)..).unwrap_or(&secret);
        let line = log.lines().find(|line| line.contains(part));
        assert_eq!(line, None, "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_logged_on_sqlite() {
    nothing_secret_is_logged(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_logged_on_postgres() {
    nothing_secret_is_logged(Engine::Postgres).await;
}
