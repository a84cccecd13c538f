//! The holder of an interface in a namespace, by the cache and by the kernel.

use std::fs;
use std::os::unix::fs::MetadataExt;

use linkspan_protocol::ident::NetworkName;

use crate::Result;
use crate::attachment::Attachment;
use crate::cache::Entry;
use crate::chain::Runtime;
use crate::look::{LOOPBACK, Look, look};

/// An attachment that has an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its network.
    pub network: String,
    /// The container's id.
    pub container: String,
}

/// The tag that plugins wrote beside an interface that an attachment wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// Nothing, or there is no such interface.
    None,
    /// The attachment itself.
    Own,
    /// Another attachment.
    Other(Holder),
}

/// Reads a tag. The runtime does not know its form.
pub type ReadTag = fn(&NetworkName, &Attachment) -> Result<Tag>;

/// The holder of the interface that an attachment wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The interface is missing, or the namespace cannot be examined.
    No,
    /// The attachment itself.
    Own,
    /// Another attachment.
    By(Holder),
    /// The interface is there, and its holder is unknown.
    Unnamed,
}

impl Runtime {
    /// Finds the holder of the interface. A cache that cannot be listed is an error.
    pub fn held(&self, network: &NetworkName, at: &Attachment, read_tag: ReadTag) -> Result<Held> {
        let is_other = |entry: &Entry| {
            let id = (entry.network_name.as_str(), entry.container_id.as_str());
            id != (network.as_str(), at.container_id.as_str())
        };
        let wants_same =
            |entry: &Entry| entry.if_name == at.ifname.as_str() && is_same(&entry.netns, &at.netns);
        let entries = self.cache.all()?.entries.into_iter();
        let other = entries.filter(is_other).find(wants_same);
        if let Some(entry) = other {
            return Ok(Held::By(Holder {
                network: entry.network_name,
                container: entry.container_id,
            }));
        }
        // If the namespace cannot be examined, the plugin's error is better.
        Ok(match read_tag(network, at).unwrap_or(Tag::None) {
            Tag::Other(holder) => Held::By(holder),
            Tag::Own => Held::Own,
            // Every namespace has a loopback interface.
            Tag::None if at.ifname.as_str() == LOOPBACK || look(at) != Look::There => Held::No,
            Tag::None if self.cache.has(network, at) => Held::Own,
            Tag::None => Held::Unnamed,
        })
    }
}

/// Whether two paths lead to one namespace, by device and inode. Dangling paths are compared as texts.
pub fn is_same(one: &str, other: &str) -> bool {
    let id = |path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (id(one), id(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other && !one.is_empty(),
    }
}
