//! The program. All of it is in the library, but for the allocator.

use std::process::ExitCode;

/// Cheaper than the C library's for many small and short-lived pieces; `docs/benchmarks.md` has by how much.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    daybook::cli::main()
}
