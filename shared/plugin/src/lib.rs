//! The shell around a plugin: environment and stdin in, one JSON reply and an exit status out.
//!
//! A plugin implements [`Plugin`] and exports an [`Entry`]; [`serve`] is a pure function of its inputs and
//! [`process`] is the only code that touches the process.

pub mod call;
pub mod chained;
pub mod check;
pub mod delegate;
pub mod flock;
mod gate;
pub mod interface;
pub mod process;
pub mod serve;
mod stderr;
pub mod teardown;
pub mod telemetry;
mod transport;
pub mod undo;

use std::fmt;

use linkspan_protocol::conf::standard_schema;
use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;
use linkspan_protocol::schema::Schema;
use serde::de::DeserializeOwned;

pub use linkspan_invoke::exec_itself;
pub use linkspan_owner::capability;

pub use call::{AddCall, Call, CheckCall, DelCall, GcCall, StatusCall};
pub use serve::Reply;
pub use stderr::warn;
pub use teardown::Teardown;
pub use telemetry::step;
pub use undo::Undo;

/// The outcome of a verb.
pub type Result<T> = std::result::Result<T, Failure>;

/// The verbs of one plugin type.
///
/// ADD, CHECK and STATUS get a plan, which the shell makes of the configuration first, so an impossible configuration
/// is refused before anything is touched. DEL and GC get the keys alone, because a list that was edited since ADD must
/// still be detached.
pub trait Plugin {
    /// The plugin's own configuration keys, decoded from stdin.
    type Conf: DeserializeOwned;

    /// The checked plan of a call.
    type Plan;

    /// Its file names; the first one is the type's name.
    const NAMES: &'static [&'static str];

    /// The keys, such as `ipam.dataDir`, that DEL and GC need. They treat a value of the wrong type under any other key
    /// as absent.
    const NEEDED: &'static [&'static str] = &[];

    /// Checks the keys and the call, and touches nothing.
    fn plan(call: &Call, conf: Self::Conf) -> Result<Self::Plan>;

    /// Makes the attachment. Everything that it makes is on `undo`, which runs when this or the printing fails.
    fn add(call: &AddCall, plan: Self::Plan, undo: &mut Undo) -> Result<AddResult>;

    /// Removes the attachment, from any half-made state; nothing to remove is success.
    fn del(call: &DelCall, conf: Self::Conf) -> Result<()>;

    /// Compares the attachment with what ADD promised.
    fn check(call: &CheckCall, plan: Self::Plan) -> Result<()>;

    /// Removes the state of everything without a valid attachment. Refused until the plugin implements it.
    fn gc(_call: &GcCall, _conf: Self::Conf) -> Result<()> {
        let name = Self::NAMES.first().copied().unwrap_or_default();
        Err(Failure::new(
            ErrorCode::INTERNAL,
            format!("{name} does not implement GC yet; nothing was collected"),
        )
        .hint("set disableGC in the network configuration list"))
    }

    /// Puts back the packet filter's state of a living attachment where others removed it. The default has no such
    /// state.
    fn restore(_call: &CheckCall, _plan: Self::Plan) -> Result<()> {
        Ok(())
    }

    /// Succeeds where an ADD could succeed; changes nothing.
    fn status(call: &StatusCall, plan: Self::Plan) -> Result<()>;
}

/// A plugin, ready to be served under its names.
pub struct Entry {
    /// File names; the first one is the type's name.
    pub names: &'static [&'static str],
    serve: fn(&Env, serve::Stdin<'_>) -> Reply,
    schema: fn() -> Schema,
    conf: fn() -> &'static str,
}

impl Entry {
    /// The entry of `P`.
    pub const fn of<P: Plugin>() -> Self {
        Self {
            names: P::NAMES,
            serve: serve::serve::<P>,
            schema: schema::<P>,
            conf: std::any::type_name::<P::Conf>,
        }
    }

    /// The type's name.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Serves one call.
    pub fn serve(&self, env: &Env, stdin: serve::Stdin<'_>) -> Reply {
        (self.serve)(env, stdin)
    }

    /// The schema of its configuration: the keys that every plugin knows, and its own.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The path of the type that decodes its own keys. That type documents the keys.
    pub fn conf(&self) -> &'static str {
        (self.conf)()
    }
}

fn schema<P: Plugin>() -> Schema {
    standard_schema().and(Schema::of::<P::Conf>())
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
