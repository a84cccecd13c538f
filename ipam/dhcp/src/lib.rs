//! The `dhcp` IPAM plugin and its daemon: addresses from the network's own server.
//!
//! The plugin asks the daemon over a unix socket (`rpc` has the reference's calls). The daemon talks to the servers
//! from inside the container's namespace, and keeps the leases until DEL. It owns the files beside its socket. In a
//! namespace it only sends packets, sets the interface up before it asks, and down when a lease has run out.
//!
//! The protocol's code is our own (`wire`), without a crate. Two were compared, by source. `dhcproto` 0.15 would add
//! about fifty crates, most of them for Unicode tables of international domain names, which option 119 does not need,
//! and a value tree for each option that we pass on as bytes. `mozim` 0.3.4 is a whole client for one namespace, with
//! sockets, threads and older releases of our crates. It cannot choose the bytes of option 61, and keeps no leases. The
//! remaining protocol is a header and lists of bytes, and every plugin of this binary starts with all linked code.

mod answer;
mod client;
mod clock;
mod complain;
mod conf;
pub mod daemon;
mod exchange;
mod filter;
mod gob;
mod hex;
mod identity;
mod lease;
mod link;
mod merge;
mod profile;
mod random;
mod record;
mod release;
mod rpc;
mod six;
mod store;
mod trouble;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use linkspan_plugin::call::Call;
use linkspan_plugin::check::{mismatch, promised};
use linkspan_plugin::{
    AddCall, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo,
};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::AttachmentId;
use linkspan_protocol::result::AddResult;

use client::{Daemon, Outcome};
use conf::Conf;
use identity::Names;
use rpc::Args;
use store::Store;

/// The plugin's entry.
pub static ENTRY: Entry = Entry::of::<Dhcp>();

/// The first argument that runs the process as the daemon.
pub const DAEMON: &str = "daemon";

/// Deadline for calls that wait for no server.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Dhcp;

impl Plugin for Dhcp {
    type Conf = Conf;
    /// The daemon's socket. The daemon decodes the configuration itself.
    type Plan = PathBuf;
    const NAMES: &'static [&'static str] = &["dhcp"];
    const NEEDED: &'static [&'static str] = &["ipam.daemonSocketPath"];

    fn plan(call: &Call, conf: Conf) -> Result<PathBuf> {
        let socket = conf.socket()?;
        conf.plan(&call.args)?;
        Ok(socket)
    }

    fn add(call: &AddCall, socket: PathBuf, undo: &mut Undo) -> Result<AddResult> {
        let args = args(call, &call.attachment, Some(&call.netns));
        let outcome = Daemon::dial(&socket)?.call(rpc::ALLOCATE, &args, None);
        let outcome = undo.push_unless_refused(outcome, "release the address", move || {
            release(Daemon::dial(&socket)?, &args)
        })?;
        acquired(outcome)
    }

    /// DEL needs only the socket's path. Without a daemon, the plugin releases the address itself.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let args = args(call, &call.attachment, call.netns.as_ref());
        let socket = conf.socket()?;
        if let Some(daemon) = Daemon::connect(&socket)? {
            return release(daemon, &args);
        }
        let names = conf::names(&args, call.network.as_str());
        forget(&Store::beside(&socket), &names)
    }

    fn check(call: &CheckCall, socket: PathBuf) -> Result<()> {
        let promised = promised(call)?;
        let args = args(call, &call.attachment, Some(&call.netns));
        let outcome = Daemon::dial(&socket)?.call(rpc::LOOK, &args, Some(PATIENCE))?;
        let leased = match outcome {
            Outcome::Done(leased) => leased,
            // The other suite's daemon has no call that asks without acquiring.
            Outcome::Unknown => {
                acquired(Daemon::dial(&socket)?.call(rpc::ALLOCATE, &args, None)?)?
            }
        };
        for ip in &leased.ips {
            if !promised
                .ips
                .iter()
                .any(|promised| promised.address == ip.address)
            {
                let told: Vec<_> = promised
                    .ips
                    .iter()
                    .map(|ip| ip.address.to_string())
                    .collect();
                let found = ip.address.to_string();
                return Err(mismatch(
                    "dhcp: address of the lease",
                    &told.join(", "),
                    &found,
                ));
            }
        }
        Ok(())
    }

    /// GC needs only the socket's path, for the same reason as DEL.
    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        let socket = conf.socket()?;
        if let Some(daemon) = Daemon::connect(&socket)? {
            let args = Args {
                stdin: call.stdin().to_vec(),
                ..Args::default()
            };
            // The other suite's daemon collects nothing.
            return daemon.call(rpc::COLLECT, &args, Some(PATIENCE)).map(drop);
        }
        let store = Store::beside(&socket);
        let leases = store.all().map_err(|err| io_failure("list leases", &err))?;
        let stale = leases
            .into_iter()
            .map(|record| record.names)
            .filter(|names| {
                let is_valid = |valid: &AttachmentId| {
                    let container = valid.container_id.as_str() == names.container;
                    container && valid.ifname.as_str() == names.ifname
                };
                names.network == call.network.as_str()
                    && !call.valid_attachments.iter().any(is_valid)
            });
        for names in stale {
            forget(&store, &names)?;
        }
        Ok(())
    }

    /// ADD needs a daemon.
    fn status(_call: &StatusCall, socket: PathBuf) -> Result<()> {
        let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
        Daemon::dial(&socket).map(drop).map_err(unavailable)
    }
}

/// The arguments for the daemon. Its working directory may differ, so the path is absolute.
fn args(call: &Call, attachment: &AttachmentId, netns: Option<&NetnsPath>) -> Args {
    let absolute = |netns: &NetnsPath| {
        let path = netns.as_path();
        std::path::absolute(path).unwrap_or_else(|_no_directory| PathBuf::from(path))
    };
    let netns = netns.map(absolute).unwrap_or_default();
    Args {
        container: attachment.container_id.to_string(),
        netns: netns.to_string_lossy().into_owned(),
        ifname: attachment.ifname.to_string(),
        pairs: call.args.clone(),
        stdin: call.stdin().to_vec(),
    }
}

fn acquired(outcome: Outcome) -> Result<AddResult> {
    match outcome {
        Outcome::Done(result) if !result.ips.is_empty() => Ok(result),
        Outcome::Done(_) | Outcome::Unknown => Err(Failure::new(
            ErrorCode::INTERNAL,
            "the daemon told no address",
        )
        .hint("use the daemon and the plugin of one suite")),
    }
}

fn release(daemon: Daemon, args: &Args) -> Result<()> {
    daemon.call(rpc::RELEASE, args, Some(PATIENCE)).map(drop)
}

/// Releases an address without a daemon. If that fails, the server has the address back when the lease ends.
fn forget(store: &Store, names: &Names) -> Result<()> {
    if let Some(record) = store.read(names) {
        let spot = record.spot(record.netns.clone());
        // DEL must succeed even if the link or the namespace is gone.
        drop(release::all(&record, &spot));
    }
    store
        .forget(names)
        .map_err(|err| io_failure("forget the lease", &err))
}

/// Decodes a frame, and everything that an answer may contain. For fuzzing.
pub fn examine(frame: &[u8]) -> Option<AddResult> {
    let received = wire::frame::parse(frame)?;
    answer::of_bytes(received.payload)
}

/// Decodes bytes as an IPv6 frame and as a `DHCPv6` message. For fuzzing.
pub fn examine_six(bytes: &[u8]) -> bool {
    let routed = six::advertisement::parse(bytes).is_some();
    let message = six::message::Message::parse(bytes);
    let told = message.map(|message| (message.refusal(), message.given([0; 4])));
    routed || told.is_some()
}

/// Decodes a message of the daemon's socket. For fuzzing.
pub fn examine_call(message: &[u8]) -> bool {
    let mut reader = gob::read::Reader::default();
    let mut rest = message;
    // One byte of length is enough for fuzzing.
    while let Some((length, after)) = rest.split_first() {
        let (one, after) = after.split_at(after.len().min((*length).into()));
        match reader.message(one) {
            Ok(Some(value)) => drop((Args::from(&value), rpc::result(&value))),
            Ok(None) => {}
            Err(_) => return false,
        }
        rest = after;
    }
    true
}

fn io_failure(what: &str, err: &std::io::Error) -> Failure {
    Failure::new(ErrorCode::IO, format!("{what}: {err}"))
}
