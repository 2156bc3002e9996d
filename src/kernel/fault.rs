//! Faults: why something was refused or failed.
//!
//! The kinds are a closed set (they are gRPC's codes that Daybook uses), the reasons are the enum
//! `daybook.auth.v1.ErrorReason` of the API, and each reason has one kind. A fault carries two
//! messages: one for the caller, which says what to do, and one for the log, which never leaves.

use std::{fmt, time::Duration};

use super::field::FieldReason;

/// What sort of fault it is; maps one to one to a gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are gRPC's, described there")]
pub enum FaultKind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    Aborted,
    FailedPrecondition,
    ResourceExhausted,
    DeadlineExceeded,
    Unavailable,
    Unimplemented,
    Internal,
}

macro_rules! reasons {
    ($($variant:ident $name:literal $kind:ident;)*) => {
        /// Why a call was refused. Stable: clients decide by it.
        ///
        /// The meaning of each is told in `proto/daybook/auth/v1/error_reason.proto`; a test holds
        /// the two lists together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "described in error_reason.proto, once")]
        pub enum Reason { $($variant,)* }

        impl Reason {
            /// All reasons, in the order of the API's enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire, such as `SLOT_TAKEN`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The kind of fault that this reason is.
            pub const fn kind(self) -> FaultKind {
                match self { $(Self::$variant => FaultKind::$kind,)* }
            }
        }
    };
}

reasons! {
    InvalidFields "INVALID_FIELDS" InvalidArgument;
    MalformedRequest "MALFORMED_REQUEST" InvalidArgument;
    MessageTooLarge "MESSAGE_TOO_LARGE" InvalidArgument;
    RequestIdReused "REQUEST_ID_REUSED" InvalidArgument;
    CurrentPasswordWrong "CURRENT_PASSWORD_WRONG" InvalidArgument;
    NotAuthenticated "NOT_AUTHENTICATED" Unauthenticated;
    LogInFailed "LOG_IN_FAILED" Unauthenticated;
    RoleNotAllowed "ROLE_NOT_ALLOWED" PermissionDenied;
    ProviderSignUpClosed "PROVIDER_SIGN_UP_CLOSED" PermissionDenied;
    NotFound "NOT_FOUND" NotFound;
    EmailTaken "EMAIL_TAKEN" AlreadyExists;
    SlotTaken "SLOT_TAKEN" Aborted;
    EtagStale "ETAG_STALE" Aborted;
    OutsideHours "OUTSIDE_HOURS" FailedPrecondition;
    InThePast "IN_THE_PAST" FailedPrecondition;
    TooLong "TOO_LONG" FailedPrecondition;
    OwnTime "OWN_TIME" FailedPrecondition;
    CustomerBusy "CUSTOMER_BUSY" FailedPrecondition;
    NotStarted "NOT_STARTED" FailedPrecondition;
    WrongState "WRONG_STATE" FailedPrecondition;
    OwnAccount "OWN_ACCOUNT" FailedPrecondition;
    Overloaded "OVERLOADED" ResourceExhausted;
    DeadlineExceeded "DEADLINE_EXCEEDED" DeadlineExceeded;
    DatabaseUnavailable "DATABASE_UNAVAILABLE" Unavailable;
    OutcomeUnknown "OUTCOME_UNKNOWN" Unavailable;
    ShuttingDown "SHUTTING_DOWN" Unavailable;
    MethodUnknown "METHOD_UNKNOWN" Unimplemented;
    Internal "INTERNAL" Internal;
    NoticeTooShort "NOTICE_TOO_SHORT" FailedPrecondition;
    BeyondHorizon "BEYOND_HORIZON" FailedPrecondition;
    OffGrid "OFF_GRID" FailedPrecondition;
    TimeOff "TIME_OFF" FailedPrecondition;
    PracticeClosed "PRACTICE_CLOSED" FailedPrecondition;
    DayLimit "DAY_LIMIT" FailedPrecondition;
    WeekLimit "WEEK_LIMIT" FailedPrecondition;
    CustomerLimit "CUSTOMER_LIMIT" FailedPrecondition;
    TypeArchived "TYPE_ARCHIVED" FailedPrecondition;
    NotOffered "NOT_OFFERED" FailedPrecondition;
    IntervalsNotAccepted "INTERVALS_NOT_ACCEPTED" FailedPrecondition;
    TooLate "TOO_LATE" FailedPrecondition;
    HoldEnded "HOLD_ENDED" FailedPrecondition;
    HoldExtended "HOLD_EXTENDED" FailedPrecondition;
    TooManyHolds "TOO_MANY_HOLDS" ResourceExhausted;
    NameTaken "NAME_TAKEN" AlreadyExists;
    InUse "IN_USE" FailedPrecondition;
    TooMany "TOO_MANY" FailedPrecondition;
    RateLimited "RATE_LIMITED" ResourceExhausted;
    RefreshRefused "REFRESH_REFUSED" Unauthenticated;
    TooManyAttempts "TOO_MANY_ATTEMPTS" ResourceExhausted;
    CodeRefused "CODE_REFUSED" FailedPrecondition;
    MailOff "MAIL_OFF" FailedPrecondition;
    CodeWrong "CODE_WRONG" InvalidArgument;
    ChallengeRefused "CHALLENGE_REFUSED" Unauthenticated;
    SecondFactorRequired "SECOND_FACTOR_REQUIRED" FailedPrecondition;
    ScopeMissing "SCOPE_MISSING" PermissionDenied;
    ActForRefused "ACT_FOR_REFUSED" PermissionDenied;
    SecondFactorUnreadable "SECOND_FACTOR_UNREADABLE" FailedPrecondition;
    TooShort "TOO_SHORT" FailedPrecondition;
    CursorExpired "CURSOR_EXPIRED" FailedPrecondition;
    CursorUnknown "CURSOR_UNKNOWN" FailedPrecondition;
}

/// One field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request, such as `schedule.weekly_windows[2].end_time`.
    pub field: String,
    /// Why it is refused, for programs: the name of a [`FieldReason`], or of the fault's own reason where the
    /// whole request is refused for that.
    pub reason: &'static str,
    /// What would be valid.
    pub description: String,
}

impl FieldViolation {
    /// With the reason that the description tells.
    fn new(field: String, description: String) -> Self {
        Self { reason: FieldReason::of(&description).name(), field, description }
    }
}

/// Whether the storage layer may retry the unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retryable {
    /// The answer would be the same.
    No,
    /// Somebody else was in the way for a moment: a deadlock, a serialisation failure, a busy file.
    Contention,
    /// The connection was lost before anything could have been committed.
    Connection,
}

/// Why something was refused or failed.
#[derive(Debug, Clone)]
pub struct Fault(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    reason: Reason,
    message: String,
    log: Option<String>,
    fields: Vec<FieldViolation>,
    also: Vec<(Reason, String)>,
    resource: Option<String>,
    metadata: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    again: Retryable,
}

impl Fault {
    /// A fault with the message that the caller reads: a sentence that says what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            log: None,
            fields: Vec::new(),
            also: Vec::new(),
            resource: None,
            metadata: Vec::new(),
            retry_after: None,
            again: Retryable::No,
        }))
    }

    /// A defect of ours. `log` is for the log only; the caller is told nothing but the request id.
    pub fn internal(log: impl Into<String>) -> Self {
        Self::new(Reason::Internal, "an internal error; the log has it under this request id")
            .log(log)
    }

    /// `INTERNAL`: a field has no value although its check passed. A defect of the handler.
    pub fn unchecked() -> Self {
        Self::internal("a checked field has no value")
    }

    /// It does not exist, or it is not the caller's to know: the two look the same.
    pub fn not_found(resource: impl Into<String>) -> Self {
        let mut fault = Self::new(Reason::NotFound, "there is no such resource for this caller");
        fault.0.resource = Some(resource.into());
        fault
    }

    /// The etag is of another version.
    pub fn stale() -> Self {
        let text = "the resource changed since the etag was read; read it again";
        Self::new(Reason::EtagStale, text)
    }

    /// More work than the server takes; worth trying again after `retry_after`.
    pub fn overloaded(retry_after: Duration) -> Self {
        let mut fault =
            Self::new(Reason::Overloaded, "the server is busy; retry after the given delay");
        fault.0.retry_after = Some(retry_after);
        fault
    }

    /// Adds what the log should say and the caller should not see.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        self.0.log = Some(log.into());
        self
    }

    /// Adds a value that the message mentions, under a stable key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Adds a field to point at.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        let reason = self.0.reason.name();
        let (field, description) = (field.into(), description.into());
        self.0.fields.push(FieldViolation { field, reason, description });
        self
    }

    /// Adds another reason for the same refusal.
    #[must_use]
    pub fn also(mut self, reason: Reason, message: impl Into<String>) -> Self {
        self.0.also.push((reason, message.into()));
        self
    }

    /// Says that the storage layer may try once more.
    #[must_use]
    pub fn again(mut self, again: Retryable) -> Self {
        self.0.again = again;
        self
    }

    /// Says after what delay the caller may try once more.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// The stable reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The text for the log, when there is more to say than the caller may know.
    pub fn log_text(&self) -> Option<&str> {
        self.0.log.as_deref()
    }

    /// The fields that break a rule.
    pub fn fields(&self) -> &[FieldViolation] {
        &self.0.fields
    }

    /// Further reasons for the same refusal.
    pub fn others(&self) -> &[(Reason, String)] {
        &self.0.also
    }

    /// The resource that was not found.
    pub fn resource(&self) -> Option<&str> {
        self.0.resource.as_deref()
    }

    /// The values behind the message.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// The delay after which trying again makes sense.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same unit of work may be run once more.
    pub fn may_run_again(&self) -> Retryable {
        self.0.again
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason.name(), self.0.message)?;
        if let Some(log) = &self.0.log {
            write!(f, " ({log})")?;
        }
        for violation in &self.0.fields {
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// Collects every violated field of a request, so that all are told at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// No violation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field` breaks a rule; `description` says what would be valid.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field.into(), description.into()));
    }

    /// Keeps the value of a check, or notes the violation.
    pub fn keep<T>(&mut self, field: &str, value: Result<T, impl Into<String>>) -> Option<T> {
        value.map_err(|description| self.add(field, description)).ok()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fault with all violations, or nothing when there are none.
    pub fn finish(self) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        let mut fault = Fault::new(
            Reason::InvalidFields,
            "one or more fields are not valid; nothing was changed",
        );
        fault.0.fields = self.0;
        Err(fault)
    }

    /// The values of the checks whose violations these are: an `Option` as [`Self::keep`] gives it, or a tuple of them.
    ///
    /// Faults: that of [`Self::finish`]; an internal one when a value is missing although nothing was noted.
    pub fn finish_with<C: Checks>(self, checks: C) -> Result<C::Values, Fault> {
        self.finish()?;
        checks.values().ok_or_else(Fault::unchecked)
    }

    /// The fault, where the caller already knows that something is wrong.
    pub fn into_fault(self) -> Fault {
        match self.finish() {
            Err(fault) => fault,
            Ok(()) => Fault::internal("a request was refused without a violation"),
        }
    }
}

/// Results of checks: an `Option`, or a tuple of them.
pub trait Checks {
    /// What they hold when all passed.
    type Values;

    /// The values, if all checks passed.
    fn values(self) -> Option<Self::Values>;
}

impl<T> Checks for Option<T> {
    type Values = T;

    fn values(self) -> Option<T> {
        self
    }
}

macro_rules! checks_of_tuples {
    ($(($($value:ident),+);)+) => {
        $(
            impl<$($value),+> Checks for ($(Option<$value>,)+) {
                type Values = ($($value,)+);

                #[expect(non_snake_case, reason = "named like their types")]
                fn values(self) -> Option<Self::Values> {
                    let ($($value,)+) = self;
                    Some(($($value?,)+))
                }
            }
        )+
    };
}

checks_of_tuples! {
    (A, B);
    (A, B, C);
    (A, B, C, D);
}
