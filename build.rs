//! Compiles the protos: Rust code for `src/grpc/proto.rs`, and the descriptor set that reflection
//! serves. protox stands in for protoc, so nothing has to be installed.

use std::{env, fs, path::PathBuf};

use prost_types::FileDescriptorSet;

const FILES: &[&str] = &[
    "daybook/auth/v1/auth.proto",
    "daybook/auth/v1/customer.proto",
    "daybook/auth/v1/email.proto",
    "daybook/auth/v1/error_reason.proto",
    "daybook/auth/v1/personal_data.proto",
    "daybook/auth/v1/second_factor.proto",
    "daybook/auth/v1/service_account.proto",
    "daybook/booking/v1/availability.proto",
    "daybook/booking/v1/booking.proto",
    "daybook/booking/v1/catalogue.proto",
    "daybook/booking/v1/schedule.proto",
    "daybook/booking/v1/watch.proto",
    // Served by reflection, because proxies that transcode need them to show error details.
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "google/rpc/code.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The generator's own switch for these lines has had no effect since tonic 0.14.
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;

    // protox's own encoding keeps custom options such as `field_behavior`; prost drops them.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("daybook.binpb"), compiler.encode_file_descriptor_set())?;

    let set: FileDescriptorSet = compiler.file_descriptor_set();
    fs::write(out.join("idempotent_requests.rs"), idempotent_requests(&set))?;
    tonic_prost_build::configure().build_client(true).compile_fds(set)?;
    Ok(())
}

/// The requests with a `request_id`, as an invocation of the macro in `src/grpc/api/idempotency.rs`.
fn idempotent_requests(set: &FileDescriptorSet) -> String {
    let mut found = String::from("idempotent_requests! {\n");
    for file in set.file.iter().filter(|file| file.package().starts_with("daybook.")) {
        let module = file.package().split('.').nth(1).unwrap_or_default();
        for method in file.service.iter().flat_map(|service| &service.method) {
            let input = method.input_type().rsplit('.').next().unwrap_or_default();
            let message = file.message_type.iter().find(|message| message.name() == input);
            if message.is_some_and(|m| m.field.iter().any(|field| field.name() == "request_id")) {
                for part in ["    ", module, "::", input, ", \"", method.name(), "\";\n"] {
                    found.push_str(part);
                }
            }
        }
    }
    found + "}\n"
}
