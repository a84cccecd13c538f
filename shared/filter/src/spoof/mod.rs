//! The MAC spoof check: a frame from a container's port of a bridge passes only if its source is the container's
//! hardware address.
//!
//! Each guarded port has two elements in our table of frames: its name, and its name with the address. So an
//! attachment changes no rule, and other ports are not affected. Both elements are there before the port is up.

mod go_suite;

use linkspan_netlink::error::Error;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::expr::{self, Header, MetaKey};
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Element, Hook, Rule, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::{Owner, Stale, Subject};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{DelCall, Result, Undo};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::kernel;
use crate::table::{
    self, BRIDGE_TABLE, Elements, Guard, LAYOUT, Part, State, Support, elements_of,
};
use go_suite::Chains;

/// The guarded ports.
const PORTS: &Set = &Set::of("spoof_ports", &[Datum::IfName]).expiring();

/// The permitted source for each guarded port.
const SOURCES: &Set = &Set::of("spoof_sources", &[Datum::IfName, Datum::Ether]).expiring();

const SETS: &[&Set] = &[PORTS, SOURCES];

static PART: Part = Part {
    name: "MAC spoof check",
    table: BRIDGE_TABLE,
    sets: SETS,
    chains,
    convert: |_, former| Ok(elements_of(SETS, former)),
};

/// `NF_BR_PRI_NAT_DST_BRIDGED` of `linux/netfilter_bridge.h`, as in the Go suite.
const DSTNAT: i32 = -300;

/// `iifname @spoof_ports iifname . ether saddr != @spoof_sources drop`
fn chains() -> Vec<Chain> {
    let base = Base {
        kind: ChainKind::Filter,
        hook: Hook::Prerouting,
        priority: DSTNAT,
    };
    let rule = Rule {
        exprs: vec![
            expr::meta(MetaKey::Iifname, 0),
            expr::within(PORTS.name, 0),
            expr::meta(MetaKey::Iifname, 0),
            expr::load(Header::ETHER_SADDR, 4),
            expr::without(SOURCES.name, 0),
            expr::drop(),
        ],
    };
    vec![Chain {
        name: "spoof",
        base: Some(base),
        comment: LAYOUT,
        rules: vec![rule],
    }]
}

/// A port of a bridge on the host, and the permitted source of its frames.
#[derive(Debug, Clone, Copy)]
pub struct Guarded<'a> {
    /// The port's name.
    pub port: &'a str,
    /// The container's hardware address.
    pub source: MacAddr,
}

impl Guarded<'_> {
    fn elements(self, owner: &Owner) -> [(&'static Set, Element); 2] {
        let element = |key| Element {
            comment: owner.line(),
            ..Element::of(key)
        };
        let port = Fields::default().ifname(self.port);
        let source = port.clone().ether(self.source);
        [(PORTS, element(port)), (SOURCES, element(source))]
    }
}

/// The part of the table, for those who tell what is in it.
pub fn part() -> &'static Part {
    &PART
}

/// Guards the port from now on.
pub fn apply(owner: &Owner, guarded: Guarded<'_>, undo: &mut Undo) -> Result<()> {
    let netfilter = match table::ready(&PART)? {
        Support::Whole(netfilter) => netfilter,
        Support::Absent => return Err(unsupported(None)),
        Support::Lacking(err) => return Err(unsupported(Some(&err))),
    };
    let owner = owner.clone();
    let added = add(&netfilter, &guarded.elements(&owner), guarded.port);
    // Uses a new connection, since unread answers may be left in this one.
    undo.push_unless_refused(added, "remove the MAC spoof check", move || {
        table::open()?.map_or(Ok(()), |netfilter| {
            withdraw(&netfilter, |found| *found == owner)
        })
    })
}

/// Adds the elements. Replaces others under the port's name: their port is gone, since a link's name is unique.
fn add(netfilter: &Netfilter, wanted: &[(&'static Set, Element)], port: &str) -> Result<()> {
    let insert = |batch: &mut Batch| {
        for (set, element) in wanted {
            batch.add(BRIDGE_TABLE, set, std::slice::from_ref(element), true);
        }
    };
    let at_once = table::attempt(netfilter, || {
        let mut batch = Batch::default();
        insert(&mut batch);
        Ok((batch, Guard::Values))
    })?;
    match at_once {
        Err(err) if err.is(Errno::EEXIST) => table::transact(netfilter, || {
            let mut batch = Batch::default();
            for (set, left) in of_port(netfilter, port)? {
                batch.delete(BRIDGE_TABLE, set, &left);
            }
            insert(&mut batch);
            Ok(batch)
        }),
        done => done.map_err(kernel),
    }
}

/// The elements under the port's name, with any owner.
fn of_port(netfilter: &Netfilter, port: &str) -> Result<Elements<'static>> {
    let is_of_port = |element: &Element| element.key.read().ifname().as_deref() == Some(port);
    table::list(netfilter, BRIDGE_TABLE, SETS, is_of_port).map_err(kernel)
}

fn withdraw(netfilter: &Netfilter, condemned: impl Fn(&Owner) -> bool) -> Result<()> {
    let is_condemned =
        |element: &Element| table::owner(element).is_some_and(|owner| condemned(&owner));
    table::remove(netfilter, BRIDGE_TABLE, SETS, is_condemned).map(drop)
}

/// Removes the attachment's state of either suite, even if the configuration lacks `macspoofchk` by now.
pub fn remove(call: &DelCall) -> Result<()> {
    let chains = Chains::of(&call.attachment);
    let Some(seen) = Seen::of(&chains)? else {
        return Ok(());
    };
    if seen.is_made(&PART)? {
        let own = call.owner();
        withdraw(&seen.netfilter, |owner| *owner == own)?;
    }
    if seen.has_chains {
        chains.remove(&seen.netfilter)?;
    }
    Ok(())
}

/// Removes the state of stale attachments. Chains of the Go suite do not tell their network, and stay.
pub fn collect(stale: &Stale) -> Result<()> {
    match table::open_whole(&PART)? {
        Some((netfilter, State::Whole)) => withdraw(&netfilter, |owner| stale.includes(owner)),
        _ => Ok(()),
    }
}

/// Verifies that the port is guarded, by our table or, for containers of the Go suite, by its chains.
pub fn verify(subject: Subject<'_>, guarded: Guarded<'_>) -> Result<()> {
    let chains = Chains::of(subject.attachment);
    let what = format!("MAC spoof check of {:?}", guarded.port);
    let Some(seen) = Seen::of(&chains)? else {
        return Err(mismatch(what, "one in nf_tables", "no nf_tables"));
    };
    if seen.has_chains {
        return chains.verify(&seen.netfilter);
    }
    table::verify(&seen.netfilter, &PART)?;
    let wanted = guarded.elements(&subject.owner());
    let question = |(set, element)| Question::Element(BRIDGE_TABLE, set, element);
    let questions: Vec<_> = wanted
        .iter()
        .map(|(set, element)| question((set, element)))
        .collect();
    let found = seen.netfilter.look(&questions).map_err(kernel)?;
    for ((set, wanted), found) in wanted.iter().zip(&found) {
        let found = found.element().map(|found| found.comment.as_str());
        if found != Some(&wanted.comment) {
            let what = format!("{what} in set {} of {BRIDGE_TABLE}", set.name);
            let found = found.unwrap_or("none");
            return Err(mismatch(what, &wanted.comment, found)
                .hint("`linkspan restore` puts back what is missing"));
        }
    }
    Ok(())
}

/// Restores missing elements.
pub fn restore(subject: Subject<'_>, guarded: Guarded<'_>) -> Result<()> {
    if verify(subject, guarded).is_ok() {
        return Ok(());
    }
    let restored = Undo::scope(|undo| apply(&subject.owner(), guarded, undo));
    restored.map(|_| ())
}

/// Returns code 50 if the kernel lacks the means.
pub fn status() -> Result<()> {
    let refused = match table::support(&PART)? {
        Support::Whole(_) => return Ok(()),
        Support::Absent => unsupported(None),
        Support::Lacking(err) => unsupported(Some(&err)),
    };
    Err(refused.with_code(ErrorCode::NOT_AVAILABLE))
}

fn unsupported(lack: Option<&Error>) -> Failure {
    let why = match lack {
        None => "this kernel has no nf_tables".to_owned(),
        Some(err) => format!("this kernel's nf_tables lacks a part for bridges: {err}"),
    };
    Failure::new(ErrorCode::INTERNAL, format!("macspoofchk: {why}")).hint(
        "load the module nf_tables of a kernel with CONFIG_NF_TABLES_BRIDGE, or set \"macspoofchk\" to false",
    )
}

/// The state of either suite, as one request saw it.
struct Seen {
    netfilter: Netfilter,
    state: State,
    /// Whether the Go suite has chains of the attachment.
    has_chains: bool,
}

impl Seen {
    /// `None` where the kernel has no nf_tables.
    fn of(chains: &Chains) -> Result<Option<Self>> {
        let opened = Netfilter::open().and_then(|netfilter| {
            let seen = table::see(&netfilter, &PART, &chains.questions())?;
            Ok(Self {
                netfilter,
                state: seen.state,
                has_chains: seen.answers.iter().any(|answer| answer.chain().is_some()),
            })
        });
        match opened {
            Err(err) if table::is_absent(&err) => Ok(None),
            opened => opened.map(Some).map_err(kernel),
        }
    }

    /// Returns whether our part is there. A part that is broken or of another layout is rebuilt.
    fn is_made(&self, part: &Part) -> Result<bool> {
        match self.state {
            State::Missing => Ok(false),
            State::Whole => Ok(true),
            State::Broken(_) => match table::make(&self.netfilter, part)? {
                Some(err) => Err(kernel(err)),
                None => Ok(true),
            },
        }
    }
}
