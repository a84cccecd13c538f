//! What a client says of itself.

use crate::wire::option::{self, Options};

/// What a client says of itself in every message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Options that the configuration provides.
    pub(crate) provided: Options,
    /// The options that are asked for.
    pub(crate) asked: Vec<u8>,
    /// Whether servers are to answer by broadcast.
    pub(crate) broadcast: bool,
}

impl Profile {
    /// The options of a message that asks for an address.
    pub(crate) fn options(&self, client: &[u8]) -> Options {
        let mut options = self.identity(client);
        options.insert(option::ASKED, self.asked.clone());
        options.insert(option::LONGEST, 1500_u16.to_be_bytes().to_vec());
        options.extend(self.provided.clone());
        options
    }

    /// The one option by which a server knows the client.
    pub(crate) fn identity(&self, client: &[u8]) -> Options {
        let provided = self.provided.get(&option::CLIENT);
        let client = provided.cloned().unwrap_or_else(|| client.to_vec());
        Options::from([(option::CLIENT, client)])
    }
}
