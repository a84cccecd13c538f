//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_plugin::Result;
use linkspan_plugin::call::Call;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conf {
    /// The VRF that gets the interface as a port; required.
    pub(crate) vrfname: String,
    /// The routing table of the VRF; 0 means the table of an existing VRF, or else the first free one.
    table: u32,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: IfName,
    /// The wanted table.
    pub(crate) table: Option<u32>,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: &Conf) -> Result<Self> {
        if conf.vrfname.is_empty() {
            let text = "configuration is expected to have a valid vrf name";
            return Err(Failure::config(text).hint("give the key vrfname"));
        }
        if conf.vrfname == call.ifname() {
            let text = format!("vrfname {:?} is the name of the interface", conf.vrfname);
            return Err(Failure::config(text).hint("give the VRF another name"));
        }
        let name = IfName::parse(&conf.vrfname).map_err(|failure| {
            failure
                .context("vrfname")
                .with_code(ErrorCode::INVALID_NETWORK_CONFIG)
        })?;
        Ok(Self {
            name,
            table: Some(conf.table).filter(|table| *table > 0),
        })
    }
}
