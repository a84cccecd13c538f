//! ADD and DEL of one attachment, with the cache's data about it.

use std::io::Write;
use std::path::Path;

use clap::Args;
use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{ContainerId, NetworkName};
use linkspan_runtime::Result;
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::chain::{self, Runtime};
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::holder::{Held, Holder};
use linkspan_runtime::lives::Lives;
use serde_json::{Value, json};

use super::target::{Named, Places, Subject, Target};
use crate::complain::complain;
use crate::end::{End, Ended};
use crate::output;
use crate::suite::Suite;

#[derive(Debug, Args)]
pub(super) struct DelArgs {
    #[command(flatten)]
    subject: Subject,
    /// Detach the interface even where another attachment has it
    #[arg(long)]
    force: bool,
}

pub(super) fn add(
    out: &mut dyn Write,
    places: &Places,
    target: &Target,
    suite: Suite<'_>,
) -> Ended {
    let (runtime, _bundled) = places.runtime(suite.names)?;
    let at = target.attachment()?;
    let list = places.network(&target.network)?;
    let result = add_unless_held(&runtime, &list, &at, suite)?;
    super::print(out, &chain::print(&result)?)?;
    Ok(0)
}

/// ADD, unless another attachment has the interface: plugins would fail, and their undo might hit that attachment.
pub(super) fn add_unless_held(
    runtime: &Runtime,
    list: &NetworkList,
    at: &Attachment,
    suite: Suite<'_>,
) -> Result<Value> {
    let name = list.network()?;
    let (ifname, netns) = (&at.ifname, &at.netns);
    let refuse = |told: String, hint: String| {
        Err(Failure::new(ErrorCode::INTERNAL, told)
            .hint(format!("choose another name with --ifname{hint}")))
    };
    // A missing namespace has no interfaces, whatever was at its path before.
    let held = if Path::new(netns).exists() {
        runtime.held(&name, at, suite.read_tag)?
    } else {
        Held::No
    };
    match held {
        Held::By(holder) => {
            let command = command(&holder, netns, ifname.as_str());
            let Holder { network, container } = holder;
            let told = format!(
                "{ifname} of {netns} is attached to the network {network} already, as container {container}"
            );
            return refuse(told, format!(", or detach it with {command}"));
        }
        Held::Unnamed => {
            return refuse(format!("{ifname} is in {netns} already"), String::new());
        }
        Held::No | Held::Own => {}
    }
    refuse_second_home(runtime, &name, at)?;
    runtime.add(list, at)
}

/// Refuses an attachment that lives elsewhere: the cache would lose the earlier one.
fn refuse_second_home(runtime: &Runtime, network: &NetworkName, at: &Attachment) -> Result<()> {
    let Some(entry) = runtime.cache.entry(network, at) else {
        return Ok(());
    };
    let lives = Lives::now(&runtime.cache).of(&entry) == Life::Alive;
    if !lives || linkspan_runtime::holder::is_same(&entry.netns, &at.netns) {
        return Ok(());
    }
    let (container, ifname) = (at.container_id.to_string(), at.ifname.as_str());
    let told = format!(
        "container {container} is attached to the network {network} already, as {ifname} of {}",
        entry.netns
    );
    let holder = Holder {
        network: network.to_string(),
        container,
    };
    let command = command(&holder, &entry.netns, ifname);
    Err(Failure::new(ErrorCode::INTERNAL, told).hint(format!("detach it first with {command}")))
}

/// DEL of a remembered attachment, or of one whose interface no other attachment has.
pub(super) fn del(
    out: &mut dyn Write,
    places: &Places,
    args: &DelArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(suite.names)?;
    let (network, at) = match args.subject.named(&runtime.cache)? {
        Named::Attached(one) => {
            let at = one.entry.attachment()?;
            places.del(&one.entry.network_name, &runtime, &at)?;
            (one.entry.network_name, at)
        }
        Named::Target(target) => {
            let at = target.attachment()?;
            del_target(places, &target, &at, args.force, (&runtime, suite))?;
            (places.name_of(&target.network)?.to_string(), at)
        }
    };
    if as_json {
        output::rows(out, &[about(&network, &at, &json!({ "detached": true }))])?;
    }
    Ok(0)
}

/// The keys for an attachment that is not, or no longer, remembered.
pub(super) fn about(network: &str, at: &Attachment, more: &Value) -> Value {
    let object = json!({
        "network": network,
        "container": at.container_id.as_str(),
        "interface": at.ifname.as_str(),
        "netns": at.netns,
    });
    output::with(object, more)
}

fn del_target(
    places: &Places,
    target: &Target,
    at: &Attachment,
    is_forced: bool,
    (runtime, suite): (&Runtime, Suite<'_>),
) -> std::result::Result<(), End> {
    let network = target.network.as_str();
    let name = match places.name_of(network) {
        Ok(name) => name,
        Err(failure) => return Err(places.network(network).err().unwrap_or(failure.into())),
    };
    if is_forced || runtime.cache.has(&name, at) {
        return Ok(places.del(network, runtime, at)?);
    }
    // A cache that cannot be listed must not stop a DEL.
    let held = runtime.held(&name, at, suite.read_tag);
    let held = held.unwrap_or(Held::No);
    if let Held::By(holder) = held {
        let command = command(&holder, &target.netns, at.ifname.as_str());
        let Holder { network, container } = holder;
        let told = format!(
            "{} of {} is attached to the network {network}, as container {container}",
            at.ifname, at.netns
        );
        let failure = Failure::new(ErrorCode::INTERNAL, told);
        return Err(failure.hint(format!("detach it with {command}")).into());
    }
    places.network(network)?;
    places.del(network, runtime, at)?;
    if held != Held::Own {
        let told = format!(
            "linkspan: the cache has no attachment to the network {name} as {} of container {}\n",
            at.ifname, at.container_id
        );
        complain(&told);
    }
    Ok(())
}

/// The command that detaches an attachment. A name that is cut in the tag cannot be an argument.
fn command(holder: &Holder, netns: &str, ifname: &str) -> String {
    let Holder { network, container } = holder;
    let is_whole = NetworkName::parse(network).is_ok() && ContainerId::parse(container).is_ok();
    if !is_whole {
        return "the engine that attached it".to_owned();
    }
    let ifname = match ifname {
        "eth0" => String::new(),
        other => format!(" --ifname {other}"),
    };
    format!("`linkspan del {network} {netns} --container-id {container}{ifname}`")
}
