//! The generated code. The only place that is exempt from the lints.
#![expect(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
#![expect(clippy::allow_attributes, reason = "generated")]
#![expect(clippy::allow_attributes_without_reason, reason = "generated")]

/// Messages and services of the proto package `daybook.auth.v1`.
pub mod daybook {
    pub mod auth {
        pub mod v1 {
            tonic::include_proto!("daybook.auth.v1");
        }
    }
    pub mod booking {
        pub mod v1 {
            tonic::include_proto!("daybook.booking.v1");
        }
    }
}

pub mod google {
    pub mod r#type {
        include!(concat!(env!("OUT_DIR"), "/google.r#type.rs"));
    }
}

pub use daybook::{auth::v1 as auth, booking::v1 as booking};

/// The descriptor set of everything that is served, with comments and custom options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/daybook.binpb"));
