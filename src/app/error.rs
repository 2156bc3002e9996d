//! Why a command failed.

use std::io;

use crate::{
    config::Unusable, grpc::server::ServeError, identity::master_key::KeyError,
    kernel::fault::Fault, storage,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The master key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What a setting names cannot be used.
    #[error(transparent)]
    Setting(#[from] Unusable),
    /// The database or a rule refused.
    #[error("{}", operator_text(.0))]
    Fault(Fault),
    /// The server stopped with an error.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The default schedule of the settings is none.
    #[error("the default schedule: {0}")]
    DefaultSchedule(String),
    /// The health check could not be made.
    #[error("cannot ask {address}: {cause}")]
    Healthcheck {
        /// The address.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// A signal cannot be waited for.
    #[error("waiting for signals")]
    Signals(#[source] io::Error),
    /// A second signal came before the drain was over.
    #[error("ended by a second signal before the drain was over")]
    CutShort,
}

// Not `#[from]`: that would make the fault its own cause, and tell it twice.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Operators may read what callers may not.
pub(super) fn operator_text(fault: &Fault) -> String {
    let mut text = fault.log_text().map_or_else(|| fault.message().to_owned(), ToOwned::to_owned);
    for violation in fault.fields() {
        text.extend(["; ", &violation.field, " ", &violation.description]);
    }
    if let Some(hint) = storage::engine::hint(&text) {
        text.extend(["; ", hint]);
    }
    text
}
