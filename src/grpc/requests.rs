//! Requests that may be sent again: those with a `request_id`.

use aws_lc_rs::hmac;
use prost::Message;

use super::{
    convert::name,
    proto::{auth, booking},
};
use crate::{
    kernel::{
        fault::Violations,
        id::{RequestId, UserId},
    },
    storage::request::Once,
};

/// A request with an id.
pub(super) trait Retried: Message {
    /// Its name, which is that of its method and `Request`.
    const NAME: &'static str;

    /// The id.
    fn request_id(&mut self) -> &mut String;
}

macro_rules! retried {
    ($($package:ident: $($request:ident),+;)+) => {
        $($(
            impl Retried for $package::$request {
                const NAME: &'static str = stringify!($request);

                fn request_id(&mut self) -> &mut String {
                    &mut self.request_id
                }
            }
        )+)+
    };
}

retried! {
    auth:
        SignUpRequest, UpdateMeRequest, ChangePasswordRequest,
        SetUserRoleRequest, DisableUserRequest, EnableUserRequest, EraseUserRequest,
        VerifyEmailRequest, RequestEmailVerificationRequest,
        RequestPasswordResetRequest, ResetPasswordRequest,
        RequestEmailChangeRequest, ConfirmEmailChangeRequest,
        DisableTotpRequest, ResetSecondFactorRequest,
        CreateServiceAccountRequest, UpdateServiceAccountRequest,
        DisableServiceAccountRequest, EnableServiceAccountRequest;
    booking:
        BookAppointmentRequest, RescheduleAppointmentRequest, ReassignAppointmentRequest,
        UpdateAppointmentRequest, CancelAppointmentRequest, CompleteAppointmentRequest,
        ApproveAppointmentRequest, DeclineAppointmentRequest, MarkNoShowRequest,
        HoldSlotRequest, ExtendHoldRequest, ReleaseHoldRequest,
        CreateAppointmentTypeRequest, UpdateAppointmentTypeRequest, ArchiveAppointmentTypeRequest,
        OfferAppointmentTypeRequest, WithdrawAppointmentTypeRequest,
        UpdateScheduleRequest, CreateScheduleRequest, DeleteScheduleRequest,
        CreateTimeOffRequest, DeleteTimeOffRequest, CreateClosureRequest, DeleteClosureRequest;
}

/// Makes [`Once`] of requests.
#[derive(Clone)]
pub(super) struct Requests(Vec<hmac::Key>);

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Requests")
    }
}

impl Requests {
    /// With the keys of the fingerprints: the first one makes them, all of them are known.
    pub(super) fn new(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The identity of a request: who, which id, and a keyed hash of the method and the message. The id is
    /// put into lower case before, since upper and lower case are the same id.
    pub(super) fn once<M: Retried>(
        &self,
        caller: Option<UserId>,
        message: &mut M,
        violations: &mut Violations,
    ) -> Once {
        let id = message.request_id();
        id.make_ascii_lowercase();
        let id = if id.is_empty() {
            None
        } else {
            violations.keep("request_id", name(id, RequestId::parse, "must be a UUID"))
        };
        let method = M::NAME.strip_suffix("Request").unwrap_or(M::NAME);
        let encoded = if id.is_some() { message.encode_to_vec() } else { Vec::new() };
        let mut fingerprints = self.0.iter().filter(|_| id.is_some()).map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(method.as_bytes());
            context.update(&[0]);
            context.update(&encoded);
            let mut fingerprint = [0; 32];
            let tag = context.sign();
            fingerprint.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
            fingerprint
        });
        let fingerprint = fingerprints.next().unwrap_or_default();
        Once { caller, id, fingerprint, older_fingerprints: fingerprints.collect() }
    }
}
