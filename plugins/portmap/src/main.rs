//! The `portmap` plugin's process.

fn main() -> std::process::ExitCode {
    linkspan_plugin::process::run(&linkspan_portmap::ENTRY)
}
