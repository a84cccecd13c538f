//! A plugin as a binary of its own, without the bundle. Each plugin crate runs this file on the binaries that it makes.

use std::process::{Command, Output};

/// Names, and paths where the crate under test makes that binary.
const BINARIES: [(&str, Option<&str>); 5] = [
    ("bridge", option_env!("CARGO_BIN_EXE_bridge")),
    ("host-local", option_env!("CARGO_BIN_EXE_host-local")),
    ("loopback", option_env!("CARGO_BIN_EXE_loopback")),
    ("ptp", option_env!("CARGO_BIN_EXE_ptp")),
    ("veth", option_env!("CARGO_BIN_EXE_veth")),
];

#[expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test executes the binary itself, and fails by panicking"
)]
fn run(exe: &str, env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(exe);
    command.env_clear().envs(env.iter().copied());
    command.output().unwrap()
}

#[test]
fn it_is_the_plugin_of_its_name_and_speaks_the_protocol() {
    let made = BINARIES
        .iter()
        .filter_map(|(name, exe)| Some((*name, (*exe)?)));
    let made: Vec<_> = made.collect();
    assert!(!made.is_empty(), "this crate makes no binary of the list");
    for (name, exe) in made {
        let about = run(exe, &[]);
        let name = if name == "veth" { "ptp" } else { name };
        let told = String::from_utf8(about.stderr).unwrap();
        assert!(about.status.success() && about.stdout.is_empty());
        assert!(told.starts_with(&format!("CNI {name} plugin ")), "{told}");

        let version = run(exe, &[("CNI_COMMAND", "VERSION")]);
        assert!(version.status.success());
        assert!(
            version
                .stdout
                .starts_with(br#"{"cniVersion":"1.1.0","supportedVersions":["#)
        );

        let status = run(exe, &[("CNI_COMMAND", "STATUS")]);
        assert_eq!(status.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(status.stdout).unwrap(),
            "{\n    \"code\": 4,\n    \"msg\": \"required env variables [CNI_PATH] missing\"\n}"
        );
    }
}
