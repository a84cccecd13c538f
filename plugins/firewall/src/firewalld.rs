//! firewalld, over the system's bus: the container's addresses are sources of a zone.
//!
//! firewalld forgets what is not in its files when it is reloaded. So CHECK asks for each source, and `restore` adds what is
//! missing.

use std::io::ErrorKind;
use std::net::IpAddr;

use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;

use crate::bus::{Bus, of_the_bus};
use crate::message::{Answer, Method};

const SERVICE: &str = "org.fedoraproject.FirewallD1";

/// Where the system's bus is, unless the environment says otherwise.
const USUAL_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// firewalld as it runs.
#[derive(Debug)]
pub(crate) struct Firewalld {
    bus: Bus,
}

impl Firewalld {
    /// Finds it on the bus at `address`, or on the usual one; `None` where it does not run.
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

    /// Makes the address a source of the zone, if it is not one yet.
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

    /// Takes the address from the zone; one that is not there is fine.
    pub(crate) fn remove(&mut self, zone: &str, ip: IpAddr) -> Result<()> {
        // A zone that is gone has no sources.
        self.call("removeSource", &[zone, &source(ip)]).map(drop)
    }

    /// The address is a source of the zone.
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
        // It may have been done, though nobody says so.
        called.map_err(|err| failed(&format!("{name} of firewalld: {err}")).in_doubt())
    }
}

/// The failure where a configuration asks for it by name.
pub(crate) fn absent() -> Failure {
    failed("firewalld does not run").hint(
        "start firewalld, or leave \"backend\" out; DBUS_SYSTEM_BUS_ADDRESS says where the bus is",
    )
}

/// As the Go plugin writes them.
fn source(ip: IpAddr) -> String {
    format!("{ip}/{}", Family::of(ip).host_prefix())
}

fn failed(what: &str) -> Failure {
    Failure::new(ErrorCode::INTERNAL, what.to_owned())
}
