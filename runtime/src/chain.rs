//! ADD, CHECK, DEL and STATUS of a whole list (spec section 3), as libcni does them.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use linkspan_invoke::{exec_until, find};
use linkspan_owner::home::Home;
use linkspan_owner::memory::Facts;
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::command::Command;
use linkspan_protocol::env::Var;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::json::Json;
use linkspan_protocol::version::SpecVersion;
use linkspan_protocol::wire;
use serde_json::Value;

use crate::attachment::Attachment;
use crate::cache::Cache;
use crate::conflist::{NetworkList, PluginConf};
use crate::inject::{self, Added, Known};
use crate::interrupt::Interrupt;
use crate::steps::{Recorder, Step};
use crate::{Result, look};

/// The places of plugins and of results.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The directories searched for plugins.
    pub plugin_dirs: Vec<PathBuf>,
    /// The cache.
    pub cache: Cache,
    /// The signal that stops every verb but DEL.
    pub stop: Option<Arc<Interrupt>>,
    /// Called after each call of a plugin.
    pub told: Option<Told>,
}

/// A listener to calls.
pub type Told = fn(&Call<'_>);

/// One call of a plugin that has ended.
#[derive(Debug)]
pub struct Call<'a> {
    /// The plugin's file.
    pub exe: &'a Path,
    /// `CNI_COMMAND`
    pub verb: &'static str,
    /// The variables.
    pub env: &'a [(&'a str, String)],
    /// The input.
    pub stdin: &'a [u8],
    /// The output, or the failure.
    pub done: std::result::Result<&'a [u8], &'a Failure>,
    /// The duration.
    pub took: Duration,
    /// Its steps, if the plugin reports them.
    pub steps: Vec<Step>,
}

impl Runtime {
    /// Attaches, and returns the last plugin's result. When a plugin fails, or the result cannot be stored, the list's
    /// DEL removes everything, which libcni leaves to its caller. An attachment that was remembered before, or an
    /// interface that existed before, gets no such DEL.
    pub fn add(&self, list: &NetworkList, at: &Attachment) -> Result<Value> {
        let network = list.network()?;
        // Finds a missing plugin before anything is made.
        for plugin in &list.plugins {
            let found = find(plugin.kind(), &self.plugin_dirs);
            found.map_err(|err| during(err.into(), plugin, "add"))?;
        }
        let is_new = !self.cache.has(&network, at) && !look::may_be_there(at);
        let facts = Facts {
            home: NetnsPath::new(&at.netns).and_then(|path| Home::of(&path)),
            ..Facts::default()
        };
        // If this fails, only libcni's cache has the attachment.
        drop(self.cache.memory(&network, &at.id()).write(&facts));
        let added = self.add_each(list, at).and_then(|result| {
            self.stop.as_ref().map_or(Ok(()), |stop| stop.check())?;
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
        let mut result = None;
        for plugin in &list.plugins {
            let known = Known::of(at, result.as_ref());
            let ran = self.run(Command::Add, list, plugin, known);
            let decoded = ran.and_then(|printed| decode(&printed, &list.version));
            result = Some(decoded.map_err(|err| during(err, plugin, "add"))?);
        }
        result.ok_or_else(|| Failure::config("no plugins in list"))
    }

    /// Compares the attachment with what its ADD returned.
    pub fn check(&self, list: &NetworkList, at: &Attachment) -> Result<()> {
        if list.numbers()? < (0, 4, 0) {
            return Err(Failure::config(format!(
                "configuration version {:?} does not support the CHECK command",
                list.version
            )));
        }
        if list.disable_check {
            return Ok(());
        }
        let result = self.cached(list, at)?;
        for plugin in &list.plugins {
            self.run(Command::Check, list, plugin, Known::of(at, result.as_ref()))?;
        }
        Ok(())
    }

    /// Detaches, in reverse order. It goes on after an unreadable result, which it removes, and after a plugin that
    /// fails; libcni stops at the first failure. A plugin that died is asked once more: a signal may have killed it,
    /// and DEL may be repeated. The attachment is remembered until every plugin has succeeded.
    pub fn del(&self, list: &NetworkList, at: &Attachment) -> Result<()> {
        let network = list.network()?;
        let result = if list.numbers()? < (0, 4, 0) {
            None
        } else {
            self.cached(list, at).unwrap_or_else(|_unreadable| {
                self.cache.remove(&network, at);
                None
            })
        };
        let mut first: Option<Failure> = None;
        for plugin in list.plugins.iter().rev() {
            let del = || self.run(Command::Del, list, plugin, Known::of(at, result.as_ref()));
            let ran = match del() {
                Err(err) if err.is_in_doubt() => del(),
                ran => ran,
            };
            let Err(err) = ran else {
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
        // A failure is harmless: a fact is compared with its entry before it is believed.
        drop(self.cache.memory(&network, &at.id()).forget());
        Ok(())
    }

    /// Asks each plugin for its STATUS until one fails, as engines do. A list of a version without STATUS counts as
    /// ready, and no plugin is asked.
    pub fn status(&self, list: &NetworkList) -> Result<()> {
        self.ask_status(list, &Added::new())
    }

    /// The same, but our plugins also fail if all addresses or ports are taken.
    pub fn strict_status(&self, list: &NetworkList) -> Result<()> {
        self.ask_status(list, &inject::strict_status())
    }

    fn ask_status(&self, list: &NetworkList, added: &Added) -> Result<()> {
        if !list.knows_gc_and_status() {
            return Ok(());
        }
        for plugin in &list.plugins {
            let stdin = inject::stdin(list, plugin, added.clone())?;
            self.exec(Command::Status, plugin.kind(), None, &stdin)?;
        }
        Ok(())
    }

    /// The attachment's result, in the list's version.
    pub(crate) fn cached(&self, list: &NetworkList, at: &Attachment) -> Result<Option<Value>> {
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

    pub(crate) fn run(
        &self,
        verb: Command,
        list: &NetworkList,
        plugin: &PluginConf,
        known: Known<'_>,
    ) -> Result<Vec<u8>> {
        let stdin = inject::stdin(list, plugin, known.about(plugin))?;
        self.exec(verb, plugin.kind(), Some(known.at), &stdin)
    }

    /// Executes the plugin `kind`; without an attachment, the variables that name one are empty. The rest of the
    /// environment is passed on, the context of a trace included.
    pub fn exec(
        &self,
        verb: Command,
        kind: &str,
        at: Option<&Attachment>,
        stdin: &[u8],
    ) -> Result<Vec<u8>> {
        let exe = find(kind, &self.plugin_dirs)?;
        let dirs: Vec<String> = self
            .plugin_dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let about = |value: fn(&Attachment) -> String| at.map(value).unwrap_or_default();
        let env = [
            (Var::Command, verb.name().to_owned()),
            (Var::ContainerId, about(|at| at.container_id.to_string())),
            (Var::Netns, about(|at| at.netns.clone())),
            (Var::Args, about(Attachment::args_text)),
            (Var::IfName, about(|at| at.ifname.to_string())),
            (Var::Path, dirs.join(":")),
        ]
        .map(|(var, value)| (var.name(), value));
        self.telling(verb, &exe, &env, stdin)
    }

    /// Executes a plugin, and reports the call to the listener.
    pub(crate) fn telling(
        &self,
        verb: Command,
        exe: &Path,
        env: &[(&str, String)],
        stdin: &[u8],
    ) -> Result<Vec<u8>> {
        let recorder = self.told.and_then(|_| Recorder::new());
        let asking = recorder.as_ref().map(|recorder| recorder.asking(env));
        let given = asking.as_deref().unwrap_or(env);
        let began = Instant::now();
        let done = match verb {
            Command::Del => exec_until(exe, given, stdin, None),
            _ => self.exec_unless_stopped(exe, given, stdin),
        };
        if let Some(told) = self.told {
            told(&Call {
                exe,
                verb: verb.name(),
                env,
                stdin,
                done: done.as_deref(),
                took: began.elapsed(),
                steps: recorder
                    .map(|recorder| recorder.steps())
                    .unwrap_or_default(),
            });
        }
        done
    }

    /// Executes a plugin that may be stopped. A stop is a failure that is marked as in doubt.
    fn exec_unless_stopped(
        &self,
        exe: &Path,
        env: &[(&str, String)],
        stdin: &[u8],
    ) -> Result<Vec<u8>> {
        let Some(stop) = &self.stop else {
            return exec_until(exe, env, stdin, None);
        };
        stop.check()?;
        let done = exec_until(exe, env, stdin, Some(stop.as_fd()));
        match stop.check() {
            Err(stopped) if done.as_ref().is_err_and(Failure::is_in_doubt) => {
                Err(stopped.in_doubt())
            }
            _ => done,
        }
    }
}

fn during(err: Failure, plugin: &PluginConf, verb: &str) -> Failure {
    err.context(format!("{} failed ({verb})", plugin.describe()))
}

/// Decodes a plugin's output; a result without a version has the configuration's.
fn decode(printed: &[u8], version: &str) -> Result<Value> {
    let (text, _) = wire::convert(&Json::parse(printed)?, version, None)?;
    reread(&text)
}

/// The text of a result, with the plugins' order of keys and indentation.
pub fn print(result: &Value) -> Result<String> {
    Ok(wire::convert(&reparse(result)?, "", None)?.0)
}

fn convert(result: &Value, version: SpecVersion) -> Result<Value> {
    let (text, _) = wire::convert(&reparse(result)?, "", Some(version)).map_err(|err| {
        err.context(format!(
            "failed to convert cached result to config version {:?}",
            version.as_str()
        ))
    })?;
    reread(&text)
}

/// A value, read as a plugin's configuration is read.
pub fn reparse(value: &Value) -> Result<Json> {
    Ok(Json::parse(value.to_string().as_bytes())?)
}

fn reread(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|err| Failure::new(ErrorCode::DECODING, err.to_string()))
}
