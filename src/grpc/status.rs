//! From a fault to a gRPC status. The only maker of `Status`.

use std::collections::HashMap;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use crate::kernel::{
    fault::{self, Fault, FaultKind, Reason},
    field::FieldReason,
};

/// The domain of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "daybook";

/// The header with the reason of a refusal, for clients and proxies that read no `google.rpc.ErrorInfo`.
pub const REASON_HEADER: &str = "x-daybook-reason";

/// How much is told of what is wrong with a request, in bytes. Details travel in a header, in base64, and some
/// clients take no more than 8 KiB of these; beyond that they see a broken connection and no reason.
const LONGEST_DETAILS: usize = 4_096;
/// The longest path of a field, in characters.
const LONGEST_PATH: usize = 200;

/// The gRPC code of a kind of fault.
pub const fn code(kind: FaultKind) -> Code {
    match kind {
        FaultKind::InvalidArgument => Code::InvalidArgument,
        FaultKind::Unauthenticated => Code::Unauthenticated,
        FaultKind::PermissionDenied => Code::PermissionDenied,
        FaultKind::NotFound => Code::NotFound,
        FaultKind::AlreadyExists => Code::AlreadyExists,
        FaultKind::Aborted => Code::Aborted,
        FaultKind::FailedPrecondition => Code::FailedPrecondition,
        FaultKind::ResourceExhausted => Code::ResourceExhausted,
        FaultKind::DeadlineExceeded => Code::DeadlineExceeded,
        FaultKind::Unavailable => Code::Unavailable,
        FaultKind::Unimplemented => Code::Unimplemented,
        FaultKind::Internal => Code::Internal,
    }
}

/// The status for a fault, with its details. What only the log may know is logged here, once.
pub fn status(fault: &Fault) -> Status {
    let reason = fault.reason();
    match (reason.kind(), fault.log_text()) {
        (FaultKind::Internal, text) => {
            tracing::error!(reason = reason.name(), cause = text.unwrap_or_default(), "a defect");
        }
        (_, Some(text)) => {
            tracing::warn!(reason = reason.name(), cause = text, "a call failed");
        }
        (_, None) => {}
    }
    let mut metadata = MetadataMap::with_capacity(1);
    metadata.insert(REASON_HEADER, MetadataValue::from_static(reason.name()));
    let (code, details) = (code(reason.kind()), details(fault));
    Status::with_error_details_and_metadata(code, fault.message(), details, metadata)
}

fn details(fault: &Fault) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        fault.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut details = ErrorDetails::with_error_info(fault.reason().name(), DOMAIN, metadata);
    if !fault.fields().is_empty() {
        details.set_bad_request(told(fault.fields()));
    }
    if fault.reason().kind() == FaultKind::FailedPrecondition {
        let first = (fault.reason(), fault.message().to_owned());
        let all = std::iter::once(&first).chain(fault.others());
        details.set_precondition_failure(
            all.map(|(reason, text)| PreconditionViolation::new(reason.name(), "", text))
                .collect::<Vec<_>>(),
        );
    }
    if let Some(name) = fault.resource() {
        details.set_resource_info("", name, "", "");
    }
    if let Some(delay) = fault.retry_delay() {
        details.set_retry_info(Some(delay));
    }
    details
}

/// As many violations as every client reads, and how many more there are.
fn told(all: &[fault::FieldViolation]) -> Vec<FieldViolation> {
    let (mut told, mut size) = (Vec::new(), 0);
    for violation in all {
        // The path may hold a key that the caller chose.
        let field: String = violation.field.chars().take(LONGEST_PATH).collect();
        size += field.len() + violation.reason.len() + violation.description.len();
        if size > LONGEST_DETAILS {
            let more = all.len() - told.len();
            let text = format!("{more} more violations are not told; mend these first");
            let reason = FieldReason::Invalid.name().to_owned();
            told.push(FieldViolation { reason, ..FieldViolation::new("", text) });
            break;
        }
        let reason = violation.reason.to_owned();
        let told_of = FieldViolation::new(field, violation.description.clone());
        told.push(FieldViolation { reason, ..told_of });
    }
    told
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        status(&fault)
    }
}

/// The table of all reasons with their codes, as the documents show it.
pub fn table() -> String {
    let rows = Reason::ALL.iter().map(|r| format!("{:<26}{:?}", r.name(), r.kind()));
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::proto::auth::FieldReason as Wire;

    #[test]
    fn reasons_of_fields_are_those_of_the_api() {
        for (number, reason) in (1..).zip(FieldReason::ALL) {
            let wire = Wire::try_from(number).unwrap().as_str_name();
            assert_eq!(wire, format!("FIELD_REASON_{}", reason.name()));
        }
        assert!(Wire::try_from(i32::try_from(FieldReason::ALL.len()).unwrap() + 1).is_err());
    }
}
