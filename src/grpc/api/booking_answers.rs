//! What staff say and are told of appointments, as messages.

use super::convert::timestamp;
use crate::booking::{State, commands::decide::Warning};
use crate::grpc::proto::booking::{self as pb, appointment::State as WireState};

/// The state to which an outcome is corrected.
pub(super) fn corrected(wire: i32) -> Result<State, &'static str> {
    match WireState::try_from(wire) {
        Ok(WireState::Booked) => Ok(State::Booked),
        Ok(WireState::Completed) => Ok(State::Completed),
        Ok(WireState::NoShow) => Ok(State::NoShow),
        _ => Err("must be STATE_BOOKED, STATE_COMPLETED or STATE_NO_SHOW"),
    }
}

/// What did not keep a request from being approved.
pub(super) fn wire_warning(warning: &Warning) -> pb::Warning {
    pb::Warning {
        reason: warning.reason.clone(),
        message: warning.message.clone(),
        start_time: warning.between.map(|(start, _)| timestamp(start)),
        end_time: warning.between.map(|(_, end)| timestamp(end)),
    }
}
