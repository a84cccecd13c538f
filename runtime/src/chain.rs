//! ADD, CHECK and DEL of a whole list (spec section 3), as libcni does them.

use std::path::PathBuf;

use linkspan_invoke::{exec, find};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::json::Json;
use linkspan_protocol::version::{SpecVersion, numbers};
use linkspan_protocol::wire;
use serde_json::{Value, json};

use crate::Result;
use crate::attachment::Attachment;
use crate::cache::Cache;
use crate::conflist::{NetworkList, PluginConf};
use crate::inject::{self, Request};

/// Where plugins are found and results remembered.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The directories searched for plugins.
    pub plugin_dirs: Vec<PathBuf>,
    /// The cache.
    pub cache: Cache,
}

impl Runtime {
    /// Attaches; the last plugin's result. When a plugin fails, or the result cannot be remembered, the list's DEL
    /// takes away what was made, which libcni leaves to its caller. An attachment that was there before is left alone.
    pub fn add(&self, list: &NetworkList, at: &Attachment) -> Result<Value> {
        let network = list.network()?;
        let is_new = !self.cache.has(&network, at);
        let added = self.add_each(list, at).and_then(|result| {
            self.cache.store(list, at, &result)?;
            Ok(result)
        });
        added.map_err(|mut failure| {
            if is_new && let Err(err) = self.del(list, at) {
                failure.note(format!("undo failed: {err}"));
            }
            failure
        })
    }

    fn add_each(&self, list: &NetworkList, at: &Attachment) -> Result<Value> {
        // A plugin that is not there is better found before the first one has made anything.
        for plugin in &list.plugins {
            let found = find(&plugin.kind, &self.plugin_dirs);
            found.map_err(|err| during(err.into(), plugin, "add"))?;
        }
        let mut result = None;
        for plugin in &list.plugins {
            let request = Request {
                list,
                at,
                prev_result: result.as_ref(),
            };
            let ran = self.run("ADD", plugin, request);
            let decoded = ran.and_then(|printed| decode(&printed, &list.version));
            result = Some(decoded.map_err(|err| during(err, plugin, "add"))?);
        }
        result.ok_or_else(|| Failure::config("no plugins in list"))
    }

    /// Compares the attachment with what its ADD returned.
    pub fn check(&self, list: &NetworkList, at: &Attachment) -> Result<()> {
        if list_numbers(list)? < (0, 4, 0) {
            return Err(Failure::config(format!(
                "configuration version {:?} does not support the CHECK command",
                list.version
            )));
        }
        if list.disable_check {
            return Ok(());
        }
        let result = self.cached(list, at)?;
        let prev_result = result.as_ref();
        for plugin in &list.plugins {
            let request = Request {
                list,
                at,
                prev_result,
            };
            self.run("CHECK", plugin, request)?;
        }
        Ok(())
    }

    /// Detaches, in reverse order. Neither a result that cannot be read, which is forgotten, nor a plugin that fails
    /// stops it; libcni stops at the first failure. The attachment is remembered until every plugin succeeded.
    pub fn del(&self, list: &NetworkList, at: &Attachment) -> Result<()> {
        let network = list.network()?;
        let result = if list_numbers(list)? < (0, 4, 0) {
            None
        } else {
            self.cached(list, at).unwrap_or_else(|_unreadable| {
                self.cache.remove(&network, at);
                None
            })
        };
        let prev_result = result.as_ref();
        let mut first: Option<Failure> = None;
        for plugin in list.plugins.iter().rev() {
            let request = Request {
                list,
                at,
                prev_result,
            };
            let Err(err) = self.run("DEL", plugin, request) else {
                continue;
            };
            match &mut first {
                None => first = Some(during(err, plugin, "delete")),
                Some(first) => first.note(format!("{}: {err}", plugin.describe())),
            }
        }
        if let Some(failure) = first {
            return Err(failure);
        }
        self.cache.remove(&network, at);
        Ok(())
    }

    /// The attachment's result, in the list's version.
    fn cached(&self, list: &NetworkList, at: &Attachment) -> Result<Option<Value>> {
        let network = list.network()?;
        let Some(result) = self.cache.result(&network, at)? else {
            return Ok(None);
        };
        let version = SpecVersion::parse(&list.version).ok_or_else(|| {
            let text = &list.version;
            Failure::new(
                ErrorCode::DECODING,
                format!("unsupported CNI result version {text:?}"),
            )
        });
        version
            .and_then(|version| convert(&result, version))
            .map(Some)
            .map_err(|err| {
                err.context(format!(
                    "failed to get network {:?} cached result",
                    list.name
                ))
            })
    }

    fn run(&self, verb: &str, plugin: &PluginConf, request: Request<'_>) -> Result<Vec<u8>> {
        let exe = find(&plugin.kind, &self.plugin_dirs)?;
        let stdin = inject::stdin(plugin, request)?;
        let at = request.at;
        let dirs: Vec<String> = self
            .plugin_dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let env = [
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_CONTAINERID", at.container_id.to_string()),
            ("CNI_NETNS", at.netns.clone()),
            ("CNI_ARGS", at.args_text()),
            ("CNI_IFNAME", at.ifname.to_string()),
            ("CNI_PATH", dirs.join(":")),
        ];
        exec(&exe, &env, &stdin)
    }
}

fn during(err: Failure, plugin: &PluginConf, verb: &str) -> Failure {
    err.context(format!("{} failed ({verb})", plugin.describe()))
}

fn list_numbers(list: &NetworkList) -> Result<linkspan_protocol::version::Numbers> {
    numbers(&list.version).map_err(|err| Failure::new(ErrorCode::DECODING, err))
}

/// Decodes what a plugin printed; a result that does not tell its version has the configuration's.
fn decode(printed: &[u8], version: &str) -> Result<Value> {
    let (_, version) = wire::decode(&Json::parse(printed)?, version)?;
    let mut result: Value = serde_json::from_slice(printed).map_err(|err| {
        Failure::new(ErrorCode::DECODING, err.to_string()).context("decode the result")
    })?;
    if let Some(keys) = result.as_object_mut() {
        keys.insert("cniVersion".to_owned(), json!(version.as_str()));
    }
    Ok(result)
}

/// The text of a result, in the order of keys and with the indentation that plugins print.
pub fn print(result: &Value) -> Result<String> {
    let (decoded, version) = wire::decode(&reparse(result)?, "")?;
    wire::encode(&decoded, version)
}

fn convert(result: &Value, version: SpecVersion) -> Result<Value> {
    let (decoded, _) = wire::decode(&reparse(result)?, "")?;
    let text = wire::encode(&decoded, version).map_err(|err| {
        err.context(format!(
            "failed to convert cached result to config version {:?}",
            version.as_str()
        ))
    })?;
    serde_json::from_str(&text).map_err(|err| Failure::new(ErrorCode::DECODING, err.to_string()))
}

fn reparse(value: &Value) -> Result<Json> {
    Ok(Json::parse(value.to_string().as_bytes())?)
}
