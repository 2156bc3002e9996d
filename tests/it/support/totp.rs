//! An authenticator app, written down independently of the server's library, and log-ins in two steps.

use aws_lc_rs::hmac;
use chrono::{DateTime, TimeDelta, Utc};
use daybook::grpc::proto::auth::{
    CompleteLogInRequest, CompleteLogInResponse, ConfirmTotpRequest, EnrolTotpRequest,
    GetSecondFactorRequest, LogInRequest, LogInResponse, SecondFactor, TotpSecret,
    second_factor_service_client::SecondFactorServiceClient,
};
use daybook::identity::master_key::MasterKey;
use tonic::{Status, transport::Channel};

use super::{
    World,
    people::{PASSWORD, Person},
};

/// An app that was shown a secret.
#[derive(Debug, Clone)]
pub struct App(Vec<u8>);

impl App {
    pub fn of(secret: &TotpSecret) -> Self {
        Self(base32(&secret.secret))
    }

    /// The bytes of the secret.
    pub fn secret(&self) -> &[u8] {
        &self.0
    }

    /// The code that it shows at this time (RFC 6238 and 4226).
    pub fn code(&self, at: DateTime<Utc>) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &(at.timestamp() / 30).to_be_bytes());
        let tag = tag.as_ref();
        let start = usize::from(tag[19] & 15);
        let four: [u8; 4] = tag[start..start + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
    }

    /// Codes that are not good around this time.
    pub fn wrong(&self, at: DateTime<Utc>) -> impl Iterator<Item = String> {
        let step = TimeDelta::seconds(30);
        let good: Vec<_> = (-2..=2).map(|by| self.code(at + step * by)).collect();
        (0..).map(|number| format!("{number:06}")).filter(move |code| !good.contains(code))
    }
}

/// RFC 4648, section 6.
fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.bytes() {
        let five = match c {
            b'A'..=b'Z' => c - b'A',
            b'2'..=b'7' => c - b'2' + 26,
            _ => panic!("{text} is not base32"),
        };
        (bits, held) = ((bits << 5) | u32::from(five), held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}

impl World {
    pub fn second_factor(&self) -> SecondFactorServiceClient<Channel> {
        SecondFactorServiceClient::new(self.channel.clone())
    }

    /// Lets another master key have sealed what this account's app and the server share.
    pub async fn seal_with(&self, master: &MasterKey, person: &Person) {
        let id: uuid::Uuid = person.user.name.trim_start_matches("users/").parse().unwrap();
        let sealed = master.seal("authenticator secrets", id.as_bytes(), &[7; 20], [7; 12]);
        let sealed: String = sealed.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = id.simple();
        let sqlite =
            format!("UPDATE second_factors SET secret = x'{sealed}' WHERE user_id = x'{hex}'");
        let postgres =
            format!("UPDATE second_factors SET secret = '\\x{sealed}' WHERE user_id = '{id}'");
        self.execute(&sqlite, &postgres).await;
    }

    /// What the app shows now.
    pub fn code(&self, app: &App) -> String {
        app.code(self.clock.now())
    }

    /// Enrols an app; it is not confirmed yet.
    pub async fn enrol(&self, person: &Person) -> App {
        let current_password = PASSWORD.to_owned();
        let request = EnrolTotpRequest { current_password, ..Default::default() };
        let answer = self.second_factor().enrol_totp(person.asks(request)).await.unwrap();
        App::of(&answer.into_inner().totp.unwrap())
    }

    /// Enrols an app and confirms it; the app, and the recovery codes. Then the app's code changes.
    pub async fn turn_on(&self, person: &Person) -> (App, Vec<String>) {
        let app = self.enrol(person).await;
        let codes = self.confirm(person, &self.code(&app)).await.unwrap();
        self.forward(TimeDelta::seconds(30));
        (app, codes)
    }

    pub async fn confirm(&self, person: &Person, code: &str) -> Result<Vec<String>, Status> {
        let request = person.asks(ConfirmTotpRequest { code: code.to_owned() });
        Ok(self.second_factor().confirm_totp(request).await?.into_inner().recovery_codes)
    }

    pub async fn has(&self, person: &Person) -> SecondFactor {
        let request = person.asks(GetSecondFactorRequest {});
        let answer = self.second_factor().get_second_factor(request).await.unwrap();
        answer.into_inner().second_factor.unwrap()
    }

    /// The first step of a log-in.
    pub async fn first_step(&self, email: &str, device: &str) -> LogInResponse {
        let request = LogInRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            device_token: device.to_owned(),
        };
        self.auth().log_in(request).await.unwrap().into_inner()
    }

    /// The challenge of a log-in from a device that is not known.
    pub async fn challenge(&self, email: &str) -> String {
        self.first_step(email, "").await.second_step.unwrap().challenge
    }

    /// The second step.
    pub async fn complete(
        &self,
        challenge: &str,
        code: &str,
    ) -> Result<CompleteLogInResponse, Status> {
        let (challenge, code) = (challenge.to_owned(), code.to_owned());
        let request = CompleteLogInRequest { challenge, code, ..Default::default() };
        Ok(self.auth().complete_log_in(request).await?.into_inner())
    }

    /// The second step with a recovery code.
    pub async fn recover(
        &self,
        challenge: &str,
        code: &str,
    ) -> Result<CompleteLogInResponse, Status> {
        let (challenge, recovery_code) = (challenge.to_owned(), code.to_owned());
        let request = CompleteLogInRequest { challenge, recovery_code, ..Default::default() };
        Ok(self.auth().complete_log_in(request).await?.into_inner())
    }

    /// Both steps.
    pub async fn log_in_with(&self, email: &str, code: &str) -> Result<Person, Status> {
        let challenge = self.challenge(email).await;
        let answer = self.complete(&challenge, code).await?;
        Ok(Person { user: answer.user.unwrap(), token: answer.access_token })
    }
}
