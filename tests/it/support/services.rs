//! Other backends: service accounts with an API key.

use daybook::grpc::proto::auth::{
    ActFor, CreateApiKeyRequest, CreateApiKeyResponse, CreateServiceAccountRequest, Role,
    ServiceAccount, service_account_service_client::ServiceAccountServiceClient,
};
use prost_types::Timestamp;
use tonic::{Request, Status, transport::Channel};

use super::{
    World,
    people::{Person, with_token},
};

/// Every method of bookings.
pub const BOOKING: &str = "daybook.booking.v1.BookingService";

/// A service account with a key.
#[derive(Debug, Clone)]
pub struct Backend {
    pub account: ServiceAccount,
    /// The name of the key.
    pub key_name: String,
    pub key: String,
}

impl Backend {
    /// A request of the service account as itself.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.key)
    }

    /// A request for somebody.
    pub fn asks_for<T>(&self, message: T, user: &str) -> Request<T> {
        let mut request = self.asks(message);
        request.metadata_mut().insert("x-daybook-act-for", user.parse().unwrap());
        request
    }
}

/// The grant for every customer.
pub fn any_customer() -> Option<ActFor> {
    Some(ActFor { any_customer: true, customers: Vec::new() })
}

impl World {
    pub fn services(&self) -> ServiceAccountServiceClient<Channel> {
        ServiceAccountServiceClient::new(self.channel.clone())
    }

    pub async fn service_account(
        &self,
        admin: &Person,
        role: Role,
        act_for: Option<ActFor>,
    ) -> ServiceAccount {
        let display_name = "Web shop".to_owned();
        let wanted =
            ServiceAccount { display_name, role: role.into(), act_for, ..Default::default() };
        let request = CreateServiceAccountRequest {
            service_account: Some(wanted),
            request_id: String::new(),
        };
        let made = self.services().create_service_account(admin.asks(request)).await.unwrap();
        made.into_inner().service_account.unwrap()
    }

    /// This many days from now.
    pub fn in_days(&self, days: i64) -> Timestamp {
        Timestamp { seconds: self.clock.now().timestamp() + days * 86_400, nanos: 0 }
    }

    /// Makes a key for ten days.
    pub async fn api_key(
        &self,
        admin: &Person,
        account: &str,
        scopes: &[&str],
    ) -> Result<CreateApiKeyResponse, Status> {
        let request = CreateApiKeyRequest {
            parent: account.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            expire_time: Some(self.in_days(10)),
        };
        Ok(self.services().create_api_key(admin.asks(request)).await?.into_inner())
    }

    /// A service account with a key.
    pub async fn backend(
        &self,
        admin: &Person,
        role: Role,
        act_for: Option<ActFor>,
        scopes: &[&str],
    ) -> Backend {
        let account = self.service_account(admin, role, act_for).await;
        let made = self.api_key(admin, &account.name, scopes).await.unwrap();
        Backend { account, key_name: made.api_key.unwrap().name, key: made.key }
    }
}
