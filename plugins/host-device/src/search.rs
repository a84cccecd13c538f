//! The search for a device on the host: by name, by address, by its place in sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};

const PCI: &str = "/sys/bus/pci/devices";
const AUXILIARY: &str = "/sys/bus/auxiliary/devices";

/// Maximum number of devices that an error lists.
const LISTED: usize = 8;

/// The device of a configuration.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) way: Way,
    /// Whether it is for a userspace driver, whichever driver it has now.
    pub(crate) userspace: bool,
    /// The port, if one place has several.
    pub(crate) port: Option<u32>,
}

/// How a configuration names its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its name on the host.
    Name(String),
    /// By its hardware address.
    Mac(MacAddr),
    /// By its path in sysfs.
    Path(PathBuf),
    /// By the address of its PCI function.
    Pci(String),
    /// By the runtime's identifier: a PCI function, or an auxiliary device.
    Id(String),
}

/// The place of a device on a bus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address of its PCI function; empty if it was found otherwise.
    pub(crate) pci: String,
    /// Whether it has a userspace driver, and so no link.
    pub(crate) is_userspace: bool,
}

impl Wanted {
    /// The place. It matters only for PCI functions.
    pub(crate) fn place(&self) -> Result<Place> {
        let pci = match &self.way {
            Way::Pci(address) => address,
            Way::Id(id) if is_there(PCI, id) => id,
            _ => {
                return Ok(Place {
                    is_userspace: self.userspace,
                    ..Place::default()
                });
            }
        };
        Ok(Place {
            pci: pci.clone(),
            is_userspace: self.userspace || is_for_userspace(&driver(pci)?),
        })
    }

    /// Its link on the host, if any.
    pub(crate) fn link(&self, host: &Side) -> Result<Option<Link>> {
        let name = match &self.way {
            Way::Name(name) => return host.find(name),
            Way::Mac(mac) => {
                let mut links = host.rtnl.links().map_err(kernel)?.into_iter();
                return Ok(links.find(|link| link.mac == mac.0));
            }
            Way::Path(path) => self.first_in(&path.join("net"))?,
            Way::Pci(address) => self.first_in(&of_function(address)?)?,
            Way::Id(id) if is_there(PCI, id) => self.first_in(&of_function(id)?)?,
            Way::Id(id) if is_there(AUXILIARY, id) => {
                self.first_in(&Path::new(AUXILIARY).join(id).join("net"))?
            }
            Way::Id(id) => {
                let text = format!("runtime config DeviceID {id} not found or unsupported");
                let hint = "the device plugin of the node has to give a device of its PCI or auxiliary bus";
                return Err(lost(text).hint(hint));
            }
        };
        host.link(&name).map(Some)
    }

    /// The device in the words of the configuration.
    pub(crate) fn describe(&self) -> String {
        match &self.way {
            Way::Name(name) => format!("device {name:?}"),
            Way::Mac(mac) => format!("hwaddr {mac}"),
            Way::Path(path) => format!("kernelpath {}", path.display()),
            Way::Pci(address) => format!("pciBusID {address}"),
            Way::Id(id) => format!("deviceID {id}"),
        }
    }

    /// The name of the link in a directory of sysfs: that of the requested port, or else the first.
    fn first_in(&self, dir: &Path) -> Result<String> {
        let names = entries(dir)?;
        let chosen = match self.port {
            None => names.first(),
            Some(port) => names.iter().find(|name| is_port(&dir.join(name), port)),
        };
        let nothing = || {
            let dir = dir.display();
            match self.port {
                Some(port) if !names.is_empty() => {
                    let text = format!("no network device in path {dir} has port {port}");
                    lost(text).hint(format!(
                        "those there are {}; set \"devPort\" to the dev_port of one",
                        names.join(", ")
                    ))
                }
                _ => lost(format!("failed to find network device in path {dir}"))
                    .hint("another container may have it: detach that with DEL first"),
            }
        };
        chosen.cloned().ok_or_else(nothing)
    }
}

/// The failure for a missing device. Its hint lists the others.
pub(crate) fn missing(host: &Side, wanted: &Wanted, holder: Option<String>) -> Failure {
    let text = match &wanted.way {
        Way::Mac(_) => "failed to find physical interface".to_owned(),
        _ => format!("{}: Link not found", wanted.describe()),
    };
    if let Some(holder) = holder {
        return lost(text)
            .detail(format!("{holder} has it"))
            .hint("detach that with DEL first");
    }
    let links = host.rtnl.links().unwrap_or_default();
    let others = links.iter().filter(|link| link.name != "lo");
    let told: Vec<_> = others
        .take(LISTED)
        .map(|link| format!("{} ({})", link.name, MacAddr(link.mac)))
        .collect();
    let told = if told.is_empty() {
        "none".to_owned()
    } else {
        told.join(", ")
    };
    lost(text)
        .detail(format!("devices of the host: {told}"))
        .hint("another container may have it: detach that with DEL first")
}

fn lost(text: String) -> Failure {
    Failure::new(ErrorCode::INTERNAL, text).context("failed to find host device")
}

fn is_there(bus: &str, name: &str) -> bool {
    Path::new(bus).join(name).exists()
}

/// The driver of a PCI function.
fn driver(address: &str) -> Result<String> {
    let dir = Path::new(PCI).join(address);
    let driver = fs::read_link(dir.join("driver")).map_err(|err| {
        let text = format!("PCI function {address} has no driver: {err}");
        let hint = if dir.exists() {
            "bind a driver to it: one of the kernel's, or vfio-pci for user space"
        } else {
            "see which functions there are: ls /sys/bus/pci/devices"
        };
        Failure::new(ErrorCode::INTERNAL, text)
            .context("error with host device")
            .hint(hint)
    })?;
    let name = driver.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Returns whether a driver gives its functions to programs. Some vendors have their own `vfio`, such as
/// `mlx5_vfio_pci`.
fn is_for_userspace(driver: &str) -> bool {
    matches!(driver, "uio_pci_generic" | "igb_uio") || driver.contains("vfio")
}

/// The directory with the links of a PCI function; a virtio device has it one level below.
fn of_function(address: &str) -> Result<PathBuf> {
    let dir = Path::new(PCI).join(address);
    let own = dir.join("net");
    if own.is_dir() {
        return Ok(own);
    }
    let below = entries(&dir)?.into_iter();
    let mut below = below
        .filter(|name| name.starts_with("virtio"))
        .map(|name| dir.join(name).join("net"));
    below.find(|net| net.is_dir()).ok_or_else(|| {
        lost(format!("no net directory under pci device {address}")).hint(
            "bind a driver of the kernel to it, or set \"DPDKMode\" where a program has its driver",
        )
    })
}

/// The names in a directory, sorted.
fn entries(dir: &Path) -> Result<Vec<String>> {
    let unreadable = |err| {
        lost(format!(
            "failed to read directory {}: \"{err}\"",
            dir.display()
        ))
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn is_port(link: &Path, port: u32) -> bool {
    let told = fs::read_to_string(link.join("dev_port"));
    told.is_ok_and(|told| told.trim().parse() == Ok(port))
}
