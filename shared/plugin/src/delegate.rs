//! Delegation to the IPAM plugin that the configuration names and `CNI_PATH` leads to.

use std::path::PathBuf;

use linkspan_invoke::{find, split_path};
use linkspan_protocol::command::Command;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::json::Json;
use linkspan_protocol::result::AddResult;
use linkspan_protocol::wire;

use crate::call::Call;
use crate::transport::ask;
use crate::{AddCall, CheckCall, DelCall, GcCall, Result, StatusCall, Undo};

/// Fails where the IPAM plugin cannot be found. Call it before making anything that would stay.
pub fn locate(call: &Call) -> Result<()> {
    find_ipam(call)?;
    Ok(())
}

/// The IPAM plugin that returns an address to a server over the interface that has it. It must be called while the
/// interface exists.
const OVER_THE_INTERFACE: &str = "dhcp";

/// Returns whether the IPAM plugin of that name speaks with a server over the interface: it sets the interface up
/// before it asks, and releases the addresses before the interface is deleted.
pub fn is_over_the_interface(ipam: &str) -> bool {
    ipam == OVER_THE_INTERFACE
}

/// The same for the IPAM plugin of a call.
pub fn asks_over_the_interface(call: &Call) -> bool {
    is_over_the_interface(&call.netconf.ipam.kind)
}

/// Asks for addresses. Their release is on `undo` before the answer is read, and also if no answer comes. It runs as
/// the last step, when nothing uses the addresses any more: another attachment may get them from then on.
pub fn add(call: &AddCall, undo: &mut Undo) -> Result<AddResult> {
    let exe = find_ipam(call)?;
    let env = call.delegate_env(Command::Add);
    let release_env = call.delegate_env(Command::Del);
    let stdin = call.stdin.clone();
    let printed = ask(&exe, &env, &call.stdin);
    let release = move || ask(&exe, &release_env, &stdin).map(drop);
    let printed = if asks_over_the_interface(call) {
        undo.push_unless_refused(printed, "release addresses", release)
    } else {
        undo.push_last_unless_refused(printed, "release addresses", release)
    }?;
    let name = &call.netconf.ipam.kind;
    let undecodable = |failure: Failure| failure.context(format!("decode the result of {name}"));
    let json = Json::parse(&printed)
        .map_err(Failure::from)
        .map_err(|failure| undecodable(failure.with_code(ErrorCode::INTERNAL)))?;
    let (result, _) = wire::decode(&json, &call.netconf.cni_version).map_err(undecodable)?;
    Ok(result)
}

/// Releases the attachment's addresses.
pub fn del(call: &DelCall) -> Result<()> {
    relay(call, Command::Del)
}

/// Asks whether the attachment's addresses are still its own.
pub fn check(call: &CheckCall) -> Result<()> {
    relay(call, Command::Check)
}

/// Releases the addresses of attachments that are no longer valid; the list travels in the input.
pub fn gc(call: &GcCall) -> Result<()> {
    relay(call, Command::Gc)
}

/// Asks whether addresses could be given.
pub fn status(call: &StatusCall) -> Result<()> {
    // ADD would fail without it (spec 1.1.0, section 2, "STATUS").
    let exe = find_ipam(call).map_err(|err| {
        let missing = matches!(err, linkspan_invoke::Error::NotFound { .. });
        let failure = Failure::from(err);
        if missing {
            failure.with_code(ErrorCode::NOT_AVAILABLE)
        } else {
            failure
        }
    })?;
    ask(&exe, &call.delegate_env(Command::Status), &call.stdin).map(drop)
}

fn relay(call: &Call, verb: Command) -> Result<()> {
    let exe = find_ipam(call)?;
    ask(&exe, &call.delegate_env(verb), &call.stdin).map(drop)
}

fn find_ipam(call: &Call) -> std::result::Result<PathBuf, linkspan_invoke::Error> {
    find(&call.netconf.ipam.kind, &split_path(&call.env.path))
}
