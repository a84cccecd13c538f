//! The `linkspan` binary: the runtime's command line, and under a plugin's file name that plugin.

#[cfg(test)]
mod configuration;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod hints;
#[cfg(test)]
mod man;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod sources;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use linkspan_attach::{Side, forwarding, sysctl, tag};
use linkspan_cli::suite::{Counted, Port, Stolen, Suite, Warning};
use linkspan_cli::{cnitool, linkspan};
use linkspan_filter::obstacles::{Obstacle, Passage, obstacles};
use linkspan_filter::{go_suite, masquerade, spoof, table};
use linkspan_owner::Owner;
use linkspan_plugin::telemetry::counters;
use linkspan_plugin::{Entry, process};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::ident::{AttachmentId, NetworkName};
use linkspan_protocol::schema::Schema;
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::holder::{Holder, Tag};

/// The allocator beside musl; docs/performance.md says what it is worth. glibc's own is as good.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Every plugin of the suite. A test compares the list with the folders `plugins` and `ipam`.
const ENTRIES: &[&Entry] = &[
    &linkspan_bandwidth::ENTRY,
    &linkspan_bridge::ENTRY,
    &linkspan_dhcp::ENTRY,
    &linkspan_dummy::ENTRY,
    &linkspan_firewall::ENTRY,
    &linkspan_host_device::ENTRY,
    &linkspan_host_local::ENTRY,
    &linkspan_host_reach::ENTRY,
    &linkspan_ipvlan::ENTRY,
    &linkspan_loopback::ENTRY,
    &linkspan_macvlan::ENTRY,
    &linkspan_portmap::ENTRY,
    &linkspan_route_override::ENTRY,
    &linkspan_sbr::ENTRY,
    &linkspan_static::ENTRY,
    &linkspan_tap::ENTRY,
    &linkspan_tuning::ENTRY,
    &linkspan_veth::ENTRY,
    &linkspan_vlan::ENTRY,
    &linkspan_vrf::ENTRY,
];

/// The name under which this binary is the runtime.
const RUNTIME: &str = "linkspan";

/// The name under which it is the runtime with the command line of the Go one.
const CNITOOL: &str = "cnitool";

fn main() -> ExitCode {
    let args = std::env::args_os();
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let name = called.file_name().unwrap_or_default().to_string_lossy();
    if let Some(flags) = behind(&name, "dhcp", linkspan_dhcp::DAEMON) {
        return linkspan_dhcp::daemon::main(&flags).into();
    }
    if let Some(args) = behind(&name, "tap", linkspan_tap::CREATE) {
        let made = linkspan_tap::create_labelled(&args);
        return made.map_or_else(|failure| process::fail(&failure), |()| ExitCode::SUCCESS);
    }
    match find(&name) {
        Some(entry) => process::run_among(ENTRIES, entry),
        None if name == RUNTIME => {
            let names = &names();
            let suite = Suite {
                names,
                schema,
                ports,
                stolen,
                clear: table::delete,
                warnings,
                read_tag,
                dhcp_daemon: linkspan_dhcp::daemon::main,
                rules,
                counted,
            };
            linkspan::main(args, suite)
        }
        None if name == CNITOOL => cnitool::main(args.skip(1)),
        None => process::fail(&unknown(&name)),
    }
}

/// The arguments after `word`, if this is the plugin `plugin`.
fn behind(name: &str, plugin: &str, word: &str) -> Option<Vec<String>> {
    let mut args = std::env::args_os().skip(1);
    let is_called = name == plugin && args.next()? == word;
    is_called.then_some(())?;
    Some(args.map(|arg| arg.to_string_lossy().into_owned()).collect())
}

fn find(name: &str) -> Option<&'static Entry> {
    let mut entries = ENTRIES.iter().copied();
    entries.find(|entry| entry.names.contains(&name))
}

fn schema(name: &str) -> Option<Schema> {
    find(name).map(Entry::schema)
}

fn read_tag(network: &NetworkName, at: &Attachment) -> Result<Tag, Failure> {
    let sandbox = NetnsPath::new(&at.netns);
    let named = sandbox.map(|sandbox| tag::holder(&sandbox, &at.ifname));
    let own = Owner::of(network, &at.id());
    Ok(match named.transpose()?.flatten() {
        None => Tag::None,
        Some(owner) if owner == own => Tag::Own,
        Some(owner) => Tag::Other(Holder {
            network: owner.network().to_owned(),
            container: owner.container().to_owned(),
        }),
    })
}

fn ports() -> Result<Vec<Port>, Failure> {
    let published = linkspan_portmap::published()?;
    let ports = published.into_iter().map(|port| Port {
        backend: port.keeper.name(),
        protocol: port.protocol.name(),
        host: port.host,
        container: port.container,
        owner: port.owner.map(Option::unwrap_or_default),
        gone: port.gone,
    });
    Ok(ports.collect())
}

fn stolen() -> Result<Vec<Stolen>, Failure> {
    let found = linkspan_portmap::stolen()?.into_iter();
    let told = found.map(|port| Stolen {
        network: port.network,
        port: format!("{}/{}", port.host, port.protocol),
        by: port.by,
        to: port.to,
    });
    Ok(told.collect())
}

/// The state of an attachment in the packet filter, whichever plugin made it.
fn rules(network: &NetworkName, at: &AttachmentId, ips: &[IpAddr]) -> Result<Vec<String>, Failure> {
    let parts = [
        linkspan_portmap::part(),
        linkspan_firewall::part(),
        masquerade::part(),
        spoof::part(),
    ];
    let mut told = table::told(&parts, &Owner::of(network, at))?;
    told.extend(go_suite::chains_of(network, &at.container_id)?);
    told.extend(linkspan_firewall::rules(ips)?);
    Ok(told)
}

fn counted(dir: &Path) -> Result<Vec<Counted>, Failure> {
    let rows = counters::read(dir).map_err(|err| {
        let told = format!("read the counters in {}: {err}", dir.display());
        Failure::new(ErrorCode::IO, told)
    })?;
    let bounds = counters::BOUNDS.map(Duration::from_micros);
    let bounds = bounds.map(Some).into_iter().chain([None]);
    let counted = rows.into_iter().map(|row| Counted {
        verb: row.verb,
        code: row.code,
        buckets: bounds.clone().zip(row.buckets).collect(),
        took: row.took,
    });
    Ok(counted.collect())
}

/// Obstacles to the packets of a plugin's network.
fn warnings(kind: &str, stdin: &[u8]) -> Result<Vec<Warning>, Failure> {
    let passage = match kind {
        "bridge" => linkspan_bridge::passage(stdin),
        "ptp" | "veth" => Some(linkspan_veth::passage()),
        _ => None,
    };
    let mut warnings = match passage {
        Some(passage) => on_the_way(&passage)?,
        None => Vec::new(),
    };
    let (id, told) = match kind {
        "bridge" => ("vlans", linkspan_bridge::warnings(stdin)?),
        "ptp" | "veth" => ("netkit", linkspan_veth::warnings(stdin)?),
        _ => return Ok(warnings),
    };
    warnings.extend(told.into_iter().map(|told| warning(id, told)));
    Ok(warnings)
}

fn on_the_way(passage: &Passage) -> Result<Vec<Warning>, Failure> {
    let mut warnings = Vec::new();
    let host = Side::host()?;
    if passage.routed {
        for link in forwarding::idle_uplinks(&host)? {
            let name = &link.name;
            warnings.push(Warning {
                id: "forward-off",
                what: format!(
                    "{name} does not forward IPv4, so answers to pods and packets to published ports that come in by it are dropped"
                ),
                remedies: vec![sysctl::command(&forwarding::own_switch(&link, Family::V4), "1")],
            });
        }
    }
    // While the host does not route IPv6, its packets are not missed.
    let has_six = forwarding::is_on(&host, Family::V6)?;
    let families: &[Family] = if has_six {
        &Family::BOTH
    } else {
        &[Family::V4]
    };
    let found = obstacles(passage, families)?;
    let warning = |found| warning("forward-drop", found);
    warnings.extend(found.into_iter().map(warning));
    Ok(warnings)
}

fn warning(id: &'static str, Obstacle { what, remedies }: Obstacle) -> Warning {
    Warning { id, what, remedies }
}

fn names() -> Vec<&'static str> {
    ENTRIES
        .iter()
        .flat_map(|entry| entry.names)
        .copied()
        .collect()
}

fn unknown(name: &str) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("{name:?} is not a plugin of this binary"),
    )
    .hint(format!(
        "name the file {RUNTIME} or {CNITOOL}, or as one of: {}",
        names().join(", ")
    ))
}
