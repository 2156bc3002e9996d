//! Refusals as tests look at them: code, reason, fields.

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

/// The reason of a refused call, such as `SLOT_TAKEN`. Checks what every refusal has.
#[track_caller]
pub fn reason_of(status: &Status) -> String {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { panic!("no ErrorInfo in {status:?}") };
    assert_eq!(info.domain, "daybook");
    assert!(!status.message().is_empty());
    let expected = daybook::kernel::fault::Reason::ALL.iter().find(|r| r.name() == info.reason);
    let expected = expected.expect("a reason of the API");
    assert_eq!(status.code(), daybook::grpc::status::code(expected.kind()));
    // Clients that read no details have the reason too.
    let header = status.metadata().get(daybook::grpc::status::REASON_HEADER);
    assert_eq!(header.unwrap(), expected.name());
    info.reason.clone()
}

/// All reasons of a refused call, the first one first.
#[track_caller]
pub fn reasons_of(status: &Status) -> Vec<String> {
    let first = reason_of(status);
    let details = status.get_error_details();
    let Some(all) = details.precondition_failure() else { return vec![first] };
    let all: Vec<_> = all.violations.iter().map(|violation| violation.r#type.clone()).collect();
    assert_eq!(all.first(), Some(&first));
    all
}

/// The paths of the violated fields, sorted. Each has its reason.
pub fn fields_of(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|b| b.field_violations.clone()).unwrap_or_default();
    for violation in &violations {
        let reason = &violation.reason;
        let is_upper = reason.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        assert!(!reason.is_empty() && is_upper, "{violation:?}");
    }
    let mut fields: Vec<String> = violations.into_iter().map(|v| v.field).collect();
    fields.sort();
    fields
}

/// Asserts that a call was refused for this reason, and returns the status.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, Status>, reason: &str) -> Status {
    match result {
        Ok(answer) => panic!("expected {reason}, got {answer:?}"),
        Err(status) => {
            assert_eq!(reason_of(&status), reason, "{status:?}");
            status
        }
    }
}

/// Asserts that a call was refused for exactly these fields.
#[track_caller]
pub fn invalid<T: Debug>(result: Result<Response<T>, Status>, fields: &[&str]) {
    let status = refused(result, "INVALID_FIELDS");
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut expected: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
    expected.sort();
    assert_eq!(fields_of(&status), expected, "{status:?}");
}
