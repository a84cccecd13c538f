//! The same plugin under the name that the reference gives it.

fn main() -> std::process::ExitCode {
    linkspan_plugin::process::run(&linkspan_veth::ENTRY)
}
