//! The creation of the device. The kernel gives the device the SELinux label of the process that creates it, and a
//! process changes its own label only by executing a program. So this one executes itself, for the request alone.

use std::fs;
use std::path::Path;

use linkspan_attach::{Side, kernel};
use linkspan_netlink::error::Error;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::tap::{self, Tap};
use linkspan_plugin::{Result, exec_itself};
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

/// The argument of a process that creates a device and nothing else.
pub const CREATE: &str = "create";

/// Exists if the kernel has an SELinux policy, enforcing or permissive.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The label of the next program that this thread executes.
const NEXT_LABEL: &str = "/proc/thread-self/attr/exec";

/// Creates the device in the sandbox, with the label if there is one.
pub(crate) fn create(tap: &Tap, label: &str, sandbox: &Side) -> Result<()> {
    if label.is_empty() {
        return tap.create(sandbox.netns()).map_err(|err| refused(err, tap));
    }
    can_label()?;
    let execute = || {
        set_label(label)?;
        let made = exec_itself("tap", &arguments(tap));
        // An IPAM plugin gets the label of this process again. An empty write would change nothing.
        set_label("\n").and(made.map(drop))
    };
    match sandbox.netns() {
        Some(netns) => Netns::scope(netns, execute).map_err(kernel)?,
        None => execute(),
    }
}

/// The executed process. `args` are the arguments after [`CREATE`].
pub fn create_labelled(args: &[String]) -> Result<()> {
    let tap = parse(args).ok_or_else(|| {
        Failure::config("tap create: the arguments are those of the plugin itself")
            .hint("execute tap as a CNI plugin")
    })?;
    tap.create(None).map_err(|err| refused(err, &tap))
}

/// Returns code 50 if no device, or none with the label, can be created.
pub(crate) fn status(label: &str) -> Result<()> {
    let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
    let created = tap::can_be_created().map_err(|err| refused(err, &Tap::default()));
    created.map_err(unavailable)?;
    if label.is_empty() {
        return Ok(());
    }
    can_label().map_err(unavailable)
}

fn can_label() -> Result<()> {
    if Path::new(SELINUX).exists() {
        return Ok(());
    }
    Err(
        Failure::config("selinuxContext: SELinux is not enabled on this host")
            .hint("remove selinuxContext from the configuration"),
    )
}

fn set_label(label: &str) -> Result<()> {
    let set = fs::write(NEXT_LABEL, label);
    set.map_err(|err| {
        Failure::new(
            ErrorCode::INTERNAL,
            format!("failed set socket label: {err}"),
        )
        .hint("selinuxContext must be a label that the policy lets this process take")
    })
}

fn refused(err: Error, tap: &Tap) -> Failure {
    let is_driver = err.action.starts_with("open");
    let is = |all: &[Errno]| all.iter().any(|errno| err.is(*errno));
    if is_driver && is(&[Errno::ENOENT, Errno::ENODEV, Errno::ENXIO]) {
        return kernel(err).hint("load the kernel module tun, which makes /dev/net/tun");
    }
    if err.is(Errno::EBUSY) {
        let text = format!("container interface {:?} already exists", tap.name);
        return Failure::new(ErrorCode::INTERNAL, text)
            .hint("detach it with DEL first, or choose another CNI_IFNAME");
    }
    if !is_driver && err.is(Errno::EINVAL) {
        return kernel(err)
            .hint("\"owner\" and \"group\" have to be numbers of users and groups of this host");
    }
    kernel(err)
}

/// The device as arguments.
fn arguments(tap: &Tap) -> Vec<String> {
    let number = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
    let switches = [
        tap.has_many_queues,
        tap.has_packet_info,
        tap.has_vnet_header,
    ];
    let switches = switches.map(|on| u8::from(on).to_string());
    let mut args = vec![CREATE.to_owned(), tap.name.clone()];
    args.extend([number(tap.owner), number(tap.group)]);
    args.extend(switches);
    args
}

/// Reads [`arguments`], without the first one.
fn parse(args: &[String]) -> Option<Tap> {
    let [name, owner, group, queues, info, header] = args else {
        return None;
    };
    let number = |text: &String| match text.as_str() {
        "-" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Tap {
        name: name.clone(),
        owner: number(owner)?,
        group: number(group)?,
        has_many_queues: queues == "1",
        has_packet_info: info == "1",
        has_vnet_header: header == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_was_told() {
        let all = Tap {
            name: "net1".to_owned(),
            owner: Some(0),
            group: Some(1000),
            has_many_queues: true,
            has_packet_info: true,
            has_vnet_header: true,
        };
        let none = Tap {
            name: "net1".to_owned(),
            ..Tap::default()
        };
        for tap in [all, none] {
            let args = arguments(&tap);
            assert_eq!(args[0], CREATE);
            assert_eq!(parse(&args[1..]), Some(tap));
        }
        assert_eq!(parse(&["net1".to_owned()]), None);
    }
}
