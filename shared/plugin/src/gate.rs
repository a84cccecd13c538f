//! The checks of a call that depend on its verb alone: the version, and the owner of the namespace.

use std::fs;
use std::os::unix::fs::MetadataExt;

use linkspan_protocol::command::Command;
use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::version::{SpecVersion, numbers};

use crate::Result;

/// Verifies that we speak the configuration's version, and that it allows the verb.
pub(crate) fn gate(command: Command, configured: &str) -> Result<SpecVersion> {
    let since = match command {
        Command::Check => Some((0, 4, 0)),
        Command::Gc | Command::Status => Some((1, 1, 0)),
        Command::Add | Command::Del | Command::Version | Command::Restore => None,
    };
    let refuse = |msg: String| Failure::new(ErrorCode::INCOMPATIBLE_VERSION, msg);
    if let Some(since) = since {
        let given = numbers(configured).map_err(|err| Failure::new(ErrorCode::DECODING, err))?;
        let verb = command.name();
        if given < since {
            return Err(refuse(format!("config version does not allow {verb}")));
        }
        if given > (1, 1, 0) {
            return Err(refuse(format!("plugin version does not allow {verb}")));
        }
    }
    SpecVersion::parse(configured).ok_or_else(|| {
        let ours = SpecVersion::ALL.map(|v| format!("\"{v}\"")).join(" ");
        refuse("incompatible CNI versions".to_owned()).detail(format!(
            "config is {configured:?}, plugin supports [{ours}]"
        ))
    })
}

/// Refuses the plugin's own namespace as `CNI_NETNS`, before anything is changed. A path that cannot be examined
/// passes: the verb itself reports it, or tolerates it.
pub(crate) fn guard(env: &Env) -> Result<()> {
    if env.netns_override() || env.netns.is_empty() {
        return Ok(());
    }
    let Ok(theirs) = fs::metadata(&env.netns) else {
        return Ok(());
    };
    let ours = fs::metadata("/proc/thread-self/ns/net").map_err(|err| {
        Failure::new(ErrorCode::INVALID_NETNS, err.to_string()).context("get plugin's netns failed")
    })?;
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        return Err(Failure::new(
            ErrorCode::INVALID_NETNS,
            "plugin's netns and netns from CNI_NETNS should not be the same",
        )
        .hint("give the container a network namespace of its own, or set CNI_NETNS_OVERRIDE=1"));
    }
    Ok(())
}
