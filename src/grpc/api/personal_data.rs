//! `daybook.auth.v1.PersonalDataService`.

use std::mem::discriminant;

use prost::Message as _;
use secrecy::SecretString;
use tonic::{Request, Response, Status};

use super::{
    Api,
    auth::{another, present},
    open::{Opened, OpenedWrite, open_as},
    page::{LONGEST_PAGE, fitting},
    personal_data_wire::records,
};
use crate::grpc::proto::auth::{self as pb, personal_data_service_server::PersonalDataService};
use crate::{
    accounts::second_factor::{Typed, service::ReauthenticationInput},
    kernel::{fault::Fault, page::page_size},
    personal_data::export::ExportPosition,
    storage::idempotency::IdempotencyKey,
};

#[tonic::async_trait]
impl PersonalDataService for Api {
    async fn export_my_data(
        &self,
        request: Request<pb::ExportMyDataRequest>,
    ) -> Result<Response<pb::ExportMyDataResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, mut violations } =
            open_as(request)?;
        let query = format!("export {}", caller.user);
        let password = SecretString::from(message.current_password);
        violations.keep("current_password", present(&password));
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let place = self.pages.read::<ExportPosition>(&query, &message.page_token);
        let place =
            violations.keep("page_token", place).flatten().unwrap_or(ExportPosition::Account);
        violations.finish()?;
        let part = (place, u64::from(size));
        let mut page = self.exports.export(deadline, caller, password, part, origin).await?;
        let (mut told, mut places) = (Vec::new(), Vec::new());
        let mut next;
        let mut bytes = 0;
        loop {
            next = page.next;
            for (record, place) in page.records {
                for message in records(record, &self.accounts, caller)? {
                    bytes += message.encoded_len();
                    told.push(message);
                    places.push(place);
                }
            }
            // Piece by piece, as long as there is room for more of the same.
            let left =
                u64::from(size).saturating_sub(u64::try_from(told.len()).unwrap_or(u64::MAX));
            let is_more =
                discriminant(&next) == discriminant(&place) && place != ExportPosition::Account;
            if !is_more || left == 0 || bytes > LONGEST_PAGE {
                break;
            }
            page = self.exports.export_on(deadline, caller, next, left).await?;
        }
        // What there is one of comes whole; pages of the rest end where they would not fit.
        if place != ExportPosition::Account {
            let fit = usize::try_from(fitting(&told, size)).unwrap_or(usize::MAX);
            if fit < told.len() {
                next = *places.get(fit - 1).ok_or_else(Fault::unchecked)?;
                told.truncate(fit);
            }
        }
        let next_page_token = if next == ExportPosition::End {
            String::new()
        } else {
            self.pages.make(&query, &next)
        };
        Ok(Response::new(pb::ExportMyDataResponse { records: told, next_page_token }))
    }

    async fn delete_my_account(
        &self,
        request: Request<pb::DeleteMyAccountRequest>,
    ) -> Result<Response<pb::DeleteMyAccountResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, mut violations } =
            open_as(request)?;
        let pb::DeleteMyAccountRequest { current_password, code } = message;
        let password = SecretString::from(current_password);
        violations.keep("current_password", present(&password));
        let code = Some(code).filter(|code| !code.is_empty());
        let code = code.and_then(|code| violations.keep("code", Typed::parse(&code)));
        violations.finish()?;
        // The caller is nobody afterwards, so there is nobody to keep an answer for.
        let shows = ReauthenticationInput {
            password,
            code,
            idempotency_key: IdempotencyKey::never(caller),
        };
        self.erasures.delete_own(deadline, caller, shows, origin).await?;
        self.erasures.look_after_appointments(deadline, caller.user).await;
        Ok(Response::new(pb::DeleteMyAccountResponse {}))
    }

    async fn erase_user(
        &self,
        request: Request<pb::EraseUserRequest>,
    ) -> Result<Response<pb::EraseUserResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let (permit, expected) = another(caller, (&message.name, &message.etag), violations)?;
        let subject = permit.subject;
        let erase = |idempotency_key| {
            self.erasures.erase(deadline, permit, expected, idempotency_key, origin)
        };
        idempotency_key.carry_out(deadline, erase).await?;
        self.erasures.look_after_appointments(deadline, subject).await;
        Ok(Response::new(pb::EraseUserResponse {}))
    }
}
