//! What people may ask for about themselves: to be told all of it, and to be forgotten.

mod disk;
mod erasure;
mod export;
mod meanwhile;
mod provider;
mod waiting;

use daybook::grpc::proto::auth::{
    DeleteMyAccountRequest, EraseUserRequest, GetMeRequest,
    personal_data_service_client::PersonalDataServiceClient,
};
use tonic::{Status, transport::Channel};

use super::writes::{Case, Cast};
use crate::support::{
    World,
    people::{PASSWORD, Person, uuid},
    process::until,
};

impl World {
    fn personal(&self) -> PersonalDataServiceClient<Channel> {
        PersonalDataServiceClient::new(self.channel.clone())
    }

    pub(super) async fn delete(
        &self,
        person: &Person,
        password: &str,
        code: &str,
    ) -> Result<(), Status> {
        let (current_password, code) = (password.to_owned(), code.to_owned());
        let request = DeleteMyAccountRequest { current_password, code };
        self.personal().delete_my_account(person.asks(request)).await.map(drop)
    }

    pub(super) async fn leaves(&self, person: &Person) -> Result<(), Status> {
        self.delete(person, PASSWORD, "").await
    }

    pub(super) async fn erase(&self, admin: &Person, name: &str) -> Result<(), Status> {
        let request = EraseUserRequest { name: name.to_owned(), ..Default::default() };
        self.personal().erase_user(admin.asks(request)).await.map(drop)
    }

    async fn is_logged_in(&self, person: &Person) -> bool {
        self.auth().get_me(person.asks(GetMeRequest {})).await.is_ok()
    }

    /// What is left to do of deletions is done, by the server itself.
    async fn erasures_end(&self) {
        // What failed under load is tried again later, by the clock of the test.
        let none = async || {
            self.forward(chrono::TimeDelta::milliseconds(20));
            self.count("SELECT count(*) FROM erasures").await == 0
        };
        until(60, "an end of the erasures", none).await;
    }

    /// Every provider's versions are without gaps, and no erasure is left.
    async fn nothing_is_amiss(&self) {
        let gaps = "SELECT count(*) FROM providers p WHERE p.version <>
            (SELECT count(*) FROM events e WHERE e.provider_id = p.provider_id)
            OR p.version <>
            (SELECT max(version) FROM events e WHERE e.provider_id = p.provider_id)";
        assert_eq!(self.count(gaps).await, 0);
        assert_eq!(self.count("SELECT count(*) FROM erasures").await, 0);
    }
}

/// The write of `PersonalDataService` that can be retried, as a case.
pub(super) fn cases(cast: &Cast) -> Vec<Case> {
    let erase = EraseUserRequest {
        name: cast.people[12].user.name.clone(),
        etag: cast.people[12].user.etag.clone(),
        request_id: uuid(),
    };
    let name = cast.people[4].user.name.clone();
    let changed = vec![
        ("name", EraseUserRequest { name, ..erase.clone() }),
        ("etag", EraseUserRequest { etag: String::new(), ..erase.clone() }),
    ];
    let path = "/daybook.auth.v1.PersonalDataService/EraseUser";
    vec![Case::new(path, Some(&cast.admin), &erase, changed)]
}
