//! Our nf_tables tables, one for packets and one for frames of bridges: rules once for the host, and elements for each
//! attachment.
//!
//! A change of rules can block until every packet in flight is through (28 ms were seen); a change of elements takes
//! 0.01 ms. So the first attachment that needs a [`Part`] creates its rules, and they stay.
//!
//! - [`part`]: the form of a part, and whether it is whole; [`make`]: creating or rebuilding it.
//! - [`change`]: transactions on shared state; [`withdraw`]: removal of elements; [`told`]: elements in words.

mod change;
mod make;
mod part;
mod told;
mod withdraw;

use linkspan_netlink::error::Error;
use linkspan_nftables::ruleset::{Element, Table, TableFamily};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use nix::errno::Errno;

use crate::kernel;

pub use change::{Guard, attempt, insist, transact};
pub use make::{Support, make, support};
pub use part::{Former, LAYOUT, Part, Seen, State, elements_of, see, verify};
pub use told::told;
pub use withdraw::{
    Elements, confirmed, expire, list, remove, remove_chosen, remove_found, still, tidy,
};

/// The table of packets. Deleting it removes all of our state there.
pub const TABLE: Table = Table {
    family: TableFamily::Inet,
    name: "linkspan",
};

/// The table of frames that bridges forward.
pub const BRIDGE_TABLE: Table = Table {
    family: TableFamily::Bridge,
    name: "linkspan",
};

/// The comment that `nft` shows with our table.
fn comment(table: Table) -> &'static str {
    match table.family {
        TableFamily::Bridge => "Linkspan CNI plugins: MAC spoof check",
        _ => "Linkspan CNI plugins: published ports and masquerade",
    }
}

/// A connection to nf_tables; `None` if the kernel has no nf_tables.
pub fn open() -> Result<Option<Netfilter>> {
    let opened = Netfilter::open().and_then(|netfilter| {
        netfilter.generation()?;
        Ok(netfilter)
    });
    match opened {
        Err(err) if is_absent(&err) => Ok(None),
        opened => opened.map(Some).map_err(kernel),
    }
}

/// For ADD: a connection to the table with a whole `part`, which is created or rebuilt if necessary.
pub fn ready(part: &Part) -> Result<Support> {
    let opened = Netfilter::open().and_then(|netfilter| {
        let seen = see(&netfilter, part, &[])?;
        Ok((netfilter, seen.state))
    });
    let (netfilter, state) = match opened {
        Err(err) if is_absent(&err) => return Ok(Support::Absent),
        opened => opened.map_err(kernel)?,
    };
    let lacking = match state {
        State::Whole => None,
        State::Missing | State::Broken(_) => make(&netfilter, part)?,
    };
    Ok(lacking.map_or(Support::Whole(netfilter), Support::Lacking))
}

/// A connection and the state of `part`; `None` if the kernel has no nf_tables. Rebuilds a broken part, or a part of
/// another layout, so that DEL and GC find their elements.
pub fn open_whole(part: &Part) -> Result<Option<(Netfilter, State)>> {
    let opened = Netfilter::open().and_then(|netfilter| {
        let seen = see(&netfilter, part, &[])?;
        Ok((netfilter, seen.state))
    });
    match opened {
        Err(err) if is_absent(&err) => Ok(None),
        Ok((netfilter, State::Broken(_))) => match make(&netfilter, part)? {
            Some(err) => Err(kernel(err)),
            None => Ok(Some((netfilter, State::Whole))),
        },
        opened => opened.map(Some).map_err(kernel),
    }
}

/// Removes our tables with their content. Returns false if there was none.
pub fn delete() -> Result<bool> {
    let netfilter = Netfilter::open().map_err(kernel)?;
    let mut removed = false;
    for table in [TABLE, BRIDGE_TABLE] {
        let mut batch = Batch::default();
        batch.delete_table(table);
        match netfilter.commit(batch) {
            Err(err) if err.is(Errno::ENOENT) => {}
            done => {
                done.map_err(kernel)?;
                removed = true;
            }
        }
    }
    Ok(removed)
}

/// The owner of an element; `None` if the element is not ours.
pub fn owner(element: &Element) -> Option<Owner> {
    Owner::parse(&element.comment)
}

/// Returns whether the error means that the kernel has no nf_tables. The kernel rejects requests to an absent part of
/// netfilter as invalid (`nfnetlink_rcv_msg`).
pub fn is_absent(err: &Error) -> bool {
    err.is(Errno::EPROTONOSUPPORT) || err.is(Errno::EOPNOTSUPP) || err.is(Errno::EINVAL)
}
