//! The `host-local` plugin as a binary of its own.

fn main() -> std::process::ExitCode {
    linkspan_plugin::process::run(&linkspan_host_local::ENTRY)
}
