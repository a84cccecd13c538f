//! firewalld, over the system's bus: the container's addresses are sources of a zone.
//!
//! A reload makes firewalld forget all state that is not in its files. So CHECK verifies each source, and `restore`
//! adds missing ones.

use std::io::ErrorKind;
use std::net::IpAddr;

use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;

use crate::bus::{Bus, of_the_bus};
use crate::message::{Answer, Method};

const SERVICE: &str = "org.fedoraproject.FirewallD1";

/// The default address of the system's bus.
const USUAL_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// A running firewalld.
#[derive(Debug)]
pub(crate) struct Firewalld {
    bus: Bus,
}

impl Firewalld {
    /// Finds it on the bus at `address`, or on the default bus; `None` if it does not run.
    pub(crate) fn find(address: &str) -> Result<Option<Self>> {
        let address = if address.is_empty() {
            USUAL_BUS
        } else {
            address
        };
        let mut bus = match Bus::join(address) {
            Err(err)
                if matches!(
                    err.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            joined => joined.map_err(|err| failed(&format!("join the bus at {address}: {err}")))?,
        };
        let owner = bus.call(of_the_bus("GetNameOwner"), &[SERVICE]);
        let owner = owner.map_err(|err| failed(&format!("ask the bus for {SERVICE}: {err}")))?;
        Ok(matches!(owner, Answer::Text(_)).then_some(Self { bus }))
    }

    /// Makes the address a source of the zone, unless it is one already.
    pub(crate) fn add(&mut self, zone: &str, ip: IpAddr) -> Result<()> {
        let source = source(ip);
        match self.call("addSource", &[zone, &source])? {
            Answer::Refused { text, .. } if text.contains("ZONE_ALREADY_SET") => Ok(()),
            Answer::Refused { text, .. } => {
                let told = format!("failed to add the address {source} to {zone} zone: {text}");
                let other = self.zone_of(&source)?;
                Err(match other.filter(|other| !other.is_empty() && other != zone) {
                    Some(other) => failed(&told).hint(format!(
                        "the address is in zone {other}: remove it there, or set \"firewalldZone\" to {other:?}"
                    )),
                    None => failed(&told),
                })
            }
            _ => Ok(()),
        }
    }

    /// Removes the address from the zone; a missing one is not an error.
    pub(crate) fn remove(&mut self, zone: &str, ip: IpAddr) -> Result<()> {
        // A zone that is gone has no sources.
        self.call("removeSource", &[zone, &source(ip)]).map(drop)
    }

    /// Verifies that the address is a source of the zone.
    pub(crate) fn verify(&mut self, zone: &str, ip: IpAddr) -> Result<()> {
        let source = source(ip);
        if self.call("querySource", &[zone, &source])? == Answer::Bool(true) {
            return Ok(());
        }
        let other = self.zone_of(&source)?.unwrap_or_default();
        let other = if other.is_empty() { "none" } else { &*other };
        let what = format!("failed to find the address {source} in {zone} zone");
        Err(mismatch(what, zone, other)
            .hint("`linkspan restore` puts back what a reload of firewalld forgot"))
    }

    fn zone_of(&mut self, source: &str) -> Result<Option<String>> {
        match self.call("getZoneOfSource", &[source])? {
            Answer::Text(zone) => Ok(Some(zone)),
            _ => Ok(None),
        }
    }

    fn call(&mut self, name: &str, args: &[&str]) -> Result<Answer> {
        let method = Method {
            service: SERVICE,
            object: "/org/fedoraproject/FirewallD1",
            interface: "org.fedoraproject.FirewallD1.zone",
            name,
        };
        let called = self.bus.call(method, args);
        // Without an answer, the change may have been made.
        called.map_err(|err| failed(&format!("{name} of firewalld: {err}")).in_doubt())
    }
}

/// The failure if a configuration names firewalld and it does not run.
pub(crate) fn absent() -> Failure {
    failed("firewalld does not run").hint(
        "start firewalld, or leave \"backend\" out; DBUS_SYSTEM_BUS_ADDRESS says where the bus is",
    )
}

/// The form of the Go plugin.
fn source(ip: IpAddr) -> String {
    format!("{ip}/{}", Family::of(ip).host_prefix())
}

fn failed(what: &str) -> Failure {
    Failure::new(ErrorCode::INTERNAL, what.to_owned())
}
