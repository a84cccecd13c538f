//! The one nf_tables table that is ours: rules once for the host, and an element for what each attachment needs.
//!
//! A change of rules can make the kernel wait for every packet that is under way (28 ms were seen), a change of elements
//! costs 0.01 ms. So the rules of a [`Part`] are made by the first attachment that needs them and stay.
//!
//! - [`part`]: how a part looks, and whether it is whole; [`make`]: how it is made, or made anew.
//! - [`change`]: transactions on what others change, too; [`withdraw`]: how elements go.

mod change;
mod make;
mod part;
mod withdraw;

use linkspan_netlink::error::Error;
use linkspan_nftables::ruleset::{Element, Table, TableFamily};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use nix::errno::Errno;

use crate::kernel;

pub use change::{Guard, attempt, transact};
pub use make::{Support, make, support};
pub use part::{Former, LAYOUT, Part, Seen, State, elements_of, see, verify};
pub use withdraw::{Elements, confirmed, list, remove, remove_chosen, still, tidy};

/// The table; deleting it removes all that is ours there.
pub const TABLE: Table = Table {
    family: TableFamily::Inet,
    name: "linkspan",
};

const COMMENT: &str = "Linkspan CNI plugins: published ports and masquerade";

/// A connection to nf_tables; `None` where the kernel has none.
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

/// A connection to a table whose `part` is whole, for ADD: it is made where it is missing or broken.
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

/// A connection and what it saw of `part`; `None` where the kernel has no nf_tables. A part that is broken, or of
/// another layout, is made anew, so that DEL and GC find in it what they look for.
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

/// Removes the table with all that is in it; false where it is not there.
pub fn delete() -> Result<bool> {
    let netfilter = Netfilter::open().map_err(kernel)?;
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::ENOENT) => Ok(false),
        done => done.map(|()| true).map_err(kernel),
    }
}

/// Whose element it is; `None` where it is not one of ours.
pub fn owner(element: &Element) -> Option<Owner> {
    Owner::parse(&element.comment)
}

/// Whether the kernel said that it has no nf_tables at all. A part of netfilter that is not there makes a request
/// invalid (`nfnetlink_rcv_msg`).
pub fn is_absent(err: &Error) -> bool {
    err.is(Errno::EPROTONOSUPPORT) || err.is(Errno::EOPNOTSUPP) || err.is(Errno::EINVAL)
}
