//! A client's options.

use crate::wire::option::{self, Options};

/// A client's options in every message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Options that the configuration provides.
    pub(crate) provided: Options,
    /// Codes of the requested options.
    pub(crate) asked: Vec<u8>,
    /// Whether servers shall answer by broadcast.
    pub(crate) broadcast: bool,
}

impl Profile {
    /// The options of a request for an address.
    pub(crate) fn options(&self, client: &[u8]) -> Options {
        let mut options = self.identity(client);
        options.insert(option::ASKED, self.asked.clone());
        options.insert(option::LONGEST, 1500_u16.to_be_bytes().to_vec());
        options.extend(self.provided.clone());
        options
    }

    /// The option that identifies the client to a server.
    pub(crate) fn identity(&self, client: &[u8]) -> Options {
        let provided = self.provided.get(&option::CLIENT);
        let client = provided.cloned().unwrap_or_else(|| client.to_vec());
        Options::from([(option::CLIENT, client)])
    }
}
