//! `linkspan demo`: the main job from end to end, in namespaces of its own.
//!
//! One namespace is the host, one the world outside and one each pod; the plugins run as processes of
//! their own, as they do under any runtime. It touches nothing of the machine, and needs no privilege where user
//! namespaces are allowed.

mod pod;
mod proof;
mod world;

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use linkspan_runtime::interrupt::Interrupt;

use serde_json::json;

use crate::attachments;
use crate::graph::{self, Form, Subject};
use crate::outside::{HOST, WORLD};
use crate::suite::Suite;
use pod::Pod;
use world::World;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DemoArgs {
    /// Print a picture of the two pods and their network instead of the proofs; by default as text
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    graph: Option<Form>,
}

/// Runs the demonstration, and prints each proof or a picture. An error means that something did not work.
pub(crate) fn run(
    out: &mut dyn Write,
    suite: Suite<'_>,
    args: DemoArgs,
    as_json: bool,
    stop: Option<Arc<Interrupt>>,
) -> Result<()> {
    let world = World::new(suite.names, stop)?;
    match args.graph {
        Some(form) => picture(out, suite, &world, (form, as_json)),
        None => proofs(out, suite, &world),
    }
}

/// The pods of the demonstration, attached.
fn attached(world: &World) -> Result<[Pod; 2]> {
    Ok([
        Pod::attach(world, "pod-a", &proof::published())?,
        Pod::attach(world, "pod-b", &json!([]))?,
    ])
}

fn picture(
    out: &mut dyn Write,
    suite: Suite<'_>,
    world: &World,
    (form, as_json): (Form, bool),
) -> Result<()> {
    let pods = attached(world)?;
    let (remembered, _unreadable) = attachments::all(&world.runtime.cache)?;
    let subject = Subject {
        attached: &remembered,
        ports: &(suite.ports)()?,
        is_whole: true,
    };
    let drawn = graph::run(out, subject, form, as_json);
    for pod in &pods {
        pod.detach(world)?;
    }
    drawn
}

fn proofs(out: &mut dyn Write, suite: Suite<'_>, world: &World) -> Result<()> {
    let mut say = |line: &str| writeln!(out, "{line}").map_err(linkspan_runtime::io("print"));
    say(
        "Two pods on a bridge, in namespaces of their own; this machine's network is not touched.",
    )?;

    let before = world.links()?;
    let pods = attached(world)?;
    for pod in &pods {
        say(&pod.describe()?)?;
    }
    say("\ntraffic, udp and tcp")?;
    for line in proof::traffic(world, &pods)? {
        say(&line)?;
    }
    say(&format!(
        "\nbeyond the bridge: the host is {}, the world {}",
        HOST.join(" and "),
        WORLD.join(" and ")
    ))?;
    for line in proof::masquerade(world, &pods)? {
        say(&line)?;
    }
    say(&format!(
        "\nport {} of the host leads to port {} of pod-a, tcp and udp",
        proof::HOST_PORT,
        proof::CONTAINER_PORT
    ))?;
    for line in proof::ports(world, &pods)? {
        say(&line)?;
    }
    say("\nafterwards")?;
    for pod in &pods {
        say(&pod.check(world)?)?;
    }
    for pod in &pods {
        say(&pod.detach(world)?)?;
    }
    proof::detached(world, &pods, &before)?;
    proof::withdrawn(suite)?;
    say(
        "  links, addresses, ports, leases and remembered results are gone; the empty bridge and the rules without\n  \
         elements stay for the next pod",
    )?;
    let ids = pods.iter().map(Pod::netns_id).collect::<Result<Vec<_>>>()?;
    drop(pods);
    proof::released(&ids)?;
    say("  the pods' namespaces are gone: no process, descriptor or mount holds them")
}

/// A claim that turned out to be false.
fn refuted(claim: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::INTERNAL, claim.into()).context("the demonstration failed")
}
