//! The `loopback` plugin: brings a container's `lo` up, and reports its addresses.
//!
//! It owns nothing on the host. It ignores `CNI_IFNAME`: the interface is always `lo`.

use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo,
};
use linkspan_protocol::addr::{Cidr, MacAddr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, Interface, IpConfig};
use serde::Deserialize;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Loopback>();

const LO: &str = "lo";

/// The plugin has no keys of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {}

#[derive(Debug)]
struct Loopback;

impl Plugin for Loopback {
    type Conf = Conf;
    type Plan = ();
    const NAMES: &'static [&'static str] = &["loopback"];

    fn plan(_call: &Call, _conf: Conf) -> Result<()> {
        Ok(())
    }

    fn add(call: &AddCall, (): (), undo: &mut Undo) -> Result<AddResult> {
        let previous = call.netconf.prev_result()?;
        let lo = Side::inside(&call.netns)?.link(LO)?;
        if !lo.up {
            let netns = call.netns.clone();
            let done = lo.set_up().map_err(kernel);
            // Uses a new connection, because this one may have failed.
            undo.push_unless_refused(done, "set lo down", move || set_down(&netns))?;
        }
        let ips = addresses(&lo)?;
        Ok(previous.unwrap_or_else(|| AddResult {
            interfaces: vec![Interface {
                name: LO.to_owned(),
                mac: MacAddr(lo.mac).to_string(),
                sandbox: call.netns.to_string(),
                ..Interface::default()
            }],
            ips,
            ..AddResult::default()
        }))
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        let Some(path) = &call.netns else {
            return Ok(());
        };
        set_down(path)
    }

    fn check(call: &CheckCall, (): ()) -> Result<()> {
        if Side::inside(&call.netns)?.link(LO)?.up {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::INTERNAL,
            format!("loopback interface is down in {}", call.netns),
        )
        .hint("something inside the container set lo down"))
    }

    /// Its only state is in the container and ends with it.
    fn gc(_call: &GcCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    fn status(_call: &StatusCall, (): ()) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])
    }
}

/// Sets lo down, unless the sandbox is gone.
fn set_down(path: &NetnsPath) -> Result<()> {
    Side::unless_gone(path, |sandbox| sandbox.link(LO)?.set_down().map_err(kernel))
}

/// The first address of each family. An address outside of the loopback networks is refused.
fn addresses(lo: &Link) -> Result<Vec<IpConfig>> {
    let mut ips: Vec<IpConfig> = Vec::new();
    for addr in lo.addrs(None).map_err(kernel)? {
        if !addr.ip.is_loopback() {
            let msg = format!(
                "loopback interface found with non-loopback address \"{}\"",
                addr.ip
            );
            return Err(Failure::new(ErrorCode::INTERNAL, msg));
        }
        let family = Family::of(addr.ip);
        let mut known = ips.iter().map(|ip| Family::of(ip.address.ip()));
        let known = known.any(|known| known == family);
        let address = Cidr::new(addr.ip, addr.prefix).filter(|_| !known);
        ips.extend(address.map(|address| IpConfig {
            interface: Some(0),
            address,
            gateway: None,
        }));
    }
    Ok(ips)
}
