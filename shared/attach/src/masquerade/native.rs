//! Masquerade in our own table.
//!
//! Two rules for each family, whatever the number of containers and networks: what comes from a source in `masq_v4` and
//! goes neither to a multicast address nor to where `masq_except_v4` says that this source is at home is masqueraded.

use std::net::IpAddr;

use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::expr::{self, Header};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Element, Hook, Rule, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::{AddCall, CheckCall, Result, Undo};
use linkspan_protocol::result::{AddResult, IpConfig};
use nix::errno::Errno;

use crate::kernel;
use crate::owner::{Home, Owner};
use crate::table::{self, Pair, Part, TABLE};

const SOURCES: Pair = Pair {
    v4: &Set {
        name: "masq_v4",
        key: &[Datum::Ipv4],
        value: &[],
        interval: false,
    },
    v6: &Set {
        name: "masq_v6",
        key: &[Datum::Ipv6],
        value: &[],
        interval: false,
    },
};

/// Source, and the range of addresses that are its neighbours.
const EXCEPT: Pair = Pair {
    v4: &Set {
        name: "masq_except_v4",
        key: &[Datum::Ipv4, Datum::Ipv4],
        value: &[],
        interval: true,
    },
    v6: &Set {
        name: "masq_except_v6",
        key: &[Datum::Ipv6, Datum::Ipv6],
        value: &[],
        interval: true,
    },
};

const SETS: &[&Set] = &[SOURCES.v4, SOURCES.v6, EXCEPT.v4, EXCEPT.v6];

static PART: Part = Part { sets: SETS, chains };

/// `NF_IP_PRI_NAT_SRC` of `linux/netfilter_ipv4.h`
const SRCNAT: i32 = 100;

fn chains() -> Vec<Chain> {
    let base = Base {
        kind: ChainKind::Nat,
        hook: Hook::Postrouting,
        priority: SRCNAT,
    };
    vec![Chain {
        name: "outbound",
        base: Some(base),
        rules: vec![rule_v4(), rule_v6()],
    }]
}

/// `ip saddr @masq_v4 ip daddr != 224.0.0.0/4 ip saddr . ip daddr != @masq_except_v4 masquerade`
fn rule_v4() -> Rule {
    let mut exprs = expr::of_family(false).to_vec();
    exprs.extend([
        expr::load(Header::IP_SADDR, 0),
        expr::within(SOURCES.v4.name, 0),
        expr::load(Header::IP_DADDR, 0),
        expr::mask(0, [0xf0, 0, 0, 0]),
        expr::differ(0, &[224, 0, 0, 0]),
        expr::load(Header::IP_SADDR, 0),
        expr::load(Header::IP_DADDR, 1),
        expr::without(EXCEPT.v4.name, 0),
        expr::masquerade(),
    ]);
    Rule { exprs }
}

/// `ip6 saddr @masq_v6 ip6 daddr != ff00::/8 ip6 saddr . ip6 daddr != @masq_except_v6 masquerade`
fn rule_v6() -> Rule {
    let mut exprs = expr::of_family(true).to_vec();
    exprs.extend([
        expr::load(Header::IP6_SADDR, 0),
        expr::within(SOURCES.v6.name, 0),
        expr::load(Header::IP6_DADDR.first(1), 0),
        expr::differ(0, &[0xff]),
        expr::load(Header::IP6_SADDR, 0),
        expr::load(Header::IP6_DADDR, 4),
        expr::without(EXCEPT.v6.name, 0),
        expr::masquerade(),
    ]);
    Rule { exprs }
}

/// An address of the result, as its two elements.
struct Source {
    ip: IpAddr,
    member: Element,
    except: Element,
}

fn sources(ips: &[IpConfig], owner: &Owner, record: &[u8]) -> Vec<Source> {
    let element = |key, key_end| Element {
        key,
        key_end,
        comment: owner.line(),
        record: record.to_vec(),
        ..Element::default()
    };
    ips.iter()
        .map(|config| {
            let address = config.address;
            let ip = address.ip();
            let pair = |neighbour| Fields::default().ip(ip).ip(neighbour);
            Source {
                ip,
                member: element(Fields::default().ip(ip), None),
                except: element(pair(address.network()), Some(pair(address.last()))),
            }
        })
        .collect()
}

/// Masquerades what the addresses of `result` send to the world. An address that another attachment still had there is
/// now this one's: IPAM says so. False where the kernel has no nf_tables.
pub(super) fn apply(call: &AddCall, result: &AddResult, undo: &mut Undo) -> Result<bool> {
    let netfilter = match Netfilter::open() {
        Err(err) if table::is_unsupported(&err) => return Ok(false),
        opened => opened.map_err(kernel)?,
    };
    let owner = Owner::of(&call.network, &call.attachment);
    let record = Home::of(&call.netns).map(|home| home.to_bytes());
    let sources = sources(&result.ips, &owner, &record.unwrap_or_default());
    let fill = |batch: &mut Batch| {
        for source in &sources {
            let (ip, one) = (source.ip, std::slice::from_ref::<Element>);
            batch.add(TABLE, SOURCES.of(ip), one(&source.member), true);
            batch.add(TABLE, EXCEPT.of(ip), one(&source.except), true);
        }
    };
    match table::add(&netfilter, &PART, fill) {
        Err(err) if err.is(Errno::EEXIST) => take_over(&netfilter, &sources, &fill)?,
        Err(err) if table::is_unsupported(&err) => return Ok(false),
        done => done.map_err(kernel)?,
    }
    undo.push("remove masquerade", move || {
        table::remove(&netfilter, SETS, |found| *found == owner).map(drop)
    });
    Ok(true)
}

/// Replaces what is there for the same addresses.
fn take_over(netfilter: &Netfilter, sources: &[Source], fill: &impl Fn(&mut Batch)) -> Result<()> {
    table::transact(netfilter, || {
        let mut batch = Batch::default();
        for Source { ip, member, .. } in sources {
            let set = SOURCES.of(*ip);
            let present = netfilter.element(TABLE, set, member).map_err(kernel)?;
            batch.delete(TABLE, set, present.as_slice());
            let set = EXCEPT.of(*ip);
            let mut stale = netfilter.elements(TABLE, set).map_err(kernel)?;
            stale.retain(|element| element.key.read().ip(ip.is_ipv6()) == Some(*ip));
            batch.delete(TABLE, set, &stale);
        }
        fill(&mut batch);
        Ok(batch)
    })
}

/// Removes what the condemned attachments have there, whatever their addresses were.
pub(super) fn remove(netfilter: &Netfilter, condemned: impl Fn(&Owner) -> bool) -> Result<()> {
    table::remove(netfilter, SETS, condemned).map(drop)
}

/// Every address of the result is masqueraded.
pub(super) fn verify(call: &CheckCall, result: &AddResult, netfilter: &Netfilter) -> Result<()> {
    table::verify(netfilter, &PART)?;
    let owner = Owner::of(&call.network, &call.attachment);
    for Source { ip, member, except } in sources(&result.ips, &owner, &[]) {
        let what = format!("masquerade of {ip}");
        table::verify_element(netfilter, SOURCES.of(ip), &member, &what)?;
        table::verify_element(netfilter, EXCEPT.of(ip), &except, &what)?;
    }
    Ok(())
}
