//! The plugins of a list for one attachment, each called as a runtime would.

use serde_json::{Value, json};

use crate::call::Call;
use crate::conf::with;
use crate::lab::{Lab, Sandbox};

/// An attachment by several plugins.
#[derive(Debug)]
pub struct Chain {
    calls: Vec<(Call, Value)>,
}

impl Chain {
    /// The interface `ifname` of a container, by plugins with these configurations.
    pub fn new(
        lab: &Lab,
        container: &str,
        sandbox: &Sandbox,
        ifname: &str,
        confs: &[Value],
    ) -> Self {
        let call = |conf: &Value| {
            let base = json!({ "cniVersion": "1.1.0", "name": "net" });
            let conf = with(base, conf);
            let call = lab
                .plugin(conf["type"].as_str().unwrap())
                .of(container, sandbox);
            (call.env("CNI_IFNAME", ifname), conf)
        };
        Self {
            calls: confs.iter().map(call).collect(),
        }
    }

    /// ADD of every plugin, in order; returns the last result.
    pub fn add(&self) -> Value {
        let mut result = Value::Null;
        for (call, conf) in &self.calls {
            let previous = json!({ "prevResult": result });
            result = call.clone().conf(&with(conf.clone(), &previous)).add();
        }
        result
    }

    /// CHECK of every plugin, with the last result of ADD.
    pub fn check(&self, result: &Value) {
        for (call, conf) in &self.calls {
            call.clone().conf(conf).check(result);
        }
    }

    /// DEL of every plugin, in reverse order; without a previous result if `result` is null.
    pub fn del(&self, result: &Value) {
        for (call, conf) in self.calls.iter().rev() {
            let previous = json!({ "prevResult": result });
            call.clone().conf(&with(conf.clone(), &previous)).del();
        }
    }

    /// The call of one of its plugins, with the previous result of a verb other than ADD.
    pub fn call(&self, at: usize, result: &Value) -> Call {
        let (call, conf) = &self.calls[at];
        let previous = json!({ "prevResult": result });
        call.clone().conf(&with(conf.clone(), &previous))
    }
}
