//! The calls as values: the input of each verb, checked before the plugin sees it.

use std::collections::HashSet;

use linkspan_owner::{Owner, Stale, Subject};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::command::Command;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::env::{Env, Var};
use linkspan_protocol::ident::{AttachmentId, NetworkName};
use linkspan_protocol::version::SpecVersion;

/// The fields of every call.
#[derive(Debug)]
pub struct Call {
    /// The network's name.
    pub network: NetworkName,
    /// The version that the configuration asks for.
    pub version: SpecVersion,
    /// The keys that every plugin knows.
    pub netconf: NetConf,
    /// `CNI_ARGS`.
    pub args: String,
    /// The environment and the raw input, for delegates only.
    pub(crate) env: Env,
    pub(crate) stdin: Vec<u8>,
}

impl Call {
    /// `CNI_IFNAME` as it was given; empty where the verb has none.
    pub fn ifname(&self) -> &str {
        &self.env.ifname
    }

    /// The configuration as it came, for passing on.
    pub fn stdin(&self) -> &[u8] {
        &self.stdin
    }

    /// The address of the system's bus, from the environment; empty by default.
    pub fn system_bus(&self) -> &str {
        &self.env.system_bus
    }

    /// The environment of a delegate for `verb`.
    pub(crate) fn delegate_env(&self, verb: Command) -> Vec<(&'static str, String)> {
        Var::ALL
            .into_iter()
            .filter(|var| !self.env.get(*var).is_empty())
            .map(|var| match var {
                Var::Command => (var.name(), verb.name().to_owned()),
                _ => (var.name(), self.env.get(var).to_owned()),
            })
            .collect()
    }
}

macro_rules! call {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pub(crate) call: Call,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl std::ops::Deref for $name {
            type Target = Call;

            fn deref(&self) -> &Call {
                &self.call
            }
        }
    };
}

call! {
    /// ADD.
    AddCall {
        /// The attachment to make or to compare.
        attachment: AttachmentId,
        /// `CNI_NETNS`, not yet opened.
        netns: NetnsPath,
    }
}
call! {
    /// CHECK.
    CheckCall {
        /// The attachment to make or to compare.
        attachment: AttachmentId,
        /// `CNI_NETNS`, not yet opened.
        netns: NetnsPath,
    }
}
call! {
    /// DEL.
    DelCall {
        /// The attachment to remove.
        attachment: AttachmentId,
        /// `CNI_NETNS`; a runtime may no longer have one.
        netns: Option<NetnsPath>,
    }
}
call! {
    /// GC.
    GcCall {
        /// The attachments that stay. All others of this network are gone.
        valid_attachments: HashSet<AttachmentId>,
    }
}
call! {
    /// STATUS.
    StatusCall {}
}

impl GcCall {
    /// The owners that GC is to forget.
    pub fn stale(&self) -> Stale {
        Stale::of(&self.network, &self.valid_attachments)
    }
}

macro_rules! of_an_attachment {
    ($($call:ident)*) => {$(
        impl $call {
            /// The attachment's name as an owner.
            pub fn owner(&self) -> Owner {
                Subject::from(self).owner()
            }
        }

        impl<'a> From<&'a $call> for Subject<'a> {
            fn from(call: &'a $call) -> Self {
                Self {
                    network: &call.network,
                    attachment: &call.attachment,
                }
            }
        }
    )*};
}

of_an_attachment! { AddCall CheckCall DelCall }
