//! Every reason is answered to a client: for each there is a call here that is refused for it. A reason without one
//! does not compile.

mod accounts;
mod bookings;
mod server;

use std::fmt::Debug;

use daybook::kernel::fault::Reason;
use futures_util::future::BoxFuture;
use tonic::Status;

use crate::{
    conformance::behaviours,
    support::{World, people::Person, refusal::reason_of},
};

behaviours!(every_reason_is_provoked);

/// Who is there. What needs others, or another server, makes them itself.
struct Stage {
    world: World,
    admin: Person,
    provider: Person,
    customer: Person,
    other: Person,
}

/// The refusal of a call that must be refused.
#[track_caller]
fn refusal<T: Debug>(answer: Result<T, Status>) -> Status {
    answer.expect_err("a refusal")
}

macro_rules! provoked {
    ($($reason:ident by $call:path;)*) => {
        /// What the call for this reason is refused with.
        fn provoke(reason: Reason, stage: &Stage) -> BoxFuture<'_, Status> {
            match reason { $(Reason::$reason => Box::pin($call(stage)),)* }
        }
    };
}

provoked! {
    InvalidFields by accounts::invalid_fields;
    MalformedRequest by server::malformed_request;
    MessageTooLarge by server::message_too_large;
    RequestIdReused by accounts::request_id_reused;
    CurrentPasswordWrong by accounts::current_password_wrong;
    NotAuthenticated by accounts::not_authenticated;
    LogInFailed by accounts::log_in_failed;
    RoleNotAllowed by accounts::role_not_allowed;
    ProviderSignUpClosed by accounts::provider_sign_up_closed;
    NotFound by accounts::not_found;
    EmailTaken by accounts::email_taken;
    SlotTaken by bookings::slot_taken;
    EtagStale by bookings::etag_stale;
    OutsideHours by bookings::outside_hours;
    InThePast by bookings::in_the_past;
    TooLong by bookings::too_long;
    OwnTime by bookings::own_time;
    CustomerBusy by bookings::customer_busy;
    NotStarted by bookings::not_started;
    WrongState by bookings::wrong_state;
    OwnAccount by accounts::own_account;
    Overloaded by server::overloaded;
    DeadlineExceeded by server::deadline_exceeded;
    DatabaseUnavailable by server::database_unavailable;
    OutcomeUnknown by server::outcome_unknown;
    ShuttingDown by server::shutting_down;
    MethodUnknown by server::method_unknown;
    Internal by server::internal;
    NoticeTooShort by bookings::notice_too_short;
    BeyondHorizon by bookings::beyond_horizon;
    OffGrid by bookings::off_grid;
    TimeOff by bookings::time_off;
    PracticeClosed by bookings::practice_closed;
    DayLimit by bookings::day_limit;
    WeekLimit by bookings::week_limit;
    CustomerLimit by bookings::customer_limit;
    TypeArchived by bookings::type_archived;
    NotOffered by bookings::not_offered;
    IntervalsNotAccepted by bookings::intervals_not_accepted;
    TooLate by bookings::too_late;
    HoldEnded by bookings::hold_ended;
    HoldExtended by bookings::hold_extended;
    TooManyHolds by bookings::too_many_holds;
    NameTaken by bookings::name_taken;
    InUse by bookings::in_use;
    TooMany by bookings::too_many;
    RateLimited by server::rate_limited;
    RefreshRefused by accounts::refresh_refused;
    TooManyAttempts by accounts::too_many_attempts;
    CodeRefused by accounts::code_refused;
    MailOff by accounts::mail_off;
    CodeWrong by accounts::code_wrong;
    ChallengeRefused by accounts::challenge_refused;
    SecondFactorRequired by accounts::second_factor_required;
    ScopeMissing by accounts::scope_missing;
    ActForRefused by accounts::act_for_refused;
    SecondFactorUnreadable by accounts::second_factor_unreadable;
    TooShort by bookings::too_short;
    CursorExpired by server::cursor_expired;
    CursorUnknown by server::cursor_unknown;
}

async fn every_reason_is_provoked(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let (customer, other) = (world.customer().await, world.customer().await);
    let stage = Stage { world, admin, provider, customer, other };
    for reason in Reason::ALL {
        let status = provoke(*reason, &stage).await;
        assert_eq!(reason_of(&status), reason.name(), "{status:?}");
    }
}
